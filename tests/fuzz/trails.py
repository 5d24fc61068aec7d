"""Readers of what an auditor is sent: exported trails, anchors, attestations; and of the list of trusted keys."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from patchmgr.canonical import canonical_json
from patchmgr.manager.audit.anchors import Noted, parse_notes
from patchmgr.manager.audit.attest import check_folder
from patchmgr.manager.audit.attestation import PREDICATE, ROOT_KEY
from patchmgr.manager.audit.chain_file import check_chain_file, write_chain_file
from patchmgr.manager.audit.file_head import FileHead
from patchmgr.manager.audit.signers import Signers
from patchmgr.signing.dsse import PAYLOAD_TYPE, Statement
from patchmgr.signing.trust import trusted_keys
from patchmgr_registry import Anchor, Event, EventObject
from patchmgr_registry.events import GENESIS

DIGEST = "0" * 64
CONFIG = b"{}\n"
_PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEphB2tHmllcuSjO8uX9pM8PrnR0yb
3drA3H71oScNGV69N1UnY611hPb/FQ+dEKBhoRDuGpwoRKMJI5EjpJJ+vw==
-----END PUBLIC KEY-----
"""


def _events(n: int) -> list[Event]:
    found: list[Event] = []
    for number in range(1, n + 1):
        things = (EventObject("model", "prod", DIGEST), EventObject("added", f"fixes@v{number}", DIGEST))
        event = Event(
            number, "2026-01-02T03:04:05.000000Z", "ana", "worker-1", "0.1.0", ("patchmgr", "apply", "prod"), "apply",
            things, "ok", ({"metric": "reliability", "value": 0.5},), found[-1].sha256 if found else GENESIS, "",
        )  # fmt: skip
        found.append(replace(event, sha256=event.computed_sha256()))
    return found


def _envelope(statement: Statement) -> dict[str, object]:
    """Signed by nobody whom anybody trusts, so that the signature is not looked at."""
    payload = base64.b64encode(canonical_json(statement.to_json())).decode()
    return {"payloadType": PAYLOAD_TYPE, "payload": payload, "signatures": [{"keyid": DIGEST, "sig": "AAAA"}]}


def export_seeds(folder: Path) -> Sequence[bytes]:
    """A whole chain, a part of it, and one that is signed."""
    events = _events(9)
    end, time = Anchor(9, events[-1].sha256), "2026-02-03T04:05:06.000000Z"
    whole = FileHead(1, 9, GENESIS, end.sha256, end, time, "ana", "worker-1", "0.1.0")
    part = replace(whole, first=4, last=6, previous_sha256=events[2].sha256, sha256=events[5].sha256)
    found = []
    for head, inside, is_signed in ((whole, events, False), (part, events[3:6], False), (whole, events, True)):
        file = io.BytesIO()
        statement = write_chain_file(file, head, inside)
        if is_signed:
            file.write(canonical_json({"signature": _envelope(statement)}))
        found.append(file.getvalue())
    return found


def read_export(data: bytes, folder: Path) -> object:
    """A file that somebody sent, beside hashes that were noted."""
    (folder / "audit.jsonl").write_bytes(data)
    fifth = Anchor(5, _events(5)[-1].sha256)
    return check_chain_file(folder / "audit.jsonl", noted=[Noted(fifth), Noted(Anchor(12, DIGEST))])


def anchor_seeds(folder: Path) -> Sequence[bytes]:
    """Three lines, of which one is not finished."""
    who = {"time": "2026-01-02T03:04:05.000000Z", "host": "worker-1", "actor": "ana"}
    lines = [canonical_json({"sequence": number, "sha256": DIGEST, **who}) for number in (3, 7, 2**31)]
    return [b"".join(lines), lines[0] + lines[1][:40] + b"\n" + lines[2]]


def read_anchor_lines(data: bytes, folder: Path) -> object:
    """A file of anchors."""
    return parse_notes(data, where="anchors.jsonl").anchors


def attestation_seeds(folder: Path) -> Sequence[bytes]:
    """The statement about a folder of one file, plain and in an envelope."""
    subject = (
        {"name": "state", "digest": {ROOT_KEY: DIGEST}},
        {"name": "config.json", "digest": {"sha256": hashlib.sha256(CONFIG).hexdigest()}},
    )
    predicate = {
        "model": {"name": "prod", "generation": 3, "state_root": DIGEST},
        "event": {"sequence": 7, "sha256": DIGEST, "time": "2026-01-02T03:04:05.000000Z", "actor": "ana"},
        "stack": [],
    }
    statement = Statement(subject, PREDICATE, predicate)
    return [canonical_json(statement.to_json()), canonical_json(_envelope(statement))]


def read_attested(data: bytes, folder: Path) -> object:
    """A statement that is compared with the folder that is served."""
    served = folder / "served"
    served.mkdir(exist_ok=True)
    (served / "config.json").write_bytes(CONFIG)
    (folder / "prod.intoto.json").write_bytes(data)
    return check_folder(folder / "prod.intoto.json", served, Signers((), required=False))


def trust_seeds(folder: Path) -> Sequence[bytes]:
    """A public key."""
    return [_PUBLIC_KEY]


def read_trusted(data: bytes, folder: Path) -> object:
    """A file of the list of trusted keys."""
    place = folder / "trust"
    place.mkdir(exist_ok=True)
    (place / "ana.pem").write_bytes(data)
    return [(key.name, key.fingerprint) for key in trusted_keys(place)]
