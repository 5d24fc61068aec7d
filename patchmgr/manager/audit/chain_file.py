"""A chain of events as one file, which another machine can check without the registry.

Lines of canonical JSON: first the head, then an event a line, as ``docs/format.md`` has them in section 16, and last,
where it is signed, ``{"signature": ENVELOPE}``. The signed statement's subject is the SHA-256 of all bytes before that
line, so ``head -n -1 FILE | sha256sum`` gives it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.manager.audit.anchors import Noted
from patchmgr.manager.audit.file_head import FileHead
from patchmgr.signing.contract import TrustedKey
from patchmgr.signing.dsse import Envelope, Statement, parse_envelope, require_signer
from patchmgr_registry import Anchor, ChainProblem, Event, verify_chain

PREDICATE = "https://patchmgr/audit-export/v1"
"""What a signature of such a file says."""
_MOST_HEAD_BYTES = 64 * 2**10
_MOST_LINE_BYTES = 16 * 2**20
"""An event of a stack of 10,000 packages takes 2 MB."""
_AGAIN = "get the file again from whoever exported it"


@dataclass(frozen=True)
class CheckedFile:
    """A file that holds."""

    head: FileHead
    n_anchors: int
    """Hashes noted elsewhere that it was compared with."""
    n_outside: int
    """Such of events that are not in this part, so that nothing was compared with them."""
    n_later: int
    """Such of events behind the end of the chain: it has gone on since, or the file was cut."""
    signed_by: str | None
    """The name that the signer is trusted under; None: nobody who is trusted."""
    key_id: str | None
    """Fingerprint of the key that the signature names; None: it is not signed."""


def write_chain_file(file: IO[bytes], head: FileHead, events: Iterable[Event]) -> Statement:
    """Write the head and the events; what is to be signed of it."""
    digest = hashlib.sha256()
    for value in _values(head, events):
        line = canonical_json(value)
        digest.update(line)
        file.write(line)
    name = f"events {head.first} to {head.last}"
    return Statement(({"name": name, "digest": {"sha256": digest.hexdigest()}},), PREDICATE, head.to_json())


def check_chain_file(
    path: Path,
    *,
    noted: Iterable[Noted] = (),
    keys: Sequence[TrustedKey] = (),
    must_be_signed: bool = False,
    must_be_whole: bool = False,
) -> CheckedFile:
    """Check every link of a file, its end against its head, and its signature. Memory: a line and 64 digits an event.

    Args:
        path: the file.
        noted: hashes that were noted. One behind the end that the head gives the chain is a fault where it was noted
            before the file was made; else it is counted, for a chain goes on.
        keys: who may have signed it.
        must_be_signed: refuse it where none of them has.
        must_be_whole: refuse a part of the chain, and an end that a noted hash lies behind.

    Raises:
        NotFoundError: there is no such file.
        FormatError: a line is not what it must be; names it.
        IntegrityError: an event was changed, removed, inserted or reordered, or the signature is bad or not there.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFoundError(f"{str(path)!r} cannot be read: {error.strerror}", hint="give an exported file") from None
    with file:
        lines, noted = _Lines(file, path), tuple(noted)
        head = lines.head()
        start, end = Anchor(head.first - 1, head.previous_sha256), Anchor(head.last, head.sha256)
        inside = [one.anchor for one in noted if one.anchor.sequence <= head.last]
        problem = verify_chain(lines.events(), start=start, head=end, anchors=inside)
    problem = problem or _problem_of_head(head, noted)
    if problem is not None:
        raise IntegrityError(f"the audit trail in {path} is broken: {problem.message}", hint=_AGAIN)
    if head.last > head.chain.sequence or head.says(head.chain.sequence) != head.chain.sha256:
        raise IntegrityError(f"{path} is broken: its first line contradicts itself", hint=_AGAIN)
    n_later = sum(one.anchor.sequence > head.chain.sequence for one in noted)
    if must_be_whole and (n_later or head.first > 1 or head.last < head.chain.sequence):
        end_of_chain = max(head.chain.sequence, *(one.anchor.sequence for one in noted), 0)
        raise IntegrityError(
            f"{path} is not the whole chain: it holds events {head.first} to {head.last} of {end_of_chain}",
            hint="ask for a newer file; `patchmgr audit export -o FILE` writes all of the chain",
        )
    signer, key_id = _signer(lines, keys, path, required=must_be_signed)
    numbers = [one.anchor.sequence for one in noted]
    n_compared = sum(start.sequence <= number <= head.last or number == head.chain.sequence for number in numbers)
    return CheckedFile(head, n_compared, len(noted) - n_compared - n_later, n_later, signer, key_id)


