"""Attesting: an in-toto statement of what a model is, made of what, on which scores, by which event, in which files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.base.digests import FreshDigests
from patchmgr.canonical import sha256_file
from patchmgr.errors import FormatError, IntegrityError, NotFoundError
from patchmgr.manager.audit.past import TURNS
from patchmgr.manager.audit.signers import Signers
from patchmgr.manager.states import ModelState, compare, fingerprint_of, read_state
from patchmgr.signing.dsse import Envelope, Statement, parse_envelope, require_signer, sign_statement
from patchmgr_registry import Anchor, Event, EventFilter, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

PREDICATE = "https://patchmgr/state/v1"
ROOT_KEY = "patchmgrStateRoot"
"""How a state root is told from a digest of a file in a subject."""
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Attested:
    """A folder that is, file by file, what a statement says."""

    folder: Path
    state_root: str
    n_files: int
    model: str
    generation: int
    signed_by: str | None
    """The name that the signer is trusted under; None: nobody who is trusted."""
    key_id: str | None
    """Fingerprint of the key that the signature names; None: it is not signed."""


def attest(manager: Manager, model: str, *, key: Path | None = None) -> dict[str, Any]:
    """A statement about a model's present state, every byte of which is read; in a signed envelope with a key.

    Raises:
        NotFoundError: there is no such model, or no such file.
        UsageError: the file of the key holds none that can sign.
        IntegrityError: a byte of the state is not what it was, or the trail does not name it.
    """
    if key is not None:
        from patchmgr.signing.pem import check_private_key

        check_private_key(key)
    state = read_state(manager, model)
    _check_fresh(manager, state)
    files = file_digests(state.folder)
    subject = (
        {"name": "state", "digest": {ROOT_KEY: state.root}},
        *({"name": name, "digest": {"sha256": sha256}} for name, sha256 in files.items()),
    )
    statement = Statement(subject, PREDICATE, _predicate(manager, state))
    return statement.to_json() if key is None else sign_statement(statement, key)


def check_model(manager: Manager, file: Path, model: str, signers: Signers) -> Attested:
    """Make sure that what a model serves is what a statement says, and that the trail has the event that it names.

    Raises:
        NotFoundError: there is no such model or file.
        FormatError: the file holds no such statement.
        IntegrityError: the model is at another state, a file is another, or the signature is not as is asked.
    """
    envelope = read_attestation(file)
    state = read_state(manager, model)
    root = _root(envelope, file)
    if state.root != root:
        raise IntegrityError(
            f"{model} is at generation {state.generation.number}, state {state.root[:12]}…, and {file} is of the state "
            f"{root[:12]}…",
            hint=f"what is served is not what was approved; see `patchmgr log {model}`",
        )
    event = _part(envelope, file, "event")
    problem = manager.registry.verify_events([Anchor(event["sequence"], event["sha256"])])
    if problem is not None:
        raise IntegrityError(f"the audit trail is broken: {problem.message}", hint="compare with a backup")
    return check_folder(file, state.folder, signers)


def check_folder(file: Path, folder: Path, signers: Signers) -> Attested:
    """Make sure that a folder holds the files that a statement says, byte for byte, and no other.

    Raises:
        NotFoundError: there is no such file or folder.
        FormatError: the file holds no such statement.
        IntegrityError: a file is another, is missing or surplus, or the signature is not as is asked.
    """
    envelope = read_attestation(file)
    signer = require_signer(envelope, signers.keys, required=signers.required, what=str(file))
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="give the folder that is served")
    root, approved = _root(envelope, file), _files(envelope, file)
    found = file_digests(folder)
    for name in sorted(approved.keys() | found.keys()):
        if approved.get(name) != found.get(name):
            how = "is missing" if name not in found else "was not approved" if name not in approved else "is another"
            raise IntegrityError(
                f"{folder} is not the state that {file} is of: {name} {how}",
                hint="what is served is not what was approved",
            )
    named, trusted_as = _part(envelope, file, "model"), signer.name if signer else None
    model, generation = named["name"], named["generation"]
    return Attested(folder, root, len(found), model, generation, trusted_as, envelope.key_id)


def read_attestation(file: Path) -> Envelope:
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
    return parse_envelope(value, PREDICATE, what=str(file))


def file_digests(folder: Path) -> Mapping[str, str]:
    """SHA-256 of every file below a folder by its path there, links followed; hidden ones are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        if path.is_file():
            found[name.as_posix()] = sha256_file(path)
        elif path.is_symlink():  # what lies behind it is not looked at, so it is never as approved
            found[name.as_posix()] = "a link"
    return found


