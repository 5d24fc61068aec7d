"""Tensors that several packages touch. Additive changes are summed, in any order; of replacements a tensor has one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from patchmgr.package.manifest import Manifest


@dataclass(frozen=True)
class SharedTensor:
    """A tensor that two or more packages touch."""

    name: str
    packages: tuple[str, ...]
    """References, in their order."""
    replacing: tuple[str, ...]
    """Those among them that replace its bytes; of two, only one can be applied."""

    @property
    def excluded(self) -> bool:
        """Whether they cannot be applied together."""
        return len(self.replacing) > 1


def shared_tensors(
    packages: Sequence[Manifest], replacing: Collection[str], among: Collection[str] | None = None
) -> tuple[SharedTensor, ...]:
    """The tensors that two or more packages touch, by name.

    Args:
        packages: in their order.
        replacing: names of the encodings that replace.
        among: digests of packages; only tensors that one of them touches. None: all.
    """
    touching: dict[str, list[tuple[Manifest, str]]] = {}
    for manifest in packages:
        for touched in manifest.tensors:
            touching.setdefault(touched.name, []).append((manifest, touched.encoding))
    return tuple(
        SharedTensor(
            name,
            tuple(manifest.reference for manifest, _ in found),
            tuple(manifest.reference for manifest, encoding in found if encoding in replacing),
        )
        for name, found in sorted(touching.items())
        if len(found) > 1 and (among is None or any(manifest.digest in among for manifest, _ in found))
    )
