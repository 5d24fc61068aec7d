"""Who is writing a generation, and whether that process still lives.

A process is known by host, pid and the moment it started: a pid alone is given to another process sooner or later.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from patchmgr_registry.clock import seconds_since

SILENT_AFTER_S = 600.0
"""A process on another host, which cannot be asked, counts as dead when its heartbeat is older than this."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, named so that another one can tell later whether it still runs."""

    pid: int
    host: str
    started: str | None = None
    """When the process started, as the kernel counts; None where the kernel does not tell."""

    @classmethod
    def current(cls) -> Owner:
        """The process that asks."""
        pid = os.getpid()
        process = _process(pid)
        return cls(pid=pid, host=host_name(), started=process.started if process else None)

    def is_alive(self, heartbeat: str) -> bool:
        """Whether the process still runs; ``heartbeat`` is the last sign of life, asked only of another host."""
        if self.host != host_name() or os.name != "posix":
            return seconds_since(heartbeat) < SILENT_AFTER_S
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it exists, under another user
        process = _process(self.pid)
        if process is None:
            return True
        return not process.is_zombie and self.started in (None, process.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def host_name() -> str:
    """The name of the machine."""
    return socket.gethostname()


@dataclass(frozen=True, slots=True)
class _Process:
    """What the kernel tells of a process."""

    started: str
    """Boot and clock tick."""
    is_zombie: bool
    """Whether it has ended and only waits to be asked for its exit status."""


def _process(pid: int) -> _Process | None:
    """A process of this machine, from Linux's ``/proc``; None where there is no such thing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return _Process(started=f"{boot}:{fields[19]}", is_zombie=fields[0] in ("Z", "X"))
    except (OSError, IndexError):
        return None
