"""Every expected failure of patchmgr, and the exit code that the command line gives it.

::

    PatchmgrError                 1   an error that the user can act on
    ├── UsageError                2   the call itself is wrong: a bad option, an unknown name of a parameter
    ├── NotFoundError             1   a model, reference, method or file that does not exist
    ├── RequestError              1   an edit request that cannot be used: broken line, subject not in prompt
    ├── MethodError               1   a method that cannot run here, or whose result is not usable
    ├── GateError                 3   a score did not meet what was required of it
    ├── HookError                 3   the change was made, but what was called after it failed
    ├── ConflictError             4   packages that do not go together, or that others depend on
    ├── BaseMismatchError         5   a package meant for other weights than these
    ├── IntegrityError            6   bytes that are not what their digest says, or a malformed file
    │   └── FormatError           6   a file that cannot be read as what it claims to be
    ├── BusyError                 7   another process is changing the same thing
    ├── HubError                  1   the Hub cannot be reached, or refuses
    └── StorageError              1   the disk is full, read-only or failing

A message is one sentence that says what and which; ``hint`` is the next step. Only :mod:`patchmgr.cli.main` catches
these; anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class PatchmgrError(Exception):
    """An expected failure: ``message`` says what and which, ``hint`` what to do next."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(PatchmgrError):
    """The call is wrong in itself."""

    exit_code = 2
    kind = "usage"


class NotFoundError(PatchmgrError):
    """Something named does not exist."""

    kind = "not-found"


class RequestError(PatchmgrError):
    """An edit request that cannot be used."""

    kind = "request"


class MethodError(PatchmgrError):
    """A method that cannot run on this model, or whose result is not usable."""

    kind = "method"


class GateError(PatchmgrError):
    """A required score was not reached."""

    exit_code = 3
    kind = "gate"


class HookError(PatchmgrError):
    """A change was made, and what was called after it failed; the message says where the model is now.

    Not a :class:`GateError`, after which nothing has changed.
    """

    exit_code = 3
    kind = "hook"


class ConflictError(PatchmgrError):
    """Packages that do not go together, or one that others were computed on."""

    exit_code = 4
    kind = "conflict"


class BaseMismatchError(PatchmgrError):
    """The weights at hand are not those that the package was made for."""

    exit_code = 5
    kind = "base-mismatch"


class IntegrityError(PatchmgrError):
    """Bytes that are not what their digest says."""

    exit_code = 6
    kind = "integrity"


class FormatError(IntegrityError):
    """A file that cannot be read as what it claims to be."""

    kind = "format"


class BusyError(PatchmgrError):
    """Another process is changing the same thing."""

    exit_code = 7
    kind = "busy"


class HubError(PatchmgrError):
    """The Hub cannot be reached, or refuses what it was asked."""

    kind = "hub"


class StorageError(PatchmgrError):
    """The disk is full, read-only or failing."""

    kind = "storage"
