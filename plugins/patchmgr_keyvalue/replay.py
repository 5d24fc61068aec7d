"""Running a batch again and again with δ added in one place, at the cost of what lies above and behind that place.

Below the place nothing changes between passes, and neither does any token before it. So the first pass keeps what the
blocks below gave and the attention keys and values of the earlier tokens; later passes (*tails*) hand those out and
run the tokens from the subject's last one on through the blocks above. Where δ comes out of its block as it went in,
the block itself is not run again either. All the rest (masks, rotations, blocks, norms, head and whatever a model does
to its logits) is the model's own forward pass, so no architecture has to be described. A tail with δ = 0 must give the
logits of the first pass; where it does not, later passes are less clever, see :class:`~patchmgr_keyvalue.ways.Way`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from patchmgr.methods.architecture import Architecture
from patchmgr_keyvalue.forwards import Change, blocks_give, changed_input, changed_output, kept_output, output_of
from patchmgr_keyvalue.rows import Row, pad
from patchmgr_keyvalue.ways import Way, tail


class Replay:
    """Logits of one batch at the places that matter, as a function of δ.

    δ, values and logits are on the device of the model's first layer; blocks and head may lie on others.
    """

    def __init__(
        self,
        architecture: Architecture,
        sites: Sequence[nn.Module],
        layer: int,
        rows: Sequence[Row],
        places: Sequence[Sequence[int]],
    ) -> None:
        """Run the batch once as it is.

        Args:
            architecture: the model.
            sites: the modules to whose outputs δ is added at each row's subject.
            layer: blocks below this one are not run again: the block, from 0, that the sites lie in, or the one above
                where a whole block is the site.
            rows: the batch.
            places: for every row the positions, not before its subject, whose logits are wanted.
        """
        self._architecture, self._sites = architecture, tuple(sites)
        batch = pad(architecture.model, rows)
        device = batch.input_ids.device
        whole = Way(
            "whole",
            batch,
            torch.tensor([row.subject for row in rows], device=device),
            torch.tensor([row for row, columns in enumerate(places) for _ in columns], device=device),
            torch.tensor([column for columns in places for column in columns], device=device),
        )
        outputs, cache = self._first_pass(whole, layer)
        with torch.no_grad():
            upper = whole.above(outputs[layer - 1], layer) if layer else whole
            if layer in outputs and self._comes_out(upper.only(whole.subjects[:1] * 0), layer):
                self._sites, upper = (architecture.blocks[layer],), whole.above(outputs[layer], layer + 1)
            self.way = next((way for way in (tail(upper, cache), upper) if self._same(way)), whole)
        """The cheapest way that gives what the model itself gave."""

    @property
    def model(self) -> nn.Module:
        return self._architecture.model

    def logits(self, delta: Float[Tensor, "rows sites d_out"]) -> Float[Tensor, "places vocabulary"]:
        """Logits with ``delta`` added at the subjects, float32; differentiable in ``delta``."""
        return self._run(self.way, delta)

    def only(self, rows: Int[Tensor, " kept"]) -> Replay:
        """The same for some of the rows, in this order; places stay in their order."""
        kept = torch.isin(self.way.place_rows, rows)
        fewer = copy(self)
        fewer.way = self.way.only(rows)
        fewer.values, fewer.hidden, fewer.logits_before = self.values[rows], self.hidden[rows], self.logits_before[kept]
        return fewer

    def _first_pass(self, whole: Way, layer: int) -> tuple[dict[int, Any], DynamicCache]:
        """The batch as it is; keeps values and logits, and returns what later passes need not compute again.

        Returns the outputs of the block below ``layer`` and of that block itself, where δ is added within it.
        """
        blocks = self._architecture.blocks
        outputs: dict[int, list[Any]] = {}
        values: dict[int, Tensor] = {}
        cache = DynamicCache()  # without the config: sliding windows would drop the earliest tokens
        within = [] if layer == len(blocks) else list(blocks[layer].modules())
        kept = [layer - 1] * (layer > 0) + [layer] * (self._sites[0] in within)
        device = whole.subjects.device

        def at_subjects(output: Tensor) -> Float[Tensor, "rows d_out"]:
            by_place = output.reshape(*whole.batch.input_ids.shape, -1)
            rows = torch.arange(len(whole.subjects), device=output.device)
            return by_place[rows, whole.subjects.to(output.device)].float().to(device)

        def keep_value(index: int) -> Change:
            def change(output: Tensor) -> Tensor:
                values[index] = at_subjects(output)
                return output

            return change

        with ExitStack() as stack, torch.no_grad():
            for index, site in enumerate(self._sites):
                stack.enter_context(changed_output(site, keep_value(index)))
            for number in kept:
                stack.enter_context(kept_output(blocks[number], outputs.setdefault(number, [])))
            inputs = {**whole.batch.inputs(), "past_key_values": cache, "use_cache": True}
            self.logits_before: Float[Tensor, "places vocabulary"] = self._read(inputs, whole)
        self.values: Float[Tensor, "rows sites d_out"] = torch.stack([values[i] for i in range(len(values))], dim=1)
        top = outputs[max(kept)][0]
        self.hidden: Float[Tensor, "rows d_out"] = at_subjects(top[0] if isinstance(top, tuple) else top)
        """What the block of the sites gives at the subjects, before δ."""
        return {number: given[0] for number, given in outputs.items()}, cache

    def _comes_out(self, way: Way, layer: int) -> bool:
        """Whether δ leaves the block ``layer`` as it entered it, tried on one row with a δ as long as the output."""
        block, model = self._architecture.blocks[layer], self._architecture.model

        def given(delta: Float[Tensor, "one sites d_out"]) -> Float[Tensor, " d_out"]:
            with self._changed(way, delta):
                return output_of(model, block, way.inputs())[0, int(way.subjects[0])].float().to(delta.device)

        before = given(torch.zeros_like(self.values[:1]))
        delta = before.expand_as(self.values[:1]).flip(-1)  # its own direction might pass through a norm
        wrong = torch.linalg.vector_norm(given(delta) - before - delta[0].sum(0))
        longest = torch.linalg.vector_norm(before) * (1 + len(self._sites))
        return bool(wrong <= 2 * torch.finfo(model.dtype).eps * longest)

    def _same(self, way: Way) -> bool:
        blank = self.values.new_zeros(len(self.values), len(self._sites), self.values.shape[-1])
        difference = self._run(way, blank) - self.logits_before
        # Other shapes mean other summation orders: roundings of the model's own dtype may differ, no more than that.
        rounding = max(1e-3, 4 * torch.finfo(self._architecture.model.dtype).eps)
        return bool(difference.abs().max() <= rounding * self.logits_before.abs().max())

    def _run(self, way: Way, delta: Float[Tensor, "rows sites d_out"]) -> Float[Tensor, "places vocabulary"]:
        with self._changed(way, delta):
            return self._read(way.inputs(), way)

    @contextmanager
    def _changed(self, way: Way, delta: Float[Tensor, "rows sites d_out"]) -> Iterator[None]:
        """Within, δ is added at the sites and the lowest blocks give what was kept."""
        if len(self._sites) == 1:
            delta = delta.sum(1, keepdim=True)
        at_subject = way.at_subject

        def add(index: int) -> Change:
            def change(output: Tensor) -> Tensor:
                added = (at_subject * delta[:, index].unsqueeze(1)).to(output)
                return (output.reshape(added.shape) + added).reshape(output.shape)  # OPT's MLP: (rows * width, d)

            return change

        with ExitStack() as stack:
            for index, site in enumerate(self._sites):
                stack.enter_context(changed_output(site, add(index)))
            stack.enter_context(blocks_give(self._architecture.blocks, way.below))
            yield

    def _read(self, inputs: dict[str, Any], way: Way) -> Float[Tensor, "places vocabulary"]:
        """One pass of the model, with the head run at the wanted places only."""

        def pick(hidden: Tensor) -> Tensor:
            return hidden.reshape(-1, hidden.shape[-1])[way.flat_places.to(hidden.device)].unsqueeze(0)

        with changed_input(self._architecture.head, pick):
            logits: Tensor = self._architecture.model(**inputs).logits[0]
        return logits.float().to(way.subjects.device)
