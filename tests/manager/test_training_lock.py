"""Of those who train the same thing one is let in at a time, though the lock goes away with the folder."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from patchmgr.errors import BusyError
from patchmgr.manager.editors.train import _checkpoints


def test_a_lock_that_goes_with_its_folder_keeps_out_whoever_came_before_and_after(tmp_path, monkeypatch):
    """Threads take the same folder in turns, and a lock is slow to go, so that others come in the meantime."""
    inside, most, taken = [], [], []

    def slow(path: Path, missing_ok: bool = False, _unlink=Path.unlink) -> None:
        time.sleep(0.002)
        _unlink(path, missing_ok=missing_ok)

    def take() -> None:
        for _ in range(30):
            with contextlib.suppress(BusyError), _checkpoints(tmp_path / "same", restart=False):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.004)
                taken.append(inside.pop())

    monkeypatch.setattr(Path, "unlink", slow)
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(take) for _ in range(4)]:
            done.result()
    assert taken
    assert max(most) == 1
    assert not list(tmp_path.glob("same*"))
