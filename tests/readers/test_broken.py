"""A broken file is an error that names the file, the record and the field; how a file is laid out does not matter."""

from __future__ import annotations

import copy
import json

import pytest

from patchmgr.errors import NotFoundError, RequestError, UsageError
from patchmgr.readers import Reader, read_edits
from readers.records import (
    BY_FORMAT,
    COMPACT,
    CONVSENT,
    COUNTERFACT,
    MQUAKE,
    OWN,
    POKEMQA,
    SANITATION,
    WIKI_COUNTERFACT,
    WIKIBIO,
    ZSRE,
)


def without(record, *path):
    record = copy.deepcopy(record)
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return record


def replaced(record, value, *path):
    record = copy.deepcopy(record)
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return record


@pytest.mark.parametrize(
    ("good", "broken", "message"),
    [
        (COUNTERFACT, without(COUNTERFACT, "requested_rewrite", "subject"), "rewrite: there is no field 'subject'"),
        (COUNTERFACT, replaced(COUNTERFACT, "harp", "requested_rewrite", "target_new"), "target_new: an object is"),
        (COUNTERFACT, replaced(COUNTERFACT, "text", "paraphrase_prompts"), "'paraphrase_prompts' must be a list"),
        (COUNTERFACT, replaced(COUNTERFACT, [1], "neighborhood_prompts"), "'neighborhood_prompts.0' must be a text"),
        (COMPACT, replaced(COMPACT, 7, "target_new"), "field 'target_new' must be a text, it is a number"),
        (COMPACT, replaced(COMPACT, {}, "ground_truth"), "field 'ground_truth' must be a text, it is an object"),
        (COMPACT, replaced(COMPACT, [["", 1]], "ground_truth"), "field 'ground_truth.0.1' must be a text"),
        (ZSRE, without(ZSRE, "subject"), "there is no field 'subject'"),
        (ZSRE, replaced(ZSRE, None, "src"), "field 'src' must be a text, it is null"),
        (ZSRE, replaced(ZSRE, True, "alt"), "field 'alt' must be a text, it is true or false"),
        (WIKI_COUNTERFACT, without(WIKI_COUNTERFACT, "prompt"), "there is no field 'prompt'"),
        (WIKI_COUNTERFACT, replaced(WIKI_COUNTERFACT, [], "locality"), "locality: an object is needed, this is a list"),
        (WIKI_COUNTERFACT, replaced(WIKI_COUNTERFACT, ["x"], "portability", "Reasoning"), "Reasoning.0: an object"),
        (WIKIBIO, without(WIKIBIO, "concept"), "there is no field 'concept'"),
        (WIKIBIO, without(WIKIBIO, "labels"), "there is no field 'labels'"),
        (CONVSENT, without(CONVSENT, "pos"), "there is no field 'pos'"),
        (CONVSENT, replaced(CONVSENT, None, "pos"), "field 'pos' must be a list, it is null"),
        (SANITATION, without(SANITATION, "K_F"), "there is no field 'K_F'"),
        (SANITATION, without(SANITATION, "K_R"), "there is no field 'K_R'"),
        (MQUAKE, without(MQUAKE, "requested_rewrite"), "there is no field 'requested_rewrite'"),
        (MQUAKE, without(MQUAKE, "new_answer"), "there is no field 'new_answer'"),
        (MQUAKE, COUNTERFACT, "field 'requested_rewrite' must be a list, it is an object"),
        (MQUAKE, without(MQUAKE, "requested_rewrite", 1, "prompt"), "requested_rewrite.1: there is no field 'prompt'"),
        (POKEMQA, without(POKEMQA, "questions"), "there is no field 'questions'"),
        (POKEMQA, replaced(POKEMQA, 7, "edit"), "field 'edit' must be a text, it is a number"),
        (ZSRE, COUNTERFACT, "there is no field"),
        (ZSRE, [1], "an object is needed, this is a list"),
        (OWN, {**OWN, "taget": "y"}, "field 'taget': there is no such field"),
        (OWN, {"prompt": "x"}, "field 'target_new': it is missing"),
        (OWN, {**OWN, "locality": {}}, "field 'locality'"),
        (OWN, {**OWN, "prompt": "It lies in"}, "the subject 'Velmora' is not in the prompt"),
    ],
)  # fmt: skip
def test_a_broken_record_is_named_with_its_field(read, good, broken, message):
    with pytest.raises(RequestError) as caught:
        read(good, broken)
    assert caught.value.message.startswith("data.json, record 2: ")
    assert message in caught.value.message
    assert caught.value.hint


def test_a_broken_record_of_sanitation_is_named(read):
    with pytest.raises(RequestError, match=r"record 1: K_F\.2: there is no field 'subject'"):
        read(without(SANITATION, "K_F", 2, "subject"))
    with pytest.raises(RequestError, match="field 'K_R' must be a list, it is a text"):
        read(replaced(SANITATION, "none", "K_R"))


def test_the_hint_of_a_missing_field_has_the_keys_that_were_found(read):
    with pytest.raises(RequestError) as caught:
        read(ZSRE, {"question": "x", "answer": "y"})
    assert "the object has question, answer;" in caught.value.hint
    assert "format zsre" in caught.value.hint


