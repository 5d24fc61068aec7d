"""Models to measure methods on: the demo base, a deeper random one, and random ones of the shape of real models."""

from __future__ import annotations

import time
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPTJConfig, LlamaConfig

from patchmgr.demo.bases import demo_folder
from patchmgr.methods.contract import LoadedModel

_ENDS = {"bos_token_id": 0, "eos_token_id": 0}
CONFIGS: dict[str, Any] = {
    "deep": lambda: GPT2Config(n_embd=256, n_layer=12, n_head=8, vocab_size=8192, **_ENDS),
    "gptj": lambda: GPTJConfig(**_ENDS),
    "llama-2-7b": lambda: LlamaConfig(**_ENDS),
    "gptj-tiny": lambda: GPTJConfig(n_embd=64, n_layer=8, n_head=4, rotary_dim=8, vocab_size=2048, **_ENDS),
}
SHAPES = ("atlas", *CONFIGS)


def load(shape: str, device: str) -> LoadedModel:
    """The model on the device; a random one in bf16 where it is as large as a real one. The tokenizer is the demo's."""
    folder = demo_folder("atlas")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if shape == "atlas":
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
    else:
        dtype = torch.float32 if shape == "deep" else torch.bfloat16
        torch.manual_seed(0)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(CONFIGS[shape](), dtype=dtype)
    return LoadedModel(model.eval(), tokenizer, shape)


def print_ceilings(model: Any) -> None:
    """What the machine does at most: a large product in the model's dtype, and a copy."""
    size = 8192 if model.device.type == "cuda" else 512
    left = torch.randn(size, size, device=model.device).to(model.dtype)
    other = torch.empty_like(left)
    print(f"matrix product: {2 * size**3 / _best(lambda: left @ left) / 1e12:.2f} TFLOP/s")
    print(f"copy: {2 * left.nbytes / _best(lambda: other.copy_(left)) / 1e9:.0f} GB/s read and written")


def _best(work: Any) -> float:
    """Seconds of the fastest of ten."""
    found = []
    for _ in range(10):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return min(found)
