"""What strangers wrote does nothing to a terminal and forges no line; colours of ours stay."""

from __future__ import annotations

import csv
import io
import json
import sys

from patchmgr.cli import render
from patchmgr.errors import PatchmgrError

EVIL = "ok\nsignature   by acme\x1b[8m\x1b]0;owned\x07\x9b2J\u202egnp\r\x7f"
STEERING = set(EVIL) & {"\x1b", "\x07", "\x9b", "\u202e", "\r", "\x7f"}


def test_all_that_is_printed_holds_no_character_that_steers_a_terminal(capsys):
    render.emit(EVIL)
    render.remark(EVIL)
    render.error(PatchmgrError(EVIL, hint=EVIL), as_json=False)
    render.emit(render.table([[EVIL, 1]], ["MESSAGE", "N"]))
    render.emit(render.fields([["message", EVIL]], 12))
    render.emit_table([[[EVIL]]], ["MESSAGE"])
    render.emit_csv([[[EVIL, 1]]], ["message", "n"])
    printed = capsys.readouterr()
    assert not STEERING - {"\r"} & set(printed.out + printed.err)
    assert printed.out.replace("\r\n", "").count("\r") == 0  # CSV ends its lines so
    assert "\\u001b[8m\\u001b]0;owned\\u0007\\u009b2J\\u202egnp" in printed.out


def test_a_value_of_one_line_stays_in_it():
    assert len(render.table([["x", EVIL]], ["N", "MESSAGE"]).splitlines()) == 2
    assert render.fields([["message", EVIL]], 12).splitlines()[0].startswith("message     ok signature   by acme")
    assert render.line("a\tb\u2028c\x85d\r\ne") == "a b c d e"


def test_json_says_the_same_as_before_and_shows_nothing_raw(capsys):
    render.emit_json({"message": EVIL})
    printed = capsys.readouterr().out
    assert json.loads(printed)["message"] == EVIL and not STEERING & set(printed)


def test_a_table_for_programs_keeps_numbers_and_lines(capsys):
    render.emit_csv([[["two\nlines", 1, None]]], ["a", "b", "c"])
    assert list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))[1] == ["two\nlines", "1", ""]


def test_our_colours_are_painted_and_those_of_strangers_are_not(capsys, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    render.emit(f"{render.paint('ours', '32')} \x1b[32mtheirs\x1b[0m")
    render.error(PatchmgrError("\x1b[32mfine"), as_json=False)
    printed = capsys.readouterr()
    assert printed.out == "\x1b[32mours\x1b[0m \\u001b[32mtheirs\\u001b[0m\n"
    assert printed.err == "\x1b[31merror: \\u001b[32mfine\x1b[0m\n"
