"""``patchmgr export`` and ``patchmgr import`` as they are typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import EDITABLE, file_digests, make_checkpoint, make_package
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import ConflictError
from patchmgr.exporters.contract import Written
from patchmgr.manager.exporting.place import MARKER, check_replaceable, mark, write_folder
from patchmgr.manager.manager import Manager
from patchmgr.manager.write_out import new_place


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """The model ``tiny`` with ``one@v1``, and ``two`` computed on that in a folder; made once, without torch."""
    root = tmp_path_factory.mktemp("template")
    base = make_checkpoint(root / "base", sharded=True)
    make_package(root / "one", base, name="one", seed=1)
    make_package(root / "two", base, name="two", seed=2, tensors=EDITABLE[:1], on=[root / "one"])
    with Manager.open(root / "home") as manager:
        manager.add_model("tiny", str(base))
        manager.apply("tiny", [str(root / "one")])
    return root


@pytest.fixture
def tiny(template, home, tmp_path, monkeypatch) -> Path:
    """A copy of the registry in force, and the folders in the current one; the base."""
    shutil.copytree(template / "home", home, dirs_exist_ok=True, symlinks=True)
    for name in ("base", "one", "two"):
        (tmp_path / name).symlink_to(template / name)
    monkeypatch.chdir(tmp_path)
    return template / "base"


def actions() -> list[str]:
    with Manager.open() as manager:
        return [event.action for event in manager.events()]


def test_a_model_is_exported_as_a_checkpoint_that_is_its_generation(tiny, run, tmp_path):
    done = run("export", "tiny", "--to", "checkpoint", "-o", "out", "--json")
    assert done.code == 0, done.err
    with Manager.open() as manager:
        generation, (status,) = manager.path("tiny"), manager.status("tiny")
    found = file_digests(tmp_path / "out")
    assert found.pop(MARKER)
    assert found == {name: digest for name, digest in file_digests(generation).items() if name in found}
    assert done.json["state_root"] == status.state_root and set(done.json["files"]) == {*found, MARKER}
    assert done.json["size_bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in (tmp_path / "out").iterdir())
    assert Checkpoint.read(tmp_path / "out").size_bytes == Checkpoint.read(tiny).size_bytes


def test_what_leaves_a_model_is_an_event_and_a_package_is_only_read(tiny, run):
    before = actions()
    assert run("export", "one@v1", "--to", "xor", "-o", "alone").code == 0
    assert run("export", "tiny", "--to", "xor", "-o", "planned", "--dry-run").code == 0
    assert actions() == before
    done = run("export", "tiny", "--to", "xor", "-o", "whole")
    assert done.out.startswith("tiny (one@v1) as xor: ")
    assert actions() == [*before, "export"]
    assert run("audit", "verify").code == 0


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(tiny, run, tmp_path):
    planned = run("export", "tiny", "--to", "xor", "-o", "out", "--dry-run", "--json").json
    assert planned["dry_run"] is True and not (tmp_path / "out").exists()
    done = run("export", "tiny", "--to", "xor", "-o", "out", "--json").json
    assert sorted(planned["files"]) == sorted(done["files"])


def test_a_folder_that_is_there_is_replaced_by_force_and_only_if_it_is_an_export(tiny, run, tmp_path):
    assert run("export", "tiny", "--to", "xor", "-o", "out").code == 0
    before = file_digests(tmp_path / "out")
    assert run("export", "one@v1", "--to", "xor", "-o", "out").code == 4
    (tmp_path / "out" / "model.safetensors.index.json").write_text("{}")
    assert run("export", "one@v1", "--to", "xor", "-o", "out", "--force").code == 0
    assert file_digests(tmp_path / "out") == before
    (tmp_path / "out" / "diary.txt").write_text("mine")
    refused = run("export", "one@v1", "--to", "xor", "-o", "out", "--force")
    assert refused.code == 4 and "'diary.txt'" in refused.err
    assert (tmp_path / "out" / "diary.txt").read_text() == "mine"
    for inside in ("base", "base/new"):
        assert run("export", "one@v1", "--to", "xor", "-o", inside, "--force").code == 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_force_replaces_no_folder_that_is_no_export_of_that_form(tiny, run, tmp_path):
    assert run("export", "tiny", "--to", "xor", "-o", "out").code == 0
    refused = run("export", "tiny", "--to", "checkpoint", "-o", "out", "--force")
    assert refused.code == 4 and "is an export --to xor" in refused.err
    other = make_checkpoint(tmp_path / "other", sharded=True, seed=5)  # the very names that an export would write
    before = file_digests(other)
    for damage in (None, "{", '{"form": "checkpoint"}'):
        if damage is not None:
            (other / MARKER).write_text(damage)
        refused = run("export", "tiny", "--to", "checkpoint", "-o", "other", "--force")
        assert refused.code == 4 and "is no export of patchmgr's" in refused.err
    (other / MARKER).unlink()
    assert file_digests(other) == before


def test_no_export_lies_in_the_folder_of_a_registered_base_or_around_it(tiny, run, tmp_path):
    other = make_checkpoint(tmp_path / "shelf" / "other", sharded=True, seed=5)
    (tmp_path / "link").symlink_to(other)
    before = file_digests(other)
    with Manager.open() as manager:
        manager.add_model("other", str(other))
        for place in (other, tmp_path / "shelf", manager.settings.home.parent):
            mark(place, "checkpoint")
        before[MARKER] = file_digests(other)[MARKER]
        for place, said in (
            (other, "lies in the folder of the registered base other"), (tmp_path / "link", "lies in"),
            (other / "new", "lies in"), (tmp_path / "shelf", "has the folder of the registered base other in it"),
            (manager.settings.home.parent, "in it"),
        ):  # fmt: skip
            for force in ([], ["--force"]):
                refused = run("export", "one@v1", "--to", "checkpoint", "-o", place, *force)
                assert refused.code == 4 and said in refused.err
            with pytest.raises(ConflictError, match=said):
                new_place(manager, tiny, place)
    assert file_digests(other) == before


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_an_exchange_that_is_interrupted_anywhere_leaves_the_old_or_the_new(tmp_path, monkeypatch, at):
    place, rename, calls = tmp_path / "out", Path.replace, []
    place.mkdir()
    (place / "a").write_text("old")

    def write(folder: Path) -> Written:
        (folder / "a").write_text("new")
        return Written()

    def replace(source: Path, target: Path) -> Path:
        calls.append(target)
        if at == 2 * len(calls) - 1:
            raise KeyboardInterrupt
        done = rename(source, target)
        if at == 2 * len(calls):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        write_folder(place, write)
    assert (place / "a").read_text() == ("new" if at == 6 else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_marker_forgives_what_the_earlier_export_wrote_and_nothing_else(tmp_path):
    (tmp_path / "old.safetensors").write_bytes(b"")
    mark(tmp_path, "xor")
    check_replaceable(tmp_path, "xor", ["new.safetensors"])
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConflictError, match="'mine'"):
        check_replaceable(tmp_path, "xor", ["new.safetensors"])


def test_a_failure_on_the_way_leaves_what_was_there(tiny, run, tmp_path, monkeypatch):
    assert run("export", "tiny", "--to", "xor", "-o", "out").code == 0
    before = file_digests(tmp_path / "out")
    monkeypatch.setattr("patchmgr.exporters.xor.zlib.adler32", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    failed = run("export", "tiny", "--to", "xor", "-o", "out", "--force")
    assert failed.code == 1 and "the disk is full" in failed.err
    assert file_digests(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["export", "nobody", "--to", "xor", "-o", "out"], 1, "nobody"),
        (["export", "tiny", "--to", "gguf", "-o", "out"], 2, "known: checkpoint, peft, xor"),
        (["export", "tiny", "--to", "xor", "-o", "out", "--with-parents"], 2, "--with-parents"),
        (["export", "tiny", "--to", "checkpoint", "-o", "out", "--rank", "8"], 2, "known here: --weights-only"),
        (["export", "./two", "--to", "xor", "-o", "out"], 4, "--with-parents"),
        (["export", "org/one@v1", "--to", "xor", "-o", "out"], 2, "`patchmgr pull org/one@v1` first"),
        (["import", "./base"], 1, "neither an edit package nor a LoRA adapter"),
        (["import", "./one", "--name", "uno"], 2, "--name says nothing"),
        (["import", "./one", "--require", "reliability>=0.99"], 2, "--require says nothing"),
        (["import", "./one", "--device", "cuda", "--dtype", "float16"], 2, "--device, --dtype says nothing"),
        (["import", "a" * 5000], 1, "there is no folder"),
        (["import", "./lora"], 2, "--model"),
        (["import", "./lora", "--model", "tiny"], 2, "--edits FILE"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_with_the_next_step(tiny, run, tmp_path, words, code, said):
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    refused = run(*words)
    assert refused.code == code and said in refused.err
    assert not (tmp_path / "out").exists()


def test_a_sequential_package_goes_with_its_parents(tiny, run):
    done = run("export", "./two", "--to", "xor", "-o", "out", "--with-parents", "--json")
    assert done.json["packages"] == ["one@v1", "two@v1"]


def test_only_what_is_signed_goes_out_or_in_where_that_is_asked(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "trusted")
    for words in (["export", "one@v1", "--to", "xor", "-o", "out"], ["import", "./two"], ["import", "./two", "-n"]):
        refused = run(*words)
        assert refused.code == 6 and "is not signed" in refused.err
    assert not (tmp_path / "out").exists() and run("show", "two@v1").code == 1
    assert run("export", "tiny", "--to", "xor", "-o", "out").code == 0


def test_a_package_is_imported_once_under_its_own_name(tiny, run):
    before = actions()
    assert run("import", "./two", "--dry-run").out.strip() == "would take in two@v1"
    assert actions() == before
    done = run("import", "./two", "--json")
    assert done.json["reference"] == "two@v1"
    assert run("import", "./two", "--json").json["digest"] == done.json["digest"]
    assert actions() == [*before, "import"]


def test_exports_of_bytes_import_no_torch(tiny, tmp_path):
    lines = [
        "import sys",
        "from patchmgr.cli.main import main",
        "sys.argv = ['patchmgr', 'export', 'tiny', '--to', 'xor', '-o', 'quick']",
        "try: main()",
        "finally: print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (tmp_path / "quick" / "model.safetensors.index.json").is_file()
    assert done.stderr.strip() == "[]"
