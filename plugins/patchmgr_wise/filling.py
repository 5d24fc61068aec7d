"""Which edits each shard holds after a change, and which of them it is to be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from patchmgr.package.memory.operations import Entry
from patchmgr_wise.equations import random_mask
from patchmgr_wise.parameters import WiseParameters
from patchmgr_wise.shards import Shard, SideMemories

Waiting = tuple[tuple[str, ...], Tensor | None]
"""Entries that a shard is to be trained on, and what it begins with; None: with nothing."""


def filled(
    before: SideMemories | None,
    gone: Sequence[str],
    new: Sequence[Entry],
    parameters: WiseParameters,
    shape: tuple[int, int],
    seed: int,
) -> tuple[list[Shard], int]:
    """The shards with new entries in the last ones and without what is gone, and how many were ever made."""
    shards = []
    for shard in before.shards if before else ():
        left = tuple(name for name in shard.members if name not in gone)
        if left:
            shards.append(shard if left == shard.members else Shard(left, shard.mask, None))
    n_made = before.settings.made if before else 0
    for entry in new:
        if not shards or len(shards[-1].members) >= parameters.shard_size:
            generator = torch.Generator().manual_seed(1_000_003 * seed + n_made)
            shards.append(Shard((), random_mask(shape, parameters.mask_share, generator), None))
            n_made += 1
        shards[-1] = replace(shards[-1], members=(*shards[-1].members, entry.id))
    return shards, n_made


def waiting_for(shards: Sequence[Shard], before: SideMemories | None, replay: bool) -> list[Waiting]:
    """Of each shard the edits that it shall be trained on: none where it stays as it was, else new ones, or all.

    With ``replay`` a shard that gets edits is trained anew on all of its edits, so when they came does not matter.
    """
    old = {id(shard.mask): shard for shard in (before.shards if before else ())}
    waiting: list[Waiting] = []
    for shard in shards:
        was = old.get(id(shard.mask))
        held = was.members if was is not None and shard.change is not None else ()
        if replay and held != shard.members:
            held = ()
        waiting.append((shard.members[len(held) :], shard.change if held else None))
    return waiting
