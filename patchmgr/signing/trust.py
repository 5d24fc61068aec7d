"""The list of those whom a user trusts: a folder with a PEM file each, ``NAME.pem``."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from patchmgr.durable import store_file, storing, sync_folder
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError
from patchmgr.signing.contract import TrustedKey

_SUFFIX = ".pem"
_KINDS: Mapping[bytes, Literal["key", "certificate"]] = {b"PUBLIC KEY": "key", b"CERTIFICATE": "certificate"}
_BLOCK = re.compile(rb"-----BEGIN (?P<label>[A-Z ]+)-----\n(?P<body>(?:[^-\s]{1,64}\n)+)-----END (?P=label)-----\n?")
"""One block of PEM, as :func:`store_trusted` gets it, and nothing beside it."""
_MOST_BYTES = 1024 * 1024
_SEQUENCE, _LONG = 0x30, 0x80
"""The first byte of a key or certificate in DER, and what marks a length of several bytes (X.690, 8.1)."""


def trusted_keys(folder: Path) -> tuple[TrustedKey, ...]:
    """Everybody on the list, by name; nobody where there is no such folder.

    Raises:
        IntegrityError: a file is not what :func:`store_trusted` wrote.
    """
    return tuple(_read(path) for path in sorted(folder.glob(f"[!.]*{_SUFFIX}")))


def find_trusted(folder: Path, name: str) -> TrustedKey:
    """One of the list; NotFoundError names the others."""
    known = {key.name: key for key in trusted_keys(folder)}
    if name not in known:
        others = f"trusted are {', '.join(known)}" if known else "nobody is trusted yet"
        raise NotFoundError(f"nobody is trusted as {name!r}", hint=others)
    return known[name]


def is_new(folder: Path, key: TrustedKey) -> bool:
    """Whether a key can be put on the list; False: it is there already, under that name.

    Raises:
        ConflictError: another key has that name, or this one has another.
    """
    for known in trusted_keys(folder):
        if (known.name, known.pem) == (key.name, key.pem):
            return False
        if known.name == key.name:
            raise ConflictError(
                f"{key.name} is the {known}, and this is the {key}",
                hint=f"`patchmgr trust remove {key.name}` first, if the new one shall take its place",
            )
        if known.pem == key.pem:
            raise ConflictError(f"the {key} is trusted as {known.name} already", hint="one name is enough")
    return True


def store_trusted(folder: Path, key: TrustedKey) -> None:
    """Put a new key on the list; StorageError when the disk is full, read-only or failing."""
    with storing("the list of trusted keys"):
        folder.mkdir(parents=True, exist_ok=True)
    store_file(key.pem, folder / f"{key.name}{_SUFFIX}", what="the trusted key")


def drop_trusted(folder: Path, name: str) -> None:
    """Take a key off the list; StorageError when the disk does not let it."""
    with storing("the list of trusted keys"):
        (folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)
        sync_folder(folder)


def _read(path: Path) -> TrustedKey:
    hint = "remove it, and `patchmgr trust add` the key again"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:  # a folder, or a file that may not be read
        raise IntegrityError(f"{path} is no trusted key ({error.strerror})", hint=hint) from None
    block = _BLOCK.fullmatch(data)
    kind = _KINDS.get(block["label"]) if block else None
    if block is None or kind is None or not _is_der(block["body"]):
        raise IntegrityError(f"{path} is no trusted key", hint=hint)
    return TrustedKey(path.name.removesuffix(_SUFFIX), kind, data)


def _is_der(body: bytes) -> bool:
    """Whether the lines of a block are base64 of one DER sequence with as many bytes as it says."""
    try:
        der = base64.b64decode(body.replace(b"\n", b""), validate=True)
    except binascii.Error:
        return False
    if len(der) < 2 or der[0] != _SEQUENCE:
        return False
    n_digits = der[1] - _LONG if der[1] > _LONG else 0  # a length from 128 on has this many bytes of its own
    length = int.from_bytes(der[2 : 2 + n_digits], "big") if n_digits else der[1]
    return len(der) == 2 + n_digits + length
