"""What happened to a memory, one operation a line, and what it remembers after all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import FormatError, UsageError
from patchmgr.package.fields import Section
from patchmgr.reasons import reason_of

if TYPE_CHECKING:
    from patchmgr.request import EditRequest

_Text = Annotated[str, Field(min_length=1)]


class Entry(Section):
    """One thing remembered: asked ``prompt``, the answer is ``target``."""

    id: _Text
    prompt: _Text
    """The prompt with its subject in its place."""
    target: _Text
    subject: str | None = None


class Operation(Section):
    """One line of ``entries.jsonl``."""

    op: Literal["add", "replace", "tombstone"]
    id: _Text
    prompt: str | None = None
    target: str | None = None
    subject: str | None = None

    @model_validator(mode="after")
    def _says_what_it_must(self) -> Self:
        said = bool(self.prompt) and bool(self.target)
        if self.op == "tombstone" and (self.prompt or self.target or self.subject):
            raise ValueError("a tombstone has an id and nothing else")
        if self.op != "tombstone" and not said:
            raise ValueError(f"{self.op} needs prompt and target")
        return self

    @classmethod
    def of(cls, op: Literal["add", "replace"], entry: Entry) -> Self:
        """The operation that puts an entry there."""
        return cls(op=op, id=entry.id, prompt=entry.prompt, target=entry.target, subject=entry.subject)


def entry_id(request: EditRequest) -> str:
    """What a request is known by in a memory: its own id, or one made of its prompt."""
    return request.id or f"p-{sha256_hex(request.text.encode())[:12]}"


def operations_after(
    before: Sequence[Operation], requests: Iterable[EditRequest], *, forget: Iterable[str] = ()
) -> tuple[Operation, ...]:
    """The operations of a memory that remembers some requests more and some entries less.

    A request with the id of an entry replaces it; one with its prompt and another id takes its place; one that is there
    as it is changes nothing.

    Raises:
        UsageError: an entry to forget is not there; names it.
    """
    operations = list(before)
    entries = {entry.id: entry for entry in entries_after(before)}
    of_prompt: dict[str, list[str]] = {}
    for entry in entries.values():
        of_prompt.setdefault(entry.prompt, []).append(entry.id)

    def remove(name: str) -> None:
        operations.append(Operation(op="tombstone", id=name))
        of_prompt[entries.pop(name).prompt].remove(name)

    for name in forget:
        if name not in entries:
            raise UsageError(f"there is no entry {name!r} to forget", hint="`patchmgr show REF --edits` lists them")
        remove(name)
    for request in requests:
        entry = Entry(id=entry_id(request), prompt=request.text, target=request.target_new, subject=request.subject)
        there = entries.get(entry.id)
        if there == entry:
            continue
        for old in [name for name in of_prompt.get(entry.prompt, ()) if name != entry.id]:
            remove(old)
        operations.append(Operation.of("replace" if there else "add", entry))
        if there:
            of_prompt[there.prompt].remove(entry.id)
        of_prompt.setdefault(entry.prompt, []).append(entry.id)
        entries[entry.id] = entry
    return tuple(operations)


def entries_after(operations: Iterable[Operation], *, where: str = "the memory") -> tuple[Entry, ...]:
    """What is remembered after the operations; an entry that was replaced keeps its place.

    Raises:
        FormatError: an id is added twice, or one that is not there is replaced or taken away; names it.
    """
    found: dict[str, Entry] = {}
    for operation in operations:
        there = operation.id in found
        if there == (operation.op == "add"):
            state = "is there already" if there else "is not there"
            raise FormatError(f"{where}: {operation.op} of {operation.id!r}, which {state}")
        if operation.prompt is None or operation.target is None:
            del found[operation.id]
        else:
            found[operation.id] = Entry(
                id=operation.id, prompt=operation.prompt, target=operation.target, subject=operation.subject
            )
    return tuple(found.values())


def dump_operations(operations: Iterable[Operation]) -> bytes:
    """JSON lines in canonical form; fields that are not set are left out."""
    return b"".join(canonical_json(operation.model_dump(mode="json", exclude_none=True)) for operation in operations)


def parse_operations(data: bytes, *, where: str) -> tuple[Operation, ...]:
    """Operations from JSON lines.

    Raises:
        FormatError: a line is malformed or not canonical; names it.
    """
    found = []
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        try:
            operation = Operation.model_validate(json.loads(line))
            canonical = dump_operations([operation]) == line
        except (ValueError, RecursionError) as error:
            reason = reason_of(error) if isinstance(error, ValidationError) else str(error)
            raise FormatError(f"{where}, line {number}: {reason}") from None
        if not canonical:
            raise FormatError(f"{where}, line {number} is not in canonical form")
        found.append(operation)
    return tuple(found)
