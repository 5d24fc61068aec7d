"""The program: mounts the commands, and turns expected errors into one line and an exit code."""

from __future__ import annotations

import itertools
import os
import sys
from typing import Annotated, Any, cast

import typer

from patchmgr import __version__
from patchmgr.cli import render
from patchmgr.cli.commands import is_built_in, mount
from patchmgr.cli.switches import Group
from patchmgr.errors import PatchmgrError, UsageError


def build_app(only: str | None = None) -> typer.Typer:
    """The command line with everything that is built in, or with one command of it."""
    app = typer.Typer(
        name="patchmgr",
        cls=Group,
        help="git and apt for language-model edits: make, version, stack, audit and take out, bit for bit.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    mount(app, only)
    return app


def main() -> None:
    """Run one command line; the only place where expected errors are caught."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    called = words[0] if words and is_built_in(words[0]) else None
    app = build_app(called)
    as_json = "--json" in itertools.takewhile(lambda word: word != "--", sys.argv)
    try:
        _check_words(sys.argv)
        if words and called != "plugins" and "PATCHMGR_LOAD_PLUGINS" in os.environ:
            _tell_unmet_limits()
        if words and called is None:
            _add_plugin_commands(app)
        _run(app, as_json=as_json)
    except PatchmgrError as problem:
        render.error(problem, as_json=as_json)
        sys.exit(problem.exit_code)


def _run(app: typer.Typer, *, as_json: bool) -> None:
    """Parse and carry out; with ``--json`` what the parser says against the words is an error as any other."""
    if not as_json:
        app(prog_name="patchmgr")
    parser_error = cast(type[Exception], typer.BadParameter.__mro__[1])  # typer gives that class no public name
    try:
        code = app(prog_name="patchmgr", standalone_mode=False)
    except parser_error as error:
        problem: Any = error
        path = problem.ctx.command_path if problem.ctx else "patchmgr"
        raise UsageError(problem.format_message().strip().rstrip("."), hint=f"see `{path} --help`") from None
    except typer.Abort:
        sys.exit(PatchmgrError.exit_code)
    sys.exit(code or 0)


def _check_words(words: list[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{word!r} is not UTF-8", hint="check the terminal's encoding") from None


def _tell_unmet_limits() -> None:
    from patchmgr.methods.limit import unmet_limits

    for report in unmet_limits():
        render.remark(f"plugin {report.name} is {report.status}: {report.reason}; see `patchmgr plugins`")


def _add_plugin_commands(app: typer.Typer) -> None:
    """Plugins are loaded only for a name that is not built in."""
    from patchmgr.methods.loader import register_commands

    for report in register_commands(app):
        render.remark(f"plugin {report.name} could not add its commands: {report.reason}")


def _version(wanted: bool) -> None:
    if wanted:
        render.emit(f"patchmgr {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Nothing is done before a command is named."""
