"""Help that shows a switch as what it is: an option without a value."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _PlainSwitches:
    """Typer writes ``--json <bool>``, as if a value had to follow."""

    def get_params(self, ctx: Any) -> Any:
        """Every option, with nothing in the place of a switch's value."""
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params


class Command(_PlainSwitches, TyperCommand):
    """A command."""


class Group(_PlainSwitches, TyperGroup):
    """Commands under one name."""


def with_plain_switches(group: typer.Typer) -> typer.Typer:
    """The same commands under one name, with such help."""
    if not isinstance(group.info.cls, type):
        group.info.cls = Group
    for command in group.registered_commands:
        command.cls = Command
    return group
