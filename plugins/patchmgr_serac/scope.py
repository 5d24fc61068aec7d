"""The scope classifier's two networks: one makes a vector of a text, the other reads an entry and a question together.

Both begin as any encoder that transformers loads, and are trained further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from patchmgr.methods.tokens import pad_right
from patchmgr_serac.reading import Reading, Tokens

Pooling = Literal["cls", "mean"]


class ScopeEncoder(nn.Module):
    """φ: rows of tokens to vectors."""

    def __init__(self, model: Any, tokenizer: Any, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.reading = Reading(tokenizer, model.config)
        self.pooling = pooling

    @property
    def width(self) -> int:
        """Of a vector."""
        return int(self.model.config.hidden_size)

    def forward(self, rows: Sequence[Tokens]) -> Float[Tensor, "rows width"]:
        """The last layer at the first token, or its mean over all; not of length 1, since the distance is Euclidean."""
        device = next(self.model.parameters()).device
        ids, mask = (torch.tensor(values, device=device) for values in pad_right(rows, 0))
        hidden: Tensor = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        kept = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * kept).sum(1) / kept.sum(1)

    def vectors(self, rows: Sequence[Tokens]) -> Float[Tensor, "rows width"]:
        """As calling it, without gradients, for any number of rows; on the CPU."""
        return _by_length(self, rows, torch.empty(0, self.width))


class CrossReader(nn.Module):
    """A pair classifier: the logit that a question lies in the scope of an entry, both read together."""

    def __init__(self, encoder: ScopeEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.width, 1)

    @property
    def reading(self) -> Reading:
        """How pairs become tokens."""
        return self.encoder.reading

    def forward(self, rows: Sequence[Tokens]) -> Float[Tensor, " rows"]:
        """Logits z, one a pair."""
        logits: Tensor = self.head(self.encoder(rows)).squeeze(1)
        return logits

    def logits(self, rows: Sequence[Tokens]) -> Float[Tensor, " rows"]:
        """As calling it, without gradients, for any number of rows; on the CPU."""
        return _by_length(self, rows, torch.empty(0))


@torch.no_grad()
def _by_length(
    network: Callable[[Sequence[Tokens]], Tensor], rows: Sequence[Tokens], empty: Tensor, *, batch: int = 64
) -> Tensor:
    """A network's results, rows of similar length run together, in the order given."""
    if not rows:
        return empty
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found = [
        network([rows[index] for index in order[at : at + batch]]).float().cpu() for at in range(0, len(order), batch)
    ]
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(found)[back]
