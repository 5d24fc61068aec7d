"""Text for statistics, in blocks of rows: the model's own samples, or a corpus; reading can go on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from patchmgr.canonical import sha256_file
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.tokens import pad_right
from patchmgr.readers.corpus import Corpus, open_corpus
from patchmgr_keyvalue.rows import Batch
from patchmgr_keyvalue.sampling import sample_rows, start_token

ROWS = 64
"""Of a block."""
_ROW_TOKENS = 64

Mark = NDArray[np.uint8]
"""Where reading stands, beside the number of blocks; empty where that number says it all."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows to read keys from, on the CPU; a row that is shorter than others is filled up on the right."""

    batch: Batch
    n_start: int
    """Leading tokens of every row that are not counted: the start token, which all share."""
    mark: Mark
    """Where reading goes on behind this block."""

    @property
    def n_tokens(self) -> int:
        """Tokens that count."""
        return int(self.batch.attention_mask[:, self.n_start :].sum())

    def counted(self, keys: Float[Tensor, "rows width d_in"]) -> Float[Tensor, "tokens d_in"]:
        """The keys of the tokens that count, in their order; float32."""
        mask = self.batch.attention_mask[: len(keys), self.n_start :].bool().to(keys.device)
        return keys[:, self.n_start :][mask].float()

    def rows(self, low: int, high: int) -> Block:
        """Some rows of it."""
        batch = Batch(self.batch.input_ids[low:high], self.batch.attention_mask[low:high])
        return Block(batch, self.n_start, self.mark)


@dataclass(frozen=True)
class Samples:
    """The model's own text."""

    seed: int

    @property
    def key(self) -> dict[str, Any]:
        """What the text is."""
        return {"samples": self.seed}

    def blocks(self, loaded: LoadedModel, n_tokens: int, n_done: int, mark: Mark) -> Iterator[Block]:
        """Blocks of rows; ``n_done`` blocks were read before, ``mark`` is that of the last of them."""
        generator = torch.Generator().manual_seed(self.seed)
        if len(mark):
            generator.set_state(torch.from_numpy(mark.copy()))
        width = row_tokens(loaded)
        left = -(-n_tokens // width) - n_done * ROWS
        while left > 0:
            sampled = sample_rows(loaded.model, loaded.tokenizer, min(left, ROWS), width, generator)
            batch = Batch(sampled.ids, torch.ones_like(sampled.ids))
            yield Block(batch, sampled.n_start, generator.get_state().numpy())
            left -= ROWS


@dataclass(frozen=True)
class CorpusText:
    """A corpus; no row holds two documents."""

    corpus: Corpus
    sha256: str

    @property
    def key(self) -> dict[str, Any]:
        """What the text is."""
        named = {} if self.corpus.format == "text" else {"format": self.corpus.format, "field": self.corpus.field}
        return {"corpus": self.sha256, **named}

    def blocks(self, loaded: LoadedModel, n_tokens: int, n_done: int, mark: Mark) -> Iterator[Block]:
        """Blocks of rows; the first ``n_done`` are passed over, at the cost of tokenising them."""
        start = start_token(loaded.tokenizer)
        head = [] if start is None else [start]
        width, rows, n_read, number = row_tokens(loaded), [], 0, 0
        for row in self._rows(loaded, width):
            rows.append(head + row)
            n_read += len(row)
            if len(rows) == ROWS or n_read >= n_tokens:
                number += 1
                if number > n_done:
                    yield _block(rows, len(head))
                rows = []
            if n_read >= n_tokens:
                return
        if rows and number + 1 > n_done:
            yield _block(rows, len(head))

    def _rows(self, loaded: LoadedModel, width: int) -> Iterator[list[int]]:
        """Each document as one stream of tokens, cut into rows; its last row may be short."""
        for document in self.corpus.documents():
            pending: list[int] = []
            for piece in document:
                pending += loaded.tokenizer(piece, add_special_tokens=False, verbose=False)["input_ids"]
                while len(pending) >= width:
                    yield pending[:width]
                    pending = pending[width:]
            if pending:
                yield pending


Text = Samples | CorpusText


def text_of(corpus: Path | None, seed: int) -> Text:
    """The corpus, or samples where there is none.

    Raises:
        NotFoundError: there is no such file.
        UsageError: what reads it is not installed.
    """
    if corpus is None:
        return Samples(seed)
    opened = open_corpus(corpus)
    return CorpusText(opened, sha256_file(opened.path))


def row_tokens(loaded: LoadedModel) -> int:
    """Tokens a row; the model may not be able to read long ones."""
    config: Any = loaded.model.config
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", _ROW_TOKENS + 1)
    return min(_ROW_TOKENS, int(limit) - 1)


def _block(rows: list[list[int]], n_start: int) -> Block:
    ids, mask = pad_right(rows, 0)
    return Block(Batch(torch.tensor(ids), torch.tensor(mask)), n_start, np.empty(0, dtype=np.uint8))
