"""The test Hub, and this process's ``huggingface_hub`` pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.testhub import Hub, use_hub

AsUser = Callable[..., Path]


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory) -> Iterator[Hub]:
    """One server for all tests of a process; every test gets it empty."""
    server = Hub(tmp_path_factory.mktemp("cas")).start()
    yield server
    server.stop()


@pytest.fixture
def hub(hub_server, request) -> Hub:
    """An empty Hub without Xet; parametrize it indirectly with ``"xet"`` for one with Xet."""
    hub_server.reset(xet=getattr(request, "param", "lfs") == "xet")
    return hub_server


@pytest.fixture
def xet_hub(hub_server) -> Hub:
    """An empty Hub with Xet."""
    hub_server.reset(xet=True)
    return hub_server


@pytest.fixture
def as_user(hub_server, monkeypatch, tmp_path) -> AsUser:
    """``as_user("alice")`` lets this process's client be a user of the Hub, with caches of its own; see `use_hub`."""

    def become(
        user: str | None, *, cache: Path | None = None, timeout_s: float = 10.0, xet: bool | None = None
    ) -> Path:
        folder = cache or tmp_path / f"hf-{user}"
        use_hub(monkeypatch, hub_server, user, folder, timeout_s=timeout_s, xet=hub_server.xet if xet is None else xet)
        return folder

    return become
