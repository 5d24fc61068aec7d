"""The base as a training sees it: rows of tokens, traces of edits, and logits with and without changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from patchmgr.methods.architecture import Architecture, Projection
from patchmgr.methods.contract import LoadedModel
from patchmgr.request import EditRequest
from patchmgr_finetune.examples import Batch, Example, batched, examples
from patchmgr_mend.drawing import Answered, Group
from patchmgr_mend.network import Factors
from patchmgr_mend.overlay import changed
from patchmgr_mend.traces import Trace, logits_at, traced


@dataclass(frozen=True, eq=False)
class Base:
    """A model whose weights stay, and the maps of it that are edited; rows are made once for each text."""

    loaded: LoadedModel
    architecture: Architecture
    sites: Sequence[Projection]
    _rows: dict[Answered, Example] = field(default_factory=dict)

    def rows(self, answered: Sequence[Answered]) -> list[Example]:
        """The tokens of prompts with their answers.

        Raises:
            RequestError: an answer has no token of its own.
        """
        new = [each for each in dict.fromkeys(answered) if each not in self._rows]
        if new:
            asked = [EditRequest(prompt=_WHOLE, subject=prompt, target_new=answer) for prompt, answer in new]
            self._rows.update(zip(new, examples(self.loaded, asked), strict=True))
        return [self._rows[each] for each in answered]

    def traces(self, groups: Sequence[Group]) -> tuple[Trace, ...]:
        """What goes in and the gradients at each map, a row for each group; all have the same number of edits.

        Raises:
            RequestError: an edit is longer than the model can read.
        """
        edits = self.rows([edit for group in groups for edit in group.edits])
        found = traced(self.loaded.model, self.architecture.head, self.sites, edits)
        return tuple(trace.in_groups(len(groups[0].edits)) for trace in found)

    def answers(self, groups: Sequence[Group]) -> Asked:
        """What the edits of each group shall be answered with."""
        return self._asked([group.asked for group in groups], whole=False)

    def unrelated(self, groups: Sequence[Group], *, whole: bool) -> Asked:
        """What shall stay; read at all tokens of prompt and answer, or where the answer is said."""
        return self._asked([group.unrelated for group in groups], whole=whole)

    def logits(self, asked: Asked, factors: Sequence[Factors] | None) -> Float[Tensor, "places vocabulary"]:
        """Logits at the places that are read: of the base, or of the model that the edits of each group leave."""
        if factors is None:
            return logits_at(self.loaded.model, self.architecture.head, asked.batch)
        with changed(self.sites, factors, asked.n_rows):
            return logits_at(self.loaded.model, self.architecture.head, asked.batch)

    def _asked(self, by_group: Sequence[Sequence[Answered]], *, whole: bool) -> Asked:
        rows = self.rows([each for own in by_group for each in own])
        n_rows = tuple(len(own) for own in by_group)
        group = [number for number, own in enumerate(n_rows) for _ in range(own)]
        said = [row.places for row in rows]
        if whole:
            rows = [replace(row, places=tuple(range(len(row.ids))), targets=row.ids) for row in rows]
        device = self.loaded.model.device
        groups = [number for number, row in zip(group, rows, strict=True) for _ in row.places]
        answer = [place in own for row, own in zip(rows, said, strict=True) for place in row.places]
        return Asked(
            batched(self.loaded.model, rows),
            n_rows,
            torch.tensor(groups, device=device),
            torch.tensor(answer, device=device),
        )


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of a batch, and whose they are."""

    batch: Batch
    n_rows: Sequence[int]
    """Of each group; those of the first come first."""
    groups: Int[Tensor, " places"]
    """The group that a place belongs to."""
    answer: Bool[Tensor, " places"]
    """Whether an answer is said there."""

    @property
    def weights(self) -> Float[Tensor, " places"]:
        """Of each place in the mean over a group's rows of the mean over a row's places."""
        rows = torch.tensor(self.n_rows, dtype=self.batch.weights.dtype, device=self.groups.device)
        return self.batch.weights * self.batch.n_examples / rows[self.groups]


_WHOLE = "{}"
"""A request whose subject is the whole prompt, so that braces in a prompt mean nothing."""
