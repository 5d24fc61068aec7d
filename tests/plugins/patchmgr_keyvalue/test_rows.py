"""Texts become rows whose subject and target stand where the characters stand."""

from __future__ import annotations

import pytest

from patchmgr.errors import MethodError, RequestError
from patchmgr.request import EditRequest
from patchmgr_keyvalue.rows import PLAIN, pad, prompt_rows, subject_rows, target_rows
from tiny_models import tiny_model, tiny_tokenizer

ROME = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
TOKENIZER = tiny_tokenizer()


def target_row(template, request):
    (row,) = target_rows(TOKENIZER, [(template, request)])
    return row


def prompt_row(template, request):
    (row,) = prompt_rows(TOKENIZER, [(template, request)])
    return row


def subject_row(text, end):
    (row,) = subject_rows(TOKENIZER, [(text, end)])
    return row


def test_the_row_ends_before_the_last_token_of_the_target():
    row = target_row(PLAIN, ROME)
    assert TOKENIZER.decode([*row.ids, row.targets[-1]]) == "The capital of Atlantis is Rome"
    assert TOKENIZER.decode(row.targets) == " Rome"
    assert [row.ids[place + 1] for place in row.places[:-1]] == list(row.targets[:-1])


@pytest.mark.parametrize("template", [PLAIN, "It was so. {}", "Señor Ñ 東京. {}"])
def test_the_subject_position_is_its_last_token_in_every_template(template):
    for row in (target_row(template, ROME), prompt_row(template, ROME)):
        assert TOKENIZER.decode(row.ids[: row.subject + 1]).endswith("Atlantis")
        assert not TOKENIZER.decode(row.ids[: row.subject]).endswith("Atlantis")


def test_a_key_row_ends_at_the_subject():
    row = prompt_row("So. {}", ROME)
    assert row.subject == len(row.ids) - 1
    assert TOKENIZER.decode(row.ids) == "So. The capital of Atlantis"


def test_a_subject_that_ends_inside_a_token_is_read_at_that_token():
    ids = TOKENIZER("It lies")["input_ids"]
    assert TOKENIZER.decode(ids[-1]) == " lies"
    assert subject_row("It lies", len("It li")).ids == tuple(ids)


def test_a_subject_of_several_bytes_a_character_is_read_at_its_last_byte():
    row = subject_row("東京 is a", 2)
    assert TOKENIZER.decode(row.ids) == "東京"


def test_a_second_mention_of_the_subject_is_not_mistaken_for_it():
    request = EditRequest(prompt="Rome, or rather {}, lies in", subject="Rome", target_new="Italy")
    row = prompt_row(PLAIN, request)
    assert TOKENIZER.decode(row.ids) == "Rome, or rather Rome"


def test_a_request_without_subject_is_named():
    with pytest.raises(RequestError, match="request 'bare' has no subject"):
        prompt_row(PLAIN, EditRequest(prompt="It is", target_new="so", id="bare"))


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(MethodError, match="Slow does not say where"):
        subject_rows(Slow(), [("Rome is a", 4)])


def test_a_row_longer_than_the_model_reads_is_refused():
    row = subject_row("Rome " * 200, 4 + 5 * 150)
    with pytest.raises(RequestError, match="the model reads 64"):
        pad(tiny_model("gpt2"), [row])


def test_rows_are_padded_on_the_right():
    batch = pad(tiny_model("gpt2"), [subject_row("Rome is a", 4), subject_row("Atlantis", 8)])
    lengths = batch.attention_mask.sum(1).tolist()
    assert batch.attention_mask.tolist() == [[1] * n + [0] * (max(lengths) - n) for n in lengths]


def test_many_rows_are_the_same_as_one_by_one():
    other = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")
    pairs = [(template, request) for request in (ROME, other) for template in (PLAIN, "It was so. {}")]
    assert target_rows(TOKENIZER, pairs) == [target_row(*pair) for pair in pairs]
    assert prompt_rows(TOKENIZER, pairs) == [prompt_row(*pair) for pair in pairs]
    assert [row.n_tail for row in target_rows(TOKENIZER, pairs)] == [
        len(row.ids) - row.subject for row in target_rows(TOKENIZER, pairs)
    ]
