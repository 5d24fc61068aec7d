"""Which commands there are, and in which file; a file is imported when its command is called.

Importing all of them and building their options takes longer than most commands take to answer, so the program loads
the one that it was called for, and all of them only to list them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import typer

from patchmgr.cli.switches import Command, with_plain_switches

GROUPS = ("model", "stats", "editor", "trust", "registry", "audit")
"""Commands with commands of their own: ``app`` in the file of that name."""

COMMANDS: Mapping[str, str] = {
    "demo": "demo",
    "edit": "edit",
    "train": "train",
    "evaluate": "evaluate",
    "compare": "compare",
    "harness": "harness",
    "bisect": "bisect",
    "blame": "blame",
    "convert": "convert",
    "show": "show",
    "search": "search",
    "tag": "tag",
    "sign": "sign",
    "list": "listing:list_packages",
    "log": "log",
    "diff": "diff",
    "conflicts": "conflicts",
    "plan": "changes:plan",
    "apply": "changes:apply",
    "revert": "changes:revert",
    "rebase": "rebase",
    "merge": "merge",
    "cherry-pick": "cherry_pick",
    "rollback": "changes:rollback",
    "lock": "lock",
    "sync": "sync",
    "push": "push",
    "pull": "pull",
    "outdated": "outdated",
    "gc": "gc",
    "backup": "backup",
    "restore": "restore",
    "forget": "forget",
    "fsck": "fsck",
    "verify": "verify",
    "du": "du",
    "status": "status",
    "path": "path",
    "generate": "generate",
    "export": "export",
    "import": "import_",
    "attest": "attest",
    "methods": "methods",
    "plugins": "plugins",
}
"""Name to file, and to the function in it where that has another name; in the order of ``--help``."""


def is_built_in(name: str) -> bool:
    """Whether a command of that name comes with patchmgr."""
    return name in COMMANDS or name in GROUPS


def mount(app: typer.Typer, only: str | None = None) -> None:
    """Add the commands that are built in to a program.

    Args:
        app: the program.
        only: this one alone; None: all.
    """
    for name in GROUPS if only is None else {only} & set(GROUPS):
        app.add_typer(with_plain_switches(_load(name, "app")), name=name)
    for name in COMMANDS if only is None else {only} & set(COMMANDS):
        file, _, function = COMMANDS[name].partition(":")
        app.command(name, cls=Command)(_load(file, function or file))


def _load(file: str, what: str) -> Any:
    return getattr(importlib.import_module(f"patchmgr.cli.{file}"), what)
