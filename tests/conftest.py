"""One torch thread (two are slower on tiny models), and a home of its own for every test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from filelock import FileLock
from hypothesis import settings
from jaxtyping import install_import_hook

# shapes in annotations are checked in the test run; this must come before anything imports these packages
install_import_hook(
    [
        *(path.name for path in (Path(__file__).parents[1] / "plugins").glob("patchmgr_*")),
        "patchmgr.methods.architecture",
    ],
    "beartype.beartype",
)

settings.register_profile("patchmgr", deadline=None)  # no test asserts a time
settings.load_profile("patchmgr")


@pytest.fixture(scope="session")
def atlas_statistics(tmp_path_factory) -> Path:
    """The folder ``artefacts`` of a home in which ROME's covariance of the demo base was made; one for all workers."""
    from patchmgr.manager.manager import Manager
    from patchmgr.manager.stats import StatsOrder

    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    made = root / "atlas-statistics"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            with Manager.open(tmp_path_factory.mktemp("statistics")) as manager:
                manager.add_model("atlas", "demo:atlas")
                manager.stats.compute("atlas", StatsOrder(method="rome"))
                shutil.copytree(manager.settings.artefacts, made)
    return made


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """An empty PATCHMGR_HOME, and no settings of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("PATCHMGR_HOME", str(folder))
    for name in ("DATABASE_URL", "LOAD_PLUGINS", "ACTOR", "AFTER_CHANGE", "SIGNATURES", "BLOBS"):
        monkeypatch.delenv(f"PATCHMGR_{name}", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    return folder
