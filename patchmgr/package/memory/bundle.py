"""Reading and writing the folder ``memory/`` of a package (docs/format.md, section 11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from patchmgr.canonical import canonical_json, sha256_json
from patchmgr.errors import FormatError
from patchmgr.package.arrays import load_arrays
from patchmgr.package.fields import InnerPath, Section
from patchmgr.package.memory.operations import Entry, Operation, dump_operations, entries_after, parse_operations
from patchmgr.reasons import reason_of

if TYPE_CHECKING:
    from patchmgr.package.encodings.contract import Array
    from patchmgr.package.manifest import MemoryRecord

FOLDER = "memory/"
CONFIG = "memory.json"
ENTRIES = "entries.jsonl"
KEYS = "keys.safetensors"

Level = Literal["text", "hidden"]


class MemoryConfig(Section):
    """``memory.json``."""

    format_version: Literal[1] = 1
    runtime: str
    """The plugin that answers."""
    runtime_version: str
    level: Level
    settings: Mapping[str, Any]
    """The runtime's own: templates, pooling, metric, threshold, the size it was calibrated at."""


@dataclass(frozen=True)
class MemoryDraft:
    """A bundle in the making, as a method gives it."""

    config: MemoryConfig
    operations: tuple[Operation, ...]
    keys: Array | None = None
    """(entries, dimensions) float32, one row for each entry that the operations leave, in their order."""
    arrays: Mapping[InnerPath, Mapping[str, Array]] = field(default_factory=dict)
    """Further safetensors files, by their path in the folder."""
    texts: Mapping[InnerPath, bytes] = field(default_factory=dict)
    """Further files, by their path in the folder."""
    files: Mapping[InnerPath, Path] = field(default_factory=dict)
    """Files to copy, by their path in the folder."""
    reads: tuple[str, ...] = ()
    """Of a hidden memory: the parameters of the loaded model on which its claims depend."""

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """What is remembered."""
        return entries_after(self.operations)


@dataclass(frozen=True)
class MemoryBundle:
    """A bundle that was read; its bytes are those that the manifest lists."""

    reference: str
    config: MemoryConfig
    operations: tuple[Operation, ...]
    files: Mapping[str, Path]
    """All files, by their path in the folder."""

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """What is remembered."""
        return entries_after(self.operations, where=f"{self.reference}: {FOLDER}{ENTRIES}")

    @cached_property
    def keys(self) -> Array | None:
        """(entries, dimensions) float32; None where the runtime keeps none.

        Raises:
            FormatError: the file is malformed, or has not a row for each entry.
        """
        if KEYS not in self.files:
            return None
        keys = self.arrays(KEYS).get("keys")
        if keys is None or keys.ndim != 2 or len(keys) != len(self.entries) or keys.dtype != "float32":
            raise FormatError(f"{self.reference}: {FOLDER}{KEYS} has not one float32 row for each of the entries")
        return keys

    def check(self, record: MemoryRecord | None) -> None:
        """Make sure that the bundle is what the manifest says and hangs together.

        Raises:
            FormatError: it is not; says what differs.
        """
        config = self.config
        found = (config.runtime, config.level, len(self.entries))
        if record is None or (record.runtime, record.level, record.n_entries) != found:
            raise FormatError(f"{self.reference}: patch.json does not describe its {FOLDER}", hint="do not use it")
        _ = self.keys

    def arrays(self, name: str) -> Mapping[str, Array]:
        """The arrays of a safetensors file of the bundle.

        Raises:
            FormatError: it is not there or cannot be read.
        """
        if name not in self.files:
            raise FormatError(f"{self.reference} has no {FOLDER}{name}", hint="do not use it")
        return load_arrays(self.files[name], where=f"{self.reference}: {FOLDER}{name}")


def write_bundle(folder: Path, draft: MemoryDraft) -> None:
    """Write ``memory/`` into the folder of a package."""
    from shutil import copyfile

    import numpy as np
    from safetensors.numpy import save_file

    inside = folder / FOLDER
    inside.mkdir()
    (inside / CONFIG).write_bytes(canonical_json(draft.config.model_dump(mode="json")))
    (inside / ENTRIES).write_bytes(dump_operations(draft.operations))
    keys = {} if draft.keys is None else {KEYS: {"keys": draft.keys}}
    for name, arrays in {**keys, **draft.arrays}.items():
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        save_file({part: np.ascontiguousarray(array) for part, array in arrays.items()}, inside / name)
    for name, data in draft.texts.items():
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(data)
    for name, source in draft.files.items():
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        copyfile(source, inside / name)


def bundle_root(digests: Mapping[str, str]) -> str:
    """What a bundle is known by in a state root: the digests of its files, by their path in the package.

    >>> bundle_root({"memory/a": "1", "README.md": "2"}) == bundle_root({"memory/a": "1"})
    True
    """
    return sha256_json({name: sha256 for name, sha256 in digests.items() if name.startswith(FOLDER)})


def read_bundle(reference: str, package: Mapping[str, Path]) -> MemoryBundle:
    """The bundle of a memory package.

    Args:
        reference: of the package, for messages.
        package: its files, which were checked when it was opened, by their path.

    Raises:
        FormatError: it is not a memory package, or ``memory.json`` or ``entries.jsonl`` is missing or malformed.
    """
    files = {name.removeprefix(FOLDER): path for name, path in package.items() if name.startswith(FOLDER)}
    for name in (CONFIG, ENTRIES):
        if name not in files:
            raise FormatError(f"{reference} has no {FOLDER}{name}, so it holds no memory")
    data = files[CONFIG].read_bytes()
    try:
        config = MemoryConfig.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FormatError(
            f"{reference}: {FOLDER}{CONFIG}: {'.'.join(map(str, first['loc']))}: {reason_of(error)}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{reference}: {FOLDER}{CONFIG} is not JSON ({error})") from None
    try:
        canonical = canonical_json(config.model_dump(mode="json")) == data
    except (ValueError, RecursionError):  # a lone surrogate, NaN, or nesting beyond all use
        canonical = False
    if not canonical:
        raise FormatError(f"{reference}: {FOLDER}{CONFIG} is not in canonical form")
    operations = parse_operations(files[ENTRIES].read_bytes(), where=f"{reference}: {FOLDER}{ENTRIES}")
    return MemoryBundle(reference, config, operations, files)
