"""The real client, in this process, pointed at a test Hub."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http, _xet

from hub.testhub.server import Hub


def use_hub(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, user: str | None, folder: Path, *, timeout_s: float, xet: bool
) -> None:
    """Point the client at a Hub. Only its settings, its caches and the pauses between its retries are changed.

    ``xet=False`` on a Hub with Xet is a client for whom it is switched off; the other way round the client meets a Hub
    that has no token route.
    """
    for name, value in hub.environment(user, folder).items():
        if name.startswith("HF_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "10ms")
    settings = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_URL_HOSTS": constants.HF_URL_HOSTS | {"127.0.0.1"}, "HF_HUB_OFFLINE": False, "HF_HUB_DISABLE_XET": not xet,
        "HF_HOME": str(folder), "HF_HUB_CACHE": str(folder / "hub"), "HUGGINGFACE_HUB_CACHE": str(folder / "hub"),
        "HF_ASSETS_CACHE": str(folder / "assets"), "HF_XET_CACHE": str(folder / "xet"),
        "HF_TOKEN_PATH": str(folder / "token"), "HF_STORED_TOKENS_PATH": str(folder / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(folder / "agents"), "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True, "HF_HUB_ETAG_TIMEOUT": timeout_s, "HF_HUB_DOWNLOAD_TIMEOUT": timeout_s,
        "DEFAULT_REQUEST_TIMEOUT": timeout_s,
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(file_download, "_ETAG_RETRY_TIMEOUT", timeout_s)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.endpoint)
    for backoff in (_http.http_backoff, _http.http_stream_backoff.__wrapped__):
        monkeypatch.setitem(backoff.__kwdefaults__, "base_wait_time", 0.01)
        monkeypatch.setitem(backoff.__kwdefaults__, "max_wait_time", 0.02)
    bars = sys.modules["huggingface_hub.utils.tqdm"].progress_bar_states
    monkeypatch.setitem(bars, "_global", False)
    monkeypatch.setattr(_xet, "XET_CONNECTION_INFO_CACHE", {})
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
