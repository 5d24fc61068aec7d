"""What fuzzing found, each input as it was: once a traceback, now a reason."""

from __future__ import annotations

import json

import pytest

from fuzz.readers import READERS
from patchmgr.canonical import canonical_json
from patchmgr.errors import FormatError, IntegrityError, PatchmgrError, RequestError, UsageError
from patchmgr.manager.settings import load_settings
from patchmgr.package.withheld import count_commitments
from patchmgr.request import parse_requests
from patchmgr_registry import Reference


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("name", ["lock", "patches", "settings"])
@pytest.mark.parametrize("text", [f"a = {nested(3000)}", f"a = {'9' * 5000}"], ids=["nested", "digits"])
def test_toml_nested_beyond_use_or_with_endless_numbers(name, text, tmp_path, monkeypatch):
    monkeypatch.delenv("PATCHMGR_HOME")
    with pytest.raises(PatchmgrError, match="cannot be read"):
        READERS[name].read(text.encode(), tmp_path)


@pytest.mark.parametrize("value", [float("nan"), "\ud800"], ids=["NaN", "half a character"])
def test_settings_of_a_memory_that_have_no_canonical_form(value, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "seeds").mkdir()
    whole = READERS["memory"].seeds(tmp_path / "seeds")[0]
    broken = json.dumps({**json.loads(whole), "settings": {"threshold": value}}).encode()
    with pytest.raises(FormatError, match="canonical form"):
        READERS["memory"].read(broken, tmp_path / "work")


def test_a_wrong_value_that_is_nested_too_deeply_to_be_shown(tmp_path):
    base = READERS["patches"].seeds(tmp_path)[1].partition(b"base")[0]
    with pytest.raises(UsageError):
        READERS["patches"].read(base + b"base = " + nested(300).encode(), tmp_path)


def test_a_commitment_that_is_no_text():
    line = canonical_json({"withheld": json.loads(nested(500))})
    with pytest.raises(FormatError, match="not a digest"):
        count_commitments(line, where="edits.jsonl")


def test_a_configuration_that_names_no_architecture(tmp_path):
    whole = json.loads(READERS["checkpoint"].seeds(tmp_path)[0])
    for names in (5, {"a": 1}, [7]):
        with pytest.raises(FormatError, match="architecture"):
            value = {**whole, "architectures": names, "model_type": 3}
            READERS["checkpoint"].read(canonical_json(value), tmp_path)


def test_a_number_of_a_version_that_no_database_holds():
    for digits in ("9" * 25, "9" * 5000):
        with pytest.raises(UsageError, match="so high a number"):
            Reference.parse(f"fixes@v{digits}")


@pytest.mark.parametrize("named", ["~nobody-of-this-name/x", "a\0b"])
def test_a_home_that_cannot_be(named, tmp_path, monkeypatch):
    monkeypatch.delenv("PATCHMGR_HOME")
    place = tmp_path / "patchmgr"
    place.mkdir()
    (place / "config.toml").write_text(f"[patchmgr]\nhome = {json.dumps(named)}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="home"):
        load_settings()


@pytest.mark.parametrize("field", ["id", "relation", "prompt", "target_new", "kind"])
def test_half_a_character_in_a_request(field):
    whole = {"prompt": "Oslo is in", "target_new": "Norway"}
    broken = {"locality": [{"prompt": "x", "target": "y", "kind": "\ud800"}]} if field == "kind" else {field: "a\ud800"}
    with pytest.raises(RequestError, match=r"half a character|unicode string"):
        parse_requests(json.dumps({**whole, **broken}).encode(), name="edits.jsonl")


def test_a_database_with_a_schema_format_that_sqlite_does_not_know(tmp_path):
    whole = bytearray(READERS["database"].seeds(tmp_path)[0])
    whole[44:48] = (32).to_bytes(4, "big")
    (tmp_path / "work").mkdir()
    with pytest.raises(IntegrityError, match="unsupported file format"):
        READERS["database"].read(bytes(whole), tmp_path / "work")
