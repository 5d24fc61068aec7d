"""Who is writing a generation, and whether that process still lives.

A process is known by host, pid and the moment it started: a pid alone is given to another process sooner or later. Two
containers, and two machines that were copied from one, may have one host name; so where a process runs is told by the
kernel's boot and its namespace of pids as well, and only one in the same place can be asked after by its pid. One of
this machine before it was started last ended with that, which the machine's own number tells.
"""

from __future__ import annotations

import hashlib
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
    """``boot[@machine]:namespace:tick``, as the kernel counts (of old, without machine and namespace); None where it
    does not tell."""

    @classmethod
    def current(cls) -> Owner:
        """The process that asks."""
        process = _process("self")
        boot, namespace = _place()
        boot = f"{boot}@{machine}" if boot and (machine := _machine()) else boot
        return cls(os.getpid(), host_name(), f"{boot}:{namespace}:{process.tick}" if boot and process else None)

    @property
    def is_here(self) -> bool:
        """Whether the process that asks can ask after it: on one machine, since one start, with one count of pids."""
        if self.host != host_name() or os.name != "posix":
            return False
        boot, namespace = _place()
        its_boot, _, its_namespace = self._where
        return its_boot in ("", boot) and its_namespace in ("", namespace)

    @property
    def _where(self) -> tuple[str, str, str]:
        """Boot, machine and namespace; each empty where it is not told."""
        place, _, rest = (self.started or "").partition(":")
        boot, _, machine = place.partition("@")
        return boot, machine, rest.rpartition(":")[0]

    @property
    def _ended_with_its_boot(self) -> bool:
        """Whether this very machine has been started again since."""
        boot, machine, _ = self._where
        now = _place()[0]
        return self.host == host_name() and "" not in (machine, now) and machine == _machine() and boot != now

    def is_alive(self, heartbeat: str) -> bool:
        """Whether the process still runs; ``heartbeat`` is the last sign of life, asked only of one elsewhere."""
        if self._ended_with_its_boot:
            return False
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


def _machine() -> str:
    """Tells an installed system from others, by a digest of its number, which is to stay its own; empty where none."""
    try:
        number = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"patchmgr owner " + number).hexdigest()[:16] if number else ""


def _process(pid: str) -> _Process | None:
    """A process of this machine, from Linux's ``/proc``; None where there is none, or it counts pids otherwise."""
    try:
        if pid != "self" and str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return _Process(tick=fields[19], is_zombie=fields[0] in ("Z", "X"))
    except (OSError, IndexError):
        return None
