"""What making a package costs: time, processor time and memory, as scores of the protocol ``run``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from patchmgr.manager.machine import forget_peak, peak_bytes
from patchmgr.package.scores import Score


@dataclass
class Meter:
    """What was spent while it ran."""

    found: dict[str, float] = field(default_factory=dict)

    def scores(self, measured: tuple[Score, ...]) -> tuple[Score, ...]:
        """What was spent, on the state and the requests of other scores; nothing when there is none to go by."""
        like = next((score for score in measured if score.phase == "after"), None)
        if like is None:
            return ()
        kept = {"protocol": "run", "n": 1, "low": None, "high": None}
        return tuple(
            like.model_copy(update={**kept, "metric": name, "value": value}) for name, value in self.found.items()
        )


@contextmanager
def metered() -> Iterator[Meter]:
    """Meter what happens in the block: seconds, those of the processor, and bytes by which memory grew at its largest.

    Where the system does not let go of the largest before, that counts which passes it.
    """
    forget_peak()
    meter, before = Meter(), peak_bytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    yield meter
    meter.found["cost/seconds"] = time.perf_counter() - start
    meter.found["cost/cpu_seconds"] = time.process_time() - start_cpu
    meter.found["cost/peak_bytes"] = float(peak_bytes() - before)
