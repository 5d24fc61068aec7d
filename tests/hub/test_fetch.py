"""``model add`` with a Hub id, against a Hub on this machine: pinned to a commit, cached, and refused in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from checkpoints import make_checkpoint
from patchmgr.cli.main import main


@pytest.fixture
def patchmgr(hub, as_user, monkeypatch, capsys):
    """The command as a stranger to the Hub: its exit code and what it wrote."""
    as_user(None)

    def runner(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["patchmgr", *words])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return runner


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_checkpoint(tmp_path / "remote", sharded=True)


def test_a_hub_id_is_fetched_pinned_and_cached(hub, patchmgr, folder, monkeypatch):
    commit = hub.add_repo("meta-llama/Llama-2-7b-hf", folder)
    code, out, error = patchmgr("model", "add", "llama-7b", "meta-llama/Llama-2-7b-hf", "--json")
    assert code == 0, error
    base = json.loads(out)["model"]["base"]
    assert (base["source"], base["revision"]) == ("meta-llama/Llama-2-7b-hf", commit)
    assert any("model-00001-of-00002.safetensors" in request.path for request in hub.requests)
    hub.requests.clear()
    assert patchmgr("model", "add", "twin", "meta-llama/Llama-2-7b-hf", "--revision", commit)[0] == 0
    assert not any(".safetensors" in request.path or "/_cdn/" in request.path for request in hub.requests)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert patchmgr("model", "add", "third", "meta-llama/Llama-2-7b-hf")[0] == 0
    assert not hub.requests


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("org/pickled",), "org/pickled has no safetensors weights"),
        (("org/absent",), "the Hub has no repository 'org/absent'"),
        (("org/gated",), "org/gated is gated"),
        (("org/there", "--revision", "v9"), "has no revision 'v9'"),
        (("not a hub id",), "is neither a folder nor a Hub id"),
    ],
)
def test_what_the_hub_refuses_is_said_in_words(hub, patchmgr, folder, words, message):
    hub.add_repo("org/there", folder)
    hub.add_repo("org/gated", folder, gated="manual")
    hub.add_repo("org/pickled", {"config.json": b"{}", "pytorch_model.bin": b"\x80"})
    code, _, error = patchmgr("model", "add", "x", *words)
    assert code == 1
    assert message in error


def test_no_network_and_nothing_in_the_cache(patchmgr, monkeypatch):
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")
    code, _, error = patchmgr("model", "add", "x", "org/there")
    assert code == 1
    assert "is not in the Hub's cache and the Hub cannot be reached" in error
