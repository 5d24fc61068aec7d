"""A model whose memories are at work: each row of a batch is routed once, on its prompt, and answered by one model.

What no memory claims goes to the base exactly as it came. What one claims is decoded, handed over as text, tokenised by
whoever answers, and its answer is brought back in the base's tokens. So a batch may be answered by several models, and
the answering model may have another tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutput

from patchmgr.errors import UsageError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.runtime import Route, Router
from patchmgr.methods.tokens import encode_all, pad_left, pad_right

IGNORED = -100
"""A label that is no target, as transformers has it."""


class RoutedModel:
    """Stands in for a transformers model; everything but ``generate`` and calling it is the base's."""

    def __init__(self, loaded: LoadedModel, router: Router) -> None:
        self._loaded = loaded
        self.router = router

    @property
    def base(self) -> PreTrainedModel:
        """The model below the memories."""
        return self._loaded.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's."""
        return self._loaded.tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loaded.model, name)

    def routes(self, prompts: Sequence[str]) -> list[Route | None]:
        """Where each prompt goes; None: to the base."""
        return self.router.route(prompts)

    @torch.no_grad()
    def generate(
        self,
        input_ids: Int[Tensor, "rows width"],
        attention_mask: Int[Tensor, "rows width"] | None = None,
        *,
        streamer: Any = None,
        **options: Any,
    ) -> Int[Tensor, "rows longer"]:
        """As the base's ``generate``: the prompts with their answers behind them, padded on the right.

        Args:
            input_ids: prompts, padded on the left or not at all.
            attention_mask: 1 for real tokens; None: all are.
            streamer: for one row, as transformers has it.
            options: those of ``generate``.

        Raises:
            UsageError: a streamer for several rows.
        """
        if streamer is not None and len(input_ids) != 1:
            raise UsageError("a streamer shows one row at a time", hint="generate row by row")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        given = {**options, "streamer": streamer}
        routes = self.routes([self._text(ids[kept.bool()]) for ids, kept in zip(input_ids, mask, strict=True)])
        answers: dict[int, Tensor] = {}
        plain = [index for index, route in enumerate(routes) if route is None]
        if plain:
            found = _generate(self._loaded, input_ids[plain], mask[plain], given)
            answers.update(zip(plain, found, strict=True))
        for model, rows in _claimed(self._loaded, routes):
            ids, kept = _padded(model, [text for _, text in rows])
            for (index, _), answer in zip(rows, _generate(model, ids, kept, given), strict=True):
                answers[index] = self._in_own_tokens(model, answer)
        return _beside(input_ids, [answers[index] for index in range(len(routes))], _padding(self.tokenizer))

    def __call__(
        self,
        input_ids: Int[Tensor, "rows width"],
        attention_mask: Int[Tensor, "rows width"] | None = None,
        labels: Int[Tensor, "rows width"] | None = None,
        **options: Any,
    ) -> CausalLMOutput:
        """Logits as the base gives them; with ``labels`` also the mean loss of the target tokens.

        A row is routed on its prompt: what stands before the first label, or all of it. In rows that a memory claims,
        places inside the prompt, which nobody was asked about, hold NaN.

        Raises:
            UsageError: a row is answered in another tokenizer's tokens; ``generate`` can bring those back.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        ends = [_prompt_end(kept, None if labels is None else labels[row]) for row, kept in enumerate(mask)]
        prompts = [self._text(input_ids[row, :end][mask[row, :end].bool()]) for row, end in enumerate(ends)]
        routes = self.routes(prompts)
        plain = [index for index, route in enumerate(routes) if route is None]
        rows: dict[int, Tensor] = {}
        if plain:
            found = self.base(input_ids=input_ids[plain], attention_mask=mask[plain], **options).logits
            rows.update(zip(plain, found, strict=True))
        for index, (route, end) in enumerate(zip(routes, ends, strict=True)):
            if route is not None:
                rows[index] = self._claimed_logits(route, input_ids[index], mask[index], end, options)
        logits = torch.stack([rows[index] for index in range(len(routes))])
        return CausalLMOutput(loss=None if labels is None else _loss(logits, labels), logits=logits)

    forward = __call__

    def _claimed_logits(
        self, route: Route, ids: Int[Tensor, " width"], mask: Int[Tensor, " width"], end: int, options: dict[str, Any]
    ) -> Float[Tensor, "width vocabulary"]:
        model = route.model or self._loaded
        if model.tokenizer is not self.tokenizer and model.tokenizer.get_vocab() != self.tokenizer.get_vocab():
            raise UsageError(
                f"{route.package} answers {route.prompt[:40]!r}… in the tokens of another model",
                hint="use generate, which brings its answer back as text",
            )
        asked = torch.tensor(encode_all(model.tokenizer, [route.prompt])[0], device=ids.device)
        behind = ids[end:][mask[end:].bool()]
        found = model.model(input_ids=torch.cat([asked, behind]).unsqueeze(0), **options).logits[0]
        logits: Tensor = found.new_full((len(ids), found.shape[-1]), torch.nan)
        logits[end - 1 : end + len(behind)] = found[len(asked) - 1 :]
        return logits

    def _text(self, ids: Int[Tensor, " tokens"]) -> str:
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=True))

    def _in_own_tokens(self, model: LoadedModel, answer: Int[Tensor, " tokens"]) -> Int[Tensor, " tokens"]:
        """Tokens of another model's answer as the base would write them."""
        if model.tokenizer is self.tokenizer:
            return answer
        text = str(model.tokenizer.decode(answer.tolist(), skip_special_tokens=True))
        return torch.tensor(self.tokenizer(text, add_special_tokens=False)["input_ids"], dtype=torch.long)


