"""``tag``, ``search``, ``log`` and ``show --edits`` by the real command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import make_checkpoint, make_package
from patchmgr.cli import complete
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt
from patchmgr.package.manifest import parse_manifest


@pytest.fixture(scope="module")
def stocked(tmp_path_factory) -> Path:
    """A home with ``prod``; packages a (v1 ← v2, v1 ← v3) and b; a@v1 applied, b applied, rolled back."""
    root = tmp_path_factory.mktemp("names")
    base = make_checkpoint(root / "base")
    make_package(root / "b", base, name="b", seed=9)
    with Manager.open(root / "home") as manager:
        manager.add_model("prod", str(base))
        for number, parent in {1: None, 2: 1, 3: 1}.items():
            folder = root / f"a{number}"
            make_package(folder, base, name="a", seed=number)
            manifest = parse_manifest((folder / "patch.json").read_bytes())
            update = {"version": number, "parent_version": parent, "message": f"L'Été {number}"}
            (folder / "patch.json").write_bytes(manifest.model_copy(update=update).to_bytes())
            adopt(manager, folder)
        manager.apply("prod", ["a@v1"], message="first")
        manager.apply("prod", [str(root / "b")])
        manager.rollback("prod", 1, message="b was bad")
    return root / "home"


@pytest.fixture(autouse=True)
def copied(stocked, home) -> Path:
    return Path(shutil.copytree(stocked, home, dirs_exist_ok=True, symlinks=True))


# tag


def test_a_tag_is_made_moved_listed_and_taken_away_and_each_is_an_event(run):
    assert run("tag").out == "no tags\n"
    assert run("tag", "a@v1", "stable").out == "a@stable is v1\n"
    assert run("tag", "a@v1", "stable").out == "a@stable is v1 already: nothing to do\n"
    refused = run("tag", "a@v2", "stable")
    assert refused.code == 4
    assert "--move" in refused.err
    assert run("tag", "a", "stable", "--move", "--json").json["tag"] == {
        "package": "a", "tag": "stable", "version": 3, "previous": 1, "changed": True,
    }  # fmt: skip
    assert run("show", "a@stable", "--json").json["manifest"]["version"] == 3
    assert run("tag", "--list", "a").out.splitlines() == ["TAG       VERSION", "a@stable  v3"]
    assert run("tag", "--list", "--json").json["tags"] == {"a": {"stable": 3}}
    assert run("tag", "--delete", "a@stable").out == "a@stable was v3, and is no tag any more\n"
    with Manager.open() as manager:
        events = [event for event in manager.events() if "tag" in event.action]
        assert [event.action for event in events] == ["tag", "tag", "untag"]
        assert {thing.kind: thing.name for thing in events[1].objects} == {"package": "a@v3", "tag": "a@stable"}
        assert manager.verify_audit()


def test_a_dry_run_of_tag_changes_nothing(run):
    assert run("tag", "a", "stable", "-n").out == "a@stable is v3\n"
    assert run("tag", "a@v1", "old").code == 0
    assert run("tag", "--delete", "a@old", "--dry-run").code == 0
    assert run("tag", "--json").json["tags"] == {"a": {"old": 1}}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("a@v1", "v7"), 2), (("a@v9", "x"), 1), (("nothing", "x"), 1), (("a@v1",), 2), (("--delete", "a"), 2),
        (("--delete", "a@nope"), 1), (("--list", "nothing"), 1), (("a", "x", "--list"), 2),
        (("a", "--delete", "a@x"), 2),
    ],
)  # fmt: skip
def test_what_cannot_be_tagged(run, words, code):
    assert run("tag", *words).code == code


# search


def test_edits_and_messages_are_found(run):
    found = run("search", "ete", "--json").json
    assert [hit["reference"] for hit in found["messages"]] == ["a@v3", "a@v2", "a@v1"]
    assert found["edits"] == []
    found = run("search", "town", "nowhere", "--json").json
    assert {hit["reference"] for hit in found["edits"]} == {"a@v1", "a@v2", "a@v3", "b@v1"}
    assert [hit["reference"] for hit in run("search", "town", "-p", "b", "--json").json["edits"]] == ["b@v1"]
    text = run("search", "random").out
    assert text == "VERSION  MESSAGE\nb@v1     random\n"
    assert run("search", "xyzzy").out == "nothing found\n"
    assert run("search", "town", "-p", "nothing").code == 1
    assert run("search", "&").code == 2


def test_what_is_left_off_is_said(run):
    some = run("search", "été", "--limit", "2")
    assert len(some.out.splitlines()) == 3
    assert "--limit 4" in some.err
    assert run("search", "été", "-n", "2", "-q").err == ""
    assert run("search", "été", "-n", "2", "--json").json["more"] is True
    assert run("search", "été", "-n", "3", "--json").json["more"] is False


# log


def test_log_is_limited_and_streams_the_rest_page_by_page(run, monkeypatch):
    whole = run("log", "prod")
    monkeypatch.setattr("patchmgr.manager.log.PAGE", 1)
    paged = run("log", "prod")
    assert [line.split() for line in paged.out.splitlines()] == [line.split() for line in whole.out.splitlines()]
    assert [entry["number"] for entry in run("log", "prod", "-n", "2", "--json").json["entries"]] == [3, 2]
    assert len(run("log", "a", "-n", "2").out.splitlines()) == 3
    assert [entry["number"] for entry in run("log", "a", "--json").json["entries"]] == [3, 2, 1]
    assert run("log", "prdo").code == 1
    assert "did you mean prod?" in run("log", "prdo").err


def test_the_graph_of_a_model_and_of_a_package(run):
    drawn = run("log", "prod", "--graph").out.splitlines()
    assert [line[:7] for line in drawn] == ["*--.  3", "*  |  2", "*<-'  1", "*     0"]
    assert "rollback to 1" in drawn[0]
    assert "-b@v1" in drawn[0]
    assert "b was bad" in drawn[0]
    assert "+b@v1" in drawn[1]
    assert [line[:8] for line in run("log", "a", "--graph").out.splitlines()] == ["*     v3", "|  *  v2", "*--'  v1"]
    assert len(run("log", "prod", "--graph", "--limit", "2").out.splitlines()) == 2


# show --edits


def test_the_edits_of_a_version_in_pages(run, home, tmp_path):
    lines = run("show", "a@v2", "--edits").out.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["Town 2"]
    page = run("show", "a@v2", "--edits", "--json").json
    assert (page["reference"], page["n_edits"], page["offset"], len(page["edits"])) == ("a@v2", 1, 0, 1)
    assert run("show", "a@v2", "--edits", "--offset", "1", "--json").json["edits"] == []
    assert run("show", "a@v2", "--limit", "1").code == 2
    assert run("list", "-n", "1", "--json").json["packages"][0]["name"] == "a"


# completion


def test_what_is_completed():
    with Manager.open() as manager:
        manager.tag("a@v2", "good")
    assert complete.references("") == ["a", "b"]
    assert complete.references("a") == ["a@v3", "a@v2", "a@v1", "a@good"]
    assert complete.references("a@g") == ["a@good"]
    assert complete.packages("b") == ["b"]
    assert complete.tags("a@") == ["a@good"]
    assert complete.references("zzz@") == []


def test_none_of_them_needs_torch():
    code = (
        "import sys; from patchmgr.cli.main import main\n"
        "for words in (['tag', 'a', 'x'], ['search', 'town'], ['log', 'prod', '--graph'], ['show', 'a', '--edits']):\n"
        "    sys.argv = ['patchmgr', *words]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert not stop.code, words\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
