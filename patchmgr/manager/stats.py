"""Statistics of a model's base, such as covariances: made ahead of edits, listed, shared as folders, removed.

They are kept by the base's state root, so all models with that base have them, whatever is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open

from patchmgr.durable import check_vacant, storing
from patchmgr.errors import FormatError, NotFoundError, UsageError
from patchmgr.manager.states import open_base, registered_fingerprint
from patchmgr.methods.artefacts import ArtefactEntry, ArtefactStore
from patchmgr.methods.contract import EditContext, Statistics, StatisticsOrder
from patchmgr.methods.shared import Shared, SharedArtefact, SharedBase, is_digest, is_shared, read_shared, write_shared
from patchmgr.ops.stack import state_root
from patchmgr.readers.corpus import open_corpus
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class StatsOrder:
    """Which statistics to make; what is None is decided as ``edit`` would."""

    corpus: Path | None = None
    """None: the model's own samples."""
    tokens: int | None = None
    layers: tuple[int, ...] | Literal["all"] | None = None
    seed: int | None = None
    until: float | None = None
    """Stop at this expected agreement with endless text."""
    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Of the method, as the user gave them."""
    kind: str | None = None
    """Name of a registered kind; None: the only one."""
    device: str = "cpu"
    """cpu, cuda, cuda:N, mps or auto."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What the model computes in, as for an edit; ``auto``: float32 on the processor, as stored elsewhere."""


@dataclass(frozen=True)
class KeptStatistics:
    """Statistics of the store, and the models whose base they are of."""

    entry: ArtefactEntry
    models: tuple[str, ...]


