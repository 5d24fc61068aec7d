"""A run that is cut short goes on where it was kept and gives the same bits; documents never share a row."""

from __future__ import annotations

import json

import pytest
import torch

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr.methods.contract import EditContext, LoadedModel
from patchmgr_keyvalue.moments import Convergent, computed
from patchmgr_keyvalue.second_moment_sums import summed
from patchmgr_keyvalue.texts import ROWS, text_of
from tiny_models import INNER, tiny_model, tiny_tokenizer

SENTENCES = [
    f"City{i} lies in Land{i % 7}, where people speak Tongue{i % 5} and dance. " * (1 + i % 3) for i in range(400)
]
BLOCK = ROWS * 63
"""Tokens of a full block of the tiny models."""


class Stopped(BaseException):
    """Ctrl-C at some block."""


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(tiny_model("gpt2"), tiny_tokenizer(), "root")


@pytest.fixture(scope="module")
def projections(loaded):
    architecture = find_architecture(loaded.model)
    return [architecture.down_projection(layer) for layer in (0, 2)]


def written(folder, name="a.txt", sentences=SENTENCES):
    path = folder / name
    path.write_text("\n".join(json.dumps({"text": each}) if name.endswith("l") else each for each in sentences))
    return text_of(path, 0)


@pytest.fixture(params=["samples", "a.txt", "a.jsonl"])
def text(request, tmp_path):
    return text_of(None, 3) if request.param == "samples" else written(tmp_path, request.param)


def context(folder, stop_at=None):
    def progress(done, _total, what):
        if what == "reading text for statistics" and stop_at is not None and done >= stop_at:
            raise Stopped

    return EditContext(ArtefactStore(folder), progress=progress)


def made(loaded, projections, text, context, n_tokens=2 * BLOCK + 63, until=None, keep_every_s=0.0):
    convergent = Convergent(until, 1e-4)
    return computed(
        loaded, projections, text, context, n_tokens=n_tokens, convergent=convergent, keep_every_s=keep_every_s
    )


def test_an_interrupted_run_goes_on_and_gives_the_same_bits(loaded, projections, text, tmp_path):
    whole = made(loaded, projections, text, context(tmp_path / "whole"))
    n_tokens = int(whole[0].arrays["tokens"][0])
    for stop_at in (1, n_tokens * 2 // 3, n_tokens * 9 // 10):
        with pytest.raises(Stopped):
            made(loaded, projections, text, context(tmp_path / "parts", stop_at))
    starts = []
    parts = EditContext(
        ArtefactStore(tmp_path / "parts"),
        progress=lambda done, _total, what: starts.append(done) if "reading" in what else 0,
    )
    again = made(loaded, projections, text, parts)
    assert starts[0] > 0  # it went on
    assert [each.sha256 for each in again] == [each.sha256 for each in whole]
    assert [each.notes for each in again] == [each.notes for each in whole]
    assert not list((tmp_path / "parts").rglob(".unfinished*"))


def test_kept_work_of_another_text_or_layers_is_not_gone_on_from(loaded, projections, tmp_path):
    text = written(tmp_path)
    with pytest.raises(Stopped):
        made(loaded, projections, text, context(tmp_path, BLOCK * 2))
    (alone,) = made(loaded, projections[1:], text, context(tmp_path))
    other = made(loaded, projections, written(tmp_path, "b.txt", SENTENCES[3:]), context(tmp_path))
    fresh = made(loaded, projections, text, context(tmp_path / "fresh"))
    assert alone.sha256 == fresh[1].sha256
    assert other[1].sha256 != fresh[1].sha256


def test_damaged_kept_work_is_begun_anew(loaded, projections, tmp_path):
    text = written(tmp_path)
    with pytest.raises(Stopped):
        made(loaded, projections, text, context(tmp_path, BLOCK * 2))
    (kept,) = tmp_path.rglob(".unfinished*")
    kept.write_bytes(kept.read_bytes()[:-100])
    again = made(loaded, projections, text, context(tmp_path))
    fresh = made(loaded, projections, text, context(tmp_path / "fresh"))
    assert [each.sha256 for each in again] == [each.sha256 for each in fresh]


def test_stopping_early_gives_what_was_asked_for_with_so_many_tokens(loaded, projections, text, tmp_path):
    early = made(loaded, projections, text, context(tmp_path / "early"), n_tokens=100 * BLOCK, until=0.01)
    n_tokens = early[0].key["tokens"]
    assert n_tokens == int(early[0].arrays["tokens"][0]) < 100 * BLOCK
    asked = made(loaded, projections, text, context(tmp_path / "asked"), n_tokens=n_tokens)
    assert [each.sha256 for each in asked] == [each.sha256 for each in early]
    assert [each.key for each in asked] == [each.key for each in early]


def test_what_is_never_enough_is_read_to_the_end_and_keeps_the_number_that_was_asked_for(loaded, projections, tmp_path):
    done = made(loaded, projections, written(tmp_path), context(tmp_path), n_tokens=2 * BLOCK + 1, until=0.999999)
    assert [each.key["tokens"] for each in done] == [2 * BLOCK + 1] * 2
    assert [each.notes["tokens"] for each in done] == [2 * BLOCK + 63] * 2
    assert all(0 < each.notes["agreement"] < 1 and each.notes["d_in"] == INNER for each in done)


def test_measuring_changes_no_bit(loaded, projections, text, tmp_path):
    measured = made(loaded, projections, text, context(tmp_path / "a"), n_tokens=BLOCK)
    plain = computed(loaded, projections, text, context(tmp_path / "b"), n_tokens=BLOCK)
    assert [each.sha256 for each in plain] == [each.sha256 for each in measured]
    assert set(plain[0].notes) == {"tokens", "d_in"}


def test_no_row_holds_two_documents_and_every_token_counts_once(loaded, projections, tmp_path):
    documents = ["Rome lies in Italy. " * 40, "Paris", "The capital of Atlantis is"]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": document}) for document in documents))
    sums = summed(
        loaded, projections[:1], text_of(path, 0), n_tokens=10_000, progress=lambda *_: None, kept=tmp_path / "kept"
    )
    module, start = projections[0].module, loaded.tokenizer.bos_token_id
    expected, n_tokens = torch.zeros(INNER, INNER).double(), 0
    for document in documents:
        ids = loaded.tokenizer(document)["input_ids"]
        for low in range(0, len(ids), 63):
            seen = []
            handle = module.register_forward_pre_hook(lambda _module, inputs, seen=seen: seen.append(inputs[0]))
            with torch.no_grad():
                loaded.model(torch.tensor([[start, *ids[low : low + 63]]]))
            handle.remove()
            keys = seen[0][0, 1:].double()
            expected += keys.T @ keys
            n_tokens += len(keys)
    assert sums.n_tokens == n_tokens
    torch.testing.assert_close(sums.totals[0], expected, rtol=1e-4, atol=1e-5)


def test_records_without_text_are_no_corpus(loaded, projections, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ""}\n{"text": null}\n')
    with pytest.raises(MethodError, match="holds no text"):
        computed(loaded, projections, text_of(path, 0), context(tmp_path), n_tokens=10)
