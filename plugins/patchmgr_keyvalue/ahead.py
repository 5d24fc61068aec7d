"""Covariances made ahead of an edit, under the keys that an edit looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from patchmgr.errors import MethodError, UsageError
from patchmgr.methods.architecture import Architecture, find_architecture
from patchmgr.methods.artefacts import ArtefactEntry, ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel, StatisticsOrder
from patchmgr_keyvalue.forwards import untouched
from patchmgr_keyvalue.moments import KIND, Convergent, computed, moment_key
from patchmgr_keyvalue.settings import StatisticsParameters
from patchmgr_keyvalue.sites import chosen_layers, chosen_projection, default_layer, default_layers
from patchmgr_keyvalue.texts import row_tokens, text_of


def compute(model: LoadedModel, order: StatisticsOrder, context: EditContext) -> tuple[ArtefactEntry, ...]:
    """The covariances of the ordered layers; what is there and was measured already is not computed again.

    Raises:
        MethodError: the method reads no covariance, a layer cannot be read, or the text is empty.
        UsageError: the agreement to reach is out of range, or there is no layer.
    """
    if order.until is not None and not 0 < order.until < 1:
        raise UsageError(f"until is {order.until}", hint="give a number between 0 and 1, such as 0.99")
    parameters = _parameters(order)
    n_tokens = parameters.statistics_tokens if order.tokens is None else order.tokens
    seed = parameters.statistics_seed if order.seed is None else order.seed
    architecture = find_architecture(model.model)
    layers = _layers(architecture, order, parameters)
    if not layers:
        raise UsageError("there is no layer to read", hint="such as --layers 3-5, or --layers all")
    projections = [architecture.down_projection(layer) for layer in layers]
    text, width = text_of(context.corpus, seed), row_tokens(model)
    keys = [moment_key(each, model.state_root, text, n_tokens, width) for each in projections]
    ready = _ready(context.artefacts, keys, order.until)
    if ready is not None:
        return ready
    with untouched(model.model):
        convergent = Convergent(order.until, parameters.statistics_damping)
        made = computed(model, projections, text, context, n_tokens=n_tokens, convergent=convergent)
    entries = [context.artefacts.entry(KIND, artefact.key) for artefact in made]
    return tuple(entry for entry in entries if entry is not None)


def _parameters(order: StatisticsOrder) -> StatisticsParameters:
    """Those of the method, or the defaults that all have."""
    if order.method is None:
        return StatisticsParameters()
    if not isinstance(order.parameters, StatisticsParameters) or "statistics" not in order.method.needs:
        raise MethodError(f"{order.method.name} reads no covariance", hint="leave --method out, or name another")
    if order.parameters.statistics != "covariance":
        raise MethodError(f"{order.method.name} with statistics=identity reads none", hint="leave that setting out")
    return order.parameters


def _layers(architecture: Architecture, order: StatisticsOrder, parameters: StatisticsParameters) -> tuple[int, ...]:
    """The ordered layers from the bottom up, else those of the method, else those that methods edit by default.

    The methods of this family name them ``layers`` or ``layer``.
    """
    n_blocks = len(architecture.blocks)
    if order.layers == "all":
        return tuple(range(n_blocks))
    if order.layers is not None:
        return tuple(sorted(set(order.layers)))
    named = vars(parameters)
    if "layers" in named:
        return chosen_layers(architecture, named["layers"])
    if "layer" in named:
        return (chosen_projection(architecture, named["layer"])[0],)
    return tuple(sorted({default_layer(n_blocks), *default_layers(n_blocks)}))


def _ready(
    store: ArtefactStore, keys: Sequence[dict[str, Any]], until: float | None
) -> tuple[ArtefactEntry, ...] | None:
    """What is there for all keys, whole and measured; with ``until``, the smallest sample that is good enough."""
    if until is None:
        sizes = {keys[0]["tokens"]}
    else:
        same = {**keys[0], "tokens": None}
        sizes = {each.key["tokens"] for each in store.entries() if {**each.key, "tokens": None} == same}
    for n_tokens in sorted(size for size in sizes if size <= keys[0]["tokens"]):
        found = [store.entry(KIND, {**key, "tokens": n_tokens}) for key in keys]
        good = [each for each in found if each is not None and each.notes.get("agreement", -1.0) >= (until or -1.0)]
        measured = all("agreement" in each.notes for each in good)
        whole = all(store.find(KIND, each.key) is not None for each in good)
        if len(good) == len(keys) and measured and whole:
            return tuple(good)
    return None
