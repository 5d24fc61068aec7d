"""What can be written, all of it inside one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from patchmgr_registry.clock import timestamp
from patchmgr_registry.decoding import decoding
from patchmgr_registry.dialects import Dialect
from patchmgr_registry.events import Event, EventObject, Origin
from patchmgr_registry.generating import GenerationWrites
from patchmgr_registry.records import (
    BaseKey,
    BaseRecord,
    EditorRecord,
    ModelRecord,
    RemoteRecord,
    ScoreRecord,
    SignatureRecord,
    TensorRecord,
    VersionRecord,
)
from patchmgr_registry.reference import Reference, check_tag
from patchmgr_registry.rows import bases, editors, edits, events, forgotten, names, signatures, versions
from patchmgr_registry.rows import scores as score_rows
from patchmgr_registry.schema import events as events_table

if TYPE_CHECKING:
    from patchmgr.request import EditRequest
    from patchmgr_registry.copying import Copied, Step


_log = logging.getLogger(__name__)


class Transaction(GenerationWrites):
    """One writer's view. Nothing lasts unless :meth:`commit` is called; nothing can be done after it."""

    def __init__(self, connection: Connection, dialect: Dialect) -> None:
        self.dialect = dialect
        self._open_connection: Connection | None = connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with decoding(self.dialect):
            yield self._connection

    @property
    def _connection(self) -> Connection:
        if self._open_connection is None:
            raise RuntimeError("this transaction has ended; begin another")
        return self._open_connection

    def commit(self) -> None:
        """Make everything last, at once, and end the transaction."""
        self._connection.commit()
        self._open_connection = None

    def end(self) -> None:
        """Take everything back, unless it was committed."""
        if self._open_connection is not None:
            self._open_connection.rollback()
            self._open_connection = None

    def add_base(self, base: BaseRecord, tensors: Iterable[TensorRecord]) -> BaseRecord:
        """Register a base; one of the same identity is found as it was registered first, with its source and folder."""
        return bases.insert_base(self._connection, base, tensors)

    def move_base(self, key: BaseKey, folder: str) -> None:
        """Note where the files of a base lie now; NotFoundError when it is not registered."""
        bases.move_base(self._connection, key, folder)

    def move_home(self, before: Iterable[str], after: str) -> None:
        """Note that a home lies elsewhere: every generation in the place that is its own there, and bases in the home.

        Args:
            before: names of the old home; those by which its generations are noted are known.
            after: the new one.
        """
        with self._reading() as connection:
            bases.move_home(connection, before, after)

    def remove_base(self, key: BaseKey) -> None:
        """Forget a base; ConflictError while a model stands on it."""
        bases.delete_base(self._connection, key)

    def add_model(
        self, name: str, key: BaseKey, *, state_root: str, folder: str | None = None, message: str = ""
    ) -> ModelRecord:
        """Give a base a name, with generation 0: the base itself.

        Raises:
            NotFoundError: the base is not registered.
            ConflictError: the name is taken.
        """
        bases.insert_model(self._connection, name, key, timestamp())
        pristine = self._pending(name, action="add", packages=(), message=message)
        self.finish_generation(name, pristine.number, state_root=state_root, folder=folder, tensors={})
        return self.model(name)

    def remove_model(self, name: str) -> None:
        """Forget a model and its generations; its events stay.

        Raises:
            NotFoundError: there is no such model.
            BusyError: a process is writing a generation of it.
        """
        self._refuse_if_busy(name)
        bases.delete_model(self._connection, name)

    def add_version(
        self,
        version: VersionRecord,
        requests: Sequence[EditRequest] = (),
        scores: Sequence[ScoreRecord] = (),
        *,
        again: bool = False,
    ) -> None:
        """Register a version whose blobs are stored; one that was erased only when told so by ``again``.

        Raises:
            ForgottenError: it was erased.
            NumberTakenError: the package has that number; the error knows the digest there and the next free number.
            ConflictError: a version of another name or number has that digest.
        """
        row_id = versions.insert_version(self._connection, version, again=again)
        edits.insert_edits(self._connection, row_id, requests)
        score_rows.insert_scores(self._connection, row_id, scores)

    def forget_version(self, digest: str, *, actor: str, reason: str) -> None:
        """Erase a version's edits, files, scores, signature, tags, message and manifest; its name and digest stay.

        Nothing of its words stays in the indices either; of their bytes in the file see :meth:`Registry.scrub`.

        Raises:
            NotFoundError: there is no such version.
        """
        row_id = versions.version_id(self._connection, digest)
        self.dialect.begin_erasing(self._connection)
        forgotten.insert_forgotten(self._connection, row_id, time=timestamp(), actor=actor, reason=reason)
        self.dialect.rebuild_search(self._connection)

    def add_editor(self, editor: EditorRecord) -> None:
        """Register an editor whose blobs are stored.

        Raises:
            NumberTakenError: there is a version of that name and number; the error knows the next free number.
            ConflictError: one of another name or number has that digest.
        """
        editors.insert_editor(self._connection, editor)

    def remove_editor(self, digest: str) -> None:
        """Forget an editor; its events stay."""
        editors.delete_editor(self._connection, digest)

    def add_scores(self, digest: str | None, scores: Sequence[ScoreRecord]) -> None:
        """Add scores that were measured later; NotFoundError when there is no such version.

        Args:
            digest: of the version; None for scores of a state as a whole, found by its root.
            scores: in their order. Earlier ones stay.
        """
        version = None if digest is None else versions.version_id(self._connection, digest)
        score_rows.insert_scores(self._connection, version, scores)

    def set_signature(self, digest: str, signature: SignatureRecord) -> None:
        """Give a version a signature whose blob is stored; an earlier one goes.

        Raises:
            NotFoundError: there is no such version.
        """
        signatures.set_signature(self._connection, digest, signature)

    def tag(self, reference: Reference | str, name: str, *, move: bool = False) -> VersionRecord:
        """Tag a version.

        Raises:
            NotFoundError: there is no such version.
            UsageError: the name could not be told from a number or a digest.
            ConflictError: the tag is on another version, and ``move`` was not asked for.
        """
        check_tag(name)
        version = self.version(reference)
        names.set_tag(self._connection, version, name, timestamp(), move=move)
        return version

    def untag(self, package: str, name: str) -> None:
        """Take a tag away; NotFoundError when there is none."""
        names.delete_tag(self._connection, package, name)

    def set_remote(self, name: str, url: str) -> None:
        """Name a place that packages are pushed to, or point that name elsewhere."""
        names.set_remote(self._connection, RemoteRecord(name, url, timestamp()))

    def remove_remote(self, name: str) -> None:
        """Forget a remote; NotFoundError when there is none."""
        names.delete_remote(self._connection, name)

    def take_in(self, source: Connection, source_dialect: Dialect, step: Step) -> Copied:
        """Copy every row of another registry into this one; see :func:`patchmgr_registry.copying.copy_rows`."""
        from patchmgr_registry.copying import copy_rows

        return copy_rows(source, source_dialect, self._connection, self.dialect, step)

    def record_event(
        self,
        origin: Origin,
        action: str,
        *,
        objects: Sequence[EventObject],
        result: str = "ok",
        scores: Sequence[Mapping[str, Any]] = (),
        time: str | None = None,
    ) -> Event:
        """Add an event to the end of the chain; it lasts if the transaction does."""
        event = events.append_event(
            self._connection,
            origin,
            action=action,
            objects=objects,
            result=result,
            scores=scores,
            time=time or timestamp(),
        )
        before = self._connection.scalar(
            select(events_table.c.time).where(events_table.c.sequence == event.sequence - 1)
        )
        if before is not None and event.time < before:
            _log.warning(
                "event %d is noted at %s, before event %d at %s: a clock is wrong or was set back",
                event.sequence, event.time, event.sequence - 1, before,
            )  # fmt: skip
        return event
