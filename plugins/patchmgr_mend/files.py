"""An editor's files: the tensors of its networks, and what they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from patchmgr.canonical import canonical_json
from patchmgr.durable import store_file, storing
from patchmgr.errors import BaseMismatchError, FormatError
from patchmgr.methods.architecture import Projection
from patchmgr_mend.network import Networks, Site
from patchmgr_mend.parameters import Aggregation

TENSORS, RECORD = "networks.safetensors", "networks.json"
_AGAIN = "train the editor again"


@dataclass(frozen=True)
class Trained:
    """Networks as they were kept."""

    networks: Networks
    state_root: str
    """Of the base that they were trained on."""
    aggregation: Aggregation
    """They were trained with."""


def save(networks: Networks, folder: Path, *, state_root: str, aggregation: Aggregation) -> dict[str, Path]:
    """Write both files to a folder; returns them by their names.

    Raises:
        StorageError: the disk is full, read-only or failing.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in networks.tensors().items()}
    with storing("the editor"):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / TENSORS)
    record = {
        "format_version": 1,
        "state_root": state_root,
        "aggregation": aggregation,
        "rank": networks.rank,
        "sites": [asdict(site) for site in networks.sites],
    }
    store_file(canonical_json(record), folder / RECORD, what="the editor")
    return {TENSORS: folder / TENSORS, RECORD: folder / RECORD}


def load(files: Mapping[str, Path], *, where: str) -> Trained:
    """What :func:`save` wrote.

    Args:
        files: of the editor, by name.
        where: what it is called, for messages.

    Raises:
        FormatError: a file is missing or malformed, or the two do not fit together.
    """
    try:
        record: dict[str, Any] = json.loads(files[RECORD].read_bytes())
        sites = tuple(_site(each) for each in record["sites"])
        state_root, aggregation, rank = str(record["state_root"]), record["aggregation"], record["rank"]
        tensors = load_file(files[TENSORS])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise FormatError(f"{where} cannot be read ({error!r})", hint=_AGAIN) from None
    whole = sites and (rank is None or _is_size(rank)) and aggregation in get_args(Aggregation)
    if record.get("format_version") != 1 or not whole:
        raise FormatError(f"{where}: {RECORD} is of a form that is not known here", hint=_AGAIN)
    with torch.device("meta"):
        networks = Networks(sites, rank=rank, edit_rate=1.0, ridge=1.0)
    try:
        networks.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise FormatError(f"{where}: {TENSORS} does not fit {RECORD} ({error})", hint=_AGAIN) from None
    return Trained(networks.requires_grad_(False), state_root, aggregation)


def check_base(trained: Trained, state_root: str, *, where: str) -> None:
    """Make sure that an editor was trained on this base: what it learned are directions of that one's activations.

    Args:
        trained: the editor.
        state_root: of the base under the model that is edited.
        where: what the editor is called.

    Raises:
        BaseMismatchError: it was trained on another; both are named.
    """
    if trained.state_root != state_root:
        raise BaseMismatchError(
            f"{where} was trained on another base (state {trained.state_root[:12]}…, this is {state_root[:12]}…), and "
            "MEND's networks know the weights of that one only",
            hint="`patchmgr train mend MODEL --data FILE --name NAME` trains one for this base",
        )


def check_sites(trained: Trained, projections: Sequence[Projection], *, where: str) -> None:
    """Make sure that the model has the maps of the editor.

    Raises:
        FormatError: one is of another shape or lies otherwise; named.
    """
    for site, projection in zip(trained.networks.sites, projections, strict=True):
        if site != Site.of(projection):
            raise FormatError(f"{where} knows {site.name} otherwise than the model has it", hint=_AGAIN)


def _site(value: Mapping[str, Any]) -> Site:
    site = Site(**value)
    if not (_is_size(site.d_in) and _is_size(site.d_out) and isinstance(site.name, str)):
        raise ValueError(f"{value} is no map")
    return site


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0
