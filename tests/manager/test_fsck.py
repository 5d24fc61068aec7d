"""fsck finds each single thing that is broken, names it, checks all the rest, and is silent about what is well."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from manager.conftest import SHARDS, flip
from patchmgr.manager.fsck import models as checks
from patchmgr_migrations.triggers import expected_triggers

COUNTS = {"database": 1, "events": 6, "package": 2, "blob": 4, "base": 1, "generation": 4, "link": 1}
"""Of a stocked home: the pristine generation is one too."""
DROP = "DROP TRIGGER events_refuse_delete"
DELETE = "DELETE FROM events WHERE sequence = 3"


def found(report) -> list[tuple[str, str]]:
    return [(problem.kind, problem.object) for problem in report.problems]


def told(report) -> str:
    return "\n".join(problem.message for problem in report.problems)


def test_a_whole_home_is_clean(stocked):
    for full in (False, True):
        report = stocked.manager.fsck(full=full)
        assert (report.problems, report.mended, report.busy, report.garbage_bytes) == ((), (), (), 0)
        assert report.n_checked == COUNTS


def test_an_empty_home_is_clean(home):
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        report = manager.fsck()
    assert report.problems == ()
    assert sum(report.n_checked.values()) == 1


# Files


def flipped_blob(s):
    flip(s.blob("p1@v1", "weights.safetensors"))


def missing_blob(s):
    s.blob("p2@v1", "edits.jsonl").unlink()


def flipped_base(s):
    flip(s.base / SHARDS[0])


def flipped_base_with_links(s):
    flip(s.base / SHARDS[1])


def changed_config_of_the_base(s):
    (s.base / "config.json").write_text(json.dumps({"architectures": ["Other"]}))


def deleted_base(s):
    shutil.rmtree(s.base)


def lost_shard_of_the_base(s):
    (s.base / SHARDS[0]).unlink()


def flipped_generation(s):
    flip(s.generation(2) / SHARDS[0])


def truncated_generation(s):
    os.truncate(s.generation(3) / SHARDS[0], 4200)


def changed_tokenizer_of_a_generation(s):
    (s.generation(1) / "tokenizer.json").write_text("{}")


def lost_config_of_a_generation(s):
    (s.generation(1) / "config.json").unlink()


def deleted_generation(s):
    shutil.rmtree(s.generation(1))


@pytest.mark.parametrize(
    ("damage", "problems", "message"),
    [
        (flipped_blob, [("blob", "p1@v1/weights.safetensors")], "holds bytes of sha256:"),
        (missing_blob, [("blob", "p2@v1/edits.jsonl")], "is missing; it is p2@v1/edits.jsonl"),
        (flipped_base, [("base", "tiny")], "the base of tiny has changed: 'layers.0.down.weight' was "),
        (
            flipped_base_with_links,
            [("base", "tiny"), ("generation", "tiny/3")],
            "generation 3 of tiny has changed: 'norm.weight' was ",
        ),
        (changed_config_of_the_base, [("base", "tiny")], "its config files are others"),
        (deleted_base, [("base", "tiny")], "the base of tiny is no longer at "),
        (lost_shard_of_the_base, [("base", "tiny")], f"lacks the shard {SHARDS[0]}"),
        (flipped_generation, [("generation", "tiny/2")], "generation 2 of tiny has changed: 'layers.0.down.weight'"),
        (truncated_generation, [("generation", "tiny/3")], "the file at 4200"),
        (changed_tokenizer_of_a_generation, [("generation", "tiny/1")], "its tokenizer files are others"),
        (lost_config_of_a_generation, [("generation", "tiny/1")], "has no config.json"),
        (deleted_generation, [("generation", "tiny/1")], "generation 1 of tiny is no longer at "),
    ],
)
def test_each_damaged_file_is_found_and_named_and_all_else_is_checked(stocked, damage, problems, message):
    damage(stocked)
    report = stocked.manager.fsck()
    assert found(report) == problems
    assert message in told(report)
    assert all(problem.hint for problem in report.problems)
    assert report.n_checked == COUNTS


def test_a_disk_that_fails_is_a_problem_and_no_crash(stocked, monkeypatch):
    def failing(checkpoint, *given, _read=checks.fingerprint, **more):
        if checkpoint.folder == stocked.generation(2):
            raise OSError(errno.EIO, "Input/output error", str(checkpoint.folder / SHARDS[0]))
        return _read(checkpoint, *given, **more)

    monkeypatch.setattr(checks, "fingerprint", failing)
    report = stocked.manager.fsck()
    assert found(report) == [("generation", "tiny/2")]
    assert f"Input/output error ({stocked.generation(2) / SHARDS[0]})" in told(report)
    assert report.n_checked == COUNTS


def test_a_folder_that_may_not_be_looked_into_is_a_problem(stocked, monkeypatch):
    def forbidden(path, _is_dir=Path.is_dir):
        if path == stocked.base:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return _is_dir(path)

    monkeypatch.setattr(Path, "is_dir", forbidden)
    report = stocked.manager.fsck()
    assert found(report) == [("base", "tiny")]
    assert told(report) == f"the base of tiny cannot be read: Permission denied ({stocked.base})"
    assert report.n_checked == COUNTS


def test_what_fsck_advises_for_a_generation_mends_it(stocked):
    flip(stocked.generation(3) / SHARDS[0])
    shutil.rmtree(stocked.generation(1))
    assert found(stocked.manager.fsck()) == [("generation", "tiny/1"), ("generation", "tiny/3")]
    stocked.manager.rollback("tiny", 3)
    assert stocked.manager.verify_model("tiny").state_root == stocked.manager.registry.generation("tiny", 3).state_root


def test_damage_that_the_cache_hides_is_found_by_full_and_known_afterwards(stocked):
    stocked.manager.fsck()
    shard = stocked.generation(3) / SHARDS[0]
    before = shard.stat()
    flip(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stocked.manager.fsck().problems == ()
    assert found(stocked.manager.fsck(full=True)) == [("generation", "tiny/3")]
    assert found(stocked.manager.fsck()) == [("generation", "tiny/3")]


def test_full_reads_every_byte_and_reports_progress_in_bytes(stocked):
    seen = []
    stocked.manager.progress = lambda done, total, what: seen.append((done, total, what))
    stocked.manager.fsck(full=True)
    blobs = sum(path.stat().st_size for path in stocked.home.glob("blobs/sha256/??/*"))
    total = blobs + 5 * stocked.manager.show_model("tiny").base.size_bytes
    assert {entry[1:] for entry in seen} == {(total, "checking (bytes)")}
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == total


# The registry


@pytest.mark.parametrize(
    ("statements", "problems", "message"),
    [
        (
            (DROP, DELETE),
            [("database", "registry.db"), ("events", "audit trail")],
            "the trigger events_refuse_delete is missing",
        ),
        (
            (DROP, DELETE, expected_triggers("sqlite")["events_refuse_delete"]),
            [("events", "audit trail")],
            "event 3 was removed",
        ),
        (
            ("UPDATE versions SET manifest = replace(manifest, 'random', 'Random') WHERE package_id = 1",),
            [("package", "p1@v1")],
            "the manifest of p1@v1 has digest ",
        ),
        (
            ("UPDATE versions SET n_edits = 7, message = 'x' WHERE package_id = 2",),
            [("package", "p2@v1"), ("package", "p2@v1")],
            "the row of p2@v1 and its manifest disagree on n_edits: '7' and '1'",
        ),
        (
            ("UPDATE files SET size_bytes = 1 WHERE version_id = 1 AND path = 'edits.jsonl'",),
            [("package", "p1@v1")],
            "p1@v1 and its manifest list other files",
        ),
        (
            (f"UPDATE generations SET state_root = '{'0' * 64}' WHERE number = 2",),
            [("generation", "tiny/2")],
            "generation 2 of tiny has the state root 000000000000…, its tensors give ",
        ),
        (
            (f"UPDATE generation_tensors SET sha256 = '{'0' * 64}' WHERE generation_id = 4",),
            [("generation", "tiny/3"), ("generation", "tiny/3")],
            "generation 3 of tiny has changed: 'layers.0.down.weight' was 000000000000… and is ",
        ),
        (
            ("UPDATE generation_tensors SET name = 'elsewhere' WHERE generation_id = 4",),
            [("generation", "tiny/3")],
            "generation 3 of tiny has 'elsewhere', which its base has not",
        ),
        (
            (f"UPDATE tensors SET sha256 = '{'0' * 64}' WHERE name = 'layers.0.down.weight'",),
            [("base", "tiny"), ("generation", "tiny/0")],
            "the tensors of the base of tiny do not give its fingerprint",
        ),
        (
            ("UPDATE models SET generation = 9",),
            [("generation", "tiny/9")],
            "the current generation 9 of tiny is missing",
        ),
        (
            ("DELETE FROM versions WHERE id = 2",),
            [("database", "registry.db")],
            "a row of generation_entries refers to a missing row of versions",
        ),
        (
            ("UPDATE versions SET parent_packages = 'none' WHERE id = 1",),
            [("package", "all"), ("blob", "all")],
            "cannot be read (JSONDecodeError",
        ),
    ],
)
def test_each_change_of_a_row_is_found_and_named_and_all_else_is_checked(stocked, statements, problems, message):
    stocked.execute(*statements)
    report = stocked.manager.fsck()
    names = [(kind, name.replace(f"{stocked.home}/", "")) for kind, name in found(report)]
    assert set(names) == set(problems)
    assert [names.count(each) for each in problems if each[0] != "database"] == [
        problems.count(each) for each in problems if each[0] != "database"
    ]
    assert message in told(report)
    untouched = set(COUNTS) - {kind for kind, _ in problems} - {"package", "blob"}
    assert {kind: report.n_checked[kind] for kind in untouched} == {kind: COUNTS[kind] for kind in untouched}


def test_a_damaged_page_of_the_database_is_a_problem(stocked):
    stocked.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    stocked.manager.close()
    database = stocked.home / "registry.db"
    place = database.read_bytes().index(b"layers.1.down.weight") & ~4095
    with database.open("r+b") as file:
        file.seek(place)
        file.write(b"\x0d\xff\xff" + os.urandom(500))
    report = stocked.manager.fsck()
    assert ("database", "all") in found(report)
    assert "is damaged or no SQLite database" in told(report)
    assert {kind: report.n_checked[kind] for kind in ("events", "package", "blob")} == {
        kind: COUNTS[kind] for kind in ("events", "package", "blob")
    }


# Links, leftovers, garbage


def test_a_link_that_points_elsewhere_is_mended_and_told(stocked):
    link = stocked.home / "models" / "tiny" / "current"
    for spoil, was in ((lambda: link.symlink_to("generations/1"), "pointed to generations/1"), (None, "was missing")):
        link.unlink()
        if spoil:
            spoil()
        report = stocked.manager.fsck()
        assert report.problems == ()
        assert report.mended == (f"the link current of tiny {was}; it points to {stocked.generation(3)} now",)
        assert link.resolve() == stocked.generation(3)
    assert stocked.manager.fsck().mended == ()


def test_a_link_that_cannot_be_mended_is_a_problem(stocked):
    link = stocked.home / "models" / "tiny" / "current"
    link.unlink()
    (link / "something").mkdir(parents=True)
    report = stocked.manager.fsck()
    assert found(report) == [("link", "tiny")]
    assert "was no link and cannot be mended" in told(report)


def test_what_a_dead_process_left_is_cleared_away_and_no_problem(stocked):
    script = (
        "from patchmgr.manager.manager import Manager\n"
        "manager = Manager.open()\n"
        "with manager.registry.begin() as tx:\n"
        "    tx.begin_generation('tiny', action='apply', packages=())\n"
        "    tx.commit()\n"
        "(manager.settings.generations('tiny') / '.new-4-abc').mkdir()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert stocked.manager.registry.generation("tiny", 4).status == "pending"
    report = stocked.manager.fsck()
    assert (report.problems, report.busy) == ((), ())
    assert len(report.mended) == 1
    assert "cleared away generation 4 of tiny, which process " in report.mended[0]
    assert stocked.manager.registry.generation("tiny", 4).status == "failed"
    assert sorted(path.name for path in stocked.generation(1).parent.iterdir()) == ["1", "2", "3"]


def test_a_generation_in_the_making_is_passed_over(stocked):
    with stocked.manager.registry.begin() as tx:
        tx.begin_generation("tiny", action="apply", packages=())
        tx.commit()
    making = stocked.generation(1).parent / ".new-4-abc"
    making.mkdir()
    (making / SHARDS[0]).write_bytes(b"half")
    report = stocked.manager.fsck()
    assert report.problems == ()
    assert report.n_checked == COUNTS
    assert len(report.busy) == 1
    assert report.busy[0].endswith("writes generation 4 of tiny")
    assert making.is_dir()


def test_blobs_that_no_package_lists_are_garbage_and_no_problem(stocked):
    stocked.manager.registry.blobs.put_bytes(b"nobody's")
    (stocked.home / "blobs" / "sha256" / "incoming" / "half").write_bytes(b"123")
    report = stocked.manager.fsck()
    assert (report.problems, report.garbage_bytes) == ((), 8 + 3)


# Beside others


def test_a_generation_that_goes_while_it_is_read_is_no_problem(stocked, monkeypatch):
    gone = []

    def read(folder, _read=checks.Checkpoint.read):
        if folder == stocked.generation(1) and not gone:
            gone.append(folder)
            stocked.manager.gc("tiny", keep=1)
        return _read(folder)

    monkeypatch.setattr(checks.Checkpoint, "read", read)
    report = stocked.manager.fsck()
    assert gone
    assert not stocked.generation(1).exists()
    assert report.problems == ()


def test_a_model_that_goes_while_it_is_read_is_no_problem(stocked, monkeypatch):
    gone = []

    def read(folder, _read=checks.Checkpoint.read):
        if folder == stocked.generation(1) and not gone:
            gone.append(folder)
            stocked.manager.remove_model("tiny")
        return _read(folder)

    monkeypatch.setattr(checks.Checkpoint, "read", read)
    report = stocked.manager.fsck()
    assert gone
    assert report.problems == ()
    assert not (stocked.home / "models" / "tiny").exists()


def test_changes_that_go_on_meanwhile_are_no_problems(stocked):
    script = (
        "from patchmgr.manager.manager import Manager\n"
        "manager = Manager.open()\n"
        "for _ in range(8):\n"
        "    manager.apply('tiny', ['p1'])\n"
        "    manager.revert('tiny', ['p1'])\n"
        "    manager.gc('tiny', keep=1)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script])
    reports = []
    while worker.poll() is None:
        reports.append(stocked.manager.fsck())
    assert worker.returncode == 0
    assert reports
    assert [report.problems for report in reports if report.problems] == []