def _check_fresh(manager: Manager, state: ModelState) -> None:
    from patchmgr.base.checkpoint import Checkpoint

    checkpoint = Checkpoint.read(state.folder)
    wanted = state.fingerprint.with_tensors(state.generation.tensors)
    what = f"generation {state.generation.number} of {state.record.name}"
    compare(what, wanted, fingerprint_of(manager, checkpoint, FreshDigests(manager.settings.digests)))


def _predicate(manager: Manager, state: ModelState) -> dict[str, Any]:
    base, event = state.record.base, _made_by(manager, state)
    return {
        "model": {"name": state.record.name, "generation": state.generation.number, "state_root": state.root},
        "base": {
            "source": base.source,
            "revision": base.revision,
            "fingerprint": base.fingerprint,
            "config_sha256": base.config_sha256,
            "tokenizer_sha256": base.tokenizer_sha256,
        },
        "stack": [
            {
                "reference": manifest.reference,
                "digest": manifest.digest,
                "method": manifest.method.name,
                "author": manifest.author,
                "scores": [asdict(score) for score in manager.registry.scores(manifest.digest)],
            }
            for manifest in state.stack
        ],
        "scores": [asdict(score) for score in manager.registry.scores_of_state(state.root)],
        "event": {
            "sequence": event.sequence,
            "sha256": event.sha256,
            "time": event.time,
            "actor": event.actor,
            "action": event.action,
        },
        "attested": {
            "time": timestamp(),
            "actor": manager.origin.actor,
            "host": manager.origin.host,
            "program_version": manager.origin.program_version,
        },
    }


def _made_by(manager: Manager, state: ModelState) -> Event:
    """The event that made the present generation."""
    wanted = EventFilter(model=state.record.name, actions=TURNS)
    (event,) = next(manager.registry.event_pages(wanted, limit=1), (None,))
    if event is None or event.of_kind("model")[0].digest != state.root:
        raise IntegrityError(
            f"the audit trail does not name the state of {state.record.name}", hint="run `patchmgr audit verify`"
        )
    return event


def _part(envelope: Envelope, file: Path, name: str) -> Mapping[str, Any]:
    """The model or the event of a statement, with its number."""
    found, number = envelope.statement.predicate.get(name), {"model": "generation", "event": "sequence"}[name]
    text = {"model": "name", "event": "sha256"}[name]
    if isinstance(found, dict) and type(found.get(number)) is int and isinstance(found.get(text), str):
        return found
    raise FormatError(f"{file} does not name its {name}", hint="`patchmgr attest MODEL -o FILE` writes one that does")


def _root(envelope: Envelope, file: Path) -> str:
    for thing in envelope.statement.subject:
        if isinstance(root := thing["digest"].get(ROOT_KEY), str):
            return root
    raise FormatError(f"{file} names no state", hint="`patchmgr attest MODEL -o FILE` writes one that does")


def _files(envelope: Envelope, file: Path) -> Mapping[str, str]:
    found = {thing["name"]: thing["digest"]["sha256"] for thing in envelope.statement.subject
             if "sha256" in thing["digest"]}  # fmt: skip
    if not found:
        raise FormatError(f"{file} names no file of the state", hint="`patchmgr attest MODEL -o FILE` writes one")
    return found
