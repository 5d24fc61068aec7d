"""An attestation as a file: what it says of a state, each field found to be what it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchmgr.errors import FormatError, NotFoundError
from patchmgr.manager.audit.forms import DIGEST, HIGHEST
from patchmgr.signing.dsse import Envelope, parse_envelope
from patchmgr_registry import Anchor

PREDICATE = "https://patchmgr/state/v1"
ROOT_KEY = "patchmgrStateRoot"
"""How a state root is told from a digest of a file in a subject."""
_MOST_BYTES = 256 * 2**20
_ANOTHER = "`patchmgr attest MODEL -o FILE` writes one that does"


@dataclass(frozen=True)
class Attestation:
    """What was said of a model; nothing of it is proved yet."""

    envelope: Envelope
    root: str
    files: Mapping[str, str]
    """SHA-256 by path; not empty."""
    model: str
    generation: int
    event: Anchor
    """What made the state."""


def read_attestation(file: Path) -> Attestation:
    """The statement in a file, signed or not.

    Raises:
        NotFoundError: it cannot be read.
        FormatError: it is none about a state.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NotFoundError(f"{str(file)!r} cannot be read: {error.strerror}", hint="give an attestation") from None
    try:
        value = json.loads(data) if len(data) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FormatError(f"{file} holds no statement", hint="`patchmgr attest MODEL -o FILE` writes one")
    envelope = parse_envelope(value, PREDICATE, what=str(file))
    model, generation = _numbered(envelope, file, "model", "name", "generation", least=0)
    sha256, sequence = _numbered(envelope, file, "event", "sha256", "sequence", least=1)
    if not DIGEST.fullmatch(sha256):
        raise FormatError(f"{file} does not name its event", hint=_ANOTHER)
    root, files = _root(envelope, file), _files(envelope, file)
    return Attestation(envelope, root, files, model, generation, Anchor(sequence, sha256))


def _numbered(envelope: Envelope, file: Path, part: str, text: str, number: str, *, least: int) -> tuple[str, int]:
    """A text and a number of a part of the predicate."""
    said = envelope.statement.predicate.get(part)
    if isinstance(said, dict) and isinstance(said.get(text), str):
        found = said.get(number)
        if type(found) is int and least <= found <= HIGHEST:
            return said[text], found
    raise FormatError(f"{file} does not name its {part}", hint=_ANOTHER)


def _root(envelope: Envelope, file: Path) -> str:
    found = [thing["digest"][ROOT_KEY] for thing in envelope.statement.subject if ROOT_KEY in thing["digest"]]
    if len(found) == 1 and _is_digest(found[0]):
        return str(found[0])
    raise FormatError(f"{file} names no state", hint=_ANOTHER)


def _files(envelope: Envelope, file: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for thing in envelope.statement.subject:
        if ROOT_KEY in thing["digest"]:
            continue
        if not _is_digest(thing["digest"].get("sha256")) or thing["name"] in found:
            raise FormatError(f"{file} gives {thing['name']} no digest, or two", hint=_ANOTHER)
        found[thing["name"]] = thing["digest"]["sha256"]
    if not found:
        raise FormatError(f"{file} names no file of the state", hint=_ANOTHER)
    return found


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None
