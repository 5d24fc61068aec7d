"""What an editor is made of: the scope classifier's networks and the counterfactual model, and their files.

A network is a folder as transformers has it, ``encoder/``, ``cross/`` and ``counterfactual/``: safetensors and JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import logging

from patchmgr.canonical import sha256_file, sha256_json
from patchmgr.errors import MethodError
from patchmgr.live.load import load_model
from patchmgr.methods.contract import LoadedModel
from patchmgr_memory.encoder import FILES, encoder_folder, laid_out, load_encoder
from patchmgr_serac import counterfactual
from patchmgr_serac.scope import CrossReader, Pooling, ScopeEncoder

if TYPE_CHECKING:
    from patchmgr_serac.parameters import RouterForm, SeracTraining

PARTS = ("encoder", "cross", "counterfactual")
_ANSWERING = "counterfactual."
_HEAD = "head.safetensors"
_MODEL_FILES = (*FILES, "generation_config.json")
_PUBLISHED_RATE, _PUBLISHED_WIDTH, _HIGHEST_RATE = 1e-5, 768, 3e-4
_FASTER_ANSWERING = 3.0


@dataclass(frozen=True, eq=False)
class Networks:
    """The parts that an editor has; a router of one form lacks the other's network."""

    encoder: ScopeEncoder | None
    cross: CrossReader | None
    answering: LoadedModel | None
    """None: the base answers itself."""

    def modules(self) -> Iterator[tuple[str, nn.Module, int]]:
        """Name, network and width of each part."""
        if self.encoder is not None:
            yield "encoder", self.encoder, self.encoder.width
        if self.cross is not None:
            yield "cross", self.cross, self.cross.encoder.width
        if self.answering is not None:
            yield "counterfactual", self.answering.model, int(self.answering.model.config.hidden_size)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is trained, tied weights once, under its part's name."""
        return {
            f"{part}.{name}": parameter
            for part, module, _ in self.modules()
            for name, parameter in module.named_parameters()
        }

    def routing(self) -> dict[str, Tensor]:
        """The scope classifier's part of :meth:`tensors`."""
        return {name: tensor for name, tensor in self.tensors().items() if not name.startswith(_ANSWERING)}

    def answers(self) -> dict[str, Tensor]:
        """The counterfactual model's part of it."""
        return {name: tensor for name, tensor in self.tensors().items() if name.startswith(_ANSWERING)}

    def train(self, mode: bool) -> None:
        """All parts in training mode, or in evaluation mode."""
        for _, module, _ in self.modules():
            module.train(mode)

    def optimiser(self, learning_rate: float | None) -> torch.optim.Adam:
        """Adam over all parts, each with its rate."""
        groups = [
            {"params": list(module.parameters()), "lr": learning_rate or derived_rate(width, part)}
            for part, module, width in self.modules()
        ]
        return torch.optim.Adam(groups, foreach=False)

    def save(self, folder: Path) -> dict[str, Path]:
        """Write all parts; returns the files by their path in the folder.

        Raises:
            MethodError: a tokenizer has no ``tokenizer.json``.
        """
        if self.encoder is not None:
            _save(self.encoder.model, self.encoder.reading.tokenizer, folder / "encoder")
        if self.cross is not None:
            _save(self.cross.encoder.model, self.cross.reading.tokenizer, folder / "cross")
            save_file(dict(self.cross.head.state_dict()), folder / "cross" / _HEAD)
        if self.answering is not None:
            _save(self.answering.model, self.answering.tokenizer, folder / "counterfactual")
        wanted = {*_MODEL_FILES, _HEAD}
        found = [path for part in PARTS for path in sorted((folder / part).glob("*")) if path.name in wanted]
        return {path.relative_to(folder).as_posix(): path for path in found}


def derived_rate(width: int, part: str) -> float:
    """1e-5 · (768 / width)², at most 3e-4, and three times that for the counterfactual model.

    That is the published rate for a scope classifier of the published width, and more for smaller networks. The
    counterfactual model learns something new, to repeat what stands before; the encoder would forget what it knows.

    >>> derived_rate(768, "encoder"), derived_rate(64, "cross"), round(derived_rate(768, "counterfactual"), 9)
    (1e-05, 0.0003, 3e-05)
    """
    rate = min(_HIGHEST_RATE, _PUBLISHED_RATE * (_PUBLISHED_WIDTH / width) ** 2)
    return _FASTER_ANSWERING * rate if part == "counterfactual" else rate


def begin(parameters: SeracTraining, base: LoadedModel) -> Networks:
    """The networks before training; call it with torch's generator seeded.

    Raises:
        MethodError: the encoder or the counterfactual model cannot be loaded.
    """
    device = next(base.model.parameters()).device

    def fresh_encoder(pooling: Pooling) -> ScopeEncoder:
        return ScopeEncoder(*load_encoder(encoder_folder(parameters.encoder)), pooling)

    encoder = fresh_encoder(parameters.pooling) if parameters.router != "cross" else None
    cross = CrossReader(fresh_encoder("cls")) if parameters.router != "embedding" else None
    for part in (encoder, cross):
        if part is not None:
            part.to(device)
    return Networks(encoder, cross, counterfactual.start(parameters.counterfactual, base))


def open_encoder(files: Mapping[str, Path], pooling: Pooling, device: str) -> ScopeEncoder:
    """The embedding form's network from an editor's or a bundle's files, in evaluation mode.

    Raises:
        MethodError: transformers cannot load it.
    """
    with laid_out(files, "encoder") as folder:
        return ScopeEncoder(*load_encoder(folder), pooling).eval().to(device)


def open_cross(files: Mapping[str, Path], device: str) -> CrossReader:
    """The cross-attention form's network, in evaluation mode.

    Raises:
        MethodError: transformers cannot load it.
    """
    with laid_out(files, "cross") as folder:
        with torch.random.fork_rng(devices=[]):  # the head is drawn, and then read
            reader = CrossReader(ScopeEncoder(*load_encoder(folder), "cls"))
        reader.head.load_state_dict(load_file(folder / _HEAD))
        return reader.eval().to(device)


def open_counterfactual(files: Mapping[str, Path], device: str) -> LoadedModel:
    """The counterfactual model, known by the digest of its files.

    Raises:
        NotFoundError: transformers cannot load it.
    """
    with laid_out(files, "counterfactual") as folder:
        return load_model(folder, f"serac-{digest_of(files, 'counterfactual')}", device=device)


def digest_of(files: Mapping[str, Path], part: str) -> str:
    """Of the files of a part, by their names; equal networks have equal ones."""
    return sha256_json({name: sha256_file(path) for name, path in files.items() if name.startswith(f"{part}/")})


def parts_of(form: RouterForm, *, own: bool) -> Sequence[str]:
    """The parts of an editor whose router has this form, with a counterfactual model of its own or without."""
    scope = {"embedding": ("encoder",), "cross": ("cross",), "two-stage": ("encoder", "cross")}[form]
    return (*scope, "counterfactual") if own else scope


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
    if not (folder / "tokenizer.json").is_file():
        raise MethodError(
            f"the tokenizer of {type(model).__name__} has no tokenizer.json", hint="give a model with a fast tokenizer"
        )
