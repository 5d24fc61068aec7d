"""The program: mounts the commands, and turns expected errors into one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from patchmgr import __version__
from patchmgr.cli import (
    attest,
    audit,
    bisect,
    blame,
    changes,
    cherry_pick,
    compare,
    conflicts,
    convert,
    demo,
    diff,
    du,
    edit,
    editor,
    evaluate,
    export,
    fsck,
    gc,
    generate,
    harness,
    import_,
    listing,
    lock,
    log,
    merge,
    methods,
    model,
    outdated,
    path,
    plugins,
    pull,
    push,
    rebase,
    render,
    search,
    show,
    sign,
    stats,
    status,
    sync,
    tag,
    train,
    trust,
    verify,
)
from patchmgr.errors import PatchmgrError, UsageError

_COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "edit": edit.edit,
    "train": train.train,
    "evaluate": evaluate.evaluate,
    "compare": compare.compare,
    "harness": harness.harness,
    "bisect": bisect.bisect,
    "blame": blame.blame,
    "convert": convert.convert,
    "show": show.show,
    "search": search.search,
    "tag": tag.tag,
    "sign": sign.sign,
    "list": listing.list_packages,
    "log": log.log,
    "diff": diff.diff,
    "conflicts": conflicts.conflicts,
    "plan": changes.plan,
    "apply": changes.apply,
    "revert": changes.revert,
    "rebase": rebase.rebase,
    "merge": merge.merge,
    "cherry-pick": cherry_pick.cherry_pick,
    "rollback": changes.rollback,
    "lock": lock.lock,
    "sync": sync.sync,
    "push": push.push,
    "pull": pull.pull,
    "outdated": outdated.outdated,
    "gc": gc.gc,
    "fsck": fsck.fsck,
    "verify": verify.verify,
    "du": du.du,
    "status": status.status,
    "path": path.path,
    "generate": generate.generate,
    "export": export.export,
    "import": import_.import_,
    "attest": attest.attest,
    "methods": methods.methods,
    "plugins": plugins.plugins,
}


def build_app() -> typer.Typer:
    """The command line with everything that is built in."""
    app = typer.Typer(
        name="patchmgr",
        help="git and apt for language-model edits: make, version, stack, audit and take out, bit for bit.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.add_typer(model.app, name="model")
    app.add_typer(stats.app, name="stats")
    app.add_typer(editor.app, name="editor")
    app.add_typer(trust.app, name="trust")
    app.add_typer(audit.app, name="audit")
    for name, command in _COMMANDS.items():
        app.command(name)(command)
    return app


def main() -> None:
    """Run one command line; the only place where expected errors are caught."""
    app = build_app()
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    try:
        _check_words(sys.argv)
        if words and words[0] not in {*_COMMANDS, "model", "stats", "editor", "trust", "audit"}:
            _add_plugin_commands(app)
        app()
    except PatchmgrError as problem:
        render.error(problem, as_json="--json" in sys.argv)
        sys.exit(problem.exit_code)


def _check_words(words: list[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{word!r} is not UTF-8", hint="check the terminal's encoding") from None


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