class Stats:
    """What can be done with statistics; a manager hands it out."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._store = ArtefactStore(manager.settings.artefacts)

    def compute(self, model: str, order: StatsOrder) -> tuple[ArtefactEntry, ...]:
        """Make statistics of a model's base; an interrupted run is gone on from, and what is there is not made again.

        Raises:
            NotFoundError: there is no such model, method, kind or corpus.
            UsageError: a parameter, layer, setting or device that cannot be.
            MethodError: the method wants no such statistics, or they cannot be computed.
            IntegrityError: the base has changed.
        """
        from patchmgr.manager.bench import checked, find_device
        from patchmgr.manager.edit import parse_parameters

        manager = self._manager
        if order.device != "auto":  # to look for one takes torch
            find_device(order.device)
        kind = self._kind(order.kind)
        method = None if order.method is None else manager.plugins.method(order.method)
        if method is None and order.parameters:
            raise UsageError("--set is for the parameters of a method", hint="name one by --method")
        parameters = None if method is None else parse_parameters(method, order.parameters)
        if order.corpus is not None:
            open_corpus(order.corpus)
        record = manager.registry.model(model)
        known = registered_fingerprint(manager, record.base)
        base = open_base(manager, record, known)
        from patchmgr.live.load import load_model  # torch: not before all that is named was found

        manager.progress(0, 1, "loading the model")
        device = checked(find_device(order.device))
        dtype = "float32" if order.dtype == "auto" and device == "cpu" else order.dtype
        loaded = load_model(base.folder, state_root(known), dtype=dtype, device=device)
        context = EditContext(self._store, corpus=order.corpus, progress=manager.progress)
        asked = StatisticsOrder(order.layers, order.tokens, order.seed, order.until, method, parameters)
        before = {entry.sha256 for entry in self._store.entries()}
        with storing("the statistics"):
            made = tuple(kind.compute(loaded, asked, context))
        self._record("stats-compute", [entry for entry in made if entry.sha256 not in before], model)
        return made

    def list(self, model: str | None = None) -> tuple[KeptStatistics, ...]:
        """The statistics of a model's base, or all; NotFoundError when there is no such model."""
        names: dict[str, list[str]] = {}
        for record in self._manager.registry.models():
            names.setdefault(self._root(record.name), []).append(record.name)
        wanted = None if model is None else self._root(model)
        return tuple(
            KeptStatistics(entry, tuple(names.get(str(entry.key.get("state_root")), ())))
            for entry in self._store.entries()
            if wanted is None or entry.key.get("state_root") == wanted
        )

    def export(self, model: str, folder: Path, digests: Sequence[str] = ()) -> Shared:
        """Write the statistics of a model's base to a new folder, to be shared.

        Args:
            model: whose base.
            folder: new or empty.
            digests: beginnings of the digests of some of them; none: all.

        Raises:
            ConflictError: something lies in the folder.
            NotFoundError: there is no such model or digest, or nothing to export.
            IntegrityError: one of them is damaged.
            StorageError: the disk is full, read-only or failing.
        """
        check_vacant(folder)
        entries = _named([kept.entry for kept in self.list(model)], digests)
        if not entries:
            raise NotFoundError(f"there are no statistics of {model}", hint=f"make them with `patchmgr stats {model}`")
        base = self._manager.registry.model(model).base
        shared = SharedBase(source=base.source, revision=base.revision, fingerprint=base.fingerprint)
        return write_shared(folder, shared, self._root(model), entries)

    def import_folder(self, model: str, folder: Path, *, dry_run: bool = False) -> Shared:
        """Take in statistics that ``export`` wrote, every byte checked; ``edit`` then finds them.

        Raises:
            NotFoundError: there is no such model or folder.
            BaseMismatchError: they are of another base.
            IntegrityError: a file is missing or damaged, or the folder is malformed; nothing is taken in.
            StorageError: the disk is full, read-only or failing.
        """
        root = self._root(model)
        shared = read_shared(folder)
        shared.check_base(root, model)
        files = [shared.check_file(folder, artefact) for artefact in shared.artefacts]
        for file in files:
            try:
                with safe_open(file, framework="numpy"):
                    pass
            except (OSError, SafetensorError) as error:
                raise FormatError(f"{file} is no safetensors file: {error}", hint="get the folder again") from None
        if not dry_run:
            with storing("the statistics"):
                for artefact, file in zip(shared.artefacts, files, strict=True):
                    self._store.put_file(artefact.kind, artefact.key, file, artefact.notes)
            self._record("stats-import", shared.artefacts, model)
        return shared

    def remove(self, digests: Sequence[str], *, dry_run: bool = False) -> tuple[ArtefactEntry, ...]:
        """Forget statistics by the beginnings of their digests; NotFoundError when there is none."""
        entries = _named(self._store.entries(), digests)
        for entry in () if dry_run else entries:
            with storing("the statistics"):
                self._store.remove(entry)
        if not dry_run:
            self._record("stats-remove", entries)
        return entries

    def _record(self, action: str, entries: Sequence[ArtefactEntry | SharedArtefact], model: str | None = None) -> None:
        """Note in the audit trail what became of statistics; nothing, where nothing did."""
        objects = [EventObject("statistics", entry.kind, entry.sha256) for entry in entries]
        if not objects:
            return
        about = [] if model is None else [EventObject("model", model)]
        with self._manager.registry.begin() as tx:
            tx.record_event(self._manager.origin, action, objects=[*about, *objects])
            tx.commit()

    def _root(self, model: str) -> str:
        """The state root of a model's base."""
        record = self._manager.registry.model(model)
        return state_root(registered_fingerprint(self._manager, record.base))

    def _kind(self, name: str | None) -> Statistics:
        kinds: list[Statistics] = []
        self._manager.plugins.manager.hook.patchmgr_register_statistics(register=kinds.append)
        by_name = {kind.name: kind for kind in reversed(kinds)}
        known = f"known: {', '.join(sorted(by_name)) or 'none'}; see `patchmgr plugins`"
        if name is None and len(by_name) != 1:
            raise UsageError("which kind of statistics is meant?", hint=f"give --kind; {known}")
        if name is not None and name not in by_name:
            raise NotFoundError(f"there is no kind of statistics {name!r}", hint=known)
        return by_name[name] if name is not None else next(iter(by_name.values()))


def check_corpus(path: Path) -> None:
    """Make sure that a corpus, or a folder of statistics, can be read.

    Raises:
        NotFoundError: there is none.
        UsageError: what reads it is not installed.
        FormatError: the folder of statistics is malformed.
    """
    if is_shared(path):
        read_shared(path)
    else:
        open_corpus(path)


def _named(entries: Sequence[ArtefactEntry], digests: Sequence[str]) -> tuple[ArtefactEntry, ...]:
    """The entries whose digests begin so; all where none is given."""
    for digest in digests:
        if not is_digest(digest):
            raise UsageError(
                f"{digest!r} is no digest", hint="give 7 digits or more, as `patchmgr stats list` has them"
            )
        if not any(entry.sha256.startswith(digest) for entry in entries):
            raise NotFoundError(f"there are no statistics {digest!r}", hint="see `patchmgr stats list`")
    return tuple(entry for entry in entries if not digests or entry.sha256.startswith(tuple(digests)))
