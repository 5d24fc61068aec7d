"""`patchmgr audit` and `attest`, and that every command which changes something is an event."""

from __future__ import annotations

import csv
import io
import json
import os

import numpy as np
import pytest
import typer

from checkpoints import make_checkpoint, make_package
from manager.conftest import stocked, template  # noqa: F401  # fixtures
from patchmgr.cli.main import build_app
from patchmgr.errors import UsageError
from patchmgr.manager.audit.moments import begin_of, end_of
from patchmgr.methods.artefacts import ArtefactStore
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
    "train": "tests/cli/test_train.py", "push": "tests/hub/test_push_pull.py", "pull": "tests/hub/test_push_pull.py",
    "harness": "tests/cli/test_harness.py", "rebase": "tests/cli/test_remaking.py",
    "editor push": "tests/hub/test_editors.py", "editor pull": "tests/hub/test_editors.py",
    "editor import": "tests/manager/test_editors.py", "editor remove": "tests/manager/test_editors.py",
    "cherry-pick": "tests/manager/remaking/test_cherry_pick.py", "forget": "tests/manager/test_forget.py",
    "backup": "tests/manager/test_backup.py", "restore": "tests/manager/test_backup.py",
}  # fmt: skip
"""Commands that need a model, an editor or a Hub; their own tests look at their events."""
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
        done.add(command)
    assert run("audit", "verify").code == 0
    left = changing_commands() - done - {"stats compute", "edit", "evaluate"} - set(ELSEWHERE) - WITHOUT
    assert left == set(), "a command that changes something, and no test that looks for its event"


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


# The trail in a terminal


def test_events_are_listed_by_what_was_asked(run, stocked):  # noqa: F811
    def numbers(*words):
        return [event["sequence"] for event in run("audit", *words, "--json").json["events"]]

    actions = {event.sequence: event.action for event in stocked.manager.events()}
    assert numbers() == numbers("events") == list(actions)
    assert numbers("tiny", "--limit", "2") == numbers("events", "tiny", "--limit", "2") == list(actions)[-2:]
    assert numbers("--action", "apply") == [number for number, action in actions.items() if action == "apply"]
    assert numbers("--package", "p1@v1") == numbers("-p", "p1")
    assert set(numbers("--package", "p1")) < set(numbers())
    assert run("audit", "--package", "p").code == run("audit", "--package", "p1@v").code == 1, "no such package"
    assert numbers("--until", "2020-01-01") == numbers("--actor", "nobody") == []
    assert numbers("--since", "2020-01-01") == numbers()
    header, *rows = csv.reader(io.StringIO(run("audit", "--csv").out))
    assert [int(row[0]) for row in rows] == numbers()
    assert json.loads(rows[0][header.index("objects")])[0]["kind"] == "model"
    assert run("audit", "--csv", "--until", "2020-01-01").out.strip() == ",".join(header)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nobody",), 1), (("--package", "nothing"), 1), (("--since", "soon"), 2), (("--csv", "--json"), 2),
        (("--since", "2026-02-02", "--until", "2026-02-01"), 2), (("verify", "--key", "trusted"), 2),
        (("verify", "--file", "nothing.jsonl"), 1), (("at", "tiny"), 2), (("at", "tiny", "2020-01-01"), 1),
        (("carriers", "nothing"), 1), (("anchor", "-o", "a", "--hub", "b/c"), 2),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_has_its_exit_code(run, stocked, words, code):  # noqa: F811
    result = run("audit", *words)
    assert result.code == code
    assert "--json" in words or result.out == ""


def test_the_questions_have_answers_in_a_terminal(run, stocked, keys, tmp_path):  # noqa: F811
    assert "generation 3, state" in run("audit", "at", "tiny", "2900-01-01").out
    assert "p2@v1" in run("audit", "at", "tiny", "2900-01-01", "--json").json["state"]["stack"][0]["name"]
    assert "p2@v1 edit 0: Town 2 lies in → Nowhere" in run("audit", "fact", "town", "2").out
    assert run("audit", "fact", "p2@v1", "--json").json["facts"][0]["carriers"][0]["model"] == "tiny"
    assert "tiny" in run("audit", "carriers", "p2").out
    assert run("audit", "carriers", "p1").out == "no model carries p1\n"
    assert run("audit", "carriers", "p1", "--past", "--json").json["carriers"][0]["until"]["action"] == "revert"
    assert "+p2@v1" in run("audit", "changes", "--since", "2020-01-01").out
    assert run("audit", "changes", "tiny", "--json").json["models"][0]["before"] is None


def test_files_are_written_and_checked_in_a_terminal(run, stocked, keys, tmp_path):  # noqa: F811
    trail, anchors, state = tmp_path / "audit.jsonl", tmp_path / "anchors.jsonl", tmp_path / "tiny.json"
    assert run("audit", "export", "-o", trail, "--key", keys("ana.key")).code == 0
    assert "noted in" in run("audit", "anchor", "-o", anchors).out
    assert "as 1 anchor(s) say" in run("audit", "verify", "--anchor", anchors).out
    assert "which is not trusted here" in run("audit", "verify", "--file", trail).out
    assert run("audit", "verify", "--file", trail, "--key", "trusted").code == 6
    assert run("attest", "tiny", "--key", keys("ana.key"), "-o", state).code == 0
    run("trust", "add", "ana", "--key", keys("ana.pub"))
    assert "signed by ana" in run("audit", "verify", "--file", trail, "--key", "trusted", "--anchor", anchors).out
    assert run("audit", "verify", "--file", trail, "--key", keys("bob.pub")).code == 6
    assert "tiny as approved: generation 3" in run("attest", "tiny", "--check", state, "--key", "trusted").out
    folder = stocked.generation(3)
    assert run("attest", folder, "--check", state, "--json").json["attested"]["signed_by"] == "ana"
    (folder / "surplus.txt").touch()
    assert run("attest", folder, "--check", state).code == 6
    assert run("attest", "tiny", "-o", state).code == 4
    assert json.loads(run("attest", "tiny").out)["predicate"]["model"]["name"] == "tiny"
    assert run("model", "add", "carriers", stocked.base).code == 2


def test_a_date_means_its_whole_day():
    assert (begin_of("2026-01-02"), end_of("2026-01-02")) == (
        "2026-01-02T00:00:00.000000Z", "2026-01-03T00:00:00.000000Z",
    )  # fmt: skip
    assert end_of("2026-01-02T15") == "2026-01-02T16:00:00.000000Z"
    assert end_of("2026-01-02T15:30:10-01:00") == "2026-01-02T16:30:11.000000Z"
    assert end_of("2026-01-02T15:30:10.5Z") == "2026-01-02T15:30:10.500001Z"
    assert end_of("2026-01-02T15:30Z") == "2026-01-02T15:31:00.000000Z"
    assert (begin_of("0999-01-01"), end_of("0001-01-01T00:00")) == (
        "0999-01-01T00:00:00.000000Z", "0001-01-01T00:01:00.000000Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["2026-01-02T1530", "20260102T1530", "20260102", "2026-W01-5", "2026-01-02 15:30", "2026-01-02T15:30+0100",
     "2026-01-02T15:30,5", "2026-01-02+01:00", "2026-13-01", "٢026-01-02", "0001-01-01T00:00+01:00", ""],
)  # fmt: skip
def test_a_form_of_which_it_is_not_plain_how_much_it_means_is_refused(text):
    with pytest.raises(UsageError, match="is no date"):
        end_of(text)
