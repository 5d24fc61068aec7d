"""``model add`` with a Hub id, against a Hub on this machine: pinned to a commit, cached, and refused in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import make_checkpoint
from hub.server import COMMIT, hub

SCRIPT = "import sys; from patchmgr.cli.main import main; sys.argv[0] = 'patchmgr'; main()"


@pytest.fixture
def patchmgr(tmp_path, home):
    """The command in a process of its own, because the Hub's client reads its settings when it is imported."""

    def runner(endpoint: str, *words: str, offline: bool = False) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "1" if offline else "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, env=environment, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    return runner


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_checkpoint(tmp_path / "remote", sharded=True)


def test_a_hub_id_is_fetched_pinned_and_cached(patchmgr, folder):
    with hub({"meta-llama/Llama-2-7b-hf": folder}) as (endpoint, requests):
        added = patchmgr(endpoint, "model", "add", "llama-7b", "meta-llama/Llama-2-7b-hf", "--json")
        assert added.returncode == 0, added.stderr
        base = json.loads(added.stdout)["model"]["base"]
        assert (base["source"], base["revision"]) == ("meta-llama/Llama-2-7b-hf", COMMIT)
        assert any("model-00001-of-00002.safetensors" in request for request in requests)
        requests.clear()
        again = patchmgr(endpoint, "model", "add", "twin", "meta-llama/Llama-2-7b-hf", "--revision", COMMIT)
        assert again.returncode == 0
        assert not any(".safetensors" in request for request in requests)
    offline = patchmgr(endpoint, "model", "add", "third", "meta-llama/Llama-2-7b-hf", offline=True)
    assert offline.returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("org/pickled",), "org/pickled has no safetensors weights"),
        (("org/absent",), "the Hub has no model 'org/absent'"),
        (("org/gated",), "org/gated is gated"),
        (("org/there", "--revision", "v9"), "has no revision 'v9'"),
        (("not a hub id",), "is neither a folder nor a Hub id"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(patchmgr, folder, tmp_path, words, message):
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    (pickled / "pytorch_model.bin").write_bytes(b"\x80")
    repos = {"org/there": folder, "org/gated": folder, "org/pickled": pickled}
    with hub(repos, gated=frozenset({"org/gated"})) as (
        endpoint,
        _,
    ):
        done = patchmgr(endpoint, "model", "add", "x", *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_no_network_and_nothing_in_the_cache(patchmgr):
    done = patchmgr("http://127.0.0.1:9", "model", "add", "x", "org/there")
    assert done.returncode == 1
    assert "is not in the Hub's cache and the Hub cannot be reached" in done.stderr
