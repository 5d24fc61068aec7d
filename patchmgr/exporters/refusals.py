"""What several forms cannot carry, refused alike."""

from __future__ import annotations

from patchmgr.errors import ConflictError, UsageError
from patchmgr.exporters.contract import ExportOptions, ExportSource


def refuse_memories(source: ExportSource, form: str, *, hint: str) -> None:
    """Refuse a stack with memories for a form that would drop them.

    Raises:
        ConflictError: names the first.
    """
    if source.memories:
        first = source.memories[0].manifest
        runtime = first.memory.runtime if first.memory else ""
        raise ConflictError(
            f"{first.reference} is a memory, answered by {runtime!r} beside the weights, and {form} would drop it",
            hint=hint,
        )


def refuse_nothing(source: ExportSource, form: str) -> None:
    """Refuse a state that changes nothing.

    Raises:
        ConflictError: there is no change to export.
    """
    if not source.sums:
        raise ConflictError(
            f"{source.name} changes no weight, so {form} would be empty",
            hint="name a package, or apply one to the model first",
        )


def refuse_options(options: ExportOptions, form: str, *, known: tuple[str, ...]) -> None:
    """Refuse options that mean nothing to a form.

    Raises:
        UsageError: names them, and those that are known.
    """
    idle = [word for word in options.given() if word not in known]
    if idle:
        raise UsageError(
            f"{', '.join(idle)} says nothing to --to {form}",
            hint=f"leave it out; known here: {', '.join(known) or 'none'}",
        )
