"""Moments computed and kept: what decides one, one pass over the text for several, and whether the sample is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from patchmgr.methods.architecture import Projection
from patchmgr.methods.artefacts import Artefact
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr_keyvalue.convergence import held_out_keys, measured
from patchmgr_keyvalue.second_moment_sums import KEEP_EVERY_S, Sums, summed
from patchmgr_keyvalue.texts import Text, row_tokens

KIND = "covariance"
_RECIPE = 2
"""Counts up when the same key would give another matrix."""


@dataclass(frozen=True)
class Convergent:
    """When a sample is large enough, and how that is measured."""

    until: float | None
    """Stop at this agreement in every layer; None: read all tokens."""
    damping: float
    """As the methods have it."""


def moment_key(projection: Projection, root: str, text: Text, n_tokens: int, n_row_tokens: int) -> dict[str, Any]:
    """All that decides C: whose it is, of which weight, from which text and how much of it, computed how."""
    return {
        "recipe": _RECIPE,
        "state_root": root,
        "tensor": projection.weight_name,
        "source": text.key,
        "tokens": n_tokens,
        "row_tokens": n_row_tokens,
        "dtype": dtype_of(projection),
    }


def dtype_of(projection: Projection) -> str:
    """What the weight, and with it the keys, are computed in."""
    return str(projection.matrix().dtype).removeprefix("torch.")


def computed(
    loaded: LoadedModel,
    projections: Sequence[Projection],
    text: Text,
    context: EditContext,
    *,
    n_tokens: int,
    convergent: Convergent | None = None,
    keep_every_s: float = KEEP_EVERY_S,
) -> tuple[Artefact, ...]:
    """C of every projection of ``loaded``, in one pass, kept in the store; an interrupted run is gone on from.

    Stopped early, the moments are kept under the number of tokens that were read: the same bits as when that many had
    been asked for.

    Args:
        loaded: the base, in evaluation mode.
        projections: whose inputs to read, from the bottom up.
        text: what to read.
        context: the artefact store, and who is told how far it is.
        n_tokens: at most so many tokens.
        convergent: measure how the halves of the sample agree, and perhaps stop when they do.
        keep_every_s: how much work may be lost, in seconds.

    Raises:
        MethodError: the text is empty, or a moment is not finite.
    """
    width, store = row_tokens(loaded), context.artefacts
    keys = [moment_key(each, loaded.state_root, text, n_tokens, width) for each in projections]
    names = [each.weight_name for each in projections]
    kept = store.unfinished(KIND, {**keys[0], "tensor": names, "tokens": None, "halves": convergent is not None})
    judge = None if convergent is None else _Judge(convergent, held_out_keys(loaded, projections))
    sums = summed(
        loaded,
        projections,
        text,
        n_tokens=n_tokens,
        progress=lambda done, total: context.progress(done, total, "reading text for statistics"),
        kept=kept,
        halves=judge is not None,
        enough=None if judge is None or judge.convergent.until is None else judge.is_enough,
        keep_every_s=keep_every_s,
    )
    count = np.array([sums.n_tokens])
    made = []
    for index, (projection, total) in enumerate(zip(projections, sums.totals, strict=True)):
        key = {**keys[index], "tokens": sums.n_tokens if sums.is_enough else n_tokens}
        figures = {} if judge is None else judge.figures(sums)[index]
        arrays = {"moment": (total / sums.n_tokens).float().cpu().numpy(), "tokens": count}
        notes = {"tokens": sums.n_tokens, "d_in": projection.d_in, **figures}
        made.append(store.put(KIND, key, arrays, notes))
    kept.unlink(missing_ok=True)
    return tuple(made)


class _Judge:
    """Says how far a sample has converged; what it found last is not computed again."""

    def __init__(self, convergent: Convergent, keys: Sequence[Float[Tensor, "keys _"]]) -> None:
        self.convergent = convergent
        self._keys = keys
        self._n_blocks = 0
        self._figures: list[dict[str, float]] = []

    def figures(self, sums: Sums) -> list[dict[str, float]]:
        """``difference``, ``cosine`` and ``agreement`` of each projection; nothing where a half is empty."""
        if sums.n_blocks != self._n_blocks:
            found = [
                measured(total, first, sums.n_tokens, sums.n_first, keys, self.convergent.damping)
                for total, first, keys in zip(sums.totals, sums.firsts, self._keys, strict=True)
            ]
            self._figures = [{} if each is None else asdict(each) for each in found]
            self._n_blocks = sums.n_blocks
        return self._figures

    def is_enough(self, sums: Sums) -> bool:
        """Whether every projection has reached what was asked for."""
        until = self.convergent.until
        return until is not None and all(each.get("agreement", -1.0) >= until for each in self.figures(sums))
