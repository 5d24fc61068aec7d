"""What an exporter is: it lays a state out as files that programs without patchmgr read.

It is asked twice. ``prepare`` looks at everything, refuses what the form cannot carry, and says what there will be;
``Prepared.write`` then fills a folder, which becomes visible only when it is whole. A form that carries less than the
state says so in :attr:`Prepared.facts`, or is refused: nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.package.manifest import BaseRecord, Manifest
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from patchmgr.package.encodings.contract import Delta

ExportDtype = Literal["float32", "bfloat16", "float16"]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""


@dataclass(frozen=True)
class ExportSource:
    """A base with the packages on it that are exported."""

    name: str
    """Of the model, or the reference of the package."""
    base: Checkpoint
    known: Fingerprint
    """Of the base."""
    origin: BaseRecord
    """Where the base came from."""
    packages: tuple[EditPackage, ...]
    """Every package of the stack in order, memories too."""
    sums: Mapping[str, Sequence[Delta]]
    """The deltas of each touched tensor, by its name in the checkpoint; a replacement comes first."""
    results: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of touched tensors of the state, as far as they are known beforehand; what is written must meet them."""

    @property
    def stack(self) -> tuple[Manifest, ...]:
        """The manifests of the packages."""
        return tuple(package.manifest for package in self.packages)

    @property
    def memories(self) -> tuple[EditPackage, ...]:
        """The memory packages, in order."""
        return tuple(package for package in self.packages if package.manifest.kind == "memory")

    @property
    def before(self) -> Mapping[str, str]:
        """SHA-256 of the touched tensors in the base."""
        return {name: self.known.tensors[name].sha256 for name in self.sums}


@dataclass(frozen=True)
class ExportOptions:
    """What a user may say; an exporter refuses what means nothing to it."""

    rank: int | None = None
    """The rank of a LoRA adapter; None: as small as the packages allow."""
    lossy: bool = False
    """Come as near as the rank and the dtype allow, and say how near that is."""
    dtype: ExportDtype = "float32"
    """What an adapter is stored in."""
    weights_only: bool = False
    """Leave the memories of the stack out."""

    def given(self) -> tuple[str, ...]:
        """The options that are not at their default, as they are typed."""
        words = {"--rank": self.rank is not None, "--lossy": self.lossy, "--dtype": self.dtype != "float32"}
        return tuple(word for word, is_given in {**words, "--weights-only": self.weights_only}.items() if is_given)


@dataclass(frozen=True)
class Written:
    """What an exporter wrote."""

    state_root: str | None = None
    """Of the state that the files give exactly; None: they hold no state, but something to be added to one."""


@dataclass(frozen=True)
class Prepared:
    """An export that can be carried out."""

    files: tuple[str, ...]
    """Names of all files that will be there."""
    facts: Mapping[str, Any]
    """What is to know of it, as JSON values."""
    remarks: tuple[str, ...]
    """What its user should know before using it, a sentence each."""
    write: Callable[[Path, Progress], Written]
    """Fill an empty folder."""


class Exporter(Protocol):
    """One form that states are exported in. What it needs to work is imported when it works."""

    name: ClassVar[str]
    """What stands behind ``--to``."""
    description: ClassVar[str]
    """One line."""

    def prepare(self, source: ExportSource, options: ExportOptions) -> Prepared:
        """Look at everything and write nothing.

        Raises:
            ConflictError: the form cannot carry a package of the stack; names it, why, and the next step.
            UsageError: an option that means nothing here.
            PatchmgrError: the base or a package cannot be read.
        """
        ...
