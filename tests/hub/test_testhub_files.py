"""Files and cards on the test Hub: ranges, safetensors headers, the command ``hf``, and validation of the YAML."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard, get_hf_file_metadata, get_safetensors_metadata, hf_hub_url
from huggingface_hub.utils import get_session

REPO = "alice/facts"
HEADER = json.dumps({"w": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(range(32))
RESULT = {
    "task": {"type": "text-generation"},
    "dataset": {"type": "probes", "name": "Probes"},
    "metrics": [{"type": "accuracy", "value": 1.0}],
}


@pytest.mark.parametrize("file", ["notes.txt", "model.safetensors"])
@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        (None, 200, slice(None)),
        ("bytes=8-11", 206, slice(8, 12)),
        ("bytes=90-", 206, slice(90, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=8-99999", 206, slice(8, None)),
        ("bytes=99999-", 416, slice(0, 0)),
    ],
)
def test_every_file_is_served_in_ranges(hub, as_user, file, asked, status, part):
    commit = hub.add_repo(REPO, {"notes.txt": WEIGHTS, "model.safetensors": WEIGHTS})
    as_user("bob")
    answer = get_session().get(hf_hub_url(REPO, file), headers={"Range": asked} if asked else {})
    assert (answer.status_code, answer.content) == (status, WEIGHTS[part])
    if status == 206:
        start, stop, _ = part.indices(len(WEIGHTS))
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(WEIGHTS)}"
    first = answer.history[0] if answer.history else answer
    assert first.headers["X-Repo-Commit"] == commit


def test_a_head_request_says_what_a_file_is_before_it_is_fetched(hub, as_user):
    commit = hub.add_repo(REPO, {"notes.txt": b"abc", "model.safetensors": WEIGHTS})
    as_user("bob")
    (large,) = HfApi().get_paths_info(REPO, "model.safetensors")
    found = get_hf_file_metadata(hf_hub_url(REPO, "model.safetensors"))
    assert (found.commit_hash, found.etag, found.size) == (commit, large.lfs.sha256, len(WEIGHTS))
    found = get_hf_file_metadata(hf_hub_url(REPO, "notes.txt"))
    assert (found.etag, found.size) == ("f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f", 3)  # git's own name of "abc"


def test_the_header_of_a_safetensors_file_is_read_by_range(hub, as_user):
    hub.add_repo(REPO, {"model.safetensors": WEIGHTS})
    as_user("bob")
    metadata = get_safetensors_metadata(REPO)
    assert metadata.files_metadata["model.safetensors"].tensors["w"].shape == [8]


def test_the_command_hf_downloads_a_tag(hub, tmp_path):
    hub.add_repo(REPO, {"manifest.json": b"{}", "deltas/model.safetensors": WEIGHTS}, private=True)
    commit = hub.head(REPO)
    hub.repo(REPO).tags["v1"] = hub.repo(REPO).branches["main"]
    hub.commit(REPO, {"manifest.json": b"2"})
    done = subprocess.run(
        [Path(sys.executable).with_name("hf"), "download", REPO, "--revision", "v1", "--quiet"],
        capture_output=True, text=True, check=False, env=hub.environment("alice_read", tmp_path / "hf"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = next((tmp_path / "hf").rglob(f"snapshots/{commit}"))
    assert (folder / "manifest.json").read_bytes() == b"{}"
    assert (folder / "deltas/model.safetensors").read_bytes() == WEIGHTS
    assert {request.user for request in hub.requests if "/_cdn/" not in request.path} == {"alice"}


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("license: [mit", "Invalid YAML"),
        ("license: mit\nlicense: mit", "duplicated mapping key 'license'"),
        ("- mit", "must be a mapping"),
        ("license: my-own", '"license" must be one of'),
        ("tags: fact", '"tags" must be an array'),
        ("tags: [1]", '"tags" must be a string or an array of strings'),
        ("library_name: [patchmgr]", '"library_name" must be a string'),
        ("base_model: /models/llama", '"base_model" with value "/models/llama" is not valid'),
        ("base_model: a/b/c", '"base_model" with value "a/b/c" is not valid'),
        ("base_model_relation: patch", '"base_model_relation" must be one of'),
        ("model-index: {name: x}", '"model-index" must be an array'),
        ("model-index: [{results: []}]", '"model-index[0].name" is required'),
        ("model-index: [{name: x}]", '"model-index[0].results" must be an array'),
        ({**RESULT, "task": {}}, '"model-index[0].results[0].task.type" is required'),
        ({**RESULT, "dataset": {"type": "x"}}, '"model-index[0].results[0].dataset.name" is required'),
        ({**RESULT, "metrics": [{"type": "x"}]}, '"model-index[0].results[0].metrics[0].value" is required'),
    ],
)
def test_a_card_with_wrong_metadata_is_refused_in_words(hub, as_user, metadata, complaint):
    if isinstance(metadata, dict):
        metadata = json.dumps({"model-index": [{"name": "x", "results": [metadata]}]})
    hub.add_repo(REPO)
    as_user("alice")
    text = f"---\n{metadata}\n---\n# Facts\n"
    response = get_session().post(f"{hub.endpoint}/api/validate-yaml", json={"content": text, "repoType": "model"})
    assert response.status_code == 400
    assert complaint in response.json()["errors"][0]["message"]
    with pytest.raises(ValueError, match=r"Invalid metadata in README.md"):
        HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=REPO)
    assert "README.md" not in hub.files(REPO)


def test_a_card_with_right_metadata_is_taken_and_one_without_any_is_warned_of(hub, as_user):
    as_user("alice")
    metadata = {
        "license": "other", "license_name": "mine", "language": ["en"], "base_model": ["org/base"],
        "model-index": [{"name": "facts", "results": [RESULT]}],
    }  # fmt: skip
    card = ModelCard(f"---\n{json.dumps(metadata)}\n---\n# Facts\n")
    card.validate()
    hub.add_repo(REPO)
    card.push_to_hub(REPO)
    (result,) = HfApi().model_info(REPO).card_data.eval_results
    assert (result.metric_type, result.metric_value) == ("accuracy", 1.0)
    assert "model-index" in HfApi().model_info(REPO).tags
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        HfApi().upload_file(path_or_fileobj=b"# Facts", path_in_repo="README.md", repo_id=REPO)
