"""The test Hub is a Hub to the real client: what these tests show of it, other tests may build on."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

REPO = "alice/facts"
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# Facts\n",
    "manifest.json": b"{}",
    "a/w.safetensors": bytes(range(256)) * 99,
}


def written(folder, files=FILES):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def change(data, path="manifest.json"):
    return [CommitOperationAdd(path, data)]


@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
def test_what_is_pushed_is_what_is_pulled(hub, as_user, tmp_path):
    as_user("alice")
    api = HfApi()
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=written(tmp_path / "up"), commit_message="First")
    api.create_tag(REPO, tag="v1")
    refs = api.list_repo_refs(REPO)
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first.oid)]
    second = api.create_commit(REPO, change(b"2"), commit_message="Second", parent_commit=first.oid)
    with pytest.raises(HfHubHTTPError) as stale:
        api.create_commit(REPO, change(b"3"), commit_message="Third", parent_commit=first.oid)
    assert stale.value.response.status_code == 412
    assert hub.head(REPO) == second.oid
    as_user("bob")
    folder = snapshot_download(REPO, revision="v1")
    for path, data in FILES.items():
        assert (Path(folder) / path).read_bytes() == data
