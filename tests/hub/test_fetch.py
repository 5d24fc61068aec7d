"""``model add`` with a Hub id, against a Hub on this machine: pinned to a commit, cached, and refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checkpoints import make_checkpoint

SCRIPT = "import sys; from patchmgr.cli.main import main; sys.argv[0] = 'patchmgr'; main()"


@pytest.fixture
def patchmgr(hub, tmp_path, home):
    """The command in a process of its own, because the Hub's client reads its settings when it is imported."""

    def runner(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**hub.environment(None, tmp_path / "hf"), **settings}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, env=environment, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    return runner


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_checkpoint(tmp_path / "remote", sharded=True)


def test_a_hub_id_is_fetched_pinned_and_cached(hub, patchmgr, folder):
    commit = hub.add_repo("meta-llama/Llama-2-7b-hf", folder)
    added = patchmgr("model", "add", "llama-7b", "meta-llama/Llama-2-7b-hf", "--json")
    assert added.returncode == 0, added.stderr
    base = json.loads(added.stdout)["model"]["base"]
    assert (base["source"], base["revision"]) == ("meta-llama/Llama-2-7b-hf", commit)
    assert any("model-00001-of-00002.safetensors" in request.path for request in hub.requests)
    hub.requests.clear()
    again = patchmgr("model", "add", "twin", "meta-llama/Llama-2-7b-hf", "--revision", commit)
    assert again.returncode == 0
    assert not any(".safetensors" in request.path or "/_cdn/" in request.path for request in hub.requests)
    offline = patchmgr("model", "add", "third", "meta-llama/Llama-2-7b-hf", HF_HUB_OFFLINE="1")
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
def test_what_the_hub_refuses_is_said_in_words(hub, patchmgr, folder, words, message):
    hub.add_repo("org/there", folder)
    hub.add_repo("org/gated", folder, gated="manual")
    hub.add_repo("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    done = patchmgr("model", "add", "x", *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_no_network_and_nothing_in_the_cache(patchmgr):
    done = patchmgr("model", "add", "x", "org/there", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "is not in the Hub's cache and the Hub cannot be reached" in done.stderr
