"""Whatever a record holds, it becomes requests, or is counted, or is an error that names it; nothing vanishes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchmgr.errors import RequestError
from patchmgr.readers import LeftOut, read_edits
from readers.records import BY_FORMAT

words = st.sampled_from(["", " ", "a", "{}", "Velmora", "\u2028", "é", "\ud800"])
keys = words | st.sampled_from(["prompt", "str"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def places(value, path=()):
    """The paths to every part of a value."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from places(inner, (*path, key))


@st.composite
def damaged(draw):
    """A format, and a record of it with one part replaced or, of an object, taken out."""
    name = draw(st.sampled_from(sorted(BY_FORMAT)))
    record = copy.deepcopy(draw(st.sampled_from(BY_FORMAT[name])))
    path = draw(st.sampled_from(list(places(record))))
    if not path:
        return name, draw(values)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    if isinstance(inner, dict) and draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner[path[-1]] = draw(values)
    return name, record


@settings(deadline=None, max_examples=600)
@given(damaged())
def test_a_damaged_record_is_read_or_counted_or_named_and_raises_nothing_else(readers, case):
    name, record = case
    reader = readers[name]
    options = {option: allowed[0] for option, allowed in reader.options.items()}
    try:
        parts = list(reader.cases(record, "x.json, record 1", options))
    except RequestError as error:
        assert error.message.startswith("x.json, record 1: ")
        return
    assert reader.size(record) >= len([part for part in parts if not isinstance(part, LeftOut)])
    for part in parts:
        assert part.reason if isinstance(part, LeftOut) else part


@settings(deadline=None, max_examples=200)
@given(values)
def test_recognising_raises_nothing(readers, value):
    for reader in readers.values():
        assert reader.recognises(value) in (True, False)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused_with_the_name_of_the_file(readers, tmp_path: Path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    try:
        assert read_edits(path, readers).requests
    except RequestError as error:
        assert "x.json" in error.message


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["kites", " ", ""]), st.sampled_from(["Dravo Works", "Nobody", ""])), min_size=1)
)
def test_every_record_is_a_request_or_is_counted(readers, tmp_path: Path, rows):
    path = tmp_path / "z.json"
    (zsre,) = BY_FORMAT["zsre"]
    path.write_text(json.dumps([zsre, *({**zsre, "alt": alt, "subject": subject} for alt, subject in rows)]))
    conversion = read_edits(path, readers)
    assert conversion.n_records == len(rows) + 1 == len(conversion.requests) + len(conversion.skipped)
    assert sum(conversion.reasons.values()) == len(conversion.skipped)
