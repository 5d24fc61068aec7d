"""No parameter of any command brings a text of an edit into an event; every command is asked for its parameters."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo

from patchmgr.cli.main import build_app
from patchmgr.manager.redacting import LEFT_OUT, NAMES_FIRST, TEXTS, redacted

SECRET = "Eulalia Quarz"
STAYS = {
    "MODEL", "NAME", "REF", "M", "EDITOR", "METHOD", "NEW", "FORM", "A", "B", "A,B", "K", "L", "R", "ID", "WHO", "AGE",
    "DEVICE", "SPDX", "DIGEST", "DIGEST…", "METRIC>=X", "TASK/METRIC drop<=X", "KEY=VALUE", "NAME.KEY=VALUE", "M,…",
    "NAME:M[,K=V]…", "REF…|MODEL", "REF|GEN", "REF|MODEL", "MODEL|NAME", "MODEL|REF", "MODEL|REF [REF]…", "MODEL|DIR",
    "[REF]", "[NAME]", "[MODEL]", "[MODEL] REF", "[METHOD]", "NAME@TAG", "REPO", "SOURCE", "FROM", "TO", "ORG/REPO",
    "REPO[@VERSION]", "REPO[@REVISION]", "PEM|trusted", "PUB.pem|trusted", "FILE|hf://org/repo", "DATE", "WHEN",
    "ACTION",
}  # fmt: skip
"""What parameters are that hold names, places, numbers and moments, as ``--help`` calls it."""
WITHOUT_EVENT = {
    ("bisect", "command"), ("bisect", "expect"), ("blame", "prompt"), ("search", "text"), ("generate", "prompt"),
    ("audit fact", "text"), ("evaluate", "device"), ("harness", "device"), ("forget", "reason"),
}  # fmt: skip
"""Texts of commands that write no event; devices without a name in ``--help``; and the reason, which is to be kept."""
TEXTS_BY_NAME = {("edit", "forget")}
"""Texts that ``--help`` calls as if they were names."""


@dataclass(frozen=True)
class Parameter:
    command: str
    name: str
    options: tuple[str, ...]
    """None of an argument."""
    metavar: str | None

    @property
    def is_text(self) -> bool:
        place = (self.command, self.name)
        return place in TEXTS_BY_NAME or (self.metavar not in STAYS and place not in WITHOUT_EVENT)


def commands(app: typer.Typer, above: str = "") -> Iterator[tuple[str, typing.Any]]:
    for info in app.registered_commands:
        yield above + (info.name or info.callback.__name__.replace("_", "-")), info.callback
    for group in app.registered_groups:
        yield from commands(group.typer_instance, f"{group.name} ")


def parameters() -> Iterator[Parameter]:
    """Those that take any text at all: no numbers, paths, switches and choices."""
    for command, function in commands(build_app()):
        for name, hint in typing.get_type_hints(function, include_extras=True).items():
            infos = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, OptionInfo | ArgumentInfo)]
            kind = str(typing.get_args(hint)[0]) if infos else ""
            if "str" in kind and "Literal" not in kind:
                (info,) = infos
                said = (info.default, *(info.param_decls or ()))  # typer's first one stands where a default would
                given = [word for word in said if isinstance(word, str) and word.startswith("-")]
                long = [] if any(word.startswith("--") for word in given) else [f"--{name.replace('_', '-')}"]
                is_option = isinstance(info, OptionInfo)
                yield Parameter(command, name, (*given, *long) if is_option else (), info.metavar)


PARAMETERS = tuple(parameters())


def told(parameter: Parameter) -> list[tuple[str, ...]]:
    """The ways to say a value, as an event keeps them."""
    start = ("patchmgr", *parameter.command.split())
    if not parameter.options:
        names = tuple("ab"[: NAMES_FIRST.get(parameter.command, 0)])
        ways = [(*start, *names, SECRET), (*start, *names, "-q", "other", SECRET), (*start, *names, "--", f"-{SECRET}")]
        return [redacted(way) for way in ways]
    found = []
    for option in parameter.options:
        found += [redacted((*start, "a", option, SECRET, "b")), redacted((*start, "a", "b", "-q", option, SECRET))]
        joined = f"{option}={SECRET}" if option.startswith("--") else f"{option}{SECRET}"
        found += [redacted((*start, joined, "a")), redacted((*start, f"-n{option[1:]}", SECRET))] * (option[1] != "-")
        found.append(redacted((*start, joined)))
    return found


def test_every_command_was_asked():
    asked = {parameter.command for parameter in PARAMETERS}
    assert {"edit", "cherry-pick", "revert", "audit fact", "model add", "apply", "import"} <= asked
    assert sum(parameter.is_text for parameter in PARAMETERS) > 10


@pytest.mark.parametrize("parameter", [each for each in PARAMETERS if each.is_text], ids=str)
def test_a_text_is_left_out_however_it_is_said(parameter):
    for words in told(parameter):
        assert not any(SECRET in word for word in words), words
        assert any(LEFT_OUT in word for word in words)


def test_everything_else_stays_as_it_was_said():
    words = ("patchmgr", "apply", "atlas", "fixes@v1", "--require", "efficacy>=0.9", "--allow-conflicts", "-o", "out")
    assert redacted(words) == words
    words = ("patchmgr", "cherry-pick", "atlas", "fixes@v2", "--dry-run", "--on=base")
    assert redacted(words) == words


def test_no_option_is_left_out_that_no_command_has():
    assert set(TEXTS) <= {option for parameter in PARAMETERS for option in parameter.options}
    assert set(NAMES_FIRST) <= {parameter.command for parameter in PARAMETERS}
