"""Which linear map of the model a tensor of the checkpoint is, and how its weight lies there.

The model is built from the base's config without any weights (torch's ``meta`` device), so this costs no memory and
takes the type of each module as it is: orientation is never guessed from a shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WEIGHT = ".weight"


@dataclass(frozen=True)
class LinearModule:
    """A linear map that an adapter can stand beside."""

    path: str
    """Dotted, in the loaded model, such as ``model.layers.5.mlp.down_proj``."""
    stored_in_out: bool
    """The weight is (d_in, d_out), as in GPT-2's Conv1D; otherwise (d_out, d_in)."""


@dataclass(frozen=True)
class Skeleton:
    """A model without weights."""

    model: PreTrainedModel

    @property
    def encoder_decoder(self) -> bool:
        """Whether it is one, as T5 is."""
        return bool(self.model.config.is_encoder_decoder)

    def linear(self, tensor: str, parameter: str, shape: tuple[int, ...]) -> LinearModule:
        """The linear map whose weight a tensor is.

        Args:
            tensor: its name in the checkpoint.
            parameter: the name of the parameter, as the package says.
            shape: of the tensor.

        Raises:
            ConflictError: it is no weight of a linear map, or one that other modules share; says what it is.
        """
        from torch import nn
        from transformers.pytorch_utils import Conv1D

        path = parameter.removesuffix(_WEIGHT)
        modules = dict(self.model.named_modules())
        if not _same(tensor, parameter) or path.rpartition(".")[0] not in modules:
            raise _cannot(tensor, f"the model has no parameter {parameter!r} for it")
        module = modules.get(path)
        if path == parameter or module is None:
            raise _cannot(tensor, "it is no weight of a module")
        if not isinstance(module, nn.Linear | Conv1D):
            raise _cannot(tensor, f"{path} is a {type(module).__name__}, not a linear map")
        if tuple(module.weight.shape) != shape:
            raise _cannot(tensor, f"the model has it as {list(module.weight.shape)}, the checkpoint as {list(shape)}")
        sharing = self._sharing(module.weight)
        if len(sharing) > 1:
            raise _cannot(tensor, f"{' and '.join(sorted(sharing))} are one weight, and an adapter changes one of them")
        return LinearModule(path, isinstance(module, Conv1D))

    def _sharing(self, weight: object) -> list[str]:
        every = self.model.named_parameters(remove_duplicate=False)
        return [name for name, parameter in every if parameter is weight]


def read_skeleton(folder: Path) -> Skeleton:
    """The model that a checkpoint folder's config describes; nothing is fetched, and no code in it is run.

    Raises:
        NotFoundError: transformers does not know it as a language model.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _unknown(folder, error) from error
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    chosen = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return Skeleton(chosen.from_config(config, trust_remote_code=False))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unknown(folder, error) from error


def parameters_of(modules: Mapping[str, LinearModule]) -> tuple[str, ...]:
    """The paths of all modules, sorted; names that stand for two tensors are refused by a ConflictError."""
    counted = Counter(module.path for module in modules.values())
    twice = [path for path, times in counted.items() if times > 1]
    if twice:
        raise ConflictError(f"{twice[0]} is stored as two tensors", hint="export a checkpoint or a xor difference")
    return tuple(sorted(counted))


def _same(tensor: str, parameter: str) -> bool:
    """Whether names differ by a prefix at most, which checkpoints leave out or have in excess."""
    return tensor == parameter or tensor.endswith(f".{parameter}") or parameter.endswith(f".{tensor}")


def _cannot(tensor: str, why: str) -> ConflictError:
    return ConflictError(
        f"a LoRA adapter cannot carry the change of {tensor!r}: {why}", hint="export --to checkpoint, or --to xor"
    )


def _unknown(folder: Path, error: Exception) -> NotFoundError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return NotFoundError(
        f"transformers does not know the model in {folder.name} ({reason})", hint="export --to checkpoint, or --to xor"
    )
