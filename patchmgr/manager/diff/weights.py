"""The tensors that two packages, or two states, do not have alike; of a base only those are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.canonical import sha256_hex
from patchmgr.manager.states import open_packages
from patchmgr.ops.additive import as_sum
from patchmgr.ops.deltas import tensor_norm
from patchmgr.ops.difference.contract import TensorDifference
from patchmgr.ops.difference.weights import Tensor, Term, same_arrays, tensor_difference
from patchmgr.ops.expected import check_digest
from patchmgr.package.encodings.contract import Delta, matrix_shape
from patchmgr.package.reader import WEIGHTS

if TYPE_CHECKING:
    from patchmgr.manager.diff.sides import Packages, PackageSide, States, StateSide
    from patchmgr.manager.manager import Manager
    from patchmgr.package.manifest import TouchedTensor
    from patchmgr.package.reader import EditPackage
    from patchmgr_registry import BaseRecord, TensorRecord


@dataclass(frozen=True)
class _Base:
    """A base, as far as it is on this machine."""

    fingerprint: str | None = None
    checkpoint: Checkpoint | None = None
    tensors: Mapping[str, TensorRecord] = field(default_factory=dict)

    def read(self, name: str) -> bytes | None:
        """The bytes of a tensor; None where they are not here.

        Raises:
            IntegrityError: they are not what was registered.
        """
        if self.checkpoint is None or name not in self.tensors or name not in self.checkpoint.tensors:
            return None
        data = self.checkpoint.read_bytes(name)
        check_digest(name, sha256_hex(data), self.tensors[name].sha256)
        return data


@dataclass(frozen=True)
class _Opened:
    """A side with the packages that matter opened."""

    base: _Base
    packages: Sequence[tuple[EditPackage, Mapping[str, Delta]]] = ()

    def tensor(self, name: str, stored: bytes | None) -> Tensor | None:
        """A tensor as this side sees it; None where it has none of that name."""
        touching = [(package, touched, deltas[name]) for package, touched, deltas in self._touching(name)]
        entry = touching[0][1] if touching else self.base.tensors.get(name)
        if entry is None:
            return None
        bits, shape = None if stored is None else np.frombuffer(stored, np.uint8), matrix_shape(entry.shape)
        terms = tuple(
            Term(
                package.manifest.reference,
                package.manifest.digest,
                touched.encoding,
                as_sum(delta, stored=bits, dtype=entry.dtype, shape=shape),
            )
            for package, touched, delta in touching
        )
        return Tensor(entry.dtype, entry.shape, terms, None if stored is None else tensor_norm(stored, entry.dtype))

    def _touching(self, name: str) -> Iterator[tuple[EditPackage, TouchedTensor, Mapping[str, Delta]]]:
        for package, deltas in self.packages:
            for touched in package.manifest.tensors:
                if touched.name == name:
                    yield package, touched, deltas


def package_weights(manager: Manager, sides: Packages) -> tuple[TensorDifference, ...]:
    """The tensors whose deltas two packages do not store alike.

    Raises:
        FormatError: a package's arrays cannot be read.
        IntegrityError: the base is not what was registered.
    """
    if sides.a is not None and _same_payload(sides.a.package, sides.b.package):
        return ()
    opened = [_open_package(manager, side) for side in (sides.a, sides.b)]
    together = {touched.name for one in opened for package, _ in one.packages for touched in package.manifest.tensors}
    names = [name for name in sorted(together, key=_natural) if not _stored_alike(manager, opened, name)]
    same_base = sides.a is None or opened[0].base.fingerprint == opened[1].base.fingerprint
    return _measured(manager, names, opened, same_base=same_base)


def state_weights(manager: Manager, sides: States) -> tuple[TensorDifference, ...]:
    """The tensors whose bytes differ between two states; packages that touch none of them stay shut.

    Raises:
        IntegrityError: a package or the base is not what was registered.
    """
    bases = [_base(manager, (side.model.base,)) for side in (sides.a, sides.b)]
    digests = [
        {name: record.sha256 for name, record in base.tensors.items()} | dict(side.generation.tensors)
        for base, side in zip(bases, (sides.a, sides.b), strict=True)
    ]
    together = sorted(digests[0].keys() | digests[1].keys(), key=_natural)
    names = [name for name in together if digests[0].get(name) != digests[1].get(name)]
    opened = [
        _Opened(base, _open_touching(manager, side, set(names)))
        for base, side in zip(bases, (sides.a, sides.b), strict=True)
    ]
    return _measured(manager, names, opened, same_base=bases[0].fingerprint == bases[1].fingerprint)


def _measured(
    manager: Manager, names: Sequence[str], opened: Sequence[_Opened], *, same_base: bool
) -> tuple[TensorDifference, ...]:
    """Tensor by tensor; that of a base is in memory once, however many packages stand on it."""
    a, b = opened
    found = []
    for number, name in enumerate(names):
        manager.progress(number, len(names), "comparing the weights")
        stored = a.base.read(name)
        other = stored if a.base.fingerprint == b.base.fingerprint else b.base.read(name)
        found.append(tensor_difference(name, a.tensor(name, stored), b.tensor(name, other), same_base=same_base))
    return tuple(found)


def _open_package(manager: Manager, side: PackageSide | None) -> _Opened:
    if side is None:
        return _Opened(_Base())
    fingerprint = side.package.manifest.base.fingerprint
    base = _base(manager, manager.registry.bases(fingerprint), fingerprint)
    return _Opened(base, [(side.package, side.package.deltas(manager.plugins.encodings))])


def _open_touching(manager: Manager, side: StateSide, names: set[str]) -> list[tuple[EditPackage, Mapping[str, Delta]]]:
    """Those packages of a stack that touch one of these tensors."""
    touching = [manifest for manifest in side.stack if any(tensor.name in names for tensor in manifest.tensors)]
    packages = open_packages(manager, touching)
    return [(package, package.deltas(manager.plugins.encodings)) for package in packages]


def _base(manager: Manager, records: Iterable[BaseRecord], fingerprint: str | None = None) -> _Base:
    """The first of some records of one base whose folder is there; else what is known of it."""
    known = tuple(records)
    for record in known:
        if Path(record.folder).is_dir():
            tensors = {tensor.name: tensor for tensor in manager.registry.tensors(record.key)}
            return _Base(record.fingerprint, Checkpoint.read(Path(record.folder)), tensors)
    if not known:
        return _Base(fingerprint)
    tensors = {tensor.name: tensor for tensor in manager.registry.tensors(known[0].key)}
    return _Base(known[0].fingerprint, None, tensors)


def _same_payload(a: EditPackage, b: EditPackage) -> bool:
    """Whether the files of weights are one, and mean the same on the same base."""
    files = [package.manifest.files.get(WEIGHTS) for package in (a, b)]
    same = a.manifest.base.fingerprint == b.manifest.base.fingerprint
    return same and files[0] == files[1] and _layout(a) == _layout(b)


def _layout(package: EditPackage) -> frozenset[tuple[object, ...]]:
    return frozenset((one.name, one.dtype, one.shape, one.encoding) for one in package.manifest.tensors)


def _stored_alike(manager: Manager, opened: Sequence[_Opened], name: str) -> bool:
    """Whether both packages have one delta for a tensor, to the last bit."""
    if opened[0].base.fingerprint != opened[1].base.fingerprint:
        return False
    found = [next(one._touching(name), None) for one in opened]
    if found[0] is None or found[1] is None:
        return False
    (_, a, of_a), (_, b, of_b) = found[0], found[1]
    if (a.dtype, a.shape, a.encoding) != (b.dtype, b.shape, b.encoding):
        return False
    return same_arrays(manager.plugins.encodings[a.encoding], of_a[name], of_b[name])


def _natural(name: str) -> tuple[tuple[str, int], ...]:
    """Layer 2 before layer 10.

    >>> sorted(["h.10.w", "h.2.w"], key=_natural)
    ['h.2.w', 'h.10.w']
    """
    parts = re.findall(r"([^0-9]*)([0-9]*)", name)
    return tuple((text, int(number or -1)) for text, number in parts)
