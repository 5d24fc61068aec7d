"""The memories of a generation, in its folder: whole packages beside the checkpoint, and a file that names them.

Programs that know nothing of patchmgr load the weights and overlook both; ``patchmgr.load`` finds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError, IntegrityError
from patchmgr.ops.links import link
from patchmgr.package.reader import MANIFEST, EditPackage

MARK = "patchmgr.json"
FOLDER = "memories"
FORMAT_VERSION = 1


def write_memories(packages: Iterable[EditPackage], folder: Path) -> None:
    """Put memory packages into the folder of a checkpoint, the first to be asked last; nothing where there are none."""
    named = []
    for package in packages:
        manifest = package.manifest
        inside = f"{FOLDER}/{manifest.digest}"
        for name, path in package.files.items():
            (folder / inside / name).parent.mkdir(parents=True, exist_ok=True)
            link(path, folder / inside / name)
        (folder / inside / MANIFEST).write_bytes(manifest.to_bytes())
        named.append({"digest": manifest.digest, "folder": inside, "reference": manifest.reference})
    if named:
        (folder / MARK).write_bytes(canonical_json({"format_version": FORMAT_VERSION, "memories": named}))


def has_memories(folder: Path) -> bool:
    """Whether a checkpoint answers with memories, which other programs would drop."""
    return (folder / MARK).is_file()


def read_memories(folder: Path) -> tuple[EditPackage, ...]:
    """The memory packages of a checkpoint folder, in the order of the stack, every byte checked.

    Raises:
        FormatError: ``patchmgr.json`` is malformed, not as it was written, or of an unknown version.
        NotFoundError: a package that it names is not there.
        IntegrityError: a package is not the one that it names, or a file of it is not what its digest says.
    """
    if not has_memories(folder):
        return ()
    found = []
    for record in _records(folder / MARK):
        package = EditPackage.read(folder / record["folder"])
        manifest = package.manifest
        if (manifest.digest, manifest.reference) != (record["digest"], record["reference"]):
            raise IntegrityError(
                f"{record['folder']} is {manifest.reference} {manifest.digest[:12]}…, "
                f"{MARK} says {record['reference']} {record['digest'][:12]}…",
                hint="write the state again with `patchmgr apply`",
            )
        found.append(package)
    return tuple(found)


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
        value = json.loads(data)
        version, records = value["format_version"], value["memories"]
        plain = all(record["folder"] == f"{FOLDER}/{record['digest']}" for record in records)
        canonical = canonical_json(value) == data and set(value) == {"format_version", "memories"}
        canonical = canonical and all(set(record) == {"digest", "folder", "reference"} for record in records)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read ({error})", hint="write the state again") from None
    if version != FORMAT_VERSION:
        raise FormatError(f"{path} has format version {version!r}", hint="upgrade patchmgr")
    if not canonical:
        raise FormatError(f"{path} is not as patchmgr writes it", hint="write the state again")
    if not plain:
        raise FormatError(f"{path} names a folder outside {FOLDER}", hint="do not use this model")
    return list(records)
