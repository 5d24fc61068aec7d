"""A chain of events as one file, which another machine can check without the registry.

Lines of canonical JSON: first the head, then an event a line, as ``docs/format.md`` has them in section 16, and last,
where it is signed, ``{"signature": ENVELOPE}``. The signed statement's subject is the SHA-256 of all bytes before that
line, so ``head -n -1 FILE | sha256sum`` gives it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.signing.contract import TrustedKey
from patchmgr.signing.dsse import Envelope, Statement, parse_envelope, require_signer
from patchmgr_registry import Anchor, ChainProblem, Event, verify_chain

FORMAT = "patchmgr-audit"
PREDICATE = "https://patchmgr/audit-export/v1"
"""What a signature of such a file says."""
_MOST_LINE_BYTES = 64 * 2**20
"""An event of a stack of 10,000 packages takes 2 MB."""
_AGAIN = "get the file again from whoever exported it"


@dataclass(frozen=True)
class FileHead:
    """The first line."""

    first: int
    """Number of the first event."""
    last: int
    """Number of the last; one less than ``first``: there is none."""
    previous_sha256: str
    """What the first event stands on."""
    sha256: str
    """Of the last event."""
    chain: Anchor
    """Where the whole chain ended when the file was made."""
    exported: str
    actor: str
    host: str
    program_version: str

    def to_json(self) -> dict[str, Any]:
        """The line as JSON."""
        return {"format": FORMAT, "version": 1, **asdict(self)}


@dataclass(frozen=True)
class CheckedFile:
    """A file that holds."""

    head: FileHead
    n_anchors: int
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
    path: Path, *, anchors: Iterable[Anchor] = (), keys: Sequence[TrustedKey] = (), must_be_signed: bool = False
) -> CheckedFile:
    """Check every link of a file, its end against its head, and its signature. Memory: a line and 64 digits an event.

    Args:
        path: the file.
        anchors: hashes that were noted; those behind the file's last event count only where the file says that the
            chain ended with it.
        keys: who may have signed it.
        must_be_signed: refuse it where none of them has.

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
        lines = _Lines(file, path)
        head = lines.head()
        is_whole = head.last >= head.chain.sequence
        noted = [anchor for anchor in anchors if is_whole or anchor.sequence <= head.last]
        start, end = Anchor(head.first - 1, head.previous_sha256), Anchor(head.last, head.sha256)
        problem = verify_chain(lines.events(), start=start, head=end, anchors=noted)
        if problem is not None:
            raise _broken(path, problem)
    if is_whole and end != head.chain:
        raise IntegrityError(f"{path} is broken: its first line contradicts itself", hint=_AGAIN)
    unsigned = Envelope(Statement((), PREDICATE, {}))
    envelope = parse_envelope(lines.signature, PREDICATE, what=str(path)) if lines.signature else unsigned
    signer = require_signer(envelope, keys, required=must_be_signed, what=str(path))
    covered = [thing["digest"].get("sha256") for thing in envelope.statement.subject]
    if lines.signature and (envelope.key_id is None or covered != [lines.sha256]):
        raise IntegrityError(f"the signature of {path} is bad: it is that of other bytes", hint=_AGAIN)
    return CheckedFile(head, len(noted), signer.name if signer else None, envelope.key_id)


class _Lines:
    """The lines of a file on their way through; what is known of the rest stands here when the events have ended."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path, self._number = file, path, 0
        self._digest = hashlib.sha256()
        self.signature: Any = None
        """The envelope; None: there is none."""

    @property
    def sha256(self) -> str:
        """Of all lines before the signature."""
        return self._digest.hexdigest()

    def head(self) -> FileHead:
        """The first line."""
        value = self._next()
        try:
            fields = {key: value[key] for key in FileHead.__dataclass_fields__}
            chain = Anchor(value["chain"]["sequence"], value["chain"]["sha256"])
            head = FileHead(**{**fields, "chain": chain})
            numbers = (head.first, head.last, chain.sequence)
            sound = all(type(number) is int for number in numbers) and 1 <= head.first <= head.last + 1
            if sound and value == json.loads(canonical_json(head.to_json())):
                return head
        except (TypeError, KeyError):
            pass
        raise self._wrong("the head of an exported audit trail")

    def events(self) -> Iterator[Event]:
        """The events; the signature is kept aside."""
        while (value := self._next()) is not None:
            if isinstance(value, dict) and set(value) == {"signature"}:
                self.signature = value["signature"]
                if self._file.read(1):
                    raise FormatError(f"{self._path} goes on behind its signature", hint=_AGAIN)
                return
            try:
                yield Event.from_json(value)
            except ValueError:
                raise self._wrong("an event") from None

    def _next(self) -> Any:
        line = self._file.readline(_MOST_LINE_BYTES)
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


def _broken(path: Path, problem: ChainProblem) -> IntegrityError:
    return IntegrityError(f"the audit trail in {path} is broken: {problem.message}", hint=_AGAIN)
