"""Every command that changes something is an event, and the table of events says about what."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import numpy as np
import pytest
import typer

from checkpoints import make_checkpoint, make_package
from hub.conftest import as_user, hub, hub_server  # noqa: F401  # fixtures
from hub.test_editors import trained
from manager.conftest import stocked, template  # noqa: F401  # fixtures
from patchmgr.cli.audit import _what
from patchmgr.cli.main import build_app
from patchmgr.methods.artefacts import ArtefactStore
from patchmgr_registry import Event, EventObject
from signing.conftest import keys  # noqa: F401  # the fixture

READING = {
    "bisect", "blame", "compare", "conflicts", "convert", "demo", "diff", "du", "list", "log", "methods", "outdated",
    "path", "plan", "plugins", "generate", "search", "show", "status", "verify", "fsck", "attest", "model list",
    "model show", "model verify", "stats list", "stats export", "editor list", "editor show", "editor export",
    "trust list", "audit events", "audit verify", "audit export", "audit anchor", "audit fact",
    "audit carriers", "audit changes",
}  # fmt: skip
"""Commands that change no model, package, tag, editor, remote, statistics or trusted key."""
ELSEWHERE = {
    "train": ("manager/test_editors.py", "train"), "harness": ("cli/test_harness.py", "evaluate"),
    "push": ("hub/test_push_pull.py", "push"), "pull": ("hub/test_push_pull.py", "pull"),
    "rebase": ("cli/test_remaking.py", "rebase"),
    "cherry-pick": ("manager/remaking/test_cherry_pick.py", "cherry-pick"),
    "forget": ("manager/forget/test_forget.py", "forget"), "backup": ("manager/test_backup.py", "backup"),
    "restore": ("manager/test_backup.py", "restore"),
}  # fmt: skip
"""Commands that need a model, a Hub or much time: the file of tests that looks at their event, and its action."""
WITHOUT = {"registry copy"}
"""A command that writes no event, for the copy's chain shall be the one that it was made of."""


@pytest.fixture
def steps(stocked, keys, tmp_path):  # noqa: F811
    """Every changing command that needs no torch, in an order in which each has something to do, with its action."""
    make_package(tmp_path / "p3", stocked.base, name="p3", seed=3)
    make_checkpoint(tmp_path / "other", seed=9)
    (tmp_path / "patches.toml").write_text('[models.tiny]\npackages = ["p1"]\n')
    store = ArtefactStore(stocked.manager.settings.artefacts)
    root = stocked.manager.registry.generation("tiny", 0).state_root
    made = store.get_or_compute("covariance", {"state_root": root}, lambda: {"a": np.zeros(3, np.float32)})
    stocked.manager.stats.export("tiny", tmp_path / "statistics")
    young = stocked.manager.registry.blobs.put_bytes(b"of no version")
    os.utime(stocked.manager.registry.blobs.path(young), (0, 0))
    return [
        ("apply", ("tiny", "p1"), "apply"),
        ("import", (tmp_path / "p3",), "import"),
        ("revert", ("tiny", "p1"), "revert"),
        ("rollback", ("tiny",), "rollback"),
        ("tag", ("p1@v1", "stable"), "tag"),
        ("tag", ("p1@v2", "stable", "--move"), None),
        ("tag", ("--delete", "p1@stable"), "untag"),
        ("sign", ("p1@v1", "--key", keys("ana.key")), "sign"),
        ("trust add", ("ana", "--key", keys("ana.pub")), "trust-add"),
        ("trust remove", ("ana",), "trust-remove"),
        ("merge", ("both", "p1@v1", "p2@v1", "--model", "tiny", "--how", "sum", "--no-measure"), "merge"),
        ("export", ("tiny", "--to", "xor", "-o", tmp_path / "update"), "export"),
        ("audit at", ("tiny", "2900-01-01", "-o", tmp_path / "then"), "write-out"),
        ("apply", ("tiny", "p1", "-o", tmp_path / "out"), "write-out"),
        ("model add", ("more", tmp_path / "other"), "model-add"),
        ("model remove", ("more", "--yes"), "model-remove"),
        ("stats remove", (made.sha256[:12],), "stats-remove"),
        ("stats import", ("tiny", tmp_path / "statistics"), "stats-import"),
        ("lock", ("--project", tmp_path), ""),
        ("sync", ("--project", tmp_path), "sync"),
        ("gc", ("tiny", "--keep", "3"), "gc"),
        ("gc", ("--keep", "99"), "gc"),
    ]


def changing_commands() -> set[str]:
    group = typer.main.get_command(build_app())
    found = set()
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {inner}" for inner in below} if below else {name}
    return found - READING


def is_told(event) -> bool:
    """Whether that column names each object, of a changed stack each that moved."""
    moves = event.action in ("apply", "revert", "rollback", "sync")
    things = [thing for thing in event.objects if not (moves and thing.kind in ("package", "generation"))]
    what = _what(event)
    return bool(what) and all(re.sub("[0-9a-f]{52}$", "", thing.name) in what for thing in things)


