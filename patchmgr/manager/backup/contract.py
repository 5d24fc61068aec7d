"""What a backup is: ``backup.json`` and the files that it lists, in a folder or in a ``.tar``.

``registry.db`` is the database as one moment saw it, ``blobs/<sha256>`` are the payloads that it needs, ``trust/`` and
``withheld/`` those of the home, ``artefacts/`` only when asked for. Bases are not in it, nor generations: these are
rebuilt from the bases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from pydantic import Field

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import IntegrityError
from patchmgr.package.fields import Count, FileRecord, InnerPath, Moment, Section, Sha256
from patchmgr.package.parsing import parse_canonical
from patchmgr_registry import Registry

MANIFEST: Final = "backup.json"
DATABASE: Final = "registry.db"
BLOBS: Final = "blobs/"
WITHHELD: Final = "withheld"
FOLDERS: Final = ("trust", WITHHELD, "artefacts")
"""Of the home, kept under their own names."""
FORMAT_VERSION: Final = 1
LARGEST_MANIFEST_BYTES: Final = 1 << 28
"""Some million files; a longer list is not read."""
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 300


class Head(Section):
    """Where the chain of events ended."""

    sequence: Count
    sha256: Sha256


class BackupManifest(Section):
    """What a backup holds, and of what."""

    left_out = frozenset({"problems", "real_home"})

    format_version: Literal[1] = FORMAT_VERSION
    created: Moment
    program_version: str
    home: str
    """Where it lay; the paths in the database are moved from there to where it is restored."""
    real_home: str | None = None
    """The same without symbolic links; None: there were none."""
    events: Head
    files: Mapping[InnerPath, FileRecord]
    problems: tuple[str, ...] | None = Field(default=None, strict=False)
    """What was wrong with the database, and was copied all the same; None: nothing."""

    def to_bytes(self) -> bytes:
        """The canonical bytes of ``backup.json``."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """What the backup is known by."""
        return sha256_hex(self.to_bytes())

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files.values())


def parse_backup(data: bytes) -> BackupManifest:
    """A manifest from the bytes of ``backup.json``; errors as those of :func:`parse_canonical`."""
    return parse_canonical(BackupManifest, data, MANIFEST, version=FORMAT_VERSION, hint="take another backup")


def problems_of(registry: Registry) -> tuple[str, ...]:
    """What is wrong with a database and its chain of events, a line each and the first ones; all of it is read."""
    return tuple(" ".join(line.split())[:_LONGEST_PROBLEM] for line in _problems(registry))[:_MOST_PROBLEMS]


def _problems(registry: Registry) -> Iterator[str]:
    try:
        yield from registry.check_database()
        if (problem := registry.verify_events()) is not None:
            yield problem.message
    except IntegrityError as error:  # so damaged that it cannot be looked through
        yield error.message
