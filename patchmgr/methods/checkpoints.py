"""Training that was interrupted goes on from a checkpoint: a folder of safetensors and JSON that is there as a whole.

A checkpoint holds all networks, Adam's moments, and which states were the best so far; the networks of those lie in
folders of their own. No generator's state is in it: what a step draws must hang on the seed and its number alone.

Glossary: a *part* of an editor is what is best at a step of its own, such as a router beside the model that answers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from patchmgr.canonical import canonical_json
from patchmgr.durable import new_folder
from patchmgr.errors import FormatError

_STATE, _TENSORS = "state.json", "tensors.safetensors"


@dataclass(frozen=True)
class Best:
    """The best state of a part so far."""

    step: int
    rank: tuple[float, ...]
    """The larger the better."""


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    step: int
    """Updates made."""
    best: Mapping[str, Best]
    waited: int
    """Validations since a part was better than before."""


@dataclass(frozen=True)
class Checkpoints:
    """Those of one training."""

    folder: Path

    def keep_best(self, part: str, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep a part's networks as those of its best state; older ones stay until the next checkpoint."""
        self._replace(self._best(part, step), tensors, {})

    def restore_best(self, part: str, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Give a part's networks the values of its best state.

        Raises:
            FormatError: they cannot be read.
        """
        _fill(tensors, _tensors(self._best(part, step)))

    def write(self, progress: Progress, tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
        """A checkpoint; the one before goes once this one is there."""
        moments = {
            f"adam.{part}.{name}": value
            for name, tensor in tensors.items()
            for part, value in optimiser.state.get(tensor, {}).items()
        }
        here = self.folder / f"checkpoint-{progress.step}"
        self._replace(here, {**{f"net.{name}": value for name, value in tensors.items()}, **moments}, asdict(progress))
        kept = {here, *(self._best(part, best.step) for part, best in progress.best.items())}
        for old in self.folder.glob("*-*"):
            if old.is_dir() and old not in kept:
                shutil.rmtree(old)

    def resume(self, tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> Progress:
        """Where the last run stopped, networks and moments restored; step 0 where there was none.

        Raises:
            FormatError: the checkpoint cannot be read.
        """
        steps = [int(path.name.removeprefix("checkpoint-")) for path in self.folder.glob("checkpoint-*")]
        if not steps:
            return Progress(0, {}, 0)
        here = self.folder / f"checkpoint-{max(steps)}"
        found = _tensors(here)
        _fill(tensors, {name.removeprefix("net."): value for name, value in found.items() if name.startswith("net.")})
        for name, tensor in tensors.items():
            for part in ("step", "exp_avg", "exp_avg_sq"):
                if f"adam.{part}.{name}" in found:
                    moment = found[f"adam.{part}.{name}"]
                    optimiser.state[tensor][part] = moment if part == "step" else moment.to(tensor.device)
        try:
            return _progress(json.loads((here / _STATE).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{here / _STATE} cannot be read ({error})", hint="remove the folder") from None

    def _best(self, part: str, step: int) -> Path:
        return self.folder / f"{part}-{step}"

    def _replace(self, folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        if folder.exists():
            shutil.rmtree(folder)  # of a run that was killed before its next checkpoint
        with new_folder(folder, what="a checkpoint") as temporary:
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary / _TENSORS
            )
            (temporary / _STATE).write_bytes(canonical_json(dict(state)))


def _progress(value: dict[str, Any]) -> Progress:
    best = {
        str(part): Best(int(found["step"]), tuple(float(each) for each in found["rank"]))
        for part, found in value["best"].items()
    }
    return Progress(int(value["step"]), best, int(value["waited"]))


def _tensors(folder: Path) -> dict[str, Tensor]:
    try:
        return load_file(folder / _TENSORS)
    except (OSError, SafetensorError) as error:
        raise FormatError(f"{folder / _TENSORS} cannot be read ({error})", hint="remove the folder") from None


@torch.no_grad()
def _fill(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
