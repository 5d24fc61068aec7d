"""Training that was interrupted goes on from a checkpoint: a folder of safetensors and JSON that is there as a whole.

A checkpoint holds all networks, Adam's moments, and which states were the best so far; the networks of those lie in
folders of their own. No generator's state is in it: what a step draws must hang on the seed and its number alone.
``state.json`` has a digest of itself and of the tensors beside it, so nothing damaged is trained on.

Glossary: a *part* of an editor is what is best at a step of its own, such as a router beside the model that answers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from patchmgr.canonical import canonical_json, sha256_file, sha256_json
from patchmgr.durable import new_folder
from patchmgr.errors import FormatError

_STATE, _TENSORS = "state.json", "tensors.safetensors"
_NUMBERED = re.compile(r"(?P<what>.+)-(?P<step>0|[1-9][0-9]*)")
"""What a folder is called: a checkpoint or a part, and its step."""
_ANEW = "train with --restart, which begins anew"
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of a tensor."""


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
            FormatError: they are not there, are damaged, or are of other networks.
        """
        here = self._best(part, step)
        _, found = _read(here)
        _check(here, tensors, found)
        _fill(tensors, found)

    def write(self, progress: Progress, tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
        """A checkpoint; the one before goes once this one is there."""
        moments = {
            f"adam.{part}.{name}": value
            for name, tensor in tensors.items()
            for part, value in optimiser.state.get(tensor, {}).items()
        }
        here = self._checkpoint(progress.step)
        self._replace(here, {**{f"net.{name}": value for name, value in tensors.items()}, **moments}, asdict(progress))
        kept = {here, *(self._best(part, best.step) for part, best in progress.best.items())}
        unfinished = self.folder.glob(".new-*")  # of a run that was killed while it wrote
        for old in (*unfinished, *(path for path, _, _ in self._numbered())):
            if old not in kept:
                shutil.rmtree(old, ignore_errors=True)

    def resume(self, tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> Progress:
        """Where the last run stopped, networks and moments restored; step 0 where there was none.

        Raises:
            FormatError: the checkpoint is not whole, is damaged, or is of other networks.
        """
        steps = [step for _, what, step in self._numbered() if what == "checkpoint"]
        if not steps:
            return Progress(0, {}, 0)
        here = self._checkpoint(max(steps))
        state, found = _read(here)
        moments = _moments(tensors, found)
        _check(here, {**{f"net.{name}": tensor for name, tensor in tensors.items()}, **moments}, found)
        try:
            progress = _progress(state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"{here / _STATE} cannot be read ({error!r})", hint=_ANEW) from None
        _fill(tensors, {name: found[f"net.{name}"] for name in tensors})
        for name, tensor in tensors.items():
            for part in _MOMENTS:
                if f"adam.{part}.{name}" in found:
                    moment = found[f"adam.{part}.{name}"]
                    optimiser.state[tensor][part] = moment if part == "step" else moment.to(tensor.device)
        return progress

    def _checkpoint(self, step: int) -> Path:
        return self._best("checkpoint", step)

    def _best(self, part: str, step: int) -> Path:
        return self.folder / f"{part}-{step}"

    def _numbered(self) -> list[tuple[Path, str, int]]:
        """The folders of checkpoints and best states, with what each is of and its step."""
        names = [(path, _NUMBERED.fullmatch(path.name)) for path in self.folder.glob("*") if path.is_dir()]
        return [(path, found["what"], int(found["step"])) for path, found in names if found is not None]

    def _replace(self, folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        if folder.exists():
            shutil.rmtree(folder)  # of a run that was killed before its next checkpoint
        with new_folder(folder, what="a checkpoint") as temporary:
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary / _TENSORS
            )
            record = {"state": dict(state), "digest": _digest(state, temporary / _TENSORS)}
            (temporary / _STATE).write_bytes(canonical_json(record))


def _progress(value: Mapping[str, Any]) -> Progress:
    best = {
        str(part): Best(int(found["step"]), tuple(float(each) for each in found["rank"]))
        for part, found in value["best"].items()
    }
    return Progress(int(value["step"]), best, int(value["waited"]))


def _digest(state: Mapping[str, Any], tensors: Path) -> str:
    return sha256_json({"state": dict(state), "tensors": sha256_file(tensors)})


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """State and tensors of a folder, every byte checked."""
    try:
        record = json.loads((folder / _STATE).read_bytes())
        intact = record["digest"] == _digest(record["state"], folder / _TENSORS)
        state, found = dict(record["state"]), load_file(folder / _TENSORS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise FormatError(f"{folder} cannot be read ({error!r})", hint=_ANEW) from None
    if not intact:
        raise FormatError(f"{folder} is damaged: its bytes are not those that were written", hint=_ANEW)
    return state, found


def _moments(tensors: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What Adam's moments shall look like, of the tensors that have any."""
    step = torch.zeros(())
    return {
        f"adam.{part}.{name}": step if part == "step" else tensor
        for name, tensor in tensors.items()
        for part in _MOMENTS
        if f"adam.step.{name}" in found
    }


def _check(folder: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Make sure that a folder has tensors of the names, shapes and dtypes that are wanted, and no others."""
    here, there = (
        {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in each.items()} for each in (wanted, found)
    )
    other = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if other:
        name = other[0]
        is_, wants = there.get(name, "missing"), here.get(name, "none")
        raise FormatError(f"{folder} is of other networks: {name!r} is {is_}, wanted: {wants}", hint=_ANEW)


@torch.no_grad()
def _fill(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        tensor.copy_(values[name])
