"""Repositories that lie: packages forged file by file, with right digests, so that only what is meant refuses."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from checkpoints import make_package
from hub.packages import base_of
from hub.testhub import Hub
from memory_packages import make_memory_package
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.manager.manager import Manager

EVIL = "alice/evil"
Files = dict[str, bytes]


def good_files(folder: Path) -> Files:
    """A package of weights, by path."""
    make_package(folder / "weights", base_of(folder), name="fixes", state={"k": _ones()})
    return _read(folder / "weights")


def good_memory(folder: Path) -> Files:
    """A memory package with keys and a file of its runtime, by path."""
    make_memory_package(folder / "memory", base_of(folder))
    return _read(folder / "memory")


def forged(files: Files, changes: Mapping[str, bytes | None] | None = None, **fields: object) -> Files:
    """The package with other files and fields, and a manifest that lists them with the right digests."""
    files = {name: data for name, data in {**files, **(changes or {})}.items() if data is not None}
    manifest = json.loads(files.pop("patch.json")) | fields
    listed = {name: data for name, data in files.items() if name not in ("model.sig", "README.md")}
    manifest["files"] = {name: {"sha256": sha256_hex(data), "size_bytes": len(data)} for name, data in listed.items()}
    return {**files, "patch.json": canonical_json(manifest)}


def serve(hub: Hub, files: Files, *, tag: str = "v1") -> None:
    """Publish them as a version."""
    hub.add_repo(EVIL, files)
    hub.move_tag(EVIL, tag, "main")


def lie(hub: Hub, path: str, **claims: object) -> None:
    """Let the Hub say something else of a file than it serves, such as ``size=10``."""
    commit = hub.repo(EVIL).at("v1")
    told = replace(commit.tree[path], **claims)
    object.__setattr__(commit, "tree", {**commit.tree, path: told})


def safetensors(table: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A file with this header, true or not."""
    raw = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(begin: int, end: int, shape: tuple[int, ...], dtype: str = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


LYING_HEADERS: Mapping[str, Callable[[], bytes]] = {
    "no-header": lambda: b"\x01",
    "length-2-to-60": lambda: safetensors({}, length=2**60),
    "length-beyond-the-file": lambda: safetensors({}, length=3000),
    "header-of-17-MiB": lambda: safetensors(b"{" + b" " * (17 << 20) + b"}"),
    "no-object": lambda: safetensors([]),
    "deep": lambda: safetensors(b'{"a":' * 100_000),
    "beyond-the-end": lambda: safetensors({"a": entry(0, 16, (16,))}, bytes(8)),
    "beyond-the-header": lambda: safetensors({"a": entry(0, 8, (8,))}, bytes(16)),
    "overlapping": lambda: safetensors({"a": entry(0, 8, (8,)), "b": entry(4, 12, (8,))}, bytes(12)),
    "with-a-gap": lambda: safetensors({"a": entry(0, 4, (4,)), "b": entry(8, 12, (4,))}, bytes(12)),
    "backwards": lambda: safetensors({"a": entry(8, 0, (8,))}, bytes(8)),
    "negative": lambda: safetensors({"a": entry(-8, 0, (8,))}, bytes(8)),
    "shape-of-another-size": lambda: safetensors({"a": entry(0, 8, (2**40, 2**40))}, bytes(8)),
    "shape-that-wraps": lambda: safetensors({"a": entry(0, 8, (2**32, 2**32, 8))}, bytes(8)),
    "no-dtype": lambda: safetensors({"a": entry(0, 8, (8,), "PICKLE")}, bytes(8)),
    "pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR." * 4,
}


def state_of(manager: Manager) -> object:
    """All that an attack could leave behind in a home: rows, events, blobs, generations, folders."""
    home, registry = manager.settings.home, manager.registry
    model = registry.model("tiny")
    return (
        [(package.name, package.latest) for package in registry.packages()],
        [event.action for event in registry.events()],
        (model.generation, registry.generation("tiny").state_root),
        [remote.name for remote in registry.remotes()],
        sorted(
            str(path.relative_to(home)) for path in home.rglob("*")
            if not path.name.startswith("registry.db") and path != home / "tmp"
        ),
    )  # fmt: skip


def _read(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _ones():
    import numpy as np

    return np.ones(3, np.float32)
