"""Every claim of docs/threat-model.md names a test that there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", code, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named and named <= there, named - there


def test_every_row_of_what_can_be_tried_names_one():
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what it can try")]
    assert len(rows) > 15
    for row in rows:
        assert "`test_" in row.rpartition(" | ")[2], row
