"""Reading a package strictly: either every byte is what the manifest says, or an error names the first that is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import FormatError, NotFoundError, RequestError
from patchmgr.package.arrays import load_arrays
from patchmgr.package.files import check_files, check_is_folder, holds, plain_files
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.scores import Score, parse_scores
from patchmgr.package.withheld import count_commitments
from patchmgr.request import EditRequest, parse_requests

if TYPE_CHECKING:  # numpy comes with these, and whoever only reads manifests needs none
    from patchmgr.package.encodings.contract import Array, Delta, Encoding

MANIFEST = "patch.json"
EDITS = "edits.jsonl"
WEIGHTS = "weights.safetensors"
STATE = "state.safetensors"
SCORES = "eval.json"
CARD = "README.md"
SIGNATURE = "model.sig"


@dataclass(frozen=True)
class EditPackage:
    """A package that was checked: its manifest, and its other files wherever they lie."""

    manifest: Manifest
    files: Mapping[str, Path]

    @classmethod
    def read(cls, folder: Path) -> EditPackage:
        """Read a package from a folder, every file checked against the manifest.

        Raises:
            NotFoundError: there is no such folder, or it holds no ``patch.json``.
            FormatError: the manifest is malformed, or the folder holds something that it does not list.
            IntegrityError: a file is missing or is not what its digest says.
        """
        check_is_folder(folder)
        if not holds(folder, MANIFEST):
            raise NotFoundError(f"{str(folder)!r} is not an edit package: it has no {MANIFEST}")
        files = plain_files(folder)
        return cls.open(files.pop(MANIFEST).read_bytes(), files)

    @classmethod
    def open(cls, manifest_bytes: bytes, files: Mapping[str, Path]) -> EditPackage:
        """A package from its manifest and its other files by name, wherever they lie; checked as :meth:`read` does.

        Raises:
            FormatError: as in :meth:`read`.
            IntegrityError: as in :meth:`read`.
        """
        manifest = parse_manifest(manifest_bytes)
        if EDITS not in manifest.files:
            raise FormatError(
                f"{manifest.reference} has no {EDITS}", hint="a package carries the edits it was made from"
            )
        check_files(manifest.reference, MANIFEST, manifest.files, files)
        return cls(manifest, dict(files))

    @classmethod
    def open_part(cls, manifest: Manifest, files: Mapping[str, Path]) -> EditPackage:
        """A package of which only some files are at hand; those that the manifest lists are checked.

        Raises:
            IntegrityError: as in :meth:`read`.
        """
        listed = {name: manifest.files[name] for name in files if name in manifest.files}
        check_files(manifest.reference, MANIFEST, listed, files)
        return cls(manifest, dict(files))

    @cached_property
    def requests(self) -> tuple[EditRequest, ...]:
        """The edits; none where the author withheld them.

        Raises:
            FormatError: a line is malformed, or the manifest says another number of edits.
        """
        data, where = self.files[EDITS].read_bytes(), f"{self.manifest.reference}/{EDITS}"
        requests: tuple[EditRequest, ...] = ()
        n_edits = count_commitments(data, where=where)
        if n_edits is None:
            try:
                requests = parse_requests(data, name=where)
            except RequestError as error:
                raise FormatError(error.message, hint="it was not written by patchmgr; do not use it") from None
            n_edits = len(requests)
        if n_edits != self.manifest.n_edits:
            raise FormatError(f"{EDITS} holds {n_edits} edits, patch.json says {self.manifest.n_edits}")
        return requests

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """The scores that were measured when the package was made."""
        return parse_scores(self.files[SCORES].read_bytes()) if SCORES in self.files else ()

    @cached_property
    def state(self) -> Mapping[str, Array]:
        """What the method keeps for later edits; empty where it keeps nothing.

        Raises:
            FormatError: the file cannot be read.
        """
        path = self.files.get(STATE)
        return {} if path is None else load_arrays(path, where=f"{self.manifest.reference}: {STATE}")

    def deltas(self, encodings: Mapping[str, Encoding]) -> dict[str, Delta]:
        """The delta of each touched tensor, by its name in the checkpoint.

        Raises:
            FormatError: an unknown encoding, a missing or surplus array, or one that does not fit its tensor.
        """
        if self.manifest.kind != "weights":
            return {}
        path = self.files.get(WEIGHTS)
        if path is None:
            raise FormatError(f"{self.manifest.reference} is a weights package without {WEIGHTS}")
        arrays = load_arrays(path, where=f"{self.manifest.reference}: {WEIGHTS}")
        deltas = {}
        for tensor in self.manifest.tensors:
            encoding = encodings.get(tensor.encoding)
            if encoding is None:
                raise FormatError(
                    f"{self.manifest.reference} stores {tensor.name!r} as {tensor.encoding!r}, which is not known here",
                    hint=f"known: {', '.join(sorted(encodings))}; install the plugin that brings it",
                )
            where = f"{self.manifest.reference}: {tensor.name}"
            try:
                parts = {part: arrays.pop(f"{tensor.name}/{part}") for part in encoding.parts}
            except KeyError as error:
                raise FormatError(f"{where}: {WEIGHTS} lacks the array {error}") from None
            deltas[tensor.name] = encoding.decode(parts, tensor.shape, tensor.dtype, where=where)
        if arrays:
            raise FormatError(f"{WEIGHTS} holds {min(arrays)!r}, which belongs to no tensor of patch.json")
        return deltas
