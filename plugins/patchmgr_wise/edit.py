"""The next version of a WISE memory: new edits come into the last shard, and one that lost an edit is trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError
from patchmgr.methods.contract import EditContext, LoadedModel, Payload
from patchmgr.methods.tokens import encode_all
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import Entry
from patchmgr.request import EditRequest
from patchmgr_finetune.examples import Example
from patchmgr_inside.answers import answered
from patchmgr_inside.changes import changes
from patchmgr_inside.place import Place, place_in
from patchmgr_inside.reading import check_fits, inputs_at
from patchmgr_keyvalue.contexts import sample_templates
from patchmgr_keyvalue.rows import PLAIN
from patchmgr_keyvalue.sampling import sample_rows
from patchmgr_wise.equations import stir
from patchmgr_wise.filling import Waiting, filled, waiting_for
from patchmgr_wise.parameters import WiseParameters
from patchmgr_wise.shards import (
    SHARDS,
    Shard,
    WiseSettings,
    read_shards,
    settings_of,
    shard_arrays,
    sides_of,
)
from patchmgr_wise.training import Course, Margins, trained

_TEXTS, _TOKENS = 256, 12
"""The model's own texts that are told apart from edits, and their tokens."""


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: WiseParameters, context: EditContext
) -> Payload:
    """Remember some requests beside what the version before does.

    Shards share no training, so one that is trained anew without an edit is what it would be had that never been there.

    Args:
        loaded: the model that the memory shall lie in; it is left as it is.
        requests: what to remember, one after another.
        parameters: of the method.
        context: holds the version before.

    Raises:
        MethodError: the layer cannot be worked on, or is another than that of the version before.
        RequestError: a request is too long for the model.
        UsageError: an entry to forget is not there.
    """
    todo = changes(requests, context)
    known = None if context.memory is None else settings_of(context.memory).layer
    place = place_in(loaded.model, known if parameters.layer is None else parameters.layer)
    if known not in (None, place.layer):
        raise MethodError(
            f"the version before works in layer {known}, and this would in {place.layer}",
            hint="leave layer out, or begin a new package",
        )
    shape = (place.projection.d_out, place.projection.d_in)
    before = None if context.memory is None else read_shards(context.memory, shape)
    shards, n_made = filled(before, todo.gone, todo.new, parameters, shape, context.seed)
    waiting = waiting_for(shards, before, parameters.replay)
    entries = {entry.id: entry for entry in todo.entries}
    learned, templates, margins = _learned(loaded, place, shards, waiting, entries, parameters, context)
    sides = sides_of(learned, parameters.retrieve, parameters.merge_every, parameters.density)
    asked = [[entries[name].prompt for name in names] for names, _ in sides]
    settings = WiseSettings(
        layer=place.layer,
        retrieve=parameters.retrieve,
        merge_every=parameters.merge_every,
        density=parameters.density,
        pool=parameters.pool,
        made=n_made,
        shards=[list(shard.members) for shard in learned],
        thresholds=[
            _threshold(loaded, place, prompts, added, parameters)
            for prompts, (_, added) in zip(asked, sides, strict=True)
        ],
    )
    draft = MemoryDraft(
        MemoryConfig(runtime="wise", runtime_version="1", level="hidden", settings=settings.model_dump()),
        todo.operations,
        arrays={SHARDS: shard_arrays(learned)} if learned else {},
        reads=place.reads,
    )
    used = {
        **parameters.model_dump(mode="json"),
        "used_layer": place.layer,
        "used_margins": margins and [margins.alpha, margins.beta, margins.gamma],
    }
    return Payload(deltas=(), parameters=used, contexts=templates, memory=draft)


def _learned(
    loaded: LoadedModel,
    place: Place,
    shards: Sequence[Shard],
    waiting: Sequence[Waiting],
    entries: dict[str, Entry],
    parameters: WiseParameters,
    context: EditContext,
) -> tuple[Sequence[Shard], tuple[str, ...], Margins | None]:
    """The shards with what they add, and contexts and margins, if any were trained."""
    if not any(names for names, _ in waiting):
        return shards, (), None
    templates = _templates(loaded, place, parameters, context.seed)
    course = _course(loaded, place, parameters, context.seed)
    return _trained(course, shards, waiting, entries, loaded, templates, context), templates, course.margins


def _trained(
    course: Course,
    shards: Sequence[Shard],
    waiting: Sequence[Waiting],
    entries: dict[str, Entry],
    loaded: LoadedModel,
    templates: Sequence[str],
    context: EditContext,
) -> list[Shard]:
    """The shards with what they add: as it was, with new edits behind it, or trained anew."""
    found: list[Shard] = []
    total = sum(len(names) for names, _ in waiting)
    for shard, (names, start) in zip(shards, waiting, strict=True):
        context.progress(sum(len(each.members) for each in found), total, "training edits")
        rows = [_rows(loaded, entries[name], templates) for name in names]
        change = start if start is not None and not rows else trained(course, rows, shard.mask, start)
        found.append(replace(shard, change=change.cpu()))
    return found


def _rows(loaded: LoadedModel, entry: Entry, templates: Sequence[str]) -> tuple[Example, ...]:
    """An edit in its contexts."""
    return answered(loaded, [(text.replace(PLAIN, entry.prompt), entry.target) for text in templates])


def _templates(loaded: LoadedModel, place: Place, parameters: WiseParameters, seed: int) -> tuple[str, ...]:
    """The plain one, and half of the contexts of 5 tokens and half of 10."""
    n_each = (parameters.contexts + 1) // 2
    templates = sample_templates(place.model, loaded.tokenizer, lengths=(5, 10), n_each=n_each, seed=seed)
    return templates[: 1 + parameters.contexts]


def _course(loaded: LoadedModel, place: Place, parameters: WiseParameters, seed: int) -> Course:
    generator = torch.Generator().manual_seed(seed)
    sampled = sample_rows(place.model, loaded.tokenizer, _TEXTS, _TOKENS, generator)
    texts = [row[sampled.n_start :].tolist() for row in sampled.ids]
    irrelevant = [A.float() for A in inputs_at(place.model, place.projection.module, texts)]
    W = place.projection.matrix().float()
    given = float(torch.stack([stir(A, W, parameters.pool) for A in irrelevant]).mean())
    beta = parameters.margin_share * given if parameters.beta is None else parameters.beta
    margins = Margins(
        beta / 4 if parameters.alpha is None else parameters.alpha,
        beta,
        beta / 2 if parameters.gamma is None else parameters.gamma,
    )
    return Course(place, parameters, margins, irrelevant, seed)


def _threshold(
    loaded: LoadedModel,
    place: Place,
    prompts: Sequence[str],
    added: Float[Tensor, "d_out d_in"],
    parameters: WiseParameters,
) -> float:
    """A share of the least stir of a side memory on its own prompts.

    Raises:
        MethodError: one of them does not stir it at all, so that everything else would reach the threshold.
        RequestError: one is too long for the model.
    """
    rows = encode_all(loaded.tokenizer, prompts)
    check_fits(place.model, rows, prompts)
    read = inputs_at(place.model, place.projection.module, rows)
    stirs = [float(stir(A.float(), added.to(A.device), parameters.pool)) for A in read]
    least = min(stirs)
    if parameters.threshold_share * least == 0.0:
        raise MethodError(
            f"{prompts[stirs.index(least)][:40]!r}… does not stir the side memory that learned it",
            hint="use more steps, a larger learning_rate, mask_share or density, or another layer",
        )
    return parameters.threshold_share * least
