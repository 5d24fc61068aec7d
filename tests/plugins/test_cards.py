"""Every method's visiting card is small, needs no torch, and comes in through the door for methods."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pluggy
import pytest

from patchmgr.methods import hookspecs

FOLDER = Path(__file__).parents[2] / "plugins"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLUGINS = sorted(set(PROJECT["entry-points"]["patchmgr"].values()))
CARDS = {path.parent.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*/__init__.py")}
WITH_METHODS = [plugin for plugin in PLUGINS if "def patchmgr_register_methods" in CARDS[plugin]]


def test_every_plugin_with_a_hook_is_an_entry_point():
    assert {name for name, card in CARDS.items() if "@hookimpl" in card} == set(PLUGINS)


@pytest.mark.parametrize("plugin", WITH_METHODS)
def test_the_hook_registers_methods_that_can_be_shown(plugin):
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(importlib.import_module(plugin))
    manager.check_pending()
    registered = []
    manager.hook.patchmgr_register_methods(register=registered.append)
    assert registered
    for method in registered:
        assert "arXiv:" in method.paper
        method.parameters.model_json_schema()


def test_importing_the_plugins_leaves_torch_out():
    code = f"import sys, {', '.join(PLUGINS)}; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


@pytest.mark.parametrize("plugin", WITH_METHODS)
def test_presets_are_valid_and_give_way_to_what_is_given(plugin):
    for method in _methods(plugin):
        for preset in getattr(method.parameters, "presets", {}):
            settings = method.parameters(preset=preset)
            assert method.parameters(**settings.model_dump(mode="json")) == settings
            for name in method.parameters.presets[preset]:
                default = getattr(method.parameters(), name)
                assert getattr(method.parameters(preset=preset, **{name: default}), name) == default


def _methods(plugin):
    registered = []
    importlib.import_module(plugin).patchmgr_register_methods(registered.append)
    return registered
