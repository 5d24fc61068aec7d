"""What is wrong with a call is said at once and plainly: before torch is loaded, and in JSON where that was asked."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from checkpoints import make_checkpoint, make_package
from patchmgr.manager.manager import Manager
from patchmgr.methods.limit import LIMIT_VARIABLE


@pytest.fixture(scope="module")
def stocked(tmp_path_factory) -> Path:
    """A home with ``prod``; the packages a and b applied, and b taken off and forgotten."""
    root = tmp_path_factory.mktemp("first-words")
    base = make_checkpoint(root / "base")
    with Manager.open(root / "home") as manager:
        manager.add_model("prod", str(base))
        for seed, name in enumerate("ab"):
            make_package(root / name, base, name=name, seed=seed)
            manager.apply("prod", [str(root / name)])
        manager.revert("prod", ["b"])
        manager.forget("b@v1", reason="asked to")
    return root / "home"


@pytest.fixture(autouse=True)
def copied(stocked, home) -> Path:
    return Path(shutil.copytree(stocked, home, dirs_exist_ok=True, symlinks=True))


WRONG = {
    "bisect prod --prompt a": "--expect is missing",
    "bisect prod --expect a": "--prompt is missing",
    "bisect prod --prompt a --expect": "requires an argument",
    "bisect prod --require nonsense --data edits.jsonl": "nonsense",
    "bisect prod --require locality>=0.9 --data nowhere.jsonl": "nowhere.jsonl",
    "bisect prod --prompt a --expect b --device gpu": "no device",
    "bisect prod --prompt a --expect b --generations --good 99": "never at generation 99",
    "bisect prod --prompt a --expect b --generations --bad 2": "b@v1 was forgotten",
    "stats nothing": "nothing",
    "stats prod --method rome --set bogus=1": "bogus",
    "stats prod --corpus nowhere.txt": "nowhere.txt",
    "stats prod --device gpu": "no device",
    "train nothing prod --data edits.jsonl --name x": "there is no method 'nothing'",
    "train rome prod --data edits.jsonl --name x": "rome needs no training",
    "train serac nothing --data edits.jsonl --name x": "nothing",
    "train serac prod --data edits.jsonl --name x --set bogus=1": "bogus",
    "train serac prod --data edits.jsonl --name x --keep-back 2": "--keep-back",
    "train serac prod --data edits.jsonl --name x/y": "x/y",
    "train serac prod --data nowhere.jsonl --name x": "nowhere.jsonl",
}
"""Words, and what is said of them."""


def test_what_is_wrong_is_found_before_torch_is_loaded(edits_file):
    code = (
        "import io, json, sys, contextlib; from patchmgr.cli.main import main\n"
        "said = {}\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['patchmgr', *words.split()]\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as err:\n"
        "        try: main()\n"
        "        except SystemExit as stop: code = stop.code\n"
        "    said[words] = [code, err.getvalue(), 'torch' in sys.modules]\n"
        "print(json.dumps(said))\n"
    )
    words = [sys.executable, "-c", code, json.dumps(list(WRONG))]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=edits_file.parent)
    for call, (status, said, has_torch) in json.loads(done.stdout).items():
        assert WRONG[call] in said, (call, said)
        assert status in (1, 2), call
        assert not has_torch, call


# the parser


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list --bogus --json", "--bogus"),
        ("lists --json", "'lists'"),
        ("show --json", "Missing argument 'REF'"),
        ("log prod --limit x --json", "--limit"),
    ],
)
def test_what_the_parser_says_is_json_where_that_was_asked(run, words, message):
    done = run(*words.split())
    assert done.code == 2
    assert done.json["error"]["kind"] == "usage"
    assert message in done.json["error"]["message"]
    assert "--help`" in done.json["error"]["hint"]
    assert done.err == ""


def test_json_behind_two_dashes_is_not_the_program_s(run):
    done = run("bisect", "nothing", "--", "cat", "--json")
    assert (done.code, done.out) == (1, "")
    assert "error: " in done.err


# plugins


def test_a_limit_that_fits_nothing_is_remarked_on_and_has_a_row(run, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "memit, nope, rome==99.9")
    said = run("list").err
    assert "plugin nope is not installed" in said
    assert "plugin rome is not loaded: PATCHMGR_LOAD_PLUGINS wants version 99.9 of it" in said
    assert "memit" not in said
    rows = {row["name"]: row for row in run("plugins", "--json").json["plugins"]}
    assert (rows["nope"]["status"], rows["memit"]["status"]) == ("not installed", "loaded")


# the Hub


def test_a_hub_without_an_address_is_told_at_once(run, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr("patchmgr.hub.client.getproxies", dict)

    def lost(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lost)
    done = run("search", "--remote", "town")
    assert done.code == 1
    assert done.err == (
        "error: the Hub cannot be reached: hub.invalid has no address here (Name or service not known)\n"
        "  check the network and HF_ENDPOINT\n"
    )


@pytest.mark.parametrize("words", ["push a org/x --dry-run", "audit anchor --hub org/x", "editor pull org/x@v1"])
def test_who_would_send_is_not_told_of_the_cache_or_of_local_folders(run, monkeypatch, words):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = run(*words.split())
    assert done.code == 1
    assert "error: the Hub cannot be reached for org/x" in done.err
    assert "check the network and HF_ENDPOINT" in done.err
    assert "local folder" not in done.err


# what is not there


@pytest.mark.parametrize(
    "words", ["show ./nope", "import nope", "editor import nope", "apply prod ./nope", "import a --model prod --name x"]
)
def test_a_folder_that_is_missing_is_called_missing(run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("")
    done = run(*words.split())
    assert done.code == 1
    assert "there is no folder 'nope'" in done.err or "'a' is a file and not a folder" in done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("cherry-pick prod a@v1", "see `patchmgr show a@v1 --edits`"),
        ("show a@nope", "see `patchmgr tag --list a`"),
        ("tag --delete a@nope", "see `patchmgr tag --list a`"),
        ("edit prod --name m --method ike --forget abc", "there is no version of m to forget from"),
        ("edit prod --name m --method rome --set steps=x --prompt a --subject a --target b", "`patchmgr methods rome`"),
    ],
)
def test_hints_work_as_they_are_written(run, words, hint):
    done = run(*words.split())
    assert done.code in (1, 2)
    assert hint in done.err


# plain sentences


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("conflicts nothing", "there is neither a model nor a package 'nothing'"),
        ("conflicts b", "b@v1 was forgotten"),
        ("model remove nothing --yes", "there is no model 'nothing'"),
        ("convert nope.json", "there is no file 'nope.json'"),
        ("convert empty.jsonl -o absent/out.jsonl", "there is no folder 'absent'"),
        ("edit prod --name x --edits ./some/../empty.jsonl", "some/../empty.jsonl: no request in it"),
        ("edit prod --name x --prompt a --target b --seed -1", "greater than or equal to 0"),
        (
            "edit prod --name x --method rome --prompt a --subject a --target b --set layer=x",
            "it should be a whole number",
        ),
        ("lock --project empty.jsonl", "'empty.jsonl' is a file"),
        ("trust add bob --key empty.jsonl", "empty.jsonl holds no public key in PEM\n"),
    ],
)
def test_what_is_said_is_said_plainly(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "empty.jsonl").write_text("")
    done = run(*words.split())
    assert done.code in (1, 2)
    assert said in done.err
    assert "Value error" not in done.err


@pytest.mark.parametrize("words", ["editor list", "model list", "stats list", "list", "tag --list", "trust list"])
def test_an_empty_answer_is_a_sentence(run, monkeypatch, tmp_path, words):
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "new"))
    done = run(*words.split())
    assert done.code == 0
    assert done.out.startswith("no")


def test_both_files_that_lock_writes_are_named(run, tmp_path):
    done = run("lock", "--from", "prod", "--project", tmp_path)
    assert done.out.splitlines()[-1] == "patches.toml and patches.lock written"
    assert (tmp_path / "patches.toml").is_file()


def test_gc_says_what_it_leaves_because_it_is_young(run, home):
    assert "stay: not a day old" not in run("gc").out
    with Manager.open() as manager:
        digest = manager.registry.blobs.put_bytes(b"on its way")
    out = run("gc").out
    assert "and 0 blob(s): 0 B\n10 B of blobs that no version is made of stay: not a day old" in out
    assert run("gc", "--json").json["cleared"]["young_bytes"] == 10
    assert digest in manager.registry.blobs


def test_a_switch_has_no_value_in_the_help(run):
    for words in (["list"], ["editor", "list"], ["stats", "compute"], []):
        out = run(*words, "--help").out
        assert "--help" in out
        assert "<bool>" not in out


def test_the_module_is_the_program():
    done = subprocess.run([sys.executable, "-m", "patchmgr", "lsit"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: patchmgr " in done.stderr


# the home


def test_a_home_that_is_made_is_told_of_once(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATCHMGR_HOME", str(tmp_path / "hmoe"))
    assert run("list", "--json").err == f"made a new home in {tmp_path / 'hmoe'}\n"
    assert run("list", "--json").err == ""


def test_a_home_that_cannot_be_written_is_called_read_only(run, home, monkeypatch):
    (home / "registry.db").unlink()
    (home / "registry.db").mkdir()
    assert "read-only" not in run("list").err
    monkeypatch.setattr("os.access", lambda path, mode: False)
    done = run("list")
    assert done.code == 1
    assert f"error: the home {home} is read-only" in done.err
    assert "set PATCHMGR_HOME to a copy of it" in done.err
