"""The pages in docs/ name every hook, command, error and setting that the code has, and their links lead somewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import typer

import patchmgr_registry.errors
from patchmgr import errors
from patchmgr.cli.main import build_app
from patchmgr.manager.settings import KNOWN
from patchmgr.methods import contract, hookspecs
from patchmgr.testing import MethodTestCase

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + list((ROOT / "docs").glob("*.md"))
    + list((ROOT / "examples").glob("*/README.md"))
)
PLUGINS = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
OPERATORS = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Plugins


def test_every_hook_is_documented_with_its_arguments_and_no_other():
    hooks = {
        f"{name}({', '.join(inspect.signature(hook).parameters)})"
        for name, hook in vars(hookspecs).items()
        if name.startswith("patchmgr_")
    }
    assert set(re.findall(r"^\| `(patchmgr_\w+\([^)]*\))`", PLUGINS, re.MULTILINE)) == hooks


def test_every_attribute_of_a_method_is_documented():
    table = PLUGINS.partition("## A method")[2].partition("### What edit gets")[0]
    signature = f"edit({', '.join(list(inspect.signature(contract.Method.edit).parameters)[1:])})"
    names = {name for name in contract.Method.__annotations__ if not name.startswith("_")}
    assert set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == names | {signature}


@pytest.mark.parametrize(
    "part",
    [
        contract.Payload,
        contract.EditContext,
        contract.LoadedModel,
        contract.LowRankDelta,
        contract.WeightDelta,
        contract.ReplacedWeight,
    ],
)
def test_every_part_of_what_goes_in_and_comes_out_is_documented(part):
    assert part.__name__ in PLUGINS
    for name in part.__dataclass_fields__:
        assert re.search(rf"\b{name}\b", PLUGINS), name


def test_what_a_method_may_need_is_documented():
    for need in contract.Need.__args__:
        assert f'`"{need}"`' in PLUGINS


def test_the_suite_for_authors_has_what_the_page_says():
    assert {"method", "parameters", "requests"} <= set(MethodTestCase.__annotations__)
    assert callable(MethodTestCase.loaded)


# Commands, errors, settings


def test_every_command_is_documented_and_no_other():
    group = typer.main.get_command(build_app())
    assert isinstance(group, typer.core.TyperGroup)
    commands = set()
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        commands |= {f"patchmgr {name} {inner}" for inner in below} if below else {f"patchmgr {name}"}
    table = OPERATORS.partition("## Commands")[2].partition("## Exit codes")[0]
    assert set(re.findall(r"^\| `(patchmgr [a-z -]+)`", table, re.MULTILINE)) == commands


def test_every_error_is_documented_with_its_exit_code_and_no_other():
    classes = {
        found.__name__: found.exit_code
        for module in (errors, patchmgr_registry.errors)
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, errors.PatchmgrError)
    }
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", OPERATORS, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == classes


def test_the_tree_of_errors_drawn_in_the_code_has_every_class_with_its_exit_code():
    for module in (errors, patchmgr_registry.errors):
        drawn = dict(re.findall(r"(\w+Error) +(\d)", module.__doc__ or ""))
        own = {
            name: str(found.exit_code)
            for name, found in vars(module).items()
            if inspect.isclass(found) and found.__module__ == module.__name__
        }
        assert drawn == own


def test_every_setting_is_documented_with_its_variable_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \| `(PATCHMGR_\w+)` \|", OPERATORS, re.MULTILINE)
    assert dict(rows) == {name: f"PATCHMGR_{name.upper()}" for name in KNOWN}


def test_every_variable_that_the_code_reads_is_documented():
    code = [path for room in ("patchmgr", "plugins", "registry") for path in (ROOT / room).rglob("*.py")]
    read = {name for path in code for name in re.findall(r'"(PATCHMGR_[A-Z_]+)"', path.read_text(encoding="utf-8"))}
    assert {name for name in read if name not in OPERATORS} == set()


# Links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page_name(page)} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page_name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_files_that_are_named_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    rooms = "patchmgr|plugins|registry|migrations|tests|docs|examples"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", text):
        assert (ROOT / name).exists() or (page.parent / name).exists(), f"{page_name(page)} names {name}"
