"""Kinds of fields that several files of a package share, checked as they are parsed."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from patchmgr.base.header import DTYPE_BITS

NAME_PATTERN = r"[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?"
RESERVED_FILES = ("patch.json", "model.sig")
"""The manifest cannot list itself, nor a signature that covers it."""
PICKLES = (".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
CODE = (".bat", ".dll", ".dylib", ".exe", ".ipynb", ".js", ".ps1", ".py", ".pyc", ".pyd", ".pyw", ".sh", ".so")
"""Names of files that run when something reads or calls them end so."""


class Section(BaseModel):
    """A frozen value that knows exactly its own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    left_out: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not stand in the JSON when they are None; all others always do."""

    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = whole(self)
        return {name: value for name, value in fields.items() if value is not None or name not in self.left_out}


def _utc(text: str) -> str:
    if not text.isascii() or datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").strftime("%Y-%m-%dT%H:%M:%SZ") != text:
        raise ValueError(f"{text!r} is not a moment such as 2026-01-02T03:04:05Z")
    return text


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    plain = bool(parts) and path.isprintable() and not set(path) & set("\\:") and str(PurePosixPath(path)) == path
    if not plain or path.startswith("/") or ".." in parts:
        raise ValueError(f"{path!r} is not a path inside the package")
    if path in RESERVED_FILES:
        raise ValueError(f"{path!r} is never listed")
    if path.lower().endswith((*PICKLES, *CODE)):
        raise ValueError(f"{path!r} is a pickle or code, which has no place in a package")
    return path


def _dtype(name: str) -> str:
    if name not in DTYPE_BITS:
        raise ValueError(f"{name[:60]!r} is no dtype of safetensors")
    return name


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[int, Field(ge=1, lt=2**31)]
"""Of a version."""
Moment = Annotated[str, AfterValidator(_utc)]
InnerPath = Annotated[str, AfterValidator(_inside)]
Dtype = Annotated[str, AfterValidator(_dtype)]


class FileRecord(Section):
    """A file that a manifest lists."""

    size_bytes: Count
    sha256: Sha256
