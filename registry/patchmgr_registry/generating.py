"""Writing generations: reserve a number, write the folder, then finish or fail it.

The folder takes minutes, so it is written between two transactions. Meanwhile a *pending* row names the process that
writes; when that process dies, the row tells the next one what to clear away.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from patchmgr.errors import BusyError, ConflictError
from patchmgr_registry.clock import seconds_since, timestamp
from patchmgr_registry.owner import SILENT_AFTER_S, Owner
from patchmgr_registry.reads import Reads
from patchmgr_registry.records import Action, GenerationRecord
from patchmgr_registry.rows import generations


class GenerationWrites(Reads):
    """The part of a transaction that is about generations."""

    @property
    @abstractmethod
    def _connection(self) -> Connection:
        """The transaction's connection; RuntimeError after its end."""

    def begin_generation(
        self,
        model: str,
        *,
        action: Action,
        packages: Sequence[str],
        message: str = "",
        state_root: str | None = None,
        folder: str | None = None,
    ) -> GenerationRecord:
        """Reserve the next number of a model for this process: commit, write the folder, then finish or fail it.

        A pending generation whose process is dead is failed first.

        Raises:
            NotFoundError: there is no such model or package version.
            BusyError: a live process is writing a generation of the model.
        """
        for stale in self._refuse_if_busy(model):
            self.fail_generation(model, stale.number)
        return self._pending(
            model, action=action, packages=packages, message=message, state_root=state_root, folder=folder
        )

    def heartbeat(self, model: str, number: int) -> None:
        """Show that this process still writes the generation; GivenUpError when somebody gave it up meanwhile."""
        generations.update_pending(self._connection, model, number, heartbeat=timestamp())

    def finish_generation(
        self, model: str, number: int, *, state_root: str, folder: str | None, tensors: Mapping[str, str]
    ) -> GenerationRecord:
        """Make a pending generation ready; GivenUpError when somebody gave it up meanwhile."""
        generations.update_pending(
            self._connection,
            model,
            number,
            status="ready",
            state_root=state_root,
            folder=folder,
            heartbeat=timestamp(),
        )
        generations.insert_tensors(self._connection, model, number, tensors)
        return self.generation(model, number)

    def fail_generation(self, model: str, number: int) -> None:
        """Give a pending generation up; GivenUpError when it is not pending any more."""
        generations.update_pending(self._connection, model, number, status="failed", folder=None)

    def set_current(self, model: str, number: int) -> None:
        """Make a ready generation the current one.

        Raises:
            NotFoundError: there is no such generation.
            ConflictError: it is not ready.
        """
        status = self.generation(model, number).status
        if status != "ready":
            raise ConflictError(f"generation {number} of {model} is {status}", hint="only a ready one can be current")
        generations.set_current(self._connection, model, number)

    def remove_generation(self, model: str, number: int) -> None:
        """Note that the folder of a generation is cleared away; its stack and digests stay known.

        Raises:
            NotFoundError: there is no such generation.
            ConflictError: it is the current one.
            BusyError: a live process is writing a generation of the model, perhaps out of this one's files.
        """
        if self.model(model).generation == number:
            raise ConflictError(f"generation {number} of {model} is the current one", hint="roll back first")
        self._refuse_if_busy(model)
        if self.generation(model, number).status == "pending":
            raise BusyError(f"generation {number} of {model} is being written", hint="fail it first")
        generations.mark_removed(self._connection, model, number)

    def _pending(
        self,
        model: str,
        *,
        action: Action,
        packages: Sequence[str],
        message: str,
        state_root: str | None = None,
        folder: str | None = None,
    ) -> GenerationRecord:
        now = timestamp()
        record = GenerationRecord(
            model=model,
            number=0,
            status="pending",
            action=action,
            state_root=state_root,
            folder=folder,
            packages=tuple(packages),
            tensors={},
            message=message,
            created=now,
            owner=Owner.current(),
            heartbeat=now,
        )
        return generations.insert_generation(self._connection, record)

    def _refuse_if_busy(self, model: str) -> tuple[GenerationRecord, ...]:
        """The pending generations of a model that are stale; BusyError when one is not."""
        pending = tuple(generation for generation in self.generations(model) if generation.status == "pending")
        for generation in pending:
            if not generation.is_stale:
                raise BusyError(
                    f"{generation.owner} writes generation {generation.number} of {model} since {generation.created}",
                    hint=_hint(generation),
                )
        return pending


def _hint(generation: GenerationRecord) -> str:
    """What to do about a writer; one elsewhere can only be judged by its last sign of life."""
    if generation.owner.is_here:
        return "wait for it, or end that process"
    age = seconds_since(generation.heartbeat)
    if age < -SILENT_AFTER_S:
        return f"the clock there is {-age / 60:.0f} minutes ahead of the one here: set the clocks, or wait for it"
    silent = f"its last sign of life is {max(age, 0.0):.0f} s old"
    return f"wait for it; {silent}, and after {SILENT_AFTER_S:.0f} s it is given up"
