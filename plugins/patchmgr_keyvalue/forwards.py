"""Forward passes that leave no trace: evaluation mode, hooks that go away, stopping where enough is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from patchmgr_keyvalue.rows import Batch

Change = Callable[[Tensor], Tensor]


class _EnoughError(Exception):
    """Raised inside a forward pass when nothing further up is needed."""


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within; every module's own mode is put back after, also when an exception passes through."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def changed_output(module: nn.Module, change: Change) -> Iterator[None]:
    """Within, the module's output (the first of a tuple) passes through ``change``."""

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def changed_input(module: nn.Module, change: Change) -> Iterator[None]:
    """Within, the module's first input passes through ``change``."""

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        return (change(inputs[0]), *inputs[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def inputs_of(
    model: nn.Module, modules: Sequence[nn.Module], batch: Batch
) -> tuple[Float[Tensor, "rows width _"], ...]:
    """What goes into each of ``modules``, listed from the bottom up, at every position of the batch.

    The pass stops at the last of them: the blocks above it, the final norm and the head are not run. Padded positions
    hold numbers without meaning.
    """
    captured: dict[int, Tensor] = {}
    rows, width = batch.input_ids.shape

    def keep(index: int) -> Change:
        def change(tensor: Tensor) -> Tensor:
            captured[index] = tensor.reshape(rows, width, -1)  # OPT's MLP works on (rows * width, d)
            if index == len(modules) - 1:
                raise _EnoughError
            return tensor

        return change

    with ExitStack() as stack, torch.no_grad():
        for index, module in enumerate(modules):
            stack.enter_context(changed_input(module, keep(index)))
        with suppress(_EnoughError):
            model(**batch.inputs())
    return tuple(captured[index] for index in range(len(modules)))


def output_of(model: nn.Module, module: nn.Module, inputs: Mapping[str, Any]) -> Tensor:
    """What ``module`` gives (the first of a tuple) in a pass that stops there."""
    captured: list[Tensor] = []

    def last(tensor: Tensor) -> Tensor:
        captured.append(tensor)
        raise _EnoughError

    with changed_output(module, last), suppress(_EnoughError), torch.no_grad():
        model(**inputs)
    return captured[0]


@contextmanager
def kept_output(module: nn.Module, kept: list[Any]) -> Iterator[None]:
    """Within, every output of the module, as it is, is appended to ``kept``."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def kept_input(module: nn.Module, kept: list[Tensor]) -> Iterator[None]:
    """Within, every first input of the module is appended to ``kept``."""
    handle = module.register_forward_pre_hook(lambda _module, inputs: kept.append(inputs[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def without_gradients_of(model: nn.Module) -> Iterator[None]:
    """Within, no weight asks for a gradient, so that a pass keeps no more than δ's own gradient needs."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


@contextmanager
def blocks_give(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """Within, the first ``len(outputs)`` blocks hand out these instead of running."""
    with ExitStack() as stack:
        for block, output in zip(blocks, outputs, strict=False):
            stack.callback(_restore_forward, block, block.__dict__.get("forward"))
            block.forward = _giving(output)
        yield


def _giving(output: Any) -> Callable[..., Any]:
    def forward(*_arguments: Any, **_options: Any) -> Any:
        return output

    return forward


def _restore_forward(block: nn.Module, own: Any) -> None:
    """Put back a ``forward`` that lay on the instance (accelerate does so), or uncover the class's."""
    if own is None:
        block.__dict__.pop("forward", None)
    else:
        block.forward = own
