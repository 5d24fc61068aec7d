"""The search is exact, breaks ties by place, and gives a query the same whatever stands beside it."""

from __future__ import annotations

import math

import pytest
import torch

from patchmgr_memory import search
from patchmgr_memory.search import nearest


def unit(rows, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def cosine(query, key):
    return math.fsum(a * b for a, b in zip(query.tolist(), key.tolist(), strict=True))


def test_it_finds_what_comparing_with_every_key_finds():
    queries, keys = unit(70, 8, 1), unit(500, 8, 0)
    found = nearest(queries, keys, 5)
    for row, query in enumerate(queries):
        ranked = sorted((-cosine(query, key), place) for place, key in enumerate(keys))[:5]
        assert found.places[row].tolist() == [place for _, place in ranked]
        assert found.cosines[row].tolist() == pytest.approx([-negative for negative, _ in ranked], abs=1e-15)


def test_there_are_fewer_where_there_are_fewer_keys_and_none_without_queries():
    queries, keys = unit(3, 8, 1), unit(2, 8, 0)
    assert nearest(queries, keys, 5).places.shape == (3, 2)
    assert nearest(queries[:0], keys, 5).places.shape == (0, 2)
    assert nearest(queries, keys[:0], 5).cosines.shape == (3, 0)


def test_of_equal_keys_the_earlier_comes_first_wherever_they_lie():
    # as the product of matrices sees them, equal keys in different places differ in the last bit now and then
    keys = unit(997, 384, 0)
    places = [3, 62, 63, 64, 500, 995, 996]
    keys[places] = unit(1, 384, 2)
    queries = torch.nn.functional.normalize(keys[3] + 0.2 * unit(9, 384, 3), dim=1)
    found = nearest(queries, keys, len(places) + 1)
    assert found.places[:, : len(places)].tolist() == [places] * len(queries)
    assert (found.cosines[:, : len(places)] == found.cosines[:, :1]).all()
    assert nearest(queries, keys, 3).places.tolist() == [places[:3]] * len(queries)


def test_when_all_keys_are_equal_the_first_ones_are_found(monkeypatch):
    monkeypatch.setattr(search, "_CANDIDATES", 7)
    keys = unit(1, 16, 0).repeat(50, 1)
    assert nearest(unit(2, 16, 1), keys, 4).places.tolist() == [[0, 1, 2, 3]] * 2


def test_keys_that_float32_cannot_tell_apart_are_told_apart():
    query = torch.zeros(1, 64)
    query[0, :3] = torch.tensor([1.0, 2.0**-13, 2.0**-13])
    near = query[0].clone()
    nearer = torch.zeros(64)
    nearer[:3] = torch.tensor([1.0, 2.0**-12, 2.0**-12])  # its cosine is larger by 2⁻²⁵, below a float32 near 1
    assert torch.equal(near @ query[0], nearer @ query[0])
    assert nearest(query, torch.stack([near, nearer]), 1).places.item() == 1


def test_a_query_alone_finds_the_same_numbers_as_among_others():
    queries, keys = unit(40, 384, 1), unit(3000, 384, 0)
    together = nearest(queries, keys, 4)
    for row in range(len(queries)):
        alone = nearest(queries[row : row + 1], keys, 4)
        assert torch.equal(alone.cosines[0], together.cosines[row])
        assert torch.equal(alone.places[0], together.places[row])