# Telling formats apart


def test_unknown_keys_are_named_with_the_formats_that_are_known(read):
    with pytest.raises(RequestError) as caught:
        read({"change": "x", "asked": []})
    assert caught.value.message == "data.json, record 1: no known format has these keys: change, asked"
    assert all(name in caught.value.hint for name in BY_FORMAT)


@pytest.mark.parametrize("record", [{**OWN, "taget": "x"}, {"prompt": "x"}, {"target_new": "x"}])
def test_a_mistake_in_the_first_of_our_own_requests_gets_the_error_of_a_request(read, record):
    with pytest.raises(RequestError, match=r"data\.json, record 1: field '(taget|target_new|prompt)': "):
        read(record)


@pytest.mark.parametrize("record", [3, "text", ["x"], None])
def test_a_first_record_that_is_no_object(read, record):
    with pytest.raises(RequestError, match=r"data\.json, record 1: an object is needed"):
        read(record)


class Twin(Reader):
    name, description, paper = "twin", "Takes what zsre takes", "none"

    def recognises(self, record):
        return "src" in record

    def cases(self, record, where, options):
        raise AssertionError("an ambiguous file is not read")


def test_a_record_that_fits_two_formats_is_refused_until_one_is_named(tmp_path, readers):
    (tmp_path / "z.json").write_text(json.dumps([ZSRE]))
    both = {**readers, "twin": Twin()}
    with pytest.raises(
        RequestError, match=r"z\.json, record 1: these keys fit several formats, twin, zsre: subject, src"
    ):
        read_edits(tmp_path / "z.json", both)
    assert read_edits(tmp_path / "z.json", both, format="zsre").format == "zsre"


def test_a_format_that_is_named_wins_over_the_keys(read):
    assert read(OWN, format="patchmgr").format == "patchmgr"
    with pytest.raises(RequestError, match=r"data\.json, record 1: there is no field 'src'"):
        read(OWN, format="zsre")
    with pytest.raises(NotFoundError, match="there is no format 'zrse'; did you mean 'zsre'"):
        read(OWN, format="zrse")
    with pytest.raises(NotFoundError, match="there is no format 'x'; known: convsent, counterfact"):
        read(OWN, format="x")


# How a file is laid out

RECORDS = [ZSRE, {**ZSRE, "alt": "drums"}]
LINES = "\n".join(json.dumps(record) for record in RECORDS)
BOM = "\ufeff"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=4),
        json.dumps(RECORDS, indent=4).replace("\n", "\r\n"),
        BOM + json.dumps(RECORDS, indent=1),
        f"\n\n {json.dumps(RECORDS)}",
        LINES,
        f"\n{LINES}\n\n",
        LINES.replace("\n", "\r\n") + "\r\n",
        LINES.replace("\n", "\r"),
        BOM + LINES,
    ],
)
def test_arrays_and_lines_of_every_kind_give_the_same_requests(read, text):
    conversion = read(text.encode())
    assert [request.target_new for request in conversion.requests] == ["kites", "drums"]
    assert conversion.n_records == 2


def test_a_line_separator_of_unicode_ends_no_line(read):
    line = json.dumps({**OWN, "target_new": "a\u2028b"}, ensure_ascii=False)
    assert read(line.encode()).requests[0].target_new == "a\u2028b"


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_may_be_the_whole_file(read, indent):
    assert read(json.dumps(SANITATION, indent=indent).encode()).n_records == 7
    assert read(json.dumps(WIKIBIO, indent=indent).encode()).n_records == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "data.json: no request in it"),
        (b"\n \r\n", "data.json: no request in it"),
        (b"\xef\xbb\xbf", "data.json: no request in it"),
        (b"[]", "data.json: no request in it"),
        (b"not json", "data.json, line 1: not JSON"),
        (b'{"prompt": "x", ', "data.json, line 1: not JSON"),
        (b'{"prompt":\n"x"\n', "data.json, line 1: not JSON"),
        (LINES.encode() + b'\n\n{"src": \n', "data.json, line 4: not JSON"),
        (b'[{"src": "x"},\n\n {"src" "y"}]', r"data.json, line 3: not JSON \(Expecting ':' delimiter, column 9\)"),
        (b'[{"src": "x"}', "data.json, line 1: not JSON"),
        (LINES.encode() + b"\n\xff\xfe", "data.json, line 3: not JSON .byte 1 is not UTF-8"),
        ('[{"src": "café"}]'.encode("latin-1"), "not UTF-8"),
        (json.dumps([OWN]).encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (json.dumps([{**ZSRE, "alt": "\ud800"}]).encode(), "record 1: field 'target_new'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(read, data, message):
    with pytest.raises(RequestError, match=message):
        read(data)


def test_a_missing_file_a_folder_and_a_limit_below_one(tmp_path, readers, read):
    with pytest.raises(NotFoundError, match="there is no file"):
        read_edits(tmp_path / "absent", readers)
    with pytest.raises(NotFoundError, match="cannot read"):
        read_edits(tmp_path, readers)
    with pytest.raises(UsageError, match="the limit is 0"):
        read(OWN, limit=0)
