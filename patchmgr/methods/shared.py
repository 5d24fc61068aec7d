"""Statistics to share: a folder with ``statistics.json`` and a safetensors file each, bound to one base by digests.

Reading checks everything: the form, names that stay in the folder, and on request the bytes of every file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patchmgr.canonical import canonical_json, sha256_file
from patchmgr.durable import new_folder
from patchmgr.errors import BaseMismatchError, FormatError, IntegrityError, NotFoundError
from patchmgr.methods.artefacts import ArtefactEntry
from patchmgr.reasons import reason_of

MANIFEST = "statistics.json"
_Digest = Field(pattern=r"^[0-9a-f]{64}$")


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SharedBase(_Value):
    """The base that the statistics are of."""

    source: str
    revision: str | None
    fingerprint: str = _Digest


class SharedArtefact(_Value):
    """One file of the folder."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    key: Mapping[str, Any]
    file: str = Field(pattern=r"^[0-9a-f]{64}\.safetensors$")
    sha256: str = _Digest
    size_bytes: int = Field(ge=0)
    notes: Mapping[str, Any]


class Shared(_Value):
    """What ``statistics.json`` holds."""

    format_version: Literal[1] = 1
    base: SharedBase
    state_root: str = _Digest
    """The state root of the base, which every key names."""
    artefacts: tuple[SharedArtefact, ...] = Field(strict=False)

    def check_base(self, state_root: str, what: str) -> None:
        """Make sure that the statistics are of this base.

        Raises:
            BaseMismatchError: they are of another; names both.
        """
        if self.state_root != state_root:
            raise BaseMismatchError(
                f"the statistics are of {self.base.source} (state {self.state_root[:12]}…), {what} is "
                f"{state_root[:12]}…",
                hint="make them for this base with `patchmgr stats`",
            )

    def check_file(self, folder: Path, artefact: SharedArtefact) -> Path:
        """The file of an artefact, every byte checked.

        Raises:
            IntegrityError: it is missing or is not what its digest says; names it.
        """
        path = folder / artefact.file
        if not path.is_file() or path.is_symlink():
            raise IntegrityError(f"{artefact.file} is missing from {folder}", hint="get the folder again")
        found = sha256_file(path)
        if found != artefact.sha256:
            raise IntegrityError(
                f"{path} is damaged: {found[:12]}… where {artefact.sha256[:12]}… was written",
                hint="get the folder again",
            )
        return path


def is_shared(folder: Path) -> bool:
    """Whether a path is a folder of shared statistics."""
    return (folder / MANIFEST).is_file()


def read_shared(folder: Path) -> Shared:
    """The manifest of a folder; its files are not read yet.

    Raises:
        NotFoundError: there is no such folder, or no manifest in it.
        FormatError: the manifest is malformed, or an artefact in it is of another state; names the field.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError:
        raise NotFoundError(f"there are no statistics at {folder}", hint="`patchmgr stats export` makes them") from None
    try:
        shared = Shared.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{path}: field {name!r}: {reason_of(error)}", hint="get the folder again") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not JSON ({error})", hint="get the folder again") from None
    for artefact in shared.artefacts:
        if artefact.key.get("state_root") != shared.state_root:
            raise FormatError(f"{path}: {artefact.file} is of another state", hint="get the folder again")
    return shared


def write_shared(folder: Path, base: SharedBase, state_root: str, entries: Sequence[ArtefactEntry]) -> Shared:
    """Write entries to a new folder, in one step; equal statistics give equal bytes.

    Raises:
        IntegrityError: an entry is not what its digest says.
        StorageError: the disk is full, read-only or failing.
    """
    shared = Shared(
        base=base,
        state_root=state_root,
        artefacts=tuple(
            SharedArtefact(
                kind=entry.kind,
                key=entry.key,
                file=f"{entry.sha256}.safetensors",
                sha256=entry.sha256,
                size_bytes=entry.size_bytes,
                notes=entry.notes,
            )
            for entry in entries
        ),
    )
    with new_folder(folder, what="the statistics") as temporary:
        for entry, artefact in zip(entries, shared.artefacts, strict=True):
            shutil.copyfile(entry.path, temporary / artefact.file)
            shared.check_file(temporary, artefact)
        (temporary / MANIFEST).write_bytes(canonical_json(shared.model_dump(mode="json")))
    return shared


def is_digest(text: str) -> bool:
    """Whether a text is the beginning of a digest, of 7 digits or more.

    >>> is_digest("ab12cd3"), is_digest("ab"), is_digest("../../x")
    (True, False, False)
    """
    return re.fullmatch(r"[0-9a-f]{7,64}", text) is not None
