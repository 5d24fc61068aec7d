"""Texts come document by document from plain text, JSON lines and parquet; what cannot be read is named."""

from __future__ import annotations

import gzip
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest

from patchmgr.errors import FormatError, NotFoundError, UsageError
from patchmgr.readers.corpus import open_corpus

LINES = "Rome lies in Italy.\n\nParis lies in France.\n"


def documents(path):
    return ["".join(document) for document in open_corpus(path).documents()]


def json_lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.v2.text", "a.txt.gz"])
def test_a_plain_text_is_one_document(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(LINES.encode()) if name.endswith(".gz") else LINES.encode())
    assert documents(path) == [LINES]


def test_a_line_without_end_is_read_in_pieces(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 100_000)
    pieces = [piece for document in open_corpus(path).documents() for piece in document]
    assert max(map(len, pieces)) == 65_536
    assert "".join(pieces) == "word " * 100_000


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.JSONL.gz"])
@pytest.mark.parametrize("field", ["text", "body"])
def test_json_lines_are_a_document_each(tmp_path, name, field):
    data = (json_lines({field: "one", "n": 1}, {field: "two"}, {field: None}, {field: ""}) + "\n").encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert documents(path) == ["one", "two"]


def test_parquet_is_a_document_a_row_in_batches(tmp_path):
    path = tmp_path / "a.parquet"
    texts = [f"document {i}" for i in range(600)]
    pyarrow.parquet.write_table(pyarrow.table({"title": ["t"] * 600, "text": texts, "n": list(range(600))}), path)
    assert documents(path) == texts
    assert documents(path.with_name("a.parquet#title"))[:2] == ["t", "t"]


def test_another_field_is_named_behind_the_file(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json_lines({"title": "t", "body": "b"}))
    assert documents(tmp_path / "a.jsonl#body") == ["b"]
    with pytest.raises(
        UsageError, match=r"a\.jsonl, line 1: there is no field 'text'; FILE#FIELD names one of title, b"
    ):
        documents(path)
    with pytest.raises(UsageError, match=r"no field 'gone'; FILE#FIELD names one of title, body"):
        documents(tmp_path / "a.jsonl#gone")


def test_a_file_whose_name_has_the_mark_is_that_file(tmp_path):
    path = tmp_path / "c#.txt"
    path.write_text("sharp")
    assert documents(path) == ["sharp"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text": "a"}\n{"text": \n', r"a\.jsonl, line 2: not JSON"),
        ('{"text": "a"}\n["b"]\n', r"a\.jsonl, line 2: this is no object"),
        ('{"text": "a"}\n{"text": 3}\n', r"a\.jsonl, line 2: field 'text' is no text"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        documents(path)


def test_what_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_text("no")
    with pytest.raises(FormatError, match=r"a\.parquet is no parquet file"):
        documents(path)


def test_without_pyarrow_the_next_step_is_said_before_anything_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.write_text("no")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"parquet needs pyarrow; pip install 'patchmgr\[parquet\]'"):
        open_corpus(path)


def test_a_missing_file_a_folder_and_a_field_of_plain_text(tmp_path):
    with pytest.raises(NotFoundError, match=r"there is no corpus file '.*gone\.jsonl'"):
        open_corpus(tmp_path / "gone.jsonl#body")
    with pytest.raises(NotFoundError, match="cannot read"):
        open_corpus(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UsageError, match="plain text, and has no field 'body'"):
        open_corpus(tmp_path / "a.txt#body")
