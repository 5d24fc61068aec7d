"""What is shipped is what lies in the tree, and commands that only read a registry start without torch."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import patchmgr

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCE_ROOTS = {"plugins": ROOT / "plugins", "registry": ROOT / "registry", "migrations": ROOT / "migrations"}
PACKAGES = sorted(
    [
        ROOT / "patchmgr",
        *(path.parent for root in SOURCE_ROOTS.values() for path in root.glob("patchmgr_*/__init__.py")),
    ]
)
HEAVY = ("torch", "transformers", "tokenizers", "huggingface_hub", "sqlalchemy.orm", "alembic")


# The tree


def is_plugin(package: Path) -> bool:
    """Whether a package implements a hook; the test reads it and imports nothing."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    decorators = [mark for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for mark in node.decorator_list]
    return any("hookimpl" in ast.unparse(decorator) for decorator in decorators)


def test_folders_that_hold_a_plugin_are_the_declared_entry_points():
    declared = PROJECT["project"]["entry-points"]["patchmgr"]
    folders = {package.name for package in PACKAGES if package.parent.name == "plugins" and is_plugin(package)}
    assert set(declared.values()) == folders
    assert {f"patchmgr_{name}" for name in declared} == folders


def test_every_package_is_known_to_the_type_checker_and_to_the_import_contracts():
    names = {package.name for package in PACKAGES}
    checked = {Path(path) for path in PROJECT["tool"]["mypy"]["files"]}
    assert {package.name for package in PACKAGES if checked & {Path(package.name), Path(package.parent.name)}} == names
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == names


def test_every_package_says_that_it_is_typed():
    assert [package.name for package in PACKAGES if not (package / "py.typed").is_file()] == []


def test_a_plugins_visiting_card_is_short_and_imports_no_torch():
    for package in PACKAGES:
        if is_plugin(package):
            text = (package / "__init__.py").read_text(encoding="utf-8")
            assert len(text.splitlines()) <= 45, package.name
            assert "import torch" not in text, package.name


def test_public_names_exist_and_are_all_that_the_package_offers():
    assert patchmgr.__all__ == sorted(patchmgr.__all__)
    for name in patchmgr.__all__:
        assert getattr(patchmgr, name) is not None
    assert patchmgr.__version__ == PROJECT["project"]["version"]
    for module in ("patchmgr.testing", "patchmgr_registry"):
        loaded = importlib.import_module(module)
        assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_every_file_of_every_package_is_in_the_wheel(wheel):
    wanted = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"patchmgr/py.typed", "patchmgr_rome/py.typed", "patchmgr_registry/store.py"} <= shipped
    assert {name for name in shipped if name.startswith("patchmgr_migrations/versions/0")}
    assert shipped == wanted


def test_the_demo_base_is_in_the_wheel(wheel):
    folder = ROOT / "patchmgr" / "demo" / "atlas"
    shipped = set(wheel.namelist())
    assert {f"patchmgr/demo/atlas/{path.name}" for path in folder.iterdir()} <= shipped
    assert "patchmgr/demo/atlas/model.safetensors" in shipped


def test_the_wheel_declares_the_command_the_plugins_and_the_licence(wheel):
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    text = wheel.read(entry_points).decode()
    assert "patchmgr = patchmgr.cli.main:main" in text
    for name, module in PROJECT["project"]["entry-points"]["patchmgr"].items():
        assert f"{name} = {module}" in text
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


# What a command imports


def imported(*words: str) -> set[str]:
    """The heavy modules that are loaded when the program ends."""
    code = (
        "import atexit, json, sys\n"
        f"show = lambda: sys.stderr.write('\\n' + json.dumps([name for name in {HEAVY} if name in sys.modules]))\n"
        "atexit.register(show)\n"
        "from patchmgr.cli.main import main\n"
        "sys.argv = ['patchmgr', *sys.argv[1:]]\n"
        "main() if sys.argv[1:] else None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env=dict(os.environ), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_the_command_line_is_imported_without_anything_heavy():
    assert imported() == set()


@pytest.mark.parametrize(
    "line", ["--help", "--version", "list", "status", "status --json", "model list", "audit", "plugins", "methods"]
)
def test_commands_that_read_the_registry_import_nothing_heavy(home, line):
    patchmgr.open(home).close()
    assert imported(*line.split()) == set()


def test_applying_and_reverting_import_neither_torch_nor_transformers(home, tmp_path):
    from checkpoints import make_checkpoint, make_package

    base = make_checkpoint(tmp_path / "base")
    make_package(tmp_path / "package", base)
    patchmgr.open(home).close()
    for words in (
        ["model", "add", "tiny", str(base)],
        ["plan", "tiny", str(tmp_path / "package")],
        ["apply", "tiny", str(tmp_path / "package")],
        ["show", "random@v1"],
        ["revert", "tiny", "random@v1"],
        ["model", "verify", "tiny"],
    ):
        assert not imported(*words) & {"torch", "transformers", "alembic"}, words


def test_a_plugin_is_imported_without_torch():
    for module in PROJECT["project"]["entry-points"]["patchmgr"].values():
        code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0, module
