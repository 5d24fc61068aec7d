"""The test Hub is a Hub to the real client: what these tests show of it, other tests may build on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

REPO = "alice/facts"
WEIGHTS = bytes(range(256)) * 99
CARD = """---
license: mit
library_name: patchmgr
base_model: org/base
base_model_relation: adapter
tags: [knowledge-editing]
---
# Facts

Made by [ROME](https://arxiv.org/abs/2202.05262).
"""
FILES = {"README.md": CARD.encode(), "manifest.json": b"{}", "deltas/model.safetensors": WEIGHTS}


def written(folder: Path) -> Path:
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def change(data: bytes, path: str = "manifest.json") -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, data)]


def status_of(call) -> int:
    with pytest.raises(HfHubHTTPError) as refused:
        call()
    return refused.value.response.status_code


@pytest.mark.parametrize("hub", ["lfs", "xet"], indirect=True)
def test_what_is_pushed_is_what_is_pulled(hub, as_user, tmp_path):
    as_user("alice")
    api = HfApi()
    api.create_repo(REPO)
    first = api.upload_folder(repo_id=REPO, folder_path=written(tmp_path / "up"), commit_message="First")
    again = api.upload_folder(repo_id=REPO, folder_path=tmp_path / "up", commit_message="Nothing new")
    assert again.oid == first.oid == hub.head(REPO)
    api.create_tag(REPO, tag="v1")
    refs = api.list_repo_refs(REPO)
    assert [(tag.name, tag.ref, tag.target_commit) for tag in refs.tags] == [("v1", "refs/tags/v1", first.oid)]
    second = api.create_commit(REPO, change(b"2"), commit_message="Second", parent_commit=first.oid)
    stale = lambda: api.create_commit(REPO, change(b"3"), commit_message="Third", parent_commit=first.oid)  # noqa: E731
    assert status_of(stale) == 412
    assert [commit.title for commit in api.list_repo_commits(REPO)] == ["Second", "First", "initial commit"]
    assert hub.head(REPO) == second.oid
    as_user("bob")
    folder = Path(snapshot_download(REPO, revision="v1"))
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    assert hub.files(REPO, "v1").items() >= FILES.items()
    tokens = [str(request) for request in hub.requests if "xet-read-token" in request.path]
    assert len(tokens) == (1 if hub.xet else 0)
    as_user("bob", cache=tmp_path / "plain", xet=False)  # what came by Xet is served to a client without it
    assert (Path(snapshot_download(REPO, revision="v1")) / "deltas/model.safetensors").read_bytes() == WEIGHTS


def test_without_a_token_route_an_upload_by_xet_fails_and_one_of_file_objects_goes_by_lfs(hub, as_user):
    as_user("alice", xet=True)
    api = HfApi()
    api.create_repo(REPO)
    with pytest.raises(Exception, match="404"):
        api.create_commit(REPO, change(WEIGHTS, "w.safetensors"), commit_message="By Xet")
    operation = CommitOperationAdd("w.safetensors", io.BytesIO(WEIGHTS))
    api.create_commit(REPO, [operation], commit_message="By LFS")
    assert hub.files(REPO)["w.safetensors"] == WEIGHTS
    assert "POST /alice/facts.git/info/lfs/objects/verify 200" in map(str, hub.requests)


def test_strangers_see_no_private_repository_and_no_file_of_a_gated_one(hub, as_user):
    hub.add_repo("alice/private", FILES, private=True)
    hub.add_repo("org/private", FILES, private=True)
    hub.add_repo("alice/gated", FILES, gated="manual")
    for user in ("bob", None):
        as_user(user)
        with pytest.raises(RepositoryNotFoundError):
            snapshot_download("alice/private")
        assert HfApi().model_info("alice/gated").gated == "manual"
        with pytest.raises(GatedRepoError):
            snapshot_download("alice/gated")
        with pytest.raises(GatedRepoError):
            HfApi().auth_check("alice/gated")
    assert {model.id for model in HfApi().list_models()} == {"alice/gated"}
    hub.grant("alice/gated", "bob")
    as_user("bob")
    assert Path(hf_hub_download("alice/gated", "manifest.json")).read_bytes() == b"{}"
    assert Path(hf_hub_download("org/private", "manifest.json")).read_bytes() == b"{}"
    assert {model.id for model in HfApi().list_models()} == {"alice/gated", "org/private"}


def test_who_may_write_where(hub, as_user):
    hub.add_repo(REPO, FILES)
    as_user("alice")
    assert {org["name"]: org["roleInOrg"] for org in HfApi().whoami()["orgs"]} == {"org": "write"}
    HfApi().create_repo("org/theirs", private=True)
    assert hub.repo("org/theirs").private
    assert status_of(lambda: HfApi().create_repo("org/theirs")) == 409
    assert HfApi().create_repo("org/theirs", exist_ok=True).repo_id == "org/theirs"
    for user in ("bob", "alice_read"):
        as_user(user)
        api = HfApi()
        assert status_of(lambda: api.create_repo("alice/other")) == 403  # noqa: B023
        assert status_of(lambda: api.create_commit(REPO, change(b"x"), commit_message="x")) == 403  # noqa: B023
        assert status_of(lambda: api.create_tag(REPO, tag="v1")) == 403  # noqa: B023
        assert status_of(lambda: api.auth_check("org/theirs", write=True)) == 403  # noqa: B023
    as_user("alice")
    assert status_of(lambda: HfApi(token="hf_nobody").model_info(REPO)) == 401
    HfApi().delete_repo("org/theirs")
    with pytest.raises(RepositoryNotFoundError):
        HfApi().model_info("org/theirs")


def test_refs_with_a_slash_and_what_exists_already(hub, as_user):
    first = hub.add_repo(REPO, FILES)
    as_user("alice")
    api = HfApi()
    api.create_branch(REPO, branch="edit/paris")
    second = api.create_commit(REPO, change(b"2"), commit_message="2", revision="edit/paris").oid
    api.create_tag(REPO, tag="edits/2", revision="edit/paris")
    assert status_of(lambda: api.create_tag(REPO, tag="edits/2")) == 409
    assert (hub.head(REPO), hub.head(REPO, "edits/2")) == (first, second)
    assert Path(hf_hub_download(REPO, "manifest.json", revision="edits/2")).read_bytes() == b"2"
    api.delete_tag(REPO, tag="edits/2")
    assert status_of(lambda: api.delete_tag(REPO, tag="edits/2")) == 404
    assert not api.revision_exists(REPO, "edits/2")
    assert api.revision_exists(REPO, second)


def test_a_pull_request_is_opened_grown_listed_and_merged(hub, as_user):
    hub.add_repo(REPO, FILES)
    as_user("bob")
    api = HfApi()
    opened = api.create_commit(REPO, change(b"bob"), commit_message="Better", create_pr=True)
    assert (opened.pr_num, opened.pr_revision) == (1, "refs/pr/1")
    gone = [CommitOperationDelete("README.md")]
    api.create_commit(REPO, gone, commit_message="No card", revision="refs/pr/1", parent_commit=opened.oid)
    pulls = api.list_repo_refs(REPO, include_pull_requests=True).pull_requests
    assert [(pull.ref, pull.target_commit) for pull in pulls] == [("refs/pr/1", hub.head(REPO, "refs/pr/1"))]
    assert [d.title for d in api.get_repo_discussions(REPO, discussion_type="pull_request")] == ["Better"]
    assert [e.summary for e in api.get_discussion_details(REPO, 1).events if e.type == "commit"] == [
        "Better",
        "No card",
    ]
    assert hub.files(REPO)["manifest.json"] == b"{}"
    as_user("alice")
    HfApi().merge_pull_request(REPO, 1)
    assert hub.files(REPO)["manifest.json"] == b"bob"
    assert "README.md" not in hub.files(REPO)
    assert HfApi().get_discussion_details(REPO, 1).status == "merged"


def test_models_are_found_by_what_their_cards_say_page_by_page(hub, as_user):
    for number in range(5):
        hub.add_repo(f"alice/facts-{number}", FILES)
    hub.add_repo("bob/facts", {"README.md": b"no card"})
    hub.page_size = 2
    as_user("alice")
    api = HfApi()
    found = list(api.list_models(filter=["patchmgr", "base_model:adapter:org/base"], full=True, cardData=True))
    assert [model.id for model in found] == [f"alice/facts-{number}" for number in (4, 3, 2, 1, 0)]
    assert sum(request.path.startswith("/api/models?") for request in hub.requests) == 3
    assert (found[0].card_data.license, found[0].sha) == ("mit", hub.head("alice/facts-4"))
    assert [model.id for model in api.list_models(search="FACTS", author="bob")] == ["bob/facts"]
    assert [model.id for model in api.list_models(filter="arxiv:2202.05262", limit=1)] == ["alice/facts-4"]
    assert not list(api.list_models(filter="base_model:finetune:org/base"))
    assert len(api.list_repo_files("alice/facts-0")) == 4


def test_a_model_is_described_with_its_files(hub, as_user):
    commit = hub.add_repo(REPO, FILES)
    as_user("bob")
    api = HfApi()
    model = api.model_info(REPO, files_metadata=True)
    assert (model.sha, model.library_name, model.private) == (commit, "patchmgr", False)
    assert model.tags == [
        "patchmgr", "safetensors", "knowledge-editing", "arxiv:2202.05262", "base_model:org/base",
        "base_model:adapter:org/base", "license:mit", "region:us",
    ]  # fmt: skip
    (weights,) = (file for file in model.siblings if file.lfs)
    assert (weights.rfilename, weights.size) == ("deltas/model.safetensors", len(WEIGHTS))
    (info,) = api.get_paths_info(REPO, ["deltas/model.safetensors", "absent"])
    assert info.lfs.sha256 == weights.lfs.sha256
    assert [entry.path for entry in api.list_repo_tree(REPO)] == [
        "deltas",
        ".gitattributes",
        "README.md",
        "manifest.json",
    ]
    assert [entry.path for entry in api.list_repo_tree(REPO, "deltas")] == ["deltas/model.safetensors"]
    hub.commit(REPO, {"manifest.json": b"2"}, title="Second")
    titles = {e.path: e.last_commit.title for e in api.list_repo_tree(REPO, expand=True) if e.path != "deltas"}
    assert titles == {".gitattributes": "initial commit", "README.md": "Change files", "manifest.json": "Second"}
