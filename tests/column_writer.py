"""A method that needs no training: what it writes is decided by its requests, its seed and the weight that it finds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from patchmgr.methods.contract import LowRankDelta, Payload
from patchmgr.methods.parameters import PresetParameters


class WriteParameters(PresetParameters):
    presets: ClassVar = {"wide": {"layer": 2}}
    preset: str | None = None
    layer: int = Field(default=0, ge=0)
    size: float = 0.5
    depth: int | None = None
    """None: derived from the model."""


class Write:
    """A column for each edit, decided by its prompt, its target, the seed and the weight that it finds."""

    name, version, paper, kind = "write", "1", "none", "weights"
    needs: ClassVar[frozenset[str]] = frozenset()
    parameters: ClassVar[type[WriteParameters]] = WriteParameters

    def edit(self, model, requests, parameters, context):
        name = f"transformer.h.{parameters.layer}.mlp.c_proj.weight"
        found = float(model.model.get_parameter(name).detach().sum())
        drawn = [
            np.random.default_rng([context.seed, *f"{r.text}{r.target_new}".encode()]).normal(size=(24 + 40, 1))
            for r in requests
        ]
        both = np.concatenate(drawn, axis=1).astype(np.float32)
        self.saw = (found, [r.text for r in requests], parameters.size, context.seed)
        depth = len(model.model.transformer.h) if parameters.depth is None else parameters.depth
        used = {**parameters.model_dump(), "depth": depth}
        if context.corpus:
            used["corpus_key"] = {"source": {"corpus": "a" * 64}}
        delta = LowRankDelta(name, parameters.size * both[24:], np.ascontiguousarray(both[:24].T))
        self.past = context.past_state
        return Payload([delta], used, state={"keys": both[24:]})
