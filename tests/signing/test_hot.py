"""A live model takes no package in that the settings do not let in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import patchmgr
from checkpoints import EDITABLE
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import IntegrityError
from patchmgr.signing.sign import SigningOrder


class Tiny(nn.Module):
    """The base of the stocked home, with its tensors under their names."""

    def __init__(self, base: Checkpoint) -> None:
        super().__init__()
        for name in base.tensors:
            *path, last = name.split(".")
            place: nn.Module = self
            for part in path:
                if not hasattr(place, part):
                    place.add_module(part, nn.Module())
                place = getattr(place, part)
            data = torch.frombuffer(bytearray(base.read_bytes(name)), dtype=torch.bfloat16)
            place.register_parameter(last, nn.Parameter(data.reshape(base.entry(name)[1].shape)))


def test_a_live_model_asks_for_signatures_too(stocked, keys, monkeypatch, tmp_path):
    from patchmgr.manager.lay_out import package_folder

    model = Tiny(Checkpoint.read(stocked.base))
    folder = tmp_path / "p1"
    package_folder(stocked.manager, stocked.manager.registry.version("p1@v1"), folder)
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "trusted")
    with pytest.raises(IntegrityError, match="p1@v1 is not signed"), patchmgr.hot_apply(model, folder):
        pass
    stocked.manager.sign(str(folder), SigningOrder(keys("ana.key")))
    stocked.manager.trust.add("ana", key=keys("ana.pub"))
    with patchmgr.hot_apply(model, folder) as state:
        assert state.references == ("p1@v1",)
        assert set(state.digests) == set(EDITABLE)
    (folder / "model.sig").write_text("nonsense")
    monkeypatch.setenv("PATCHMGR_SIGNATURES", "any")
    with pytest.raises(IntegrityError, match="is bad"), patchmgr.hot_apply(model, folder):
        pass
