"""Where prompts end in passes that read them whole, in part, behind a cache, or again with their answers."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from patchmgr_inside.ends import PromptEnds

IDS = torch.zeros(2, 5, dtype=torch.long)


def cached(n):
    cache = DynamicCache()
    if n:
        cache.update(torch.zeros(2, 1, n, 4), torch.zeros(2, 1, n, 4), 0)
    return cache


def found(ends, n_before=0, ids=IDS, **options):
    n_rows, (rows, columns) = ends.in_pass((ids,), {"past_key_values": cached(n_before), **options})
    assert n_rows == len(ids)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_unsaid_prompts_end_with_the_pass_that_begins_them():
    ends, mask = PromptEnds(), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]])
    assert found(ends) == [(0, 4), (1, 4)]
    assert found(ends, attention_mask=mask) == [(0, 4), (1, 1)]
    assert found(ends, 3) == []
    assert ends.in_pass((), {"inputs_embeds": torch.zeros(2, 3, 7)})[1][1].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("columns", "n_before", "expected"),
    [
        ([3], 0, [(0, 3), (1, 3)]),
        ([1, 4], 0, [(0, 1), (1, 4)]),
        ([6], 0, []),
        ([6], 5, [(0, 1), (1, 1)]),
        ([6, 2], 5, [(0, 1)]),
        ([3], 4, []),
    ],
)
def test_said_ends_are_found_in_the_part_that_has_them(columns, n_before, expected):
    ends = PromptEnds()
    with ends.at(columns):
        assert found(ends, n_before) == expected
        with ends.at([0]):
            assert found(ends) == [(0, 0), (1, 0)]
        assert found(ends, n_before) == expected
    assert found(ends) == [(0, 4), (1, 4)]