def _claimed(base: LoadedModel, routes: Sequence[Route | None]) -> Iterator[tuple[LoadedModel, list[tuple[int, str]]]]:
    """For each model that answers claimed rows: these, with what it is asked."""
    found: dict[int, tuple[LoadedModel, list[tuple[int, str]]]] = {}
    for index, route in enumerate(routes):
        if route is not None:
            model = route.model or base
            found.setdefault(id(model), (model, []))[1].append((index, route.prompt))
    yield from found.values()


def _generate(
    model: LoadedModel, ids: Int[Tensor, "rows width"], mask: Int[Tensor, "rows width"], options: dict[str, Any]
) -> list[Int[Tensor, " new"]]:
    """The new tokens of each row."""
    generate: Any = model.model.generate
    found: Tensor = generate(input_ids=ids, attention_mask=mask, **options)
    return [row[ids.shape[1] :].cpu() for row in found]


def _padded(model: LoadedModel, texts: Sequence[str]) -> tuple[Int[Tensor, "rows width"], Int[Tensor, "rows width"]]:
    device = next(model.model.parameters()).device
    ids, mask = pad_left(encode_all(model.tokenizer, texts), _padding(model.tokenizer))
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _padding(tokenizer: PreTrainedTokenizerBase) -> int:
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if isinstance(token, int):
            return token
    return 0


def _prompt_end(mask: Int[Tensor, " width"], labels: Int[Tensor, " width"] | None) -> int:
    """Where the prompt of a row ends, a column."""
    if labels is not None and bool((labels != IGNORED).any()):
        return int((labels != IGNORED).int().argmax())
    return int(mask.nonzero()[-1]) + 1


def _loss(logits: Float[Tensor, "rows width vocabulary"], labels: Int[Tensor, "rows width"]) -> Tensor:
    """Mean negative log-likelihood of the labelled tokens, each predicted one place before it."""
    said = labels[:, 1:] != IGNORED
    loss: Tensor = torch.nn.functional.cross_entropy(logits[:, :-1][said].float(), labels[:, 1:][said])
    return loss


def _beside(prompts: Tensor, answers: Sequence[Tensor], padding: int) -> Tensor:
    """Prompts with answers of several lengths behind them."""
    ids, _ = pad_right([answer.tolist() for answer in answers], padding)
    behind = torch.tensor(ids, dtype=prompts.dtype, device=prompts.device).reshape(len(prompts), -1)
    return torch.cat([prompts, behind], dim=1)
