"""Artefacts: things that are slow to compute and worth keeping, such as the covariance of a layer's inputs.

An artefact is keyed by *everything* that decides its value, so two models, corpora or sample sizes can never use each
other's. It lies in ``<folder>/<kind>/<digest of the key>/`` as ``key.json`` and ``artefact.safetensors``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from patchmgr.canonical import canonical_json, sha256_file, sha256_hex

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Artefact:
    """Arrays with the digest of the file that holds them."""

    arrays: Arrays
    sha256: str
    key: Mapping[str, Any]


@dataclass(frozen=True)
class ArtefactStore:
    """A folder of artefacts, shared by all models of a registry."""

    folder: Path

    def get_or_compute(self, kind: str, key: Mapping[str, Any], compute: Callable[[], Arrays]) -> Artefact:
        """The artefact of ``key``, computed and kept if it is not there or cannot be read.

        Args:
            kind: what it is, a folder name such as ``covariance``.
            key: JSON values, all that decides the arrays.
            compute: makes the arrays; it is called at most once and nothing is kept when it raises.
        """
        encoded = canonical_json(key)
        folder = self.folder / kind / sha256_hex(encoded)
        found = _read(folder, encoded)
        if found is None:
            _write(folder, encoded, compute())
            found = _read(folder, encoded)
            if found is None:
                raise OSError(f"artefact {folder} cannot be read back")
        return found


def _read(folder: Path, encoded_key: bytes) -> Artefact | None:
    path = folder / "artefact.safetensors"
    try:
        if (folder / "key.json").read_bytes() != encoded_key:
            return None
        return Artefact(load_file(path), sha256_file(path), json.loads(encoded_key))
    except (OSError, SafetensorError):
        return None


def _write(folder: Path, encoded_key: bytes, arrays: Arrays) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary / "artefact.safetensors"
        )
        (temporary / "key.json").write_bytes(encoded_key)
        (temporary / "artefact.safetensors").chmod(0o644)  # whoever shares the home may use it
        temporary.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except OSError:
        if not (folder / "artefact.safetensors").exists():  # another process may have put the same artefact there
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
