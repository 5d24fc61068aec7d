"""The example of a third-party plugin: built, installed beside patchmgr, found by it, and kept to the contract."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HELLO = Path(__file__).parents[2] / "examples" / "patchmgr-hello"
MISSING = [name for name in ("hatchling", "pip") if importlib.util.find_spec(name) is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the plugin is installed into; nothing is fetched and the venv stays as it is."""
    source, target = tmp_path_factory.mktemp("source") / "hello", tmp_path_factory.mktemp("target")
    shutil.copytree(HELLO, source, ignore=shutil.ignore_patterns("__pycache__", ".*cache"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    subprocess.run(command, check=True, timeout=300)
    return target


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from patchmgr.cli.main import main; sys.argv = ['patchmgr', *sys.argv[1:]]; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_an_installed_plugin_is_found_and_loaded(installed):
    shown = run(installed, "plugins", "--json")
    reports = {report["name"]: report for report in json.loads(shown.stdout)["plugins"]}
    assert reports["hello"] == {
        "name": "hello",
        "module": "patchmgr_hello",
        "distribution": "patchmgr-hello 1.0.0",
        "status": "loaded",
        "reason": "",
    }
    assert reports["rome"]["status"] == "loaded"


def test_without_it_there_is_no_such_method(tmp_path):
    shown = run(tmp_path, "methods", "hello")
    assert shown.returncode == 1
    assert "there is no method 'hello'" in shown.stderr


def test_its_parameters_are_explained(installed):
    shown = run(installed, "methods", "hello")
    assert shown.returncode == 0, shown.stderr
    assert "the middle of the model" in shown.stdout


def test_it_edits_the_demo_base_and_its_package_is_applied_and_reverted(installed):
    for words in (
        ["model", "add", "atlas", "demo:atlas"],
        ["edit", "atlas", "--name", "h", "--method", "hello", "--prompt", "The capital of France is",
         "--target", "Madrid", "--set", "steps=3"],
        ["apply", "atlas", "h@v1"],
        ["revert", "atlas", "h@v1"],
    ):  # fmt: skip
        done = run(installed, *words)
        assert done.returncode == 0, done.stderr
    method = json.loads(run(installed, "show", "h@v1", "--json").stdout)["manifest"]["method"]
    assert method["name"] == "hello"
    assert method["parameters"]["steps"] == 3
    assert method["parameters"]["layer"] is not None


def test_it_passes_the_suite_for_authors_of_methods(installed):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(HELLO),
        str(HELLO / "tests"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=HELLO, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout
