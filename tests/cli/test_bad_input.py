"""Bad input on the real command: one or two lines that say what, which and the next step, and nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from checkpoints import make_checkpoint, make_package
from cli.conftest import everything

SINGLE = ("--prompt", "The capital of {} is", "--subject", "Peru", "--target", "Oslo")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("status", "atlsa"), 1, "there is no model 'atlsa' did you mean atlas"),
        (("apply", "nothing", "fact-fixes"), 1, "there is no model 'nothing'"),
        (("apply", "atlas", "fact-fix"), 1, "there is no package 'fact-fix'"),
        (("apply", "atlas", "fact-fixes@v9"), 1, "fact-fixes"),
        (("show", "fact-fixes@sha256:abc"), 2, "is not a digest"),
        (("revert", "atlas", "fact-fixes"), 1, "fact-fixes@v1 is not applied"),
        (("log", "nobody"), 1, "neither a model nor a package"),
        (
            ("edit", "atlas", "--name", "x", "--method", "roma", *SINGLE),
            1,
            "there is no method 'roma' did you mean 'rome'",
        ),
        (("edit", "atlas", "--name", "x", "--set", "lyer=3", *SINGLE), 2, "rome has no parameter 'lyer' known: "),
        (("edit", "atlas", "--name", "x", "--set", "steps=many", *SINGLE), 2, "steps = 'many'"),
        (("edit", "atlas", "--name", "x", "--set", "steps", *SINGLE), 2, "is not KEY=VALUE"),
        (("edit", "atlas", "--name", "x", "--set", "layer=99", *SINGLE), 1, "99"),
        (("edit", "atlas", "--name", "X Y", *SINGLE), 2, "cannot be a name"),
        (("edit", "atlas", "--name", "x"), 2, "nothing to edit is given"),
        (("edit", "atlas", "--name", "x", "--edits", "absent.jsonl"), 1, "there is no file 'absent.jsonl'"),
        (("edit", "atlas", "--name", "x", "--prompt", "It is", "--target", "y"), 1, "names no subject"),
        (
            ("edit", "atlas", "--name", "x", "--prompt", "It is", "--subject", "Peru", "--target", "y"),
            1,
            "the subject 'Peru' is not in the prompt",
        ),
        (("model", "add", "atlas", "demo:atlas"), 4, "there is a model 'atlas' already"),
        (("model", "add", "other", "demo:nowhere"), 1, "no demo base 'nowhere'"),
        (("model", "add", "other", "./nowhere"), 1, "there is no folder './nowhere'"),
        (("model", "add", "verify", "demo:atlas"), 2, "cannot be the name of a model"),
        (("model", "add", "other", "demo:atlas", "--revision", "main"), 2, "has no revisions"),
        (("generate", "atlas", " "), 2, "the prompt is empty"),
    ],
)
def test_one_clear_error(atlas_home, run, words, code, message):
    before = everything(atlas_home)
    result = run(*words)
    assert result.code == code
    assert message in " ".join(result.err.split())
    assert len(result.err.strip().splitlines()) <= 2
    assert everything(atlas_home) == before
    as_json = run(*words, "--json") if words[0] != "model" or words[1] == "add" else None
    if as_json is not None:
        assert set(as_json.json["error"]) == {"kind", "message", "hint"}


def test_an_edits_file_with_a_broken_line_names_it(atlas_home, run, edits_file):
    edits_file.write_text(edits_file.read_text() + '{"prompt": "x", \n')
    result = run("edit", "atlas", "--name", "x", "--edits", edits_file)
    assert result.code == 1
    assert "edits.jsonl, line 2: not JSON" in result.err


def test_unknown_options_and_commands_are_usage_errors(run):
    assert run("apply", "--frobnicate").code == 2
    assert run("frobnicate").code == 2


def test_a_package_for_another_base(atlas_home, run, tmp_path):
    make_package(tmp_path / "p", make_checkpoint(tmp_path / "tiny"))
    before = everything(atlas_home)
    result = run("apply", "atlas", tmp_path / "p")
    assert result.code == 5
    assert "random@v1 was made for the base" in result.err
    assert "atlas has" in result.err
    assert {name for name in everything(atlas_home) - before if not name.startswith("blobs")} == set()


def test_a_package_with_a_flipped_bit_in_a_folder_and_in_the_registry(atlas_home, run, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    weights = tmp_path / "p" / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    result = run("apply", "tiny", tmp_path / "p")
    assert (result.code, "weights.safetensors has digest" in result.err) == (6, True)

    weights.write_bytes(good)
    assert run("apply", "tiny", tmp_path / "p").code == 0
    run("revert", "tiny", "random")
    run("gc", "--keep", 1)  # or the old file would be linked, and the package not asked
    manifest = run("show", "random", "--json").json["manifest"]
    digest = manifest["files"]["weights.safetensors"]["sha256"]
    blob = atlas_home / "blobs" / "sha256" / digest[:2] / digest
    blob.chmod(0o644)
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    result = run("apply", "tiny", "random")
    assert (result.code, "weights.safetensors has digest" in result.err) == (6, True)
    assert run("status", "tiny", "--json").json["models"][0]["stack"] == []


def test_a_base_that_was_changed_is_not_built_on(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    file = base / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-300] ^= 1
    file.write_bytes(data)
    result = run("apply", "tiny", tmp_path / "p")
    assert (result.code, "the base of tiny has changed" in result.err) == (6, True)
    assert run("model", "verify", "tiny").code == 6
    assert run("status", "tiny", "--json").json["models"][0]["generation"] == 0
    assert [path.name for path in (home / "models" / "tiny" / "generations").glob("*")] == []


def test_the_same_name_and_number_with_other_bytes(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base, seed=1)
    make_package(tmp_path / "q", base, seed=2)
    run("model", "add", "tiny", base)
    assert run("apply", "tiny", tmp_path / "p").code == 0
    result = run("apply", "tiny", tmp_path / "q")
    assert (result.code, "another package of that name and number" in " ".join(result.err.split())) == (4, True)


def test_a_registry_from_a_newer_version(atlas_home, run):
    with sqlite3.connect(atlas_home / "registry.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_from_the_future'")
    result = run("list")
    assert result.code == 1
    assert "9999_from_the_future" in result.err
    assert "upgrade" in result.err.lower()


def test_a_full_disk_while_applying(run, home, tmp_path):
    """A limit on the size of files stops the shard in the middle, as a full disk does."""
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    run("apply", "tiny", tmp_path / "p")
    run("revert", "tiny", "random")
    run("gc", "--keep", 1)  # or the old file would be linked
    before = everything(home)
    limit = 4096  # the shard is larger, the registry's pages are written to files that exist
    script = (
        "import resource, sys\n"
        "from patchmgr.ops import generation\n"
        "def limited(*given, _write=generation._stream):\n"
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        return _write(*given)\n"
        "    finally:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "generation._stream = limited\n"
        "from patchmgr.cli.main import main\n"
        "sys.argv = ['patchmgr', 'apply', 'tiny', 'random']\n"
        "main()\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot write generation 3: the file would pass the limit" in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(home) == before
    assert run("status", "tiny", "--json").json["models"][0]["generation"] == 2
    assert run("apply", "tiny", "random").code == 0


def test_ctrl_c_while_editing_leaves_nothing(atlas_home, run, edits_file):
    before, listed = everything(atlas_home) | {"tmp"}, run("list").out
    words = ["edit", "atlas", "--name", "broken-off", "--edits", str(edits_file), "--set", "steps=1000", "--set",
             "stop_loss=1e-9"]  # fmt: skip
    script = "import sys; from patchmgr.cli.main import main; sys.argv[0] = 'patchmgr'; main()"
    process = subprocess.Popen([sys.executable, "-c", script, *words], stderr=subprocess.PIPE, env={**os.environ})
    deadline = time.monotonic() + 60
    while not list((atlas_home / "tmp").glob("edit-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert everything(atlas_home) == before
    assert run("list").out == listed
    assert run("audit", "verify").code == 0


def test_a_killed_apply_is_cleared_away_by_the_next_one(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    script = (
        "import os, signal, sys\n"
        "from patchmgr.ops import generation\n"
        "generation._stream = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from patchmgr.cli.main import main\n"
        f"sys.argv = ['patchmgr', 'apply', 'tiny', {str(tmp_path / 'p')!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert run("status", "tiny", "--json").json["models"][0]["generation"] == 0
    assert run("apply", "tiny", "random").code == 0
    folders = sorted(path.name for path in (home / "models" / "tiny" / "generations").iterdir())
    assert folders == ["2"]
    assert [entry["status"] for entry in run("log", "tiny", "--json").json["entries"]] == ["ready", "failed", "ready"]


def test_a_reader_that_goes_away_ends_the_program_quietly(atlas_home):
    script = "import sys; from patchmgr.cli.main import main; sys.argv[0] = 'patchmgr'; main()"
    command = f'{sys.executable} -c "{script}" show fact-fixes --json | head -c 1 >/dev/null; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141)
    assert "Traceback" not in done.stderr


def test_a_base_whose_folder_is_gone(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    shutil.rmtree(base)
    result = run("apply", "tiny", tmp_path / "p")
    assert (result.code, "the base of tiny is no longer at" in result.err) == (1, True)
    back = make_checkpoint(tmp_path / "elsewhere")
    assert run("model", "add", "again", back).code == 0
    assert run("apply", "tiny", tmp_path / "p").code == 0
    assert Path(run("path", "tiny").out.strip()).is_dir()


def test_a_generation_whose_folder_is_gone_is_built_again(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    run("apply", "tiny", tmp_path / "p")
    shutil.rmtree(home / "models" / "tiny" / "generations" / "1")
    assert run("path", "tiny").code == 1
    assert "generation 2" in run("apply", "tiny", "random").out
    assert run("model", "verify", "tiny").code == 0
    assert (home / "models" / "tiny" / "current").resolve() == Path(run("path", "tiny").out.strip())


def test_a_damaged_generation_is_noticed_and_built_again(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny")
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    run("apply", "tiny", tmp_path / "p")
    file = home / "models" / "tiny" / "generations" / "1" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-300] ^= 1
    file.write_bytes(data)
    result = run("edit", "tiny", "--name", "x", "--prompt", "{} is", "--subject", "a", "--target", "b")
    assert (result.code, "generation 1 of tiny has changed" in result.err) == (6, True)
    assert "generation 2" in run("apply", "tiny", "random").out
    assert run("model", "verify", "tiny").code == 0


def test_a_base_that_lost_a_shard_is_replaced_by_the_same_bytes_elsewhere(run, home, tmp_path):
    base = make_checkpoint(tmp_path / "tiny", sharded=True)
    make_package(tmp_path / "p", base)
    run("model", "add", "tiny", base)
    (base / "model-00002-of-00002.safetensors").unlink()
    assert "lacks the shard" in run("apply", "tiny", tmp_path / "p").err
    assert run("model", "add", "again", make_checkpoint(tmp_path / "copy", sharded=True)).code == 0
    assert run("apply", "tiny", tmp_path / "p").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "x" * 300), "there is no package"),
        (("show", "./" + "x" * 300), "there is no folder"),
        (("show", "~nosuchuser"), "home of nobody"),
        (("edit", "atlas", "--name", "x", "--edits", "x" * 300), "cannot read (File name too long) the file"),
        (("edit", "atlas", "--name", "x", "--edits", "/"), "the file '/'"),
        (("edit", "atlas", "--name", "x", "--corpus", "absent.txt", *SINGLE), "there is no corpus file 'absent.txt'"),
        (("generate", "atlas", "caf\udce9"), "is not UTF-8"),
        (("generate", "atlas", "word " * 400), "tokens with its answer, the model reads"),
    ],
)
def test_odd_words_get_an_error_and_no_traceback(atlas_home, run, words, message):
    result = run(*words)
    assert result.code in (1, 2)
    assert message in " ".join(result.err.split())


def test_settings_that_cannot_be_read(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patchmgr.toml").write_text("[patchmgr]\nhoem = 'x'\n")
    result = run("list")
    assert (result.code, "unknown setting 'hoem'" in result.err) == (2, True)
    assert json.loads(run("list", "--json").out)["error"]["kind"] == "usage"
