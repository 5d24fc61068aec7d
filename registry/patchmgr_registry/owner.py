"""Who is writing a generation, and whether that process still lives.

A process is known by host, pid and the moment it started: a pid alone is given to another process sooner or later. Two
containers, and two machines that were copied from one, may have one host name; so where a process runs is told by the
kernel's boot and its namespace of pids as well, and only one in the same place can be asked after by its pid.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from patchmgr_registry.clock import seconds_since

SILENT_AFTER_S = 600.0
"""A process elsewhere, which cannot be asked, counts as dead when its heartbeat is older than this."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, named so that another one can tell later whether it still runs."""

    pid: int
    host: str
    started: str | None = None
    """``boot:namespace:tick``, as the kernel counts (of old, without namespace); None where it does not tell."""

    @classmethod
    def current(cls) -> Owner:
        """The process that asks."""
        process = _process("self")
        boot, namespace = _place()
        return cls(os.getpid(), host_name(), f"{boot}:{namespace}:{process.tick}" if boot and process else None)

    @property
    def is_here(self) -> bool:
        """Whether the process that asks can ask after it: on one machine, since one start, with one count of pids."""
        if self.host != host_name() or os.name != "posix":
            return False
        boot, namespace = _place()
        its_boot, _, rest = (self.started or "").partition(":")
        its_namespace = rest.rpartition(":")[0]
        return its_boot in ("", boot) and its_namespace in ("", namespace)

    def is_alive(self, heartbeat: str) -> bool:
        """Whether the process still runs; ``heartbeat`` is the last sign of life, asked only of one elsewhere."""
        if not self.is_here:
            return seconds_since(heartbeat) < SILENT_AFTER_S
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it exists, under another user
        process = _process(str(self.pid))
        if process is None:
            return True
        return not process.is_zombie and (self.started is None or self.started.rpartition(":")[2] == process.tick)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def host_name() -> str:
    """The name of the machine."""
    return socket.gethostname()


@dataclass(frozen=True, slots=True)
class _Process:
    """What the kernel tells of a process."""

    tick: str
    """Of the clock, when it started."""
    is_zombie: bool
    """Whether it has ended and only waits to be asked for its exit status."""


def _place() -> tuple[str, str]:
    """The start of the machine, and the namespace that pids are counted in; empty where the kernel does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "", ""
    try:
        return boot, str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return boot, ""


def _process(pid: str) -> _Process | None:
    """A process of this machine, from Linux's ``/proc``; None where there is none, or it counts pids otherwise."""
    try:
        if pid != "self" and str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return _Process(tick=fields[19], is_zombie=fields[0] in ("Z", "X"))
    except (OSError, IndexError):
        return None
