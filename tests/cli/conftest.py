"""The real command, run in this process; and homes that hold a model and a package already."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from patchmgr.cli.main import main
from patchmgr.demo.edits import edit_requests
from patchmgr.manager.manager import Manager
from patchmgr.request import parse_request

QUESTION_FACT = 7
"""Seed of the fact that the tests edit."""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch):
    """``run("apply", "atlas", "x@v1")``: exit code, stdout and stderr of the command."""

    def runner(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["patchmgr", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return runner


@pytest.fixture(scope="session")
def request_line():
    """One edit of the demo base, with all probes."""
    return edit_requests(1, seed=QUESTION_FACT)[0]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, request_line, atlas_statistics) -> Path:
    """A home with the model ``atlas`` and the package ``fact-fixes@v1``, not applied; made once."""
    home = tmp_path_factory.mktemp("prepared")
    shutil.copytree(atlas_statistics, home / "artefacts")
    with Manager.open(home) as manager:
        manager.add_model("atlas", "demo:atlas")
        manager.model("atlas").edit("fact-fixes", [parse_request(request_line, where="demo")], message="moved")
    return home


@pytest.fixture
def atlas_home(home, prepared) -> Path:
    """A copy of the prepared home, in force for this test."""
    shutil.copytree(prepared, home, dirs_exist_ok=True, symlinks=True)
    return home


@pytest.fixture
def edits_file(tmp_path, request_line) -> Path:
    path = tmp_path / "edits.jsonl"
    path.write_text(json.dumps(request_line) + "\n")
    return path


def everything(home: Path) -> set[str]:
    """Names of all files below a home that a command could leave behind; the database's own logs aside."""
    return {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if not path.name.startswith("registry.db") and "cache" not in path.parts
    }