def test_every_changing_command_is_one_event(run, steps, stocked):  # noqa: F811
    done = set()
    for command, words, action in steps:
        before = len(stocked.manager.events())
        result = run(*command.split(), *words)
        new = stocked.manager.events()[before:]
        if action is None:  # refused
            assert (result.code == 0, new) == (False, ()), command
            continue
        assert result.code == 0, (command, result.err)
        n_events = len(new) if command == "gc" else int(bool(action))  # gc: one for each generation
        assert [event.action for event in new] == [action] * n_events, command
        assert new or not action
        for event in new:
            assert event.command[:2] == ("patchmgr", command.split()[0])
            assert event.objects
            assert (event.result, bool(event.actor), bool(event.host)) == ("ok", True, True)
            assert is_told(event), (command, _what(event))
        done.add(command)
    assert run("audit", "verify").code == 0
    below = {"stats compute", "edit", "evaluate", "editor push", "editor pull", "editor import", "editor remove"}
    left = changing_commands() - done - below - set(ELSEWHERE) - WITHOUT
    assert left == set(), "a command that changes something, and no test that looks for its event"


@pytest.mark.parametrize("command", ELSEWHERE)
def test_the_tests_of_a_command_look_at_its_event(command):
    """A statement of that file asks for events of that action."""
    file, action = ELSEWHERE[command]
    found = set()
    for statement in ast.walk(ast.parse((Path(__file__).parents[1] / file).read_text())):
        if isinstance(statement, ast.Assert | ast.Assign):
            inside = list(ast.walk(statement))
            texts = {node.value for node in inside if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            names = {node.attr for node in inside if isinstance(node, ast.Attribute)}
            names |= {node.id for node in inside if isinstance(node, ast.Name)}
            if (names | texts) & {"action", "last_event"}:
                found |= texts
    assert action in found


def test_changes_of_editors_are_events(run, stocked, hub, as_user, tmp_path):  # noqa: F811
    as_user("alice")
    trained(stocked.manager, tmp_path)
    assert run("editor", "export", "scope@v1", tmp_path / "exported").code == 0
    for command, words, action in (
        ("editor push", ("scope@v1", "alice/scope"), "push"),
        ("editor remove", ("scope@v1",), "remove-editor"),
        ("editor import", (tmp_path / "exported",), "import-editor"),
        ("editor remove", ("scope@v1",), "remove-editor"),
        ("editor pull", ("alice/scope",), "pull-editor"),
    ):
        before = len(stocked.manager.events())
        result = run(*command.split(), *words)
        assert result.code == 0, (command, result.err)
        (event,) = stocked.manager.events()[before:]
        assert (event.action, event.of_kind("editor")[0].name) == (action, "scope@v1")
        assert is_told(event), (command, _what(event))


@pytest.mark.parametrize(
    ("action", "objects", "what"),
    [
        ("forget", [("package", "fx@v1", "a"), ("reason", "request 7", None), ("cleared", "tiny/2", "b")],
         "fx@v1(aaaaaaaaaaaa) reason request 7 cleared tiny/2(bbbbbbbbbbbb)"),
        ("rollback", [("model", "prod", "a"), ("generation", "3", "a"), ("package", "p1@v1", "b"),
                      ("package", "p2@v1", "c"), ("removed", "p3@v1", "d")],
         "prod(aaaaaaaaaaaa) -p3@v1(dddddddddddd)"),
        ("gc", [("blobs", "12", None)], "blobs 12"),
        ("gc", [("model", "prod", None), ("generation", "3", "a")], "prod generation 3(aaaaaaaaaaaa)"),
        ("trust-add", [("certificate", "acme", "a")], "certificate acme(aaaaaaaaaaaa)"),
        ("sign", [("package", "p1@v1", "a"), ("signature", "key sha256:" + "b" * 64, "c")],
         "p1@v1(aaaaaaaaaaaa) signature key sha256:bbbbbbbbbbbb(cccccccccccc)"),
        ("backup", [("backup", "monday.tar", "a")], "backup monday.tar(aaaaaaaaaaaa)"),
        ("cherry-pick", [("package", "few@v1", "a"), ("picked", "fix@v1", "b")],
         "few@v1(aaaaaaaaaaaa) picked fix@v1(bbbbbbbbbbbb)"),
        ("apply", [("model", "prod", "a"), ("added", "p1@v1", "b"), ("conflict", "Rome: p1, p2", None)],
         "prod(aaaaaaaaaaaa) +p1@v1(bbbbbbbbbbbb) conflict(Rome: p1, p2)"),
    ],
)  # fmt: skip
def test_what_an_event_is_about_is_shown(action, objects, what):
    things = tuple(EventObject(kind, name, digest and digest * 64) for kind, name, digest in objects)
    event = Event(1, "t", "ana", "h", "1", (), action, things, "ok", (), "0" * 64, "1" * 64)
    assert _what(event) == what


def test_editing_measuring_and_statistics_are_events_with_their_scores(run, edits_file):
    assert run("model", "add", "atlas", "demo:atlas").code == 0
    n_events = len(run("audit", "--json").json["events"])
    assert run("stats", "compute", "atlas", "--tokens", "60", "--layers", "0").code == 0
    assert run("edit", "atlas", "--name", "x", "--edits", edits_file, "--method", "ft-m", "--set", "steps=1").code == 0
    assert run("evaluate", "x").code == 0
    new = run("audit", "--json").json["events"][n_events:]
    assert [event["action"] for event in new] == ["stats-compute", "edit", "evaluate"]
    assert [bool(event["scores"]) for event in new] == [False, True, True]
    assert run("stats", "compute", "atlas", "--tokens", "60", "--layers", "0").code == 0
    assert len(run("audit", "--json").json["events"]) == n_events + 3, "nothing was made"
