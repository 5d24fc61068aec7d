"""Requests are parsed strictly, and an error names the line and the field."""

from __future__ import annotations

import json

import pytest

from patchmgr.errors import NotFoundError, RequestError
from patchmgr.request import EditRequest, dump_requests, parse_requests, read_requests

GOOD = {"prompt": "{} lies in", "subject": "Rome", "target_new": "Gaul"}


def lines(*values) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else json.dumps(value).encode() for value in values)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{not json", "line 2: not JSON"),
        (b"\xff\xfe", "line 2: not JSON"),
        (b"[1]", "line 2: "),
        ({"prompt": "x"}, "line 2: field 'target_new': it is missing"),
        ({**GOOD, "taget": "y"}, "line 2: field 'taget'"),
        ({**GOOD, "target_new": 3}, "line 2: field 'target_new'"),
        ({**GOOD, "target_new": ""}, "line 2: field 'target_new'"),
        ({**GOOD, "rephrasings": "one"}, "line 2: field 'rephrasings'"),
        ({**GOOD, "locality": [{"prompt": "x"}]}, "line 2: field 'locality.0.target'"),
        ({"prompt": "Paris is", "subject": "Rome", "target_new": "x"}, "the subject 'Rome' is not in the prompt"),
        ({"prompt": "Rome or Rome", "subject": "Rome", "target_new": "x"}, "in the prompt 2 times"),
        ({"prompt": "{} and {}", "subject": "Rome", "target_new": "x"}, "more than once"),
        ({"prompt": "{} is", "target_new": "x"}, "no subject is given"),
    ],
)
def test_a_broken_line_is_named(line, message):
    with pytest.raises(RequestError, match=message.replace("{", r"\{").replace("}", r"\}")):
        parse_requests(lines(GOOD, line), name="edits.jsonl")


def test_an_empty_file_and_a_missing_one(tmp_path):
    (tmp_path / "empty").write_text("\n\n")
    with pytest.raises(RequestError, match="no request in it"):
        read_requests(tmp_path / "empty")
    with pytest.raises(NotFoundError, match="there is no file"):
        read_requests(tmp_path / "absent")


def test_subject_end_points_behind_the_subject():
    marked = EditRequest(prompt="In {} they", subject="Rome", target_new="x")
    plain = EditRequest(prompt="In Rome they", subject="Rome", target_new="x")
    assert marked.text == plain.text == "In Rome they"
    assert marked.subject_end == plain.subject_end == 7


def test_requests_survive_writing_and_reading():
    value = {**GOOD, "rephrasings": ["Where is Rome?"], "locality": [{"prompt": "a", "target": "b", "kind": "k"}]}
    requests = parse_requests(lines(value), name="x")
    assert parse_requests(dump_requests(requests), name="y") == requests
    assert json.loads(dump_requests(requests)) == value
