"""Attesting: an in-toto statement of what a model is, made of what, on which scores, by which event, in which files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.base.digests import FreshDigests
from patchmgr.canonical import sha256_file
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError
from patchmgr.manager.audit.attestation import PREDICATE, ROOT_KEY, read_attestation
from patchmgr.manager.audit.past import TURNS
from patchmgr.manager.audit.signers import Signers
from patchmgr.manager.states import ModelState, compare, fingerprint_of, read_state
from patchmgr.signing.dsse import Statement, require_signer, sign_statement
from patchmgr_registry import Event, EventFilter, timestamp

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


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
        ConflictError: the model was changed meanwhile.
        IntegrityError: a byte of the state is not what it was, the trail does not name it, or a file has no digest.
    """
    if key is not None:
        from patchmgr.signing.pem import check_private_key

        check_private_key(key)
    state = read_state(manager, model)
    predicate = _predicate(manager, state)
    _check_fresh(manager, state)
    files = file_digests(state.folder)
    for name, sha256 in files.items():
        if sha256 is None:
            raise IntegrityError(
                f"{state.folder / name} is a link to no file, so that nobody can say what is served there",
                hint="take it out of the folder, or put what it stands for in its place",
            )
    subject = (
        {"name": "state", "digest": {ROOT_KEY: state.root}},
        *({"name": name, "digest": {"sha256": sha256}} for name, sha256 in files.items()),
    )
    statement = Statement(subject, PREDICATE, predicate)
    return statement.to_json() if key is None else sign_statement(statement, key)


def check_model(manager: Manager, file: Path, model: str, signers: Signers) -> Attested:
    """Make sure that what a model serves is what a statement says, and that the trail has the event that it names.

    Raises:
        NotFoundError: there is no such model or file.
        FormatError: the file holds no such statement.
        IntegrityError: the model is at another state, a file is another, or the signature is not as is asked.
    """
    said, state = read_attestation(file), read_state(manager, model)
    if state.root != said.root:
        raise IntegrityError(
            f"{model} is at generation {state.generation.number}, state {state.root[:12]}…, and {file} is of the state "
            f"{said.root[:12]}…",
            hint=f"what is served is not what was approved; see `patchmgr log {model}`",
        )
    problem = manager.registry.verify_events([said.event])
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
    said = read_attestation(file)
    signer = require_signer(said.envelope, signers.keys, required=signers.required, what=str(file))
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {folder}", hint="give the folder that is served")
    approved, found = said.files, file_digests(folder)
    for name in sorted(approved.keys() | found.keys()):
        if name not in found or found[name] is None or approved.get(name) != found[name]:
            how = "is missing" if name not in found else "was not approved" if name not in approved else "is another"
            raise IntegrityError(
                f"{folder} is not the state that {file} is of: {name} {how}",
                hint="what is served is not what was approved",
            )
    trusted_as = signer.name if signer else None
    return Attested(folder, said.root, len(found), said.model, said.generation, trusted_as, said.envelope.key_id)


def file_digests(folder: Path) -> Mapping[str, str | None]:
    """SHA-256 of every file below a folder by its path there; hidden ones are left out.

    Links to files are followed. None stands for one to a folder or to nothing: what lies behind it is not looked at, so
    it is never as approved.

    Raises:
        IntegrityError: a file cannot be read, or its name is no text.
    """
    found: dict[str, str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        try:
            name.as_posix().encode()
            if path.is_file():
                found[name.as_posix()] = sha256_file(path)
            elif path.is_symlink():
                found[name.as_posix()] = None
        except UnicodeEncodeError:
            told = str(path).encode("utf-8", "backslashreplace").decode()
            raise IntegrityError(f"the name of {told} is no UTF-8", hint="rename it, or take it out") from None
        except OSError as error:
            raise IntegrityError(f"{path} cannot be read: {error.strerror}", hint="look at its permissions") from None
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
        if manager.registry.model(state.record.name).generation != state.generation.number:
            raise ConflictError(f"{state.record.name} was changed meanwhile", hint="run it again")
        raise IntegrityError(
            f"the audit trail does not name the state of {state.record.name}", hint="run `patchmgr audit verify`"
        )
    return event
