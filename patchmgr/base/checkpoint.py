"""A checkpoint folder of safetensors, one file or sharded, read without loading a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from patchmgr.base.header import Header, TensorEntry, read_header
from patchmgr.errors import BaseMismatchError, FormatError, IntegrityError, NotFoundError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
EDITABLE_DTYPES = ("F32", "F16", "BF16")

_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".safetensors", ".tflite", ".ot")
_OTHER_INDEXES = ("pytorch_model.bin.index.json", "flax_model.msgpack.index.json", "tf_model.h5.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """The files of a checkpoint and where each tensor lies in them; its bytes are read on demand."""

    folder: Path
    headers: Mapping[str, Header]
    """Header of every weight file, by file name."""
    companions: tuple[str, ...]
    """Names of the other files that belong to the model: config, tokenizer, index, card, code."""

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read the headers of a checkpoint.

        Raises:
            NotFoundError: the folder is not there, holds no model, or only a pickled one (says how to convert it).
            FormatError: a file is damaged, or the index and the shards disagree.
        """
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {str(folder)!r}", hint="give a checkpoint folder or a Hub id")
        if not (folder / "config.json").is_file():
            raise NotFoundError(f"{str(folder)!r} has no config.json", hint="give the folder of a transformers model")
        headers = {name: _header(folder, name) for name in _weight_files(folder)}
        checkpoint = cls(folder, headers, _companions(folder, headers))
        checkpoint._check_index()
        return checkpoint

    @cached_property
    def tensors(self) -> Mapping[str, tuple[str, TensorEntry]]:
        """File and entry of every tensor, by name."""
        return {entry.name: (file, entry) for file, header in self.headers.items() for entry in header.tensors}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The model's ``config.json``."""
        try:
            value = json.loads((self.folder / "config.json").read_bytes())
        except (ValueError, RecursionError) as error:
            raise FormatError(f"config.json is not JSON ({error})", hint="fetch the model again") from None
        if not isinstance(value, dict):
            raise FormatError("config.json is not an object", hint="fetch the model again")
        return value

    @property
    def architecture(self) -> str:
        """The class that the config names, such as ``LlamaForCausalLM``."""
        names = self.config.get("architectures")
        name = names[0] if isinstance(names, list) and names else self.config.get("model_type", "unknown")
        if not isinstance(name, str):
            raise FormatError("config.json names no architecture", hint="fetch the model again")
        return name

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.size_bytes for _, entry in self.tensors.values())

    def entry(self, name: str) -> tuple[str, TensorEntry]:
        """File and entry of one tensor.

        Raises:
            BaseMismatchError: this checkpoint has no such tensor.
        """
        try:
            return self.tensors[name]
        except KeyError:
            raise BaseMismatchError(
                f"{self.folder.name} has no tensor {name!r}", hint="the package was made for another model"
            ) from None

    def read_bytes(self, name: str) -> bytes:
        """The bytes of one tensor.

        Raises:
            IntegrityError: the file has changed or ended since its header was read.
        """
        file, entry = self.entry(name)
        with (self.folder / file).open("rb") as stream:
            stream.seek(entry.start)
            data = stream.read(entry.size_bytes)
        if len(data) != entry.size_bytes:
            raise IntegrityError(f"{file} ends inside {name!r}", hint="run `patchmgr model verify`")
        return data

    def _check_index(self) -> None:
        counted = sum(len(header.tensors) for header in self.headers.values())
        if counted != len(self.tensors):
            raise FormatError(f"{self.folder.name}: a tensor stands in two shards", hint="fetch the model again")
        if (self.folder / SINGLE_FILE).is_file():
            return
        for name, file in weight_map(self.folder).items():
            if self.tensors.get(name, ("",))[0] != file:
                raise FormatError(f"{INDEX_FILE} says that {name!r} is in {file}, and it is not", hint="fetch it again")


def check_editable(name: str, entry: TensorEntry) -> None:
    """Refuse a tensor that is not stored in a float format that sums are exact in.

    Raises:
        BaseMismatchError: the tensor is quantised or of another dtype; names it.
    """
    if entry.dtype not in EDITABLE_DTYPES:
        raise BaseMismatchError(
            f"tensor {name!r} is stored as {entry.dtype} and cannot be edited",
            hint=f"use a checkpoint in {', '.join(EDITABLE_DTYPES)}",
        )


def _weight_files(folder: Path) -> list[str]:
    if (folder / SINGLE_FILE).is_file():
        return [SINGLE_FILE]
    if (folder / INDEX_FILE).is_file():
        return sorted(set(weight_map(folder).values()))
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt"})
    if pickled:
        raise NotFoundError(
            f"{folder.name} holds only pickled weights ({pickled[0]}), which can run code when read",
            hint="convert it with AutoModelForCausalLM.from_pretrained(A).save_pretrained(B)",
        )
    raise NotFoundError(f"{folder.name} has neither {SINGLE_FILE} nor {INDEX_FILE}", hint="give a safetensors model")


def weight_map(folder: Path) -> dict[str, str]:
    """The shard of every tensor, by the index of a checkpoint.

    Raises:
        FormatError: it cannot be read, or names a file outside its folder.
    """
    try:
        files = json.loads((folder / INDEX_FILE).read_bytes())["weight_map"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise FormatError(f"{INDEX_FILE} has no readable weight_map", hint="fetch the model again") from None
    if not isinstance(files, dict) or not all(_is_plain_name(file) for file in files.values()):
        raise FormatError(f"{INDEX_FILE} names a file outside its folder", hint="do not use this model")
    return files


def _is_plain_name(file: object) -> bool:
    return isinstance(file, str) and file == Path(file).name and len(file) < 256 and file.endswith(".safetensors")


def _header(folder: Path, file: str) -> Header:
    if not (folder / file).is_file():
        raise NotFoundError(f"{folder.name} lacks the shard {file}", hint="fetch the model again")
    return read_header(folder / file)


def _companions(folder: Path, headers: Mapping[str, Header]) -> tuple[str, ...]:
    """Other weights are left out: beside edited tensors they would be the unedited model under the same roof."""
    return tuple(
        sorted(
            path.name
            for path in folder.iterdir()
            if path.is_file()
            and path.name not in headers
            and not path.name.endswith(_OTHER_WEIGHTS)
            and path.name not in _OTHER_INDEXES
            and not path.name.startswith(".")
        )
    )
