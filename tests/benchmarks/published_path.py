"""The straightforward published way of ROME and MEMIT's family, to measure against: correct, and as slow as published.

One request at a time; at every step a full forward pass of all layers, all positions and the whole head; torch's Adam;
float32; a full forward pass of every text for each layer's keys; a solve with a matrix of d_in for each layer; changes
written into the weights. Contexts, C and scales are handed in, so that the results can be compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from patchmgr.methods.architecture import Projection, find_architecture
from patchmgr.request import EditRequest
from patchmgr_keyvalue.attention import attention_of

Update = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, K (d_in, n), R (d_out, n)) → ΔW (d_out, d_in), float64."""
TEXTS_AT_ONCE = 128


class PublishedPath:
    """A float32 copy of a model that is edited step by step as published."""

    def __init__(self, model: Any, tokenizer: Any, templates: Sequence[str], settings: dict[str, float]) -> None:
        self.model = copy.deepcopy(model).float().requires_grad_(False)
        self.architecture = find_architecture(self.model)
        self.tokenizer, self.templates, self.settings = tokenizer, templates, settings

    def rome(
        self, layer: int, requests: Sequence[EditRequest], scales: Sequence[dict[str, Any]], C: Tensor, paper: bool
    ) -> Tensor:
        """ΔW of all requests, each computed on those before."""
        projection = self.architecture.down_projection(layer)
        inverse = torch.linalg.inv(C)
        before = projection.matrix().clone()
        for request, scale in zip(requests, scales, strict=True):
            texts, ends = self._texts([request])
            keys = self._read(texts, ends, projection.module, projection.module)[0].double()
            mean = keys.mean(0)
            key = keys[0] if paper else mean
            (v_star,) = self._values([projection.module], request, scale)
            u = inverse @ mean / (inverse @ mean).norm()
            now = projection.matrix().double() @ key + (0 if projection.bias() is None else projection.bias().double())
            _write(projection, torch.outer((v_star.double() - now) / (key @ u), u))
        return (projection.matrix() - before).double()

    def family(
        self,
        layers: Sequence[int],
        requests: Sequence[EditRequest],
        scales: Sequence[dict[str, Any]],
        update: Update,
        sites: Callable[[int], Sequence[nn.Module]],
        share: Callable[[int], float],
    ) -> dict[int, Tensor]:
        """ΔW of every layer for all requests together.

        ``sites(top)`` are the modules that a δ each is added to, the last of them the one whose output is aimed at;
        ``share(left)`` is what the residual is divided by with that many layers left.
        """
        aims = sites(layers[-1])
        wanted = torch.stack(
            [self._values(aims, request, scale)[-1] for request, scale in zip(requests, scales, strict=True)]
        )
        deltas = {}
        for index, layer in enumerate(layers):
            projection = self.architecture.down_projection(layer)
            keys = self._read(*self._texts(requests), projection.module, projection.module)[0]
            keys = keys.reshape(len(requests), len(self.templates), -1)
            plain, others = keys[:, 0], keys[:, 1:]
            mean = (plain + others.mean(1)) / 2 if others.shape[1] else plain
            ends = [_end(request) for request in requests]
            now = self._read([request.text for request in requests], ends, aims[-1], aims[-1])[1]
            R = (wanted - now).double().T / share(len(layers) - index)
            deltas[layer] = update(layer, mean.double().T, R)
            _write(projection, deltas[layer])
        return deltas

    def whole_block(self, layer: int) -> list[nn.Module]:
        """What MEMIT and most after it aim at."""
        return [self.architecture.blocks[layer]]

    def attention_and_mlp(self, layer: int) -> list[nn.Module]:
        """What PMET looks for together; the MLP's output is aimed at."""
        return [attention_of(self.architecture, layer), self.architecture.down_projection(layer).module]

    def _texts(self, requests: Sequence[EditRequest]) -> tuple[list[str], list[int]]:
        pairs = [(template, request) for request in requests for template in self.templates]
        texts = [template.replace("{}", request.text) for template, request in pairs]
        return texts, [template.index("{}") + _end(request) for template, request in pairs]

    def _tokens(self, texts: Sequence[str], ends: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Texts padded on the right, and the place of each subject's last token."""
        device = self.model.device
        rows = self.tokenizer(list(texts))["input_ids"]
        places = [len(self.tokenizer(text[:end])["input_ids"]) - 1 for text, end in zip(texts, ends, strict=True)]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        return {"input_ids": ids, "attention_mask": mask}, torch.tensor(places, device=device)

    def _read(
        self, texts: Sequence[str], ends: Sequence[int], inner: nn.Module, outer: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """What goes into ``inner`` and comes out of ``outer`` at each subject; whole passes."""
        went_in, came_out = [], []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            chosen = slice(start, start + TEXTS_AT_ONCE)
            inputs, places = self._tokens(texts[chosen], ends[chosen])
            rows = torch.arange(len(places))
            handles = [
                inner.register_forward_pre_hook(lambda _m, given, r=rows, p=places: went_in.append(given[0][r, p])),
                outer.register_forward_hook(lambda _m, _i, out, r=rows, p=places: came_out.append(_first(out)[r, p])),
            ]
            with torch.no_grad():
                self.model(**inputs, use_cache=False)
            for handle in handles:
                handle.remove()
        return torch.cat(went_in), torch.cat(came_out)

    def _values(self, sites: Sequence[nn.Module], request: EditRequest, scale: dict[str, Any]) -> list[Tensor]:
        """v₀ + δ of every site."""
        prompts, ends = self._texts([request])
        essence = f"{request.subject} is a"
        texts = [f"{prompt} {request.target_new}" for prompt in prompts]
        inputs, places = self._tokens([*texts, essence], [*ends, len(request.subject or "")])
        targets = torch.full_like(inputs["input_ids"], -100)
        for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
            begin, end = len(self.tokenizer(prompt)["input_ids"]), len(self.tokenizer(text)["input_ids"])
            targets[row, begin - 1 : end - 1] = inputs["input_ids"][row, begin:end]
        rows, said = torch.arange(len(places)), (targets != -100)[:-1]
        deltas = [torch.zeros(self.architecture.hidden_size, requires_grad=True) for _ in sites]
        starts: dict[int, Tensor] = {}

        def added(index: int) -> Callable[..., Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                hidden = _first(output)
                starts.setdefault(index, hidden[0, places[0]].detach().clone())
                changed = hidden.clone()
                changed[rows, places] += deltas[index]
                return (changed, *output[1:]) if isinstance(output, tuple) else changed

            return hook

        adam = torch.optim.Adam(deltas, lr=scale["learning_rate"])
        handles = [site.register_forward_hook(added(index)) for index, site in enumerate(sites)]
        given = scale["weight_decay"]
        decays = given if isinstance(given, list) else [given] * len(sites)
        before, steps = None, int(self.settings["steps"])
        for step in range(steps):
            adam.zero_grad()
            log_p = self.model(**inputs, use_cache=False).logits.log_softmax(-1)
            essence_now = log_p[-1, places[-1]]
            before = essence_now.detach() if before is None else before
            chosen = log_p[:-1].gather(2, targets[:-1].clamp(min=0).unsqueeze(2)).squeeze(2)
            loss = (-(chosen * said).sum(1) / said.sum(1)).mean()
            loss = loss + self.settings["kl_factor"] * (essence_now.exp() * (essence_now - before)).sum()
            for index, (delta, decay) in enumerate(zip(deltas, decays, strict=True)):
                loss = loss + decay * delta.norm() / starts[index].norm() ** 2
            if step == steps - 1:
                break
            loss.backward()
            adam.step()
            with torch.no_grad():
                for index, delta in enumerate(deltas):
                    longest = self.settings["clamp"] * starts[index].norm()
                    delta.mul_(longest / delta.norm() if delta.norm() > longest else 1.0)
        for handle in handles:
            handle.remove()
        return [(starts[index] + delta).detach() for index, delta in enumerate(deltas)]


def _first(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def _end(request: EditRequest) -> int:
    assert request.subject_end is not None
    return request.subject_end


def _write(projection: Projection, delta: Tensor) -> None:
    with torch.no_grad():
        projection.matrix().add_(delta.float())
