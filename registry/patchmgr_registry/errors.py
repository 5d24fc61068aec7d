"""The registry's own kinds of the errors in :mod:`patchmgr.errors`.

::

    PatchmgrError
    ├── NewerRegistryError         1   the database was made by a newer patchmgr
    ├── ConflictError
    │   └── NumberTakenError       4   that version of the package or editor exists already
    └── IntegrityError
        └── UnreadableEventError   6   a row of events that cannot be an event
"""

from __future__ import annotations

from patchmgr.errors import ConflictError, IntegrityError, PatchmgrError


class NewerRegistryError(PatchmgrError):
    """The database was made by a newer patchmgr; this one would not understand it."""

    kind = "newer-registry"


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


class UnreadableEventError(IntegrityError):
    """A row of events that cannot be an event; ``sequence`` is its number."""

    def __init__(self, sequence: int) -> None:
        super().__init__(
            f"event {sequence} was changed: it is not written as events are", hint="run patchmgr audit verify"
        )
        self.sequence = sequence
