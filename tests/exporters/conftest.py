"""Homes with a tiny model of three architectures, in float32 and bfloat16, that carries a stack of two packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from checkpoints import make_package
from patchmgr.base.checkpoint import Checkpoint
from patchmgr.manager.manager import Manager

DOWN = {"gpt2": "mlp.c_proj.weight", "gptj": "mlp.fc_out.weight", "llama": "mlp.down_proj.weight"}
"""What ends the MLP; GPT-2's lies (d_in, d_out)."""
QUERY = {"gpt2": "attn.c_attn.weight", "gptj": "attn.q_proj.weight", "llama": "self_attn.q_proj.weight"}


@dataclass(frozen=True)
class Home:
    """``m``: base + ``one`` (rank 2, two blocks) + ``two`` (rank 3, one of these blocks and a query map)."""

    root: Path

    @property
    def base(self) -> Path:
        return self.root / "base"

    @property
    def state(self) -> Path:
        return self.root / "home" / "models" / "m" / "generations" / "1"

    def open(self) -> Manager:
        return Manager.open(self.root / "home")

    def tensor(self, ending: str, block: int) -> str:
        return tensor_of(self.base, ending, block)


def tensor_of(base: Path, ending: str, block: int) -> str:
    (name,) = (name for name in Checkpoint.read(base).tensors if name.endswith(f".{block}.{ending}"))
    return name


@pytest.fixture(scope="session")
def homes(tmp_path_factory) -> Callable[[str, str], Home]:
    """``homes("llama", "bfloat16")``, each made once and never changed."""
    import torch

    from tiny_models import tiny_model, tiny_tokenizer

    @cache
    def make(architecture: str, dtype: str) -> Home:
        root = tmp_path_factory.mktemp(f"{architecture}-{dtype}")
        tiny_model(architecture, dtype=getattr(torch, dtype)).save_pretrained(root / "base")
        tiny_tokenizer().save_pretrained(root / "base")
        down, query = DOWN[architecture], QUERY[architecture]
        first, second = (tensor_of(root / "base", down, block) for block in (0, 1))
        attention = tensor_of(root / "base", query, 1)
        make_package(root / "one", root / "base", name="one", seed=1, rank=2, tensors=(first, second))
        make_package(root / "two", root / "base", name="two", seed=2, rank=3, tensors=(second, attention))
        with Manager.open(root / "home") as manager:
            manager.add_model("m", str(root / "base"))
            manager.apply("m", [str(root / "one"), str(root / "two")])
        return Home(root)

    return make
