"""``patch.json``, the manifest of an edit package, format version 1 (specified in ``docs/format.md``).

Parsing happens once, here: a :class:`Manifest` is valid in itself. Whether the files beside it are what it says is
checked by :mod:`patchmgr.package.reader`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.errors import UsageError
from patchmgr.package.fields import (
    NAME_PATTERN,
    Count,
    Dtype,
    FileRecord,
    InnerPath,
    Moment,
    Name,
    Number,
    Section,
    Sha256,
)
from patchmgr.package.memory.bundle import bundle_root
from patchmgr.package.parsing import parse_canonical

FORMAT_VERSION: Final = 1
KERNEL: Final = "exact-v1"


class MethodRecord(Section):
    """Which method made the package, with all that decides its result."""

    left_out = frozenset({"given"})

    name: str
    version: str
    parameters: Mapping[str, Any] = Field(default_factory=dict)
    given: tuple[str, ...] | None = Field(default=None, strict=False)
    """Names of the parameters that somebody gave, sorted; the others were defaults or derived. None: not recorded."""
    seed: int = 0
    contexts: tuple[str, ...] = Field(default=(), strict=False)
    artefacts: Mapping[str, Sha256] = Field(default_factory=dict)


class BaseRecord(Section):
    """The base that the package was made for: where it came from (informative) and what it is (binding)."""

    left_out = frozenset({"shards"})

    source: str
    revision: str | None = None
    fingerprint: Sha256
    config_sha256: Sha256
    tokenizer_sha256: Sha256
    shards: Mapping[InnerPath, Sha256] | None = None
    """Digest of each safetensors file of a base from the Hub, which tells the same of its copies; None: not known."""


class ParentRecord(Section):
    """The state that the package was computed on; no packages means the pristine base."""

    root: Sha256
    packages: tuple[Sha256, ...] = Field(default=(), strict=False)


class TouchedTensor(Section):
    """One tensor that the package changes, under its name in the checkpoint and in the loaded model."""

    name: Annotated[str, Field(min_length=1)]
    module: str
    dtype: Dtype
    shape: tuple[Annotated[int, Field(gt=0, lt=2**63)], ...] = Field(strict=False)
    encoding: str
    before_sha256: Sha256
    after_sha256: Sha256


class MemoryRecord(Section):
    """What a memory package needs where it is put; its bundle says the rest."""

    left_out = frozenset({"reads"})

    runtime: Annotated[str, Field(min_length=1)]
    """The plugin that answers."""
    level: Literal["text", "hidden"]
    """``text``: it works on any base; ``hidden``: on the one that it was made for."""
    n_entries: Count
    reads: Mapping[str, Sha256] | None = None
    """Of a hidden one: each tensor on which its claims depend, by its name in the checkpoint, as it was made on it."""

    @model_validator(mode="after")
    def _reads_what_it_must(self) -> MemoryRecord:
        if (self.level == "hidden") != bool(self.reads):
            raise ValueError("a hidden memory names the tensors that it reads, and a memory of texts reads none")
        return self


class Manifest(Section):
    """Everything that a package says of itself."""

    left_out = frozenset({"memory"})

    format_version: Literal[1] = FORMAT_VERSION
    name: Name
    version: Number
    parent_version: Number | None = None
    message: str = ""
    author: str
    created: Moment
    license: str | None = None
    kind: Literal["weights", "memory"]
    kernel: Literal["exact-v1"] = KERNEL
    method: MethodRecord
    base: BaseRecord
    parent: ParentRecord
    tensors: tuple[TouchedTensor, ...] = Field(default=(), strict=False)
    memory: MemoryRecord | None = None
    n_edits: Count
    files: Mapping[InnerPath, FileRecord]
    libraries: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hangs_together(self) -> Manifest:
        names = [tensor.name for tensor in self.tensors]
        if len(set(names)) != len(names):
            raise ValueError("a tensor is listed twice")
        if (self.kind == "weights") != bool(names):
            raise ValueError("a weights package touches at least one tensor, and no other kind does")
        if (self.kind == "memory") != (self.memory is not None):
            raise ValueError("a memory package says which runtime it needs, and no other kind does")
        if self.method.given is not None and list(self.method.given) != sorted(set(self.method.given)):
            raise ValueError("the names of method.given are not sorted, or one stands twice")
        if self.parent_version is not None and self.parent_version >= self.version:
            raise ValueError("parent_version is not below version")
        for path in self.files:
            folder = path
            while folder := folder.rpartition("/")[0]:
                if folder in self.files:
                    raise ValueError(f"{path!r} lies in a file")
        return self

    def to_bytes(self) -> bytes:
        """The canonical bytes of ``patch.json``."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes: what the package is known by."""
        return sha256_hex(self.to_bytes())

    @property
    def bundle_root(self) -> str | None:
        """What the bundle of a memory package is known by in a state root; None: it is none."""
        digests = {name: record.sha256 for name, record in self.files.items()}
        return None if self.memory is None else bundle_root(digests)

    @property
    def reference(self) -> str:
        """``name@v3``."""
        return f"{self.name}@v{self.version}"


def parse_manifest(data: bytes) -> Manifest:
    """A manifest from the bytes of ``patch.json``.

    Raises:
        FormatError: as those of :func:`patchmgr.package.parsing.parse_canonical`.
    """
    return parse_canonical(Manifest, data, "patch.json", version=FORMAT_VERSION, hint="fetch the package again")


def check_name(name: str) -> str:
    """The name of a package or a model, if it may be one.

    Raises:
        UsageError: it has characters that a name cannot have.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} cannot be a name", hint="use lower-case letters, digits, '.', '_' and '-', such as fact-fixes"
        )
    return name
