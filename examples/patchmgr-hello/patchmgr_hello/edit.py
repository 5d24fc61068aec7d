"""W' = W + δ kᵀ / (kᵀk): the least change of a down-projection W that adds δ to its output for the key k.

Glossary: k key, the input of W at the last token of the prompt, (d_in,); v value, its output there, (d_out,); δ what
has to be added to v for the model to say the target, found by gradient descent.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from patchmgr.errors import MethodError, RequestError
from patchmgr.methods.architecture import Projection, find_architecture
from patchmgr.methods.contract import EditContext, LoadedModel, LowRankDelta, Payload
from patchmgr.methods.tokens import AnsweredPrompt, encode_answered
from patchmgr.request import EditRequest
from torch import Tensor, nn

from patchmgr_hello.parameters import HelloParameters


def edit(
    loaded: LoadedModel, requests: Sequence[EditRequest], parameters: HelloParameters, context: EditContext
) -> Payload:
    """One rank-one change a request, each computed on top of those before; the model itself is not written to."""
    architecture = find_architecture(loaded.model)
    layer = len(architecture.blocks) // 2 if parameters.layer is None else parameters.layer
    projection = architecture.down_projection(layer)
    with _evaluating(loaded.model), _Change(projection) as change:
        for number, request in enumerate(requests):
            answered = _tokens(loaded, request)
            done = number * parameters.steps

            def progress(step: int, done: int = done) -> None:
                context.progress(done + step, len(requests) * parameters.steps, "looking for the value")

            _write(loaded.model, change, answered, parameters, progress)
            if not (change.left.isfinite().all() and change.right.isfinite().all()):
                raise MethodError(f"the change for {request.text!r} is not finite", hint="try another layer or rate")
    u, v = projection.factors(change.left, change.right)
    return Payload(
        deltas=[LowRankDelta(projection.weight_name, u, v)],
        parameters={**parameters.model_dump(mode="json"), "layer": layer},
    )


class _Change:
    """The projection answers as if its weight were W + left @ right; at one token δ is added, and k and v are noted."""

    def __init__(self, projection: Projection) -> None:
        device = projection.matrix().device
        self.left = torch.zeros(projection.d_out, 0, device=device)
        self.right = torch.zeros(0, projection.d_in, device=device)
        self.delta = torch.zeros(projection.d_out, device=device)
        self.token = 0
        self.key = self.value = torch.zeros(0)
        self._module = projection.module

    def __enter__(self) -> "_Change":
        self._hook = self._module.register_forward_hook(self._answer)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _answer(self, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        k = inputs[0].float().flatten(0, -2)
        v = output.float().flatten(0, -2) + k @ self.right.T @ self.left.T
        self.key, self.value = k[self.token].detach(), v[self.token].detach()
        here = torch.arange(len(v), device=v.device).unsqueeze(1) == self.token
        return (v + here * self.delta).reshape(output.shape).to(output.dtype)


def _write(
    model: nn.Module, change: _Change, answered: AnsweredPrompt, parameters: HelloParameters, progress: Any
) -> None:
    """Find δ for one request and lay δ kᵀ / (kᵀk) over what is there."""
    change.token = answered.n_prompt - 1
    for step in range(parameters.steps):
        progress(step)
        delta = change.delta = change.delta.detach().requires_grad_()
        with torch.enable_grad():
            loss = _loss(model, answered)
        if loss < parameters.stop_loss:
            break
        (gradient,) = torch.autograd.grad(loss, delta)
        change.delta = delta - parameters.rate * change.value.norm() * nn.functional.normalize(gradient, dim=0)
    direction = change.key / change.key.square().sum()
    change.left = torch.cat([change.left, change.delta.detach().unsqueeze(1)], dim=1)
    change.right = torch.cat([change.right, direction.unsqueeze(0)])
    change.delta = torch.zeros_like(delta)


def _loss(model: nn.Module, answered: AnsweredPrompt) -> Tensor:
    """The mean -log P of the target's tokens."""
    device = next(model.parameters()).device
    logits = model(input_ids=torch.tensor([answered.ids[:-1]], device=device), use_cache=False).logits[0]
    target = torch.tensor(answered.answer, device=device)
    return nn.functional.cross_entropy(logits[answered.n_prompt - 1 :].float(), target)


def _tokens(loaded: LoadedModel, request: EditRequest) -> AnsweredPrompt:
    answered = encode_answered(loaded.tokenizer, request.text, request.target_new)
    limit = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and len(answered.ids) > limit:
        raise RequestError(
            f"{request.text!r} takes {len(answered.ids)} tokens with its target, the model reads {limit}"
        )
    return answered


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every module's own mode back at the end, whatever happens."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
