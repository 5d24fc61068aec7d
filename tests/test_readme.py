"""The README tells the truth: its commands run, in its order; its Python runs; its table of commands is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cli.conftest import run  # noqa: F401  # the fixture
from patchmgr.cli.main import build_app

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {"make demo"}
"""Run by .ci/run itself."""


def console_lines() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, flags=re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_every_command_of_the_tour_runs_in_its_order(run, home, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    request = re.search(r"\$ cat edits\.jsonl\n(\{.*\})\n", README)
    assert request
    (tmp_path / "edits.jsonl").write_text(request[1])
    done = []
    for line in console_lines():
        words = shlex.split(line)
        if line in ELSEWHERE or words[0] == "cat":
            continue
        assert words[0] == "patchmgr", line
        result = run(*words[1:])
        assert result.code == 0, (line, result.err)
        done.append(words[1])
        if words[1] == "generate":
            base, now = result.out.splitlines()
            assert "Paris" in base
            assert "Rome" in now
    assert {"edit", "apply", "revert", "audit"} <= set(done)
    (python,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    exec(compile(python, "README.md", "exec"), {})


def test_inline_commands_exist():
    app = build_app()
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for line in re.findall(r"`patchmgr ([^`]+)`", README):
        assert line.split()[0] in names, line


def test_the_table_names_every_command():
    table = README.split("## Commands")[1].split("##")[0]
    app = build_app()
    for command in app.registered_commands:
        assert f"`{command.name}" in table, command.name
    for group in app.registered_groups:
        assert f"`{group.name} " in table, group.name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_resolve(target):
    assert (Path(__file__).parent.parent / target).exists()
