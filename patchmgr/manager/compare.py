"""Comparing methods: each variant makes packages of the same edits on the same base, is measured, and is forgotten.

Nothing is registered and the model stays as it is. *Together*: one package of all edits. *One by one*: a package of
each edit alone, on the untouched base; the scores are pooled over all edits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.canonical import sha256_hex
from patchmgr.durable import scratch_folder
from patchmgr.errors import ConflictError, UsageError
from patchmgr.manager.contestant import Contestant, Shared
from patchmgr.manager.edit import check_edit, parse_parameters
from patchmgr.manager.machine import describe_machine
from patchmgr.manager.measuring import default_metrics
from patchmgr.manager.order import EditOrder
from patchmgr.manager.reporting import libraries
from patchmgr.manager.states import read_state
from patchmgr.ops import stack as stacks
from patchmgr.package.manifest import check_name
from patchmgr.readers import read_edits
from patchmgr.report.comparison import Comparison, Mode
from patchmgr.report.words import card
from patchmgr.request import EditRequest, dump_requests

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Variant:
    """A method with settings, under a name of its own."""

    label: str
    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Variant:
        """The variant that a user wrote as ``NAME:METHOD[,KEY=VALUE]…``, or as the name of a method.

        >>> Variant.parse("fast:rome,steps=20,keys=paper")
        Variant(label='fast', method='rome', parameters={'steps': '20', 'keys': 'paper'})
        >>> Variant.parse("rome").label
        'rome'

        Raises:
            UsageError: it is neither.
        """
        label, colon, rest = text.partition(":")
        method, *settings = (rest if colon else text).split(",")
        pairs = [setting.partition("=") for setting in settings]
        if not method or not all(key and equals for key, equals, _ in pairs):
            raise UsageError(f"{text!r} is no variant", hint="write NAME:METHOD,KEY=VALUE, such as fast:rome,steps=20")
        return cls(check_name(label if colon else method), method, {key: value for key, _, value in pairs})


@dataclass(frozen=True)
class ComparisonOrder:
    """What to compare, on which edits, and how."""

    variants: tuple[Variant, ...]
    edits: Path
    """In any known format."""
    mode: Mode = "one-by-one"
    limit: int | None = None
    """At most so many edits, drawn by relation."""
    seed: int = 0
    """Of the draw and of the methods."""
    corpus: Path | None = None
    """A text file for statistics; None: the model's own samples."""
    keep: Path | None = None
    """A folder that the packages are kept in; None: they are thrown away."""


def compare(manager: Manager, model: str, order: ComparisonOrder) -> Comparison:
    """Run every variant on the same edits and measure it with the metrics that are measured by default.

    An edit that a method gives up on, for whatever reason, is counted and scored as it left the model: unchanged.

    Raises:
        NotFoundError: no such model, method or file.
        UsageError: two variants of one name, an unknown parameter, or one out of its range.
        RequestError: the edits cannot be read, or one lacks what a method needs.
        ConflictError: a folder to keep packages in holds something.
        StorageError: the disk is full, read-only or failing.
    """
    read = read_edits(order.edits, manager.plugins.readers, limit=order.limit, seed=order.seed)
    orders = _edit_orders(manager, model, order, read.requests)
    state = read_state(manager, model)
    root = stacks.state_root(state.fingerprint)
    metrics = default_metrics(manager)
    with (
        _folder(manager, order.keep) as folder,
        scratch_folder(manager.settings.home / "tmp", "compare-", what="the answers") as scratch,
    ):
        shared = Shared(manager, state, root, metrics, folder, scratch / "answers")
        variants = []
        for edit_order in orders:
            method = manager.plugins.method(edit_order.method)
            contestant = Contestant(shared, edit_order, method, parse_parameters(method, edit_order.parameters))
            variants.append(contestant.run(order.mode))
    base = state.record.base
    measured = {row.name for variant in variants for row in variant.rows}
    return Comparison(
        model=model,
        base_source=base.source,
        base_revision=base.revision,
        base_fingerprint=base.fingerprint,
        root_before=root,
        data=order.edits.name,
        dataset_sha256=sha256_hex(dump_requests(read.requests)),
        n_edits=len(read.requests),
        limit=order.limit,
        seed=order.seed,
        mode=order.mode,
        machine=describe_machine(),
        libraries=libraries(),
        metrics=tuple(card(metric) for metric in metrics if metric.name in measured),
        variants=tuple(variants),
    )


def _edit_orders(
    manager: Manager, model: str, order: ComparisonOrder, requests: tuple[EditRequest, ...]
) -> tuple[EditOrder, ...]:
    """An order for each variant, everything in it checked that can be before a model is loaded."""
    _check_labels([variant.label for variant in order.variants])
    orders = tuple(
        EditOrder(
            name=variant.label,
            method=variant.method,
            requests=requests,
            parameters=variant.parameters,
            message="made to be compared",
            on="base",
            anew=True,  # whatever package has the variant's name
            seed=order.seed,
            corpus=order.corpus,
        )
        for variant in order.variants
    )
    for edit_order in orders:
        check_edit(manager, model, edit_order)
    return orders


def _check_labels(labels: Sequence[str]) -> None:
    if not labels:
        raise UsageError("no method is named", hint="give --methods, or --variant")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"two variants are called {twice!r}", hint="name them: --variant fast:rome,steps=20")


@contextlib.contextmanager
def _folder(manager: Manager, keep: Path | None) -> Iterator[Path]:
    """Where packages go: a folder that stays, or one that vanishes."""
    if keep is None:
        with scratch_folder(manager.settings.home / "tmp", "compare-", what="the packages") as folder:
            yield folder
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConflictError(f"{str(keep)!r} holds something already", hint="give a new folder to --keep")
    yield keep
