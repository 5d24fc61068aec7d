"""Adapters of the library peft, put into a model's twin and read out of it.

It takes a while to import and is an extra, so only what runs a method imports it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import Architecture, Projection
from patchmgr_lora.equations import Pair, adalora_change, lora_change
from patchmgr_lora.parameters import AdaLoraParameters, LoraParameters

_NAME = "default"


def import_peft() -> ModuleType:
    """The library.

    Raises:
        MethodError: it is not installed, or cannot be imported.
    """
    try:
        import peft
    except ImportError as error:
        raise MethodError(
            f"the library peft cannot be imported: {error}", hint='pip install "patchmgr[lora]"'
        ) from error
    module: ModuleType = peft
    return module


class Adapters:
    """One adapter on each target of a twin, trained in place; nothing of the model it is the twin of is touched."""

    def __init__(
        self, architecture: Architecture, targets: Sequence[Projection], parameters: LoraParameters, n_steps: int
    ) -> None:
        """Put them in, drawn from torch's generator: they change nothing until they are trained.

        Args:
            architecture: of the twin.
            targets: linear maps of it.
            parameters: of the method.
            n_steps: of the optimiser, at most; AdaLoRA's schedule depends on it.
        """
        peft = import_peft()
        given: dict[str, Any] = {
            "target_modules": [target.name for target in targets],
            "lora_alpha": parameters.alpha,
            "lora_dropout": parameters.dropout,
            "fan_in_fan_out": targets[0].orientation == "in_out",
        }
        if isinstance(parameters, AdaLoraParameters):
            config = peft.AdaLoraConfig(
                init_r=parameters.initial_rank, target_r=parameters.rank, **schedule(n_steps), **given
            )
        else:
            config = peft.LoraConfig(r=parameters.rank, **given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of every map that lies the other way round, and takes it so
            self._tuner: Any = peft.get_peft_model(architecture.model, config).base_model
        self.adaptive = isinstance(parameters, AdaLoraParameters)
        self._allocates = gives_up_ranks(parameters)
        self.targets = tuple(targets)
        self._layers: list[Any] = [architecture.model.get_submodule(target.name) for target in targets]
        for layer in self._layers:
            layer.lora_dropout.train()
        self.variables: tuple[Tensor, ...] = tuple(
            weight for weight in architecture.model.parameters() if weight.requires_grad
        )

    def vectors(self) -> list[tuple[Tensor, Tensor]]:
        """A and B of every target, as they are trained."""
        return [(_weight(layer.lora_A[_NAME]), _weight(layer.lora_B[_NAME])) for layer in self._layers]

    def allocate(self, step: int, gradients: Sequence[Tensor]) -> None:
        """Give up the singular values that matter least, as far as the schedule wants it after this step."""
        if not self._allocates:
            return
        for variable, gradient in zip(self.variables, gradients, strict=True):
            variable.grad = gradient
        self._tuner.update_and_allocate(step)
        for variable in self.variables:
            variable.grad = None

    def changes(self) -> list[Pair]:
        """What each target's weight is changed by, as (left, right) with ΔW = left @ right."""
        found = []
        for layer, (A, B) in zip(self._layers, self.vectors(), strict=True):
            scale = layer.scaling[_NAME]
            if self.adaptive:
                rank = float(layer.ranknum[_NAME]) + 1e-5
                found.append(adalora_change(A.detach(), layer.lora_E[_NAME].detach(), B.detach(), scale / rank))
            else:
                found.append(lora_change(A.detach(), B.detach(), scale))
        return found


def gives_up_ranks(parameters: LoraParameters) -> bool:
    """Whether there are ranks to give up, which takes some steps."""
    return isinstance(parameters, AdaLoraParameters) and parameters.initial_rank > parameters.rank


def schedule(n_steps: int) -> dict[str, int]:
    """When AdaLoRA begins to give up ranks and when it has done so: after a tenth, and a third before the end.

    >>> schedule(30)
    {'tinit': 3, 'tfinal': 10, 'total_step': 30}
    """
    return {"tinit": n_steps // 10, "tfinal": n_steps // 3, "total_step": n_steps}


def _weight(factor: nn.Module | Tensor) -> Tensor:
    """LoRA keeps its factors in linear maps, AdaLoRA as they are."""
    weight: Tensor = factor if isinstance(factor, Tensor) else factor.get_parameter("weight")
    return weight
