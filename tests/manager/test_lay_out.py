"""A version laid out as a folder is the package that was registered, and nothing that was there is overwritten."""

from __future__ import annotations

import pytest

from manager.conftest import flip
from patchmgr.errors import ConflictError, IntegrityError
from patchmgr.manager.lay_out import package_folder
from patchmgr.package.reader import EditPackage


def test_a_version_in_a_folder_is_the_version(stocked, tmp_path):
    version = stocked.manager.registry.version("p1@v1")
    laid = package_folder(stocked.manager, version, tmp_path / "out")
    read = EditPackage.read(tmp_path / "out")
    assert read.manifest == laid.manifest
    assert read.manifest.digest == version.digest
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*laid.files, "patch.json"}
    assert (tmp_path / "out" / "README.md").read_text().count("# p1 v1") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".new-")] == []


def test_a_folder_with_something_in_it_is_left_alone(stocked, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(ConflictError, match="already"):
        package_folder(stocked.manager, stocked.manager.registry.version("p1@v1"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_damaged_package_is_not_laid_out(stocked, tmp_path):
    flip(stocked.blob("p1@v1", "weights.safetensors"))
    with pytest.raises(IntegrityError, match="weights"):
        package_folder(stocked.manager, stocked.manager.registry.version("p1@v1"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
