"""Which deltas fall on which tensor of a base, for a whole stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from patchmgr.base.checkpoint import Checkpoint, check_editable
from patchmgr.errors import BaseMismatchError
from patchmgr.package.encodings.contract import Encoding, Factors
from patchmgr.package.reader import EditPackage

Sums = Mapping[str, Sequence[Factors]]
"""The additive deltas of each touched tensor, by its name in the checkpoint."""


def collect(packages: Sequence[EditPackage], encodings: Mapping[str, Encoding], base: Checkpoint) -> Sums:
    """The deltas of all packages, tensor by tensor.

    Raises:
        BaseMismatchError: a touched tensor is missing in the base, or has another dtype or shape there.
        FormatError: a package's arrays cannot be read.
    """
    sums: dict[str, list[Factors]] = {}
    for package in packages:
        deltas = package.deltas(encodings)
        for touched in package.manifest.tensors:
            _, entry = base.entry(touched.name)
            check_editable(touched.name, entry)
            if (entry.dtype, entry.shape) != (touched.dtype, touched.shape):
                raise BaseMismatchError(
                    f"{package.manifest.reference}: {touched.name!r} is {touched.dtype} {list(touched.shape)} in the "
                    f"package and {entry.dtype} {list(entry.shape)} in the base",
                    hint="make the package again for this base",
                )
            sums.setdefault(touched.name, []).append(deltas[touched.name])
    return sums
