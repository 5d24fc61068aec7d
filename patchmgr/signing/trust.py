"""The list of those whom a user trusts: a folder with a PEM file each, ``NAME.pem``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from patchmgr.durable import store_file, storing, sync_folder
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError
from patchmgr.signing.contract import TrustedKey

_SUFFIX = ".pem"
_KINDS: Mapping[bytes, Literal["key", "certificate"]] = {
    b"-----BEGIN PUBLIC KEY-----": "key",
    b"-----BEGIN CERTIFICATE-----": "certificate",
}


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
        data = path.read_bytes()
    except OSError as error:  # a folder, or a file that may not be read
        raise IntegrityError(f"{path} is no trusted key ({error.strerror})", hint=hint) from None
    for begin, kind in _KINDS.items():
        if data.startswith(begin):
            return TrustedKey(path.name.removesuffix(_SUFFIX), kind, data)
    raise IntegrityError(f"{path} is no trusted key", hint=hint)
