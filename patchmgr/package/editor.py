"""``editor.json``, the manifest of a trained editor: what it learned from, how, and the files that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import NotFoundError
from patchmgr.package.fields import Count, FileRecord, InnerPath, Moment, Name, Number, Section, Sha256
from patchmgr.package.files import check_files, check_is_folder, holds, plain_files
from patchmgr.package.manifest import BaseRecord
from patchmgr.package.parsing import parse_canonical

FORMAT_VERSION: Final = 1
MANIFEST: Final = "editor.json"


class DataRecord(Section):
    """Requests that were learned from, or stopped by."""

    n: Count
    sha256: Sha256
    """Of the lines of their canonical JSON."""


class EditorManifest(Section):
    """Everything that an editor says of itself."""

    format_version: Literal[1] = FORMAT_VERSION
    name: Name
    version: Number
    message: str = ""
    author: str
    created: Moment
    license: str | None = None
    method: Annotated[str, Field(min_length=1)]
    method_version: str
    parameters: Mapping[str, Any]
    seed: int
    base: BaseRecord
    """The base that it was trained on; its method says whether it works on others."""
    training: DataRecord
    validation: DataRecord
    steps: Count
    """Updates until the checkpoint that was kept."""
    figures: Mapping[str, float]
    """Of that checkpoint on the validation data."""
    files: Mapping[InnerPath, FileRecord]
    libraries: Mapping[str, str] = Field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The canonical bytes of ``editor.json``."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes: what the editor is known by."""
        return sha256_hex(self.to_bytes())

    @property
    def reference(self) -> str:
        """``name@v3``."""
        return f"{self.name}@v{self.version}"

    @property
    def size_bytes(self) -> int:
        """Of the manifest and of all files."""
        return len(self.to_bytes()) + sum(file.size_bytes for file in self.files.values())


@dataclass(frozen=True)
class EditorPackage:
    """An editor that was checked: its manifest, and its files wherever they lie."""

    manifest: EditorManifest
    files: Mapping[str, Path]


def parse_editor(data: bytes) -> EditorManifest:
    """A manifest from the bytes of ``editor.json``.

    Raises:
        FormatError: as those of :func:`patchmgr.package.parsing.parse_canonical`.
    """
    return parse_canonical(EditorManifest, data, MANIFEST, version=FORMAT_VERSION, hint="fetch the editor again")


def read_editor(folder: Path) -> EditorPackage:
    """Read an editor from a folder, every file checked against the manifest.

    Raises:
        NotFoundError: there is no such folder, or it holds no ``editor.json``.
        FormatError: the manifest is malformed, or the folder holds something that it does not list.
        IntegrityError: a file is missing or is not what its digest says.
    """
    check_is_folder(folder)
    if not holds(folder, MANIFEST):
        raise NotFoundError(
            f"{str(folder)!r} is no editor: it has no {MANIFEST}", hint="`patchmgr editor export` writes one"
        )
    files = plain_files(folder)
    manifest = parse_editor(files.pop(MANIFEST).read_bytes())
    check_files(manifest.reference, MANIFEST, manifest.files, files)
    return EditorPackage(manifest, files)
