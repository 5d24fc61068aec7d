"""du counts every file once, where it comes first, and agrees with the disk."""

from __future__ import annotations

import shutil

from manager.conftest import SHARDS


def by_name(usage):
    return {(row.kind, row.name): row for row in usage.rows}


def blocks(*files) -> int:
    return sum(file.stat().st_blocks * 512 for file in files)


def test_a_generation_costs_what_it_does_not_share(stocked):
    rows = by_name(stocked.manager.du())
    base, generations = rows["base", "base"], [rows["generation", f"tiny/{number}"] for number in (1, 2, 3)]
    assert base.own_bytes == blocks(*(stocked.base / name for name in SHARDS))
    assert base.apparent_bytes == sum((stocked.base / name).stat().st_size for name in SHARDS)
    assert (base.n_files, base.note) == (2, "of tiny")
    for number, row in enumerate(generations, start=1):
        files = list(stocked.generation(number).iterdir())
        linked = {1: (), 2: SHARDS[1:], 3: SHARDS[1:]}[number]  # to generation 1, and to the base
        assert row.apparent_bytes == sum(file.stat().st_size for file in files)
        assert row.own_bytes == blocks(*(file for file in files if file.name not in linked))
        assert row.n_files == len(files) == 5
        assert row.note == ("current" if number == 3 else "")


def test_the_sum_is_what_the_disk_holds(stocked):
    """Against another way of counting: every inode below the home, whatever it is."""
    shutil.rmtree(stocked.generation(1))
    (stocked.home / "artefacts" / "covariance").mkdir(parents=True)
    (stocked.home / "artefacts" / "covariance" / "c.safetensors").write_bytes(b"x" * 10_000)
    stocked.manager.registry.blobs.put_bytes(b"nobody's")
    usage = stocked.manager.du()
    files = [*stocked.home.rglob("*"), *stocked.base.glob("*.safetensors")]
    inodes = {path.stat().st_ino: path.stat() for path in files if path.is_file() and "current" not in path.parts}
    assert usage.home_bytes + usage.base_bytes == sum(found.st_blocks * 512 for found in inodes.values())
    rows = by_name(usage)
    assert rows["artefacts", ""].apparent_bytes == 10_000
    assert rows["unused blobs", ""].apparent_bytes == 8
    assert rows["generation", "tiny/1"].note == "no longer there"
    assert rows["generation", "tiny/1"].own_bytes == 0
    assert rows["generation", "tiny/2"].own_bytes == blocks(*stocked.generation(2).iterdir())
    disk = shutil.disk_usage(stocked.home)
    assert usage.disk_bytes == disk.total
    assert 0 < usage.free_bytes < disk.total


def test_a_blob_that_two_packages_share_counts_once(stocked):
    versions = [stocked.manager.registry.version(name) for name in ("p1", "p2")]
    shared = {file.sha256 for file in versions[0].files} & {file.sha256 for file in versions[1].files}
    rows = by_name(stocked.manager.du())
    packages = [rows["package", "p1@v1"], rows["package", "p2@v1"]]
    assert [row.apparent_bytes for row in packages] == [sum(f.size_bytes for f in v.files) for v in versions]
    places = set(stocked.home.glob("blobs/sha256/??/*"))
    assert len(places) == sum(len(version.files) for version in versions) - len(shared)
    assert sum(row.own_bytes for row in packages) == blocks(*places)


def test_one_model_alone(stocked, tmp_path):
    from checkpoints import make_checkpoint, make_package

    stocked.manager.add_model("other", str(make_checkpoint(tmp_path / "other", seed=3)))
    make_package(tmp_path / "q", tmp_path / "other", name="q")
    stocked.manager.apply("other", [str(tmp_path / "q")])
    rows = by_name(stocked.manager.du("other"))
    assert list(rows) == [("base", "other"), ("generation", "other/1"), ("package", "q@v1")]
    everything = by_name(stocked.manager.du())
    assert all(everything[key] == row for key, row in rows.items())


def test_a_generation_in_the_making_and_a_base_that_is_gone_are_said(stocked):
    with stocked.manager.registry.begin() as tx:
        tx.begin_generation("tiny", action="apply", packages=())
        tx.commit()
    making = stocked.generation(1).parent / ".new-4-abc"
    making.mkdir()
    (making / SHARDS[0]).write_bytes(b"half")
    (stocked.base / SHARDS[0]).unlink()
    rows = by_name(stocked.manager.du())
    assert (rows["generation", "tiny/4"].apparent_bytes, rows["generation", "tiny/4"].note) == (4, "in the making")
    assert rows["base", "base"].n_files == 1
    shutil.rmtree(stocked.base)
    assert by_name(stocked.manager.du())["base", "base"].note == "of tiny; no longer there"


def test_a_symbolic_link_to_the_base_costs_nothing(stocked):
    linked = stocked.generation(3) / SHARDS[1]
    linked.unlink()
    linked.symlink_to(stocked.base / SHARDS[1])
    before = by_name(stocked.manager.du())["generation", "tiny/3"]
    assert before.n_files == 5
    assert before.own_bytes == blocks(*(file for file in stocked.generation(3).iterdir() if file != linked))
