"""Judging states by a program of the user's: each is written as a checkpoint folder for as long as the program runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import scratch_folder
from patchmgr.errors import NotFoundError, PatchmgrError, UsageError
from patchmgr.manager.bisect.contract import Command, LineState, Look
from patchmgr.manager.bisect.line import check_root
from patchmgr.manager.recipe import find_kept, make_recipe
from patchmgr.manager.states import ModelState
from patchmgr.ops import stack as stacks
from patchmgr.ops.bisect import Verdict
from patchmgr.ops.generation import KeptFileError, write_generation
from patchmgr.ops.stack import Stack

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

GOOD, SKIP, LAST_BAD = 0, 125, 127
"""Exit statuses as ``git bisect run`` reads them; what is above the last ends the search."""
GRACE_S = 3.0
"""How long a program may take to end when it is told to."""
_STDERR = 2


def judge_by_command(manager: Manager, state: ModelState, test: Command, probed: LineState) -> Look:
    """What a program says of a state. Its output goes to stderr, and it runs in the current folder.

    Raises:
        NotFoundError: it cannot be started.
        PatchmgrError: it ended with a status above 127 or by a signal.
        IntegrityError: the base or a package is not what it was, or the state is not the one that the registry knows.
        StorageError: the disk has not the room.
    """
    if not test.words:
        raise UsageError("there is no command", hint="write it behind --")
    with written_state(manager, state, probed.stack) as (folder, root):
        check_root(probed, root)
        status = _run(test, {**os.environ, **_environment(manager, state, probed, folder, root)})
    return Look(probed.name, _verdict(test, probed, status), f"exit status {status}", root)


@contextlib.contextmanager
def written_state(manager: Manager, state: ModelState, stack: Stack) -> Iterator[tuple[Path, str]]:
    """A stack on a model's base as a checkpoint folder, gone when the block ends, and its state root.

    What need not be written is linked, to the base's files or to those of generations.
    """

    def advance(done: int, total: int) -> None:
        manager.progress(done, total, "writing a state to try (bytes)")

    with scratch_folder(manager.settings.home / "tmp", "bisect-", what="a state to try") as scratch:
        folder = scratch / "state"
        try:
            kept = find_kept(manager, state, stack)
            results = write_generation(make_recipe(manager, state, stack, kept), folder, advance)
        except KeptFileError:  # cleared away meanwhile, or a file system without hard links
            results = write_generation(make_recipe(manager, state, stack, {}), folder, advance)
        yield folder, stacks.root_of(state.fingerprint.with_tensors(results), stack)


def _environment(manager: Manager, state: ModelState, probed: LineState, folder: Path, root: str) -> Mapping[str, str]:
    return {
        "PATCHMGR_MODEL": state.record.name,
        "PATCHMGR_MODEL_FOLDER": str(folder),
        "PATCHMGR_STATE_ROOT": root,
        "PATCHMGR_PACKAGES": " ".join(manifest.reference for manifest in probed.stack),
        "PATCHMGR_HOME": str(manager.settings.home),
    }


def _run(test: Command, environment: Mapping[str, str]) -> int:
    """The exit status of the program; it has ended when this returns or raises."""
    try:
        process = subprocess.Popen(test.words, stdout=_STDERR, env=environment)
    except OSError as error:
        raise NotFoundError(
            f"{test.words[0]!r} cannot be started: {error.strerror}", hint="give a program on the PATH, or a full path"
        ) from None
    try:
        return process.wait()
    finally:  # Ctrl-C too
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            process.kill()
            process.wait()


def _verdict(test: Command, probed: LineState, status: int) -> Verdict:
    if status == SKIP:
        return "skip"
    if GOOD <= status <= LAST_BAD:
        return "good" if status == GOOD else "bad"
    how = f"with exit status {status}" if status > 0 else f"by signal {-status}"
    raise PatchmgrError(
        f"{test.words[0]} ended {how} on {probed.name}, so the search ends",
        hint=f"exit status 0 means good, {SKIP} skip, any other up to {LAST_BAD} bad",
    )