def _problem_of_head(head: FileHead, noted: Iterable[Noted]) -> ChainProblem | None:
    """What the first line says that cannot be, by what was noted."""
    end = head.chain.sequence
    for one in noted:
        number = one.anchor.sequence
        if head.says(number) not in (None, one.anchor.sha256):
            return ChainProblem(number, "changed", f"event {number} is not as it was noted")
        if number > end and one.time is not None and one.time <= head.exported:
            told = f"event {end + 1} was removed: the chain went on to event {number} before this was exported"
            return ChainProblem(end + 1, "removed", told)
    return None


def _signer(lines: _Lines, keys: Sequence[TrustedKey], path: Path, *, required: bool) -> tuple[str | None, str | None]:
    """The name that the signer is trusted under, and the fingerprint that the signature names."""
    unsigned = Envelope(Statement((), PREDICATE, {}))
    envelope = parse_envelope(lines.signature, PREDICATE, what=str(path)) if lines.is_signed else unsigned
    signer = require_signer(envelope, keys, required=required, what=str(path))
    covered = [thing["digest"].get("sha256") for thing in envelope.statement.subject]
    if lines.is_signed and (envelope.key_id is None or covered != [lines.sha256]):
        raise IntegrityError(f"the signature of {path} is bad: it is that of other bytes", hint=_AGAIN)
    return signer.name if signer else None, envelope.key_id


class _Lines:
    """The lines of a file on their way through; what is known of the rest stands here when the events have ended."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path, self._number = file, path, 0
        self._digest = hashlib.sha256()
        self.is_signed = False
        self.signature: Any = None
        """What stands in the line of the signature, where there is one."""

    @property
    def sha256(self) -> str:
        """Of all lines before the signature."""
        return self._digest.hexdigest()

    def head(self) -> FileHead:
        """The first line."""
        value = self._next(_MOST_HEAD_BYTES)
        try:
            fields = {key: value[key] for key in FileHead.__dataclass_fields__}
            chain = Anchor(value["chain"]["sequence"], value["chain"]["sha256"])
            head = FileHead(**{**fields, "chain": chain})
            if head.is_sound and value == json.loads(canonical_json(head.to_json())):
                return head
        except (TypeError, KeyError):
            pass
        raise self._wrong("the head of an exported audit trail")

    def events(self) -> Iterator[Event]:
        """The events; the signature is kept aside."""
        while (value := self._next()) is not None:
            if isinstance(value, dict) and set(value) == {"signature"}:
                self.is_signed, self.signature = True, value["signature"]
                if self._file.read(1):
                    raise FormatError(f"{self._path} goes on behind its signature", hint=_AGAIN)
                return
            try:
                yield Event.from_json(value)
            except ValueError:
                raise self._wrong("an event") from None

    def _next(self, most_bytes: int = _MOST_LINE_BYTES) -> Any:
        line = self._file.readline(most_bytes)
        if not line:
            return None
        self._number += 1
        try:
            value = json.loads(line)
            is_canonical = canonical_json(value) == line
        except (ValueError, TypeError, RecursionError):
            is_canonical = False
        if not is_canonical:
            raise self._wrong("canonical JSON")
        if not (isinstance(value, dict) and set(value) == {"signature"}):
            self._digest.update(line)
        return value

    def _wrong(self, wanted: str) -> FormatError:
        return FormatError(f"line {self._number} of {self._path} is not {wanted}", hint=_AGAIN)


def _values(head: FileHead, events: Iterable[Event]) -> Iterator[Any]:
    yield head.to_json()
    for event in events:
        yield event.to_json()
