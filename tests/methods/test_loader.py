"""Plugins come in one by one: a broken one is reported with its reason and stops nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from patchmgr.errors import NotFoundError
from patchmgr.methods.limit import LIMIT_VARIABLE, PluginReport
from patchmgr.methods.loader import load_plugins, register_commands

METHOD = """
    from patchmgr.methods.contract import MethodParameters
    from patchmgr.methods.hookspecs import hookimpl

    class Method:
        name, version, paper, kind, needs = "{name}", "1", "none", "weights", frozenset()
        parameters = MethodParameters

        def edit(self, model, requests, parameters, context):
            raise AssertionError("loading a plugin runs none of its methods")

    @hookimpl
    def patchmgr_register_methods(register):
        register(Method())
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put distributions into a folder that Python looks into: a module, and the metadata that lists it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name: str, code: str) -> None:
        module = f"patchmgr_loader_test_{name}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        metadata = tmp_path / f"{module}-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: patchmgr-{name}\nVersion: 2.0\n")
        (metadata / "entry_points.txt").write_text(f"[patchmgr]\n{name} = {module}\n")

    return put


def report(name: str) -> PluginReport:
    (found,) = (report for report in load_plugins().reports if report.name == name)
    return found


def test_built_in_methods_and_encodings_come_in_by_the_same_door():
    plugins = load_plugins()
    assert "rome" in plugins.methods
    assert "lowrank" in plugins.encodings
    assert report("rome").status == "loaded"
    assert report("rome").module == "patchmgr_rome"


def test_a_foreign_plugin_brings_its_method(install):
    install("fresh", METHOD.format(name="fresh"))
    assert load_plugins().method("fresh").version == "1"
    assert report("fresh") == PluginReport("fresh", "patchmgr_loader_test_fresh", "patchmgr-fresh 2.0", "loaded")


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("raises", "raise RuntimeError('out of order')", "RuntimeError: out of order"),
        ("needs", "import patchmgr_no_such_dependency", "ModuleNotFoundError: No module named"),
        ("typo", "def f(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_reported_with_its_reason_and_stops_nothing(install, name, code, reason):
    install(name, code)
    install("working", METHOD.format(name="working"))
    plugins = load_plugins()
    assert report(name).status == "failed"
    assert report(name).reason.startswith(reason)
    assert {"rome", "working"} <= set(plugins.methods)


def test_an_entry_point_to_a_missing_module_is_reported(install, tmp_path):
    install("gone", "")
    (tmp_path / "patchmgr_loader_test_gone.py").unlink()
    assert report("gone").status == "failed"
    assert "ModuleNotFoundError" in report("gone").reason


@pytest.mark.parametrize(
    ("name", "hook", "word"),
    [
        ("misspelt", "def patchmgr_register_method(register): ...", "unknown hook 'patchmgr_register_method'"),
        ("argument", "def patchmgr_register_methods(registre): ...", "'registre'"),
    ],
)
def test_a_misspelt_hook_is_reported_and_the_plugin_left_out(install, name, hook, word):
    install(name, f"from patchmgr.methods.hookspecs import hookimpl\n\n@hookimpl\n{hook}\n")
    plugins = load_plugins()
    assert report(name).status == "failed"
    assert word in report(name).reason
    assert not plugins.manager.has_plugin(name)
    assert "rome" in plugins.methods


@pytest.mark.parametrize("limit", ["rome", " rome , nothing-of-this-name"])
def test_the_variable_limits_what_is_loaded(install, monkeypatch, limit):
    install("other", METHOD.format(name="other"))
    monkeypatch.setenv(LIMIT_VARIABLE, limit)
    plugins = load_plugins()
    assert set(plugins.methods) == {"rome"}
    assert report("rome").status == "loaded"
    assert report("other").status == "not loaded"
    assert LIMIT_VARIABLE in report("other").reason


def test_a_plugin_of_another_version_is_not_loaded(monkeypatch):
    version = report("rome").distribution.split()[1]
    for pinned, status in ((version, "loaded"), ("99.9", "not loaded")):
        monkeypatch.setenv(LIMIT_VARIABLE, f"memit, rome == {pinned}")
        assert report("rome").status == status
        assert report("memit").status == "loaded"
    assert "99.9" in report("rome").reason


def test_a_plugin_left_out_is_not_imported(install, monkeypatch):
    install("dangerous", "raise SystemError('imported')")
    monkeypatch.setenv(LIMIT_VARIABLE, "rome")
    assert report("dangerous").status == "not loaded"


def test_an_empty_limit_loads_no_plugin_but_keeps_the_encodings(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "")
    plugins = load_plugins()
    assert plugins.methods == {}
    assert "lowrank" in plugins.encodings
    with pytest.raises(NotFoundError, match="known: none"):
        plugins.method("rome")


def test_an_unknown_method_names_the_closest():
    with pytest.raises(NotFoundError, match=r"there is no method 'roem'; did you mean 'rome'\?"):
        load_plugins().method("roem")


def test_an_unknown_method_like_no_other_names_those_that_are_known():
    with pytest.raises(NotFoundError, match=r"known: .*rome"):
        load_plugins().method("zzz")


def test_a_foreign_plugin_cannot_take_a_name_that_is_taken(install):
    install("rome", METHOD.format(name="other"))
    install("encodings", METHOD.format(name="third"))
    plugins = load_plugins()
    by_status = {(r.module, r.status) for r in plugins.reports if r.name == "rome"}
    assert sorted(status for _, status in by_status) == ["failed", "loaded"]
    assert {"lowrank"} <= set(plugins.encodings)
    assert "third" in plugins.methods


def test_two_methods_of_one_name_are_not_mixed_up(install):
    install("thief", METHOD.format(name="rome"))
    assert "'rome' is registered by another plugin already" in report("thief").reason
    assert load_plugins().methods["rome"].paper != "none"


@pytest.mark.parametrize(
    "code",
    [
        "from patchmgr.methods.hookspecs import hookimpl\n@hookimpl\ndef patchmgr_register_methods(register): 1 / 0\n",
        "from patchmgr.methods.hookspecs import hookimpl\n"
        "@hookimpl\ndef patchmgr_register_methods(register): register(object())\n",
        "raise SystemExit(3)\n",
    ],
)
def test_a_plugin_that_fails_in_its_hook_or_leaves_the_program_is_reported(install, code):
    install("bad", code)
    assert report("bad").status == "failed"
    assert "rome" in load_plugins().methods


def test_a_plugin_adds_commands_and_a_broken_one_does_not_stop_it(install):
    hook = "from patchmgr.methods.hookspecs import hookimpl\n@hookimpl\ndef patchmgr_register_commands(app):\n    "
    install("broken", f"{hook}1 / 0\n")
    install("fine", f"{hook}app.command('wave')(lambda: None)\n")
    app = typer.Typer()
    assert [failed.name for failed in register_commands(app)] == ["broken"]
    assert [command.name for command in app.registered_commands] == ["wave"]
