"""A trained editor goes to the Hub and comes back as the same bytes."""

from __future__ import annotations

import pytest

from patchmgr.canonical import sha256_file
from patchmgr.errors import ConflictError, IntegrityError, NotFoundError
from patchmgr.manager.editors.keep import register
from patchmgr.manager.manager import Manager
from patchmgr.package.editor import DataRecord, EditorManifest, EditorPackage
from patchmgr.package.fields import FileRecord
from patchmgr.package.manifest import BaseRecord

REPO = "alice/scope"


def trained(manager: Manager, folder, text: str = "weights") -> None:
    """An editor of one file, as training would have made it."""
    path = folder / "router.safetensors"
    path.write_text(text)
    digest = "ab" * 32
    manifest = EditorManifest(
        name="scope", version=1, message="first", author="alice", created="2026-01-02T03:04:05Z", method="serac",
        method_version="1", parameters={"steps": 3}, seed=0, license="MIT", steps=3, figures={"auc": 0.9},
        base=BaseRecord(source="org/base", fingerprint=digest, config_sha256=digest, tokenizer_sha256=digest),
        training=DataRecord(n=2, sha256=digest), validation=DataRecord(n=1, sha256=digest),
        files={"networks/router.safetensors": FileRecord(size_bytes=len(text), sha256=sha256_file(path))},
    )  # fmt: skip
    register(manager, EditorPackage(manifest, {"networks/router.safetensors": path}), "train")


@pytest.fixture
def alice(tmp_path, as_user, hub):
    as_user("alice")
    with Manager.open(tmp_path / "author") as manager:
        trained(manager, tmp_path)
        yield manager


def test_an_editor_that_is_pushed_is_pulled_with_its_digest(hub, alice, as_user, tmp_path):
    assert alice.editors.push("scope@v1", REPO).tag == "v1"
    assert alice.editors.push("scope@v1", REPO).was_there
    assert set(hub.files(REPO)) >= {"README.md", "editor.json", "networks/router.safetensors"}
    as_user("alice", cache=tmp_path / "empty-cache")
    with Manager.open(tmp_path / "reader") as other:
        for reference in (REPO, f"{REPO}@v1", f"{REPO}@>=1"):
            assert other.editors.pull(reference).digest == alice.registry.editor("scope").digest
        assert [event.action for event in other.events()] == ["pull-editor"]
        with pytest.raises(NotFoundError, match=r"has no patch\.json"):
            other.pull(REPO)
        assert [one.repo_id for one in other.search_hub(base="org/base")] == []


def test_a_damaged_editor_and_another_of_its_number_are_refused(hub, alice, as_user, tmp_path):
    alice.editors.push("scope@v1", REPO)
    with Manager.open(tmp_path / "other") as other:
        trained(other, tmp_path, "other weights")
        with pytest.raises(ConflictError, match="another editor of that name and number"):
            other.editors.pull(REPO)
    hub.replace_file(REPO, "v1", "networks/router.safetensors", b"evil!!!")
    as_user("alice", cache=tmp_path / "empty-cache")
    with Manager.open(tmp_path / "reader") as reader:
        with pytest.raises(IntegrityError, match="router"):
            reader.editors.pull(f"{REPO}@v1")
        assert reader.editors.list() == ()
