"""What vLLM asks of a LoRA adapter, as far as an adapter by itself can tell (vllm/config/lora.py, vllm/lora)."""

from __future__ import annotations

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` may be; an adapter's own rank may be any up to that."""
WITHOUT_LORA = frozenset(
    {
        "BloomForCausalLM",
        "FalconForCausalLM",
        "GPT2LMHeadModel",
        "GPTJForCausalLM",
        "GPTNeoXForCausalLM",
        "MPTForCausalLM",
        "T5ForConditionalGeneration",
    }
)
"""Architectures that vLLM serves without LoRA, or not at all."""


def max_lora_rank(rank: int) -> int | None:
    """The least ``--max-lora-rank`` that lets an adapter of this rank in; None: there is none.

    >>> [max_lora_rank(rank) for rank in (1, 2, 9, 512, 513)]
    [1, 8, 16, 512, None]
    """
    return next((allowed for allowed in MAX_LORA_RANKS if rank <= allowed), None)


def remarks(architecture: str, rank: int) -> tuple[str, ...]:
    """What somebody who serves by vLLM must know, a sentence each."""
    if architecture in WITHOUT_LORA:
        return (f"vLLM has no LoRA for {architecture}; for it, export --to checkpoint",)
    allowed = max_lora_rank(rank)
    if allowed is None:
        most = MAX_LORA_RANKS[-1]
        return (f"vLLM loads no adapter of rank {rank}; export --to checkpoint, or --rank {most} --lossy",)
    return (f"vLLM needs --enable-lora --max-lora-rank {allowed}",)
