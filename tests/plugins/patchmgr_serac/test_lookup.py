"""Searching is exact, and two stages that look at all entries are the cross-attention form itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from patchmgr_serac import calibration
from patchmgr_serac.calibration import Known, calibrate, joined
from patchmgr_serac.lookup import Lookup, nearest_by_distance
from patchmgr_serac.networks import open_cross, open_encoder


@pytest.fixture(scope="module")
def networks(both_stages):
    return open_encoder(both_stages.files, "mean", "cpu"), open_cross(both_stages.files, "cpu")


@pytest.fixture(scope="module")
def entries(world):
    return [(request.text, request.target_new) for request in world(["France", "Italy", "Kenya", "Peru"])]


ASKED = ["The capital city of France is", "On the map, the continent of Peru is", "The continent on which Mali lies is"]


def test_two_stages_that_read_every_entry_are_the_full_cross_attention(networks, entries):
    encoder, cross = networks
    keys = encoder.vectors(encoder.reading.entries(entries))
    two = Lookup(entries, encoder, keys, cross, len(entries)).ranked(ASKED, len(entries))
    full = Lookup(entries, None, None, cross, 1).ranked(ASKED, len(entries))
    assert two.places.tolist() == full.places.tolist()
    assert torch.allclose(two.probabilities, full.probabilities, atol=1e-6)
    for row, question in enumerate(ASKED):
        for place, found in zip(full.places[row].tolist(), full.probabilities[row].tolist(), strict=True):
            with torch.no_grad():
                logit = cross(cross.reading.pairs([entries[place]], [question]))
            assert found == pytest.approx(float(logit.sigmoid()), abs=1e-5)


def test_two_stages_read_the_nearest_entries_only(networks, entries):
    encoder, cross = networks
    keys = encoder.vectors(encoder.reading.entries(entries))
    near = Lookup(entries, encoder, keys, None, 1).ranked(ASKED, 3)
    two = Lookup(entries, encoder, keys, cross, 3).ranked(ASKED, 3)
    assert [set(row) for row in two.places.tolist()] == [set(row) for row in near.places.tolist()]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 5))
def test_the_search_finds_the_nearest_by_euclidean_distance(seed, n_keys, k):
    generator = torch.Generator().manual_seed(seed)
    keys = torch.randn(n_keys, 6, generator=generator) * 5
    keys[n_keys // 2] = keys[0]
    queries = torch.randn(70, 6, generator=generator) * 5
    queries[0] = keys[0]
    found = nearest_by_distance(queries, keys, k)
    for row in range(0, 70, 23):
        distances = [float((queries[row].double() - key.double()).square().sum()) for key in keys]
        expected = sorted(range(n_keys), key=lambda place: (distances[place], place))[:k]
        assert found.places[row].tolist() == expected
        assert found.distances[row].tolist() == pytest.approx([distances[place] for place in expected])
    assert found.distances[0, 0] == 0
    assert found.places[0, 0] == 0


def test_what_stands_beside_a_question_changes_nothing(networks, entries):
    encoder, cross = networks
    keys = encoder.vectors(encoder.reading.entries(entries))
    lookup = Lookup(entries, encoder, keys, cross, 3)
    together = lookup.ranked([*ASKED, "A much longer question about the whole of the world is"])
    for row, question in enumerate(ASKED):
        alone = lookup.ranked([question])
        assert alone.places[0].tolist() == together.places[row].tolist()
        assert torch.allclose(alone.probabilities[0], together.probabilities[row], atol=1e-6)


def test_a_memory_that_outgrows_its_calibration_is_calibrated_again_with_its_entries(edited, editor, world):
    """And not before; an entry whose subject stands in a question is no false alarm."""
    questions, first = calibration.load(editor.files["calibration.json"], where="the editor")
    assert first.entries == len(questions.entries) == 8
    small = edited(world(["France", "Italy", "Kenya"]), editor=editor)
    assert small.config.settings["calibrated_at"] == 8
    assert small.config.settings["threshold"] == first.threshold
    grown = edited(world(["Peru", "Chad"]), memory=small)
    assert grown.config.settings["calibrated_at"] == 8 + 10
    encoder = open_encoder(editor.files, "mean", "cpu")
    own = [(entry.prompt, entry.target) for entry in grown.entries]
    lookups = [
        Lookup(some, encoder, encoder.vectors(encoder.reading.entries(some)), None, 3)
        for some in (questions.entries, own)
    ]
    memory = [Known(entry.prompt, entry.target, entry.subject) for entry in grown.entries]
    expected = calibrate(joined(*lookups), questions, memory)
    assert grown.config.settings["threshold"] == expected.threshold
    assert edited(world(["Cuba"]), memory=grown).config.settings["calibrated_at"] == 18


def test_an_entry_that_a_question_may_be_about_is_no_witness():
    entry = Known("The capital of France is", "Rome", "France")
    assert entry.may_answer("The capital of France is")
    assert entry.may_answer("The city that France is governed from is")
    assert not entry.may_answer("The capital of Italy is")
    assert not Known("It was a", "city", None).may_answer("It was")
