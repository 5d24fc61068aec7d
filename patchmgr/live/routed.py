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
from transformers.utils.generic import ModelOutput

from patchmgr.errors import UsageError
from patchmgr.live.behind import check_options, logits_behind, told_ends
from patchmgr.live.handover import HandedOver, Translation
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
        self._alike: dict[int, tuple[PreTrainedTokenizerBase, bool]] = {}

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
            streamer: for one row, as transformers has it; it is shown the prompt as it came and the base's tokens.
            options: those of ``generate``; with ``num_return_sequences`` a row has its answers one below the other.

        Raises:
            UsageError: a streamer for several rows, or ``return_dict_in_generate`` where a row is claimed.
        """
        if streamer is not None and len(input_ids) != 1:
            raise UsageError("a streamer shows one row at a time", hint="generate row by row")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        routes = self.routes([self._text(ids[kept.bool()]) for ids, kept in zip(input_ids, mask, strict=True)])
        plain = [index for index, route in enumerate(routes) if route is None]
        if len(plain) == len(routes):
            generate: Any = self.base.generate
            whole: Tensor = generate(input_ids=input_ids, attention_mask=mask, streamer=streamer, **options)
            return whole
        answers: dict[int, list[Tensor]] = {}
        if plain:
            answers.update(zip(plain, _generate(self._loaded, input_ids[plain], mask[plain], options), strict=True))
        for model, rows in _claimed(self._loaded, routes):
            ids, kept = _padded(model, [text for _, text in rows])
            shown = None if self._loaded.encoder_decoder else input_ids
            given = {**options, "streamer": streamer and HandedOver(streamer, shown, self._translation(model))}
            for (index, _), found in zip(rows, _generate(model, ids, kept, given), strict=True):
                answers[index] = [self._in_own_tokens(model, answer) for answer in found]
        return self._beside(input_ids, [answers[index] for index in range(len(routes))])

    def __call__(
        self,
        input_ids: Int[Tensor, "rows width"],
        attention_mask: Int[Tensor, "rows width"] | None = None,
        labels: Int[Tensor, "rows width"] | None = None,
        **options: Any,
    ) -> ModelOutput:
        """Logits as the base gives them; with ``labels`` also the mean loss of the target tokens.

        A row is routed on its prompt: what stands before the first label, or all of it. In rows that a memory claims,
        places inside the prompt, which nobody was asked about, hold NaN.

        Raises:
            UsageError: a row is answered in another tokenizer's tokens, or by an encoder-decoder; ``generate`` brings
                those back. Or a row is claimed, and an option asks for more than logits or a loss.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inside = None if self._loaded.encoder_decoder else labels
        ends = [_prompt_end(kept, None if inside is None else inside[row]) for row, kept in enumerate(mask)]
        prompts = [self._text(input_ids[row, :end][mask[row, :end].bool()]) for row, end in enumerate(ends)]
        routes = self.routes(prompts)
        plain = [index for index, route in enumerate(routes) if route is None]
        if len(plain) == len(routes):
            whole: ModelOutput = self.base(input_ids=input_ids, attention_mask=mask, labels=labels, **options)
            return whole
        if self._loaded.encoder_decoder:
            raise UsageError("logits of an encoder-decoder cannot be handed over", hint="use generate")
        check_options(options)
        rows: dict[int, Tensor] = {}
        if plain:
            found = self.base(input_ids=input_ids[plain], attention_mask=mask[plain], **options).logits
            rows.update(zip(plain, found, strict=True))
        for model, claimed in _claimed(self._loaded, routes):
            self._check_tokens(model, claimed)
            behind = {index: input_ids[index, ends[index] :][mask[index, ends[index] :].bool()] for index, _ in claimed}
            for index, found in logits_behind(model, claimed, behind, options, fill=_padding(model.tokenizer)):
                row = rows[index] = found.new_full((input_ids.shape[1], found.shape[-1]), torch.nan)
                row[ends[index] - 1 : ends[index] + len(behind[index])] = found
        logits = torch.stack([rows[index].to(input_ids.device) for index in range(len(routes))])
        return CausalLMOutput(loss=None if labels is None else _loss(logits, labels), logits=logits)

    forward = __call__

    def _check_tokens(self, model: LoadedModel, claimed: Sequence[tuple[int, str]]) -> None:
        if not self._speaks_alike(model):
            raise UsageError(
                f"{claimed[0][1][:40]!r}… is answered in the tokens of another model",
                hint="use generate, which brings its answer back as text",
            )

    def _speaks_alike(self, model: LoadedModel) -> bool:
        """Whether a model's tokens are the base's."""
        key = id(model.tokenizer)
        if key not in self._alike:
            same = model.tokenizer is self.tokenizer or model.tokenizer.get_vocab() == self.tokenizer.get_vocab()
            self._alike[key] = (model.tokenizer, same)  # kept, so that no other gets its id
        return self._alike[key][1]

    def _text(self, ids: Int[Tensor, " tokens"]) -> str:
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=True))

    def _translation(self, model: LoadedModel) -> Translation | None:
        """How tokens of a model become the base's; None: they are."""
        return None if self._speaks_alike(model) else Translation(model.tokenizer, self.tokenizer)

    def _in_own_tokens(self, model: LoadedModel, answer: Int[Tensor, " tokens"]) -> Int[Tensor, " tokens"]:
        """Tokens of another model's answer as the base would write them."""
        translation = self._translation(model)
        return answer if translation is None else torch.tensor(translation.whole(answer.tolist()), dtype=torch.long)

    def _beside(self, prompts: Int[Tensor, "rows width"], answers: Sequence[Sequence[Tensor]]) -> Tensor:
        """Prompts with answers of several lengths behind them; of an encoder-decoder the answers alone."""
        every = [answer.tolist() for found in answers for answer in found]
        ids, _ = pad_right(every, _padding(self.tokenizer))
        behind = torch.tensor(ids, dtype=prompts.dtype, device=prompts.device).reshape(len(every), -1)
        if self._loaded.encoder_decoder:
            return behind
        return torch.cat([prompts.repeat_interleave(len(every) // len(prompts), dim=0), behind], dim=1)


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
) -> list[list[Int[Tensor, " new"]]]:
    """The new tokens of each row: one answer, or as many as the options ask for.

    Raises:
        UsageError: the options ask for more than tokens.
    """
    generate: Any = model.model.generate
    with told_ends(model, [ids.shape[1] - 1]):
        found = generate(input_ids=ids, attention_mask=mask, **options)
    if not isinstance(found, Tensor):
        raise UsageError("a memory hands over tokens only", hint="leave return_dict_in_generate out")
    new = [row[0 if model.encoder_decoder else ids.shape[1] :].cpu() for row in found]
    each = len(new) // len(ids)
    return [new[start : start + each] for start in range(0, len(new), each)]


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
