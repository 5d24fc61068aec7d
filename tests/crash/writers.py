"""Writers of one registry, each a process: commands one after the other, and a check that nothing of them was lost."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from checkpoints import EDITABLE, make_checkpoint, make_package
from patchmgr.errors import PatchmgrError
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt

SHARED = "shared"
"""The package whose tags and the model whose generations all writers fight over."""
GOOD = {"0", "7"}
"""How a command may end: well, or because somebody else was at it."""


@dataclass(frozen=True)
class Tally:
    """What all writers did together."""

    ended: Counter[str]
    """Commands by exit code, and traceback's names for those that have none."""
    odd: tuple[str, ...]
    """What was said by those that ended otherwise than well or busy."""
    n_events: int
    seconds: float
    slowest_s: float

    @property
    def rate(self) -> float:
        """Commands a second that ended well."""
        return self.ended["0"] / self.seconds


def prepare(folder: Path, n_writers: int) -> Path:
    """A home with a model for each writer and one for all, and a package that each puts on and takes off."""
    base = make_checkpoint(folder / "base", sharded=True)
    make_package(folder / SHARED, base, name=SHARED, tensors=EDITABLE[:1])
    for number in range(n_writers):
        make_package(folder / f"p{number}", base, name=f"p{number}", seed=number, tensors=EDITABLE[1:])
    with Manager.open(folder / "home") as manager:
        for name in (SHARED, *(f"m{number}" for number in range(n_writers))):
            manager.add_model(name, str(base))
        manager.apply(SHARED, [str(folder / SHARED)])
        manager.revert(SHARED, [SHARED])
    return folder / "home"


def write_together(folder: Path, n_writers: int, seconds: float) -> Tally:
    """Let writers loose on a prepared home, wait for them, and check what is there then.

    Raises:
        AssertionError: the chain does not hold, or is not what the writers were told.
    """
    began = time.monotonic()
    pids = [_start(folder, number, seconds) for number in range(n_writers)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    took = time.monotonic() - began
    assert codes == [0] * n_writers
    told = [json.loads((folder / f"told-{number}.json").read_text()) for number in range(n_writers)]
    with Manager.open(folder / "home") as manager:
        n_events = manager.verify_audit().n_events
        for number, one in enumerate(told):
            _check(manager, number, one)
        report = manager.fsck()
        assert not report.problems, report.problems
    ended: Counter[str] = sum((Counter(one["ended"]) for one in told), Counter())
    odd = tuple(text for one in told for text in one["odd"])
    return Tally(ended, odd, n_events, took, max(one["slowest_s"] for one in told))


def _check(manager: Manager, number: int, told: dict[str, list[list[str]]]) -> None:
    """The chain has what a writer was told of, in that order and no more; and so have the rows."""
    actor = f"writer-{number}"
    events = [event for event in manager.registry.events() if event.actor == actor]
    found = [[event.action, event.objects[-1 if event.action == "tag" else 0].name] for event in events]
    first = next((pair for pair in zip_longest(found, told["changes"]) if pair[0] != pair[1]), None)
    assert first is None, f"{actor}: the chain has {first[0]} where the writer was told of {first[1]}"
    assert {tag for tag in manager.registry.tags(SHARED) if tag.startswith(f"{actor}.")} == set(told["tags"])
    (status,) = manager.status(f"m{number}")
    assert [package.reference for package in status.stack] == told["stack"]


class _Writer:
    """One process: what it did, and what it therefore expects to find."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number, self.actor = folder, number, f"writer-{number}"
        self.chance = random.Random(number)
        self.changes: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.stack: list[str] = []
        self.known = False

    def command(self) -> Callable[[Manager], None]:
        return self.chance.choice([self.tag, self.tag, self.move, self.untag, self.change, self.roll])

    def tag(self, manager: Manager) -> None:
        name = f"{self.actor}.{len(self.changes)}"
        manager.tag(SHARED, name)
        self.tags.append(name)
        self.changes.append(("tag", f"{SHARED}@{name}"))

    def move(self, manager: Manager) -> None:
        name = f"{self.actor}-{len(self.changes)}"
        manager.tag(SHARED, name, move=True)
        self.changes.append(("tag", f"{SHARED}@{name}"))

    def untag(self, manager: Manager) -> None:
        if not self.tags:
            return
        manager.untag(f"{SHARED}@{self.tags[0]}")
        self.tags.pop(0)
        self.changes.append(("untag", f"{SHARED}@v1"))

    def change(self, manager: Manager) -> None:
        model, package = f"m{self.number}", f"p{self.number}"
        if not self.known:
            adopt(manager, self.folder / package)
            self.known = True
            self.changes.append(("import", f"{package}@v1"))
        elif self.stack:
            manager.revert(model, [package])
            self.stack = []
            self.changes.append(("revert", model))
        else:
            manager.apply(model, [package])
            self.stack = [f"{package}@v1"]
            self.changes.append(("apply", model))

    def roll(self, manager: Manager) -> None:
        if manager.rollback(SHARED, self.chance.randrange(2)).changed:
            self.changes.append(("rollback", SHARED))


def _start(folder: Path, number: int, seconds: float) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.environ["PATCHMGR_ACTOR"] = f"writer-{number}"
        _work(_Writer(folder, number), seconds)
        code = 0
    finally:
        os._exit(code)


def _work(writer: _Writer, seconds: float) -> None:
    ended, odd, slowest, end = Counter[str](), [], 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            with Manager.open(writer.folder / "home") as manager:
                writer.command()(manager)
            code = "0"
        except PatchmgrError as error:
            code = str(error.exit_code)
            if code not in GOOD:
                odd.append(str(error))
        except Exception as error:
            code = type(error).__name__
            odd.append(f"{code}: {error}")
        slowest = max(slowest, time.monotonic() - began)
        ended[code] += 1
    told = {"ended": ended, "odd": odd, "slowest_s": slowest}
    told |= {name: getattr(writer, name) for name in ("changes", "tags", "stack")}
    (writer.folder / f"told-{writer.number}.json").write_text(json.dumps(told))
