"""The registry's own kinds of the errors in :mod:`patchmgr.errors`.

::

    PatchmgrError
    ├── NewerRegistryError         1   the database was made by a newer patchmgr
    ├── NotFoundError
    │   └── ForgottenError         1   a version whose texts and payload were erased
    ├── ConflictError
    │   └── NumberTakenError       4   that version of the package or editor exists already
    ├── BusyError
    │   └── GivenUpError           7   a generation that another process gave up, or finished, meanwhile
    └── IntegrityError
        └── UnreadableEventError   6   a row of events that cannot be an event
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchmgr.errors import BusyError, ConflictError, IntegrityError, NotFoundError, PatchmgrError

if TYPE_CHECKING:
    from patchmgr_registry.records import ForgottenRecord


class NewerRegistryError(PatchmgrError):
    """The database was made by a newer patchmgr; this one would not understand it."""

    kind = "newer-registry"


class ForgottenError(NotFoundError):
    """That version was erased; ``record`` says by whom, when and why."""

    kind = "forgotten"

    def __init__(self, record: ForgottenRecord) -> None:
        super().__init__(
            f"{record.reference} was forgotten by {record.actor} at {record.time[:19]}Z: {record.reason}",
            hint="it is not taken in again unless `patchmgr pull` or `import` is told so by --again",
        )
        self.record = record


class NumberTakenError(ConflictError):
    """That version of the package or editor exists already; ``next_number`` is free at this moment."""

    def __init__(self, package: str, number: int, *, digest: str, next_number: int) -> None:
        super().__init__(
            f"{package} has a version v{number} already (sha256:{digest[:12]})",
            hint=f"v{next_number} is the next free number",
        )
        self.package = package
        self.number = number
        self.digest = digest
        self.next_number = next_number


class GivenUpError(BusyError):
    """A generation is not being written any more: another process took its writer for dead, or finished it."""

    kind = "given-up"

    def __init__(self, model: str, number: int, status: str) -> None:
        super().__init__(
            f"generation {number} of {model} is {status}: another process gave it up or finished it",
            hint="run the command again",
        )


class UnreadableEventError(IntegrityError):
    """A row of events that cannot be an event; ``sequence`` is its number."""

    def __init__(self, sequence: int) -> None:
        super().__init__(
            f"event {sequence} was changed: it is not written as events are", hint="run patchmgr audit verify"
        )
        self.sequence = sequence
