"""Artefacts: things that are slow to compute and worth keeping, such as the covariance of a layer's inputs.

An artefact is keyed by *everything* that decides its value, so two models, corpora or sample sizes can never use each
other's. It lies in ``<folder>/<kind>/<digest of the key>/`` as ``key.json``, ``artefact.safetensors`` and
``artefact.json``, which holds the digest of the arrays' file and notes. One whose file is not what its digest says
counts as not there.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from patchmgr.canonical import canonical_json, sha256_file, sha256_hex
from patchmgr.durable import sync_file

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
_ARRAYS, _KEY, _ABOUT = "artefact.safetensors", "key.json", "artefact.json"


@dataclass(frozen=True)
class Artefact:
    """Arrays with the digest of the file that holds them."""

    arrays: Arrays
    sha256: str
    key: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What is worth knowing of it and decides nothing, such as how well a sample has converged; JSON values."""


@dataclass(frozen=True)
class ArtefactEntry:
    """An artefact as it lies in the store, its arrays not read."""

    kind: str
    key: Mapping[str, Any]
    sha256: str
    size_bytes: int
    notes: Mapping[str, Any]
    path: Path
    """The file of its arrays."""


@dataclass(frozen=True)
class ArtefactStore:
    """A folder of artefacts, shared by all models of a registry."""

    folder: Path

    def get_or_compute(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Artefact:
        """The artefact of ``key``, computed and kept if it is not there, cannot be read, or is damaged.

        Args:
            kind: what it is, a folder name such as ``covariance``.
            key: JSON values, all that decides the arrays.
            compute: makes the arrays; it is called at most once and nothing is kept when it raises.
        """
        return self.find(kind, key) or self.put(kind, key, compute())

    def find(self, kind: str, key: Mapping[str, Any]) -> Artefact | None:
        """The artefact of ``key``, every byte checked; None if it is not there or damaged."""
        folder = self._folder_of(kind, key)
        try:
            if (folder / _KEY).read_bytes() != canonical_json(key):
                return None
            about = json.loads((folder / _ABOUT).read_bytes())
            sha256, notes = sha256_file(folder / _ARRAYS), about["notes"]
            if sha256 != about["sha256"]:
                return None
            return Artefact(load_file(folder / _ARRAYS), sha256, json.loads(canonical_json(key)), notes)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def put(
        self, kind: str, key: Mapping[str, Any], arrays: Arrays, notes: Mapping[str, Any] | None = None
    ) -> Artefact:
        """Keep arrays under a key, in the place of what is there.

        Raises:
            OSError: the disk is full, read-only or failing.
        """
        with self._new(kind, key, notes or {}) as file:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, file)
        return self._read_back(kind, key)

    def put_file(self, kind: str, key: Mapping[str, Any], source: Path, notes: Mapping[str, Any]) -> Artefact:
        """Keep a copy of a safetensors file under a key, in the place of what is there."""
        with self._new(kind, key, notes) as file:
            shutil.copyfile(source, file)
        return self._read_back(kind, key)

    def entry(self, kind: str, key: Mapping[str, Any]) -> ArtefactEntry | None:
        """What lies under a key; None if nothing does."""
        return _entry(self._folder_of(kind, key))

    def entries(self) -> tuple[ArtefactEntry, ...]:
        """All that is there, by kind and key; what cannot be read is passed over."""
        folders = [about.parent for about in self.folder.glob(f"*/*/{_ABOUT}") if not about.parent.name.startswith(".")]
        found = [entry for folder in folders if (entry := _entry(folder)) is not None]
        return tuple(sorted(found, key=lambda entry: (entry.kind, canonical_json(entry.key))))

    def remove(self, entry: ArtefactEntry) -> None:
        """Forget an artefact; it is computed again when it is wanted."""
        shutil.rmtree(entry.path.parent)

    def unfinished(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where work on ``key`` may keep what it has so far; whoever finishes the work removes the file."""
        (self.folder / kind).mkdir(parents=True, exist_ok=True)
        return self.folder / kind / f".unfinished-{sha256_hex(canonical_json(key))}"

    def _folder_of(self, kind: str, key: Mapping[str, Any]) -> Path:
        return self.folder / kind / sha256_hex(canonical_json(key))

    def _read_back(self, kind: str, key: Mapping[str, Any]) -> Artefact:
        found = self.find(kind, key)
        if found is None:
            raise OSError(f"artefact {self._folder_of(kind, key)} cannot be read back")
        return found

    @contextlib.contextmanager
    def _new(self, kind: str, key: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[Path]:
        """A file to write the arrays into; the whole artefact is put in its place when the block ends."""
        folder = self._folder_of(kind, key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        file = temporary / _ARRAYS
        try:
            yield file
            file.chmod(0o644)  # whoever shares the home may use it
            sync_file(file)
            about = {"sha256": sha256_file(file), "size_bytes": file.stat().st_size, "notes": dict(notes)}
            (temporary / _KEY).write_bytes(canonical_json(key))
            (temporary / _ABOUT).write_bytes(canonical_json(about))
            temporary.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
        except OSError:
            if self.find(kind, key) is None:  # another process may have put the same artefact there
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _entry(folder: Path) -> ArtefactEntry | None:
    file = folder / _ARRAYS
    try:
        key, about = json.loads((folder / _KEY).read_bytes()), json.loads((folder / _ABOUT).read_bytes())
        return ArtefactEntry(
            kind=folder.parent.name,
            key=key,
            sha256=about["sha256"],
            size_bytes=file.stat().st_size,
            notes=about["notes"],
            path=file,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
