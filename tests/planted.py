"""A stack on the demo base in which one package of many is planted to spoil answers; made without a method."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from checkpoints import make_package
from patchmgr.manager.manager import Manager
from patchmgr.package.encodings.contract import Delta, Factors

WEIGHT = "transformer.h.0.mlp.c_proj.weight"
PROMPT, ANSWER = "The capital of Spain is", "Madrid"
"""What the base answers, and the stack with the planted package does not."""


def factors(base: Path, scale: float, seed: int) -> dict[str, Delta]:
    """A random change of rank one of :data:`WEIGHT`, (512, 128) in the demo base, of Frobenius norm ``scale``."""
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(512, 1)), rng.normal(size=(1, 128))
    return {WEIGHT: Factors((scale * u / np.linalg.norm(u)).astype(np.float32), (v / np.linalg.norm(v)).astype("f4"))}


def plant(home: Path, *, n: int, at: int) -> None:
    """``atlas`` with the packages p1 to pn, put on one after the other; ``at`` is the number of the planted one.

    Generation i has the first i of them.
    """
    with Manager.open(home) as manager:
        base = Path(manager.add_model("atlas", "demo:atlas").base.folder)
        for number in range(1, n + 1):
            folder = home.parent / f"p{number}"
            scale = 300.0 if number == at else 0.01
            make_package(folder, base, name=f"p{number}", seed=number, deltas=factors(base, scale, number))
            manager.apply("atlas", [str(folder)], message=f"put p{number} on")
