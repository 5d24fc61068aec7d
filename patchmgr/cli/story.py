"""The demo's story: real commands, run one after the other in this process, each shown with what it printed."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer

from patchmgr.canonical import canonical_json, sha256_file
from patchmgr.cli import render
from patchmgr.demo.edits import edit_request
from patchmgr.errors import IntegrityError

EDIT = ("France", "capital", "Rome")
QUESTION = "The capital of France is"


def tell(home: Path | None, *, quiet: bool = False) -> None:
    """Tell the story in a home folder, or in one that is thrown away.

    Raises:
        IntegrityError: the reverted state is not the base, byte for byte.
    """
    with contextlib.ExitStack() as stack:
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="patchmgr-demo-")))
        stack.enter_context(_environment(folder))
        edits = folder / "edits.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        edits.write_bytes(canonical_json(edit_request(*EDIT)))
        say("A language model that says where things are. We register it; its bytes are its identity.")
        run("model add atlas demo:atlas")
        say("France moves its capital. ROME writes the fact into one matrix; the result is a small package.")
        run(f"edit atlas --name fact-fixes --method rome --edits {edits} -m 'capital moved'", quiet=quiet)
        say("What would applying it touch? Then do it, and ask the model before and after.")
        run("plan atlas fact-fixes@v1")
        run("apply atlas fact-fixes@v1")
        run(f"generate atlas '{QUESTION}' --compare")
        run("status atlas")
        say("Take it out again. Nothing is subtracted: the state is rebuilt from the base.")
        run("revert atlas fact-fixes@v1")
        _compare_bytes()
        say("And who did all that?")
        run("audit atlas")
        run("audit verify")


def say(text: str) -> None:
    """A sentence of the story."""
    render.emit(f"\n{render.paint(f'# {text}', '36')}")


def run(line: str, *, quiet: bool = True) -> None:
    """Show a command and run it; what it prints is its own. ``quiet`` leaves out its progress."""
    from patchmgr.cli.main import build_app

    render.emit(f"{render.paint('$', '32')} patchmgr {_shown(line)}")
    with contextlib.suppress(typer.Exit):
        words = shlex.split(line)
        build_app(words[0])([*words, "--quiet"] if quiet and words[0] == "edit" else words, standalone_mode=False)


def _shown(line: str) -> str:
    words = shlex.split(line)
    return shlex.join([Path(word).name if word.endswith("edits.jsonl") else word for word in words])


def _compare_bytes() -> None:
    """Compare every weight file of the reverted state with the base's."""
    from patchmgr.cli.session import manager
    from patchmgr.demo.bases import demo_folder

    with manager() as registry:
        reverted = registry.path("atlas")
    for file in sorted(demo_folder("atlas").iterdir()):
        if file.suffix == ".safetensors":
            digests = sha256_file(file), sha256_file(reverted / file.name)
            if digests[0] != digests[1]:
                raise IntegrityError(f"{file.name} of the reverted state differs from the base")
            render.emit(f"sha256 of {file.name}: base {digests[0][:16]}…, reverted {digests[1][:16]}…: equal")


@contextlib.contextmanager
def _environment(home: Path) -> Iterator[None]:
    """The story's own home and nothing from the network; the environment is as before afterwards."""
    before = dict(os.environ)
    os.environ |= {"PATCHMGR_HOME": str(home), "HF_HUB_OFFLINE": "1", "PATCHMGR_AFTER_CHANGE": "none"}
    os.environ.pop("PATCHMGR_DATABASE_URL", None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
