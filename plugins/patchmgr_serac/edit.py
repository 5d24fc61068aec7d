"""SERAC's bundle: the entries, the vectors of their memory sides, and the editor's networks; nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.canonical import sha256_json
from patchmgr.errors import FormatError, MethodError
from patchmgr.methods.contract import EditContext, Payload
from patchmgr.package.memory.bundle import MemoryConfig, MemoryDraft
from patchmgr.package.memory.operations import Entry, entries_after, operations_after
from patchmgr.request import EditRequest
from patchmgr_serac import calibration
from patchmgr_serac.calibration import Calibrated, Known, calibrate, joined
from patchmgr_serac.lookup import Lookup
from patchmgr_serac.networks import digest_of, open_cross, open_encoder, parts_of
from patchmgr_serac.parameters import RouterForm, SeracParameters
from patchmgr_serac.scope import Pooling, ScopeEncoder

METRIC = "exp(-squared euclidean)"


@dataclass(frozen=True)
class _Source:
    """Where the networks come from, and how they are used."""

    name: str
    """The editor's reference, or of the version before."""
    files: Mapping[str, Path]
    editor: Mapping[str, str]
    """Reference and digest."""
    form: RouterForm
    pooling: Pooling
    candidates: int
    template: str
    own: bool
    """Whether there is a counterfactual model; otherwise the base answers."""

    @property
    def parts(self) -> Sequence[str]:
        """The networks that there are."""
        return parts_of(self.form, own=self.own)

    def used(self) -> dict[str, Path]:
        """The files that a bundle takes over."""
        return {
            name: path
            for name, path in self.files.items()
            if name == calibration.FILE or name.partition("/")[0] in self.parts
        }


def edit(
    runtime: str, version: str, requests: Sequence[EditRequest], parameters: SeracParameters, context: EditContext
) -> Payload:
    """The next version of a memory: what the one before remembers, and these requests; only new ones are encoded.

    Raises:
        MethodError: there is neither a trained editor nor a version before, or a network cannot be loaded.
        UsageError: an entry to forget is not there.
        FormatError: the editor lacks something.
    """
    before, source = context.memory, _source(runtime, context)
    operations = operations_after(before.operations if before else (), requests, forget=context.forget)
    entries = entries_after(operations)
    context.progress(0, 2, "encoding")
    encoder = open_encoder(source.files, source.pooling, "cpu") if "encoder" in source.parts else None
    keys = None if encoder is None else _keys(context, source, entries, encoder)
    candidates = parameters.candidates or source.candidates
    cross = open_cross(source.files, "cpu") if "cross" in source.parts else None
    lookup = Lookup([(entry.prompt, entry.target) for entry in entries], encoder, keys, cross, candidates)
    context.progress(1, 2, "calibrating")
    threshold = _threshold(parameters, source, context, lookup, entries)
    settings = {
        "router": source.form,
        "pooling": source.pooling,
        "metric": METRIC,
        "candidates": candidates,
        "template": source.template,
        "counterfactual": "own" if source.own else "base",
        "threshold": threshold.threshold,
        "calibrated_at": threshold.entries,
        "editor": dict(source.editor),
        "sha256": {**{part: digest_of(source.files, part) for part in source.parts}, "template": _of(source.template)},
    }
    config = MemoryConfig(runtime=runtime, runtime_version=version, level="text", settings=settings)
    draft = MemoryDraft(config, operations, keys=None if keys is None else keys.numpy(), files=source.used())
    used = {"threshold": threshold.threshold, "candidates": candidates}
    return Payload(deltas=(), parameters={**parameters.model_dump(mode="json"), **used}, memory=draft)


def _source(runtime: str, context: EditContext) -> _Source:
    editor, before = context.editor, context.memory
    if editor is not None:
        known: Mapping[str, Any] = {**editor.parameters, "own": editor.parameters.get("counterfactual") != "base"}
        made_by = {"reference": editor.reference, "sha256": editor.digest}
        return _read(editor.reference, editor.files, known, made_by)
    if before is not None:
        settings = before.config.settings
        known = {**settings, "own": settings.get("counterfactual") == "own"}
        return _read(before.reference, before.files, known, settings.get("editor", {}))
    raise MethodError(
        f"{runtime} needs a trained editor",
        hint=f"`patchmgr train {runtime} MODEL --data FILE --name NAME`, then `patchmgr edit … --editor NAME`",
    )


def _read(name: str, files: Mapping[str, Path], known: Mapping[str, Any], editor: Mapping[str, str]) -> _Source:
    try:
        form, pooling = known["router"], known["pooling"]
        source = _Source(
            name, files, editor, form, pooling, int(known["candidates"]), str(known["template"]), bool(known["own"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{name} lacks the setting {error}", hint="train the editor again") from None
    if form not in get_args(RouterForm) or pooling not in get_args(Pooling):
        raise FormatError(f"{name} has a router {form!r} with pooling {pooling!r}", hint="train the editor again")
    for wanted in (*(f"{part}/config.json" for part in source.parts), calibration.FILE):
        if wanted not in files:
            raise FormatError(f"{name} has no {wanted}", hint="train the editor again")
    return source


def _keys(
    context: EditContext, source: _Source, entries: Sequence[Entry], encoder: ScopeEncoder
) -> Float[Tensor, "entries width"]:
    """Vectors of all entries; the version before gives those that it has, if the same encoder made them."""
    before, known = context.memory, dict[tuple[str, str], Tensor]()
    digest = digest_of(source.files, "encoder")
    if before is not None and before.keys is not None and before.config.settings["sha256"]["encoder"] == digest:
        sides = [(entry.prompt, entry.target) for entry in before.entries]
        known = dict(zip(sides, torch.from_numpy(before.keys), strict=True))
    sides = [(entry.prompt, entry.target) for entry in entries]
    new = [side for side in sides if side not in known]
    known.update(zip(new, encoder.vectors(encoder.reading.entries(new)), strict=True))
    return torch.stack([known[side] for side in sides]) if sides else encoder.vectors([])


def _threshold(
    parameters: SeracParameters, source: _Source, context: EditContext, lookup: Lookup, entries: Sequence[Entry]
) -> Calibrated:
    """The one that was set; else that of the version before or the editor, chosen anew once the memory outgrew it."""
    questions, calibrated = calibration.load(source.files[calibration.FILE], where=source.name)
    if parameters.threshold is not None:
        return Calibrated(parameters.threshold, 0)
    settings = context.memory.config.settings if context.memory is not None and context.editor is None else {}
    if settings.get("calibrated_at"):
        calibrated = Calibrated(float(settings["threshold"]), int(settings["calibrated_at"]))
    if len(entries) <= calibrated.entries or (lookup.encoder is None and lookup.cross is not None):
        return calibrated
    encoder = lookup.encoder
    keys = None if encoder is None else encoder.vectors(encoder.reading.entries(questions.entries))
    known = Lookup(questions.entries, encoder, keys, lookup.cross, lookup.candidates)
    memory = [Known(entry.prompt, entry.target, entry.subject) for entry in entries]
    return calibrate(joined(known, lookup), questions, memory)


def _of(template: str) -> str:
    return sha256_json(template)
