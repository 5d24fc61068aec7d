"""Markdown: tables that are tables, and texts that cannot leave their cells."""

from __future__ import annotations

import re

import pytest

from patchmgr.report.markdown import render_markdown
from patchmgr.report.store import document_of
from report.samples import HOSTILE, comparison, report


def cells(line: str) -> list[str]:
    assert line.startswith("| ")
    assert line.endswith(" |")
    return re.split(r"(?<!\\) \| ", line[2:-2])


def tables(text: str) -> list[list[str]]:
    blocks = [block.splitlines() for block in text.split("\n\n")]
    return [block for block in blocks if block[0].startswith("|")]


@pytest.mark.parametrize("value", [report(), report(HOSTILE), comparison(), comparison(HOSTILE)])
def test_every_row_of_a_table_has_as_many_cells_as_its_header(value):
    found = tables(render_markdown(document_of(value)))
    assert len(found) >= 4
    for header, rule, *rows in found:
        assert all(re.fullmatch(r"---|--:", cell) for cell in cells(rule))
        assert {len(cells(row)) for row in rows} == {len(cells(header))} == {len(cells(rule))}


def test_what_a_text_holds_stays_text():
    text = render_markdown(document_of(report(HOSTILE)))
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)!\[", text)
    assert "http://" not in text
    assert "\n# no" not in text
    assert "\x00" not in text
    assert "\\<script\\>" in text


def test_scores_and_verdict_are_told():
    text = render_markdown(document_of(report()))
    assert "**FAILED** 2 of 3 requirements not met." in text
    assert "| `reliability` | 0.000 | 0.750 | 0.500 – 1.000 | +0.750 | 2 | tf |" in text
    assert "| `locality` | – | 0.875 | 0.500 – 1.000 | – | 4 | tf |" in text
    assert "| `h.2.mlp.c_proj.weight` | BF16 | 512 × 128 | lowrank | 1.500 | 30.00 | 0.050 |" in text


def test_a_comparison_is_one_table_of_variants():
    text = render_markdown(document_of(comparison()))
    row = next(line for line in text.splitlines() if line.startswith("| `paper` | weights | 0/2"))
    assert cells(row)[3:] == [
        "0.750 \\[0.500 – 1.000\\]",
        "0.875 \\[0.500 – 1.000\\]",
        "2.000",
        "500.0 MB",
        "8.0 kB",
    ]
