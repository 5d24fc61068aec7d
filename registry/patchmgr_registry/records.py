"""What goes into the registry and comes out of it: frozen values, no rows.

Every digest is a lower-case hexadecimal SHA-256, every moment the text of :mod:`patchmgr_registry.clock`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from patchmgr_registry.owner import Owner

Status = Literal["pending", "ready", "failed", "removed"]
"""``pending``: being written · ``ready``: can be loaded · ``failed``: never came to be · ``removed``: cleared away."""

Action = Literal["add", "apply", "revert", "rollback", "sync"]
"""What made a generation."""

Phase = Literal["before", "after"]
"""Whether a score was measured on the parent state or on the state with the package."""


class BaseKey(NamedTuple):
    """What makes two bases the same: weights, config and tokenizer."""

    fingerprint: str
    config_sha256: str
    tokenizer_sha256: str


@dataclass(frozen=True, slots=True)
class BaseRecord:
    """An immutable checkpoint."""

    fingerprint: str
    """Merkle root of the weights."""
    config_sha256: str
    tokenizer_sha256: str
    source: str
    """Where it came from: a Hub id or a folder, as the user named it."""
    revision: str | None
    """The Hub commit, None for a folder."""
    folder: str
    """Where its files lie on this machine."""
    architecture: str
    n_parameters: int
    size_bytes: int
    created: str

    @property
    def key(self) -> BaseKey:
        """The identity of this base."""
        return BaseKey(self.fingerprint, self.config_sha256, self.tokenizer_sha256)


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """One tensor of a base."""

    name: str
    file: str
    """The checkpoint file that holds it, relative to the base's folder."""
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A name for a base and what was done to it."""

    name: str
    base: BaseRecord
    generation: int
    """Number of the current generation."""
    created: str

    @property
    def base_fingerprint(self) -> str:
        """Merkle root of the base's weights."""
        return self.base.fingerprint


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a package; its bytes lie in the blob store under ``sha256``."""

    path: str
    """POSIX path inside the package."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """One version of an edit package, as a list shows it."""

    package: str
    number: int
    digest: str
    """SHA-256 of the manifest."""
    parent_version: int | None
    kind: str
    """``weights`` or ``memory``."""
    method: str
    message: str
    author: str
    created: str
    base_fingerprint: str
    """The base it was made for, which need not be registered here."""
    parent_root: str
    """Root of the state it was computed on."""
    parent_packages: tuple[str, ...]
    """Digests of the packages of that state; none means the pristine base."""
    n_edits: int
    size_bytes: int

    @property
    def reference(self) -> str:
        """How a user names it, such as ``fact-fixes@v3``."""
        return f"{self.package}@v{self.number}"


@dataclass(frozen=True, slots=True)
class VersionRecord(VersionSummary):
    """One version of an edit package, with all that makes it."""

    manifest: str
    """The manifest itself, canonical JSON."""
    files: tuple[FileRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class ForgottenRecord:
    """A version whose texts and payload were erased: what it was known by, and why it is gone."""

    package: str
    number: int
    digest: str
    method: str
    n_edits: int
    time: str
    actor: str
    reason: str

    @property
    def reference(self) -> str:
        """How a user names it, such as ``fact-fixes@v3``."""
        return f"{self.package}@v{self.number}"


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """The signature of a version; its bytes lie in the blob store under ``sha256``."""

    sha256: str
    size_bytes: int
    created: str
    """When it came here, which is not when it was made."""


@dataclass(frozen=True, slots=True)
class EditorRecord:
    """One version of a trained editor."""

    name: str
    number: int
    digest: str
    """SHA-256 of the manifest."""
    method: str
    """Whose edits use it."""
    created: str
    size_bytes: int
    manifest: str
    """The manifest itself, canonical JSON."""
    files: tuple[FileRecord, ...] = ()

    @property
    def reference(self) -> str:
        """How a user names it, such as ``scope@v2``."""
        return f"{self.name}@v{self.number}"


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A package as a list of packages shows it."""

    name: str
    n_versions: int
    latest: VersionSummary
    tags: Mapping[str, int] = field(default_factory=dict)
    """Tag to version number."""


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """One measured number, with everything needed to measure it again."""

    metric: str
    protocol: str
    phase: Phase
    value: float
    n: int
    dataset_sha256: str
    seed: int
    state_root: str
    low: float | None = None
    """Lower end of the 95 % interval; None where there is none."""
    high: float | None = None
    compute_dtype: str = "float32"
    created: str | None = None
    """When it was measured."""


class Result(NamedTuple):
    """A score after the edit, as a list shows it."""

    metric: str
    value: float
    dataset_sha256: str


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """What a model was after one change."""

    model: str
    number: int
    status: Status
    action: Action
    state_root: str | None
    """None while it is not known yet, or never came to be."""
    folder: str | None
    """Where the checkpoint lies; None for one that has no folder of its own."""
    packages: tuple[str, ...]
    """Version digests in the order of the stack."""
    tensors: Mapping[str, str]
    """Result digest of every touched tensor."""
    message: str
    created: str
    owner: Owner
    """The process that made it."""
    heartbeat: str
    """The last sign of life of that process."""

    @property
    def is_stale(self) -> bool:
        """Whether it is pending although nobody writes it any more."""
        return self.status == "pending" and not self.owner.is_alive(self.heartbeat)


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """A name for a place that packages are pushed to."""

    name: str
    url: str
    created: str
