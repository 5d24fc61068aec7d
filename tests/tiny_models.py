"""A tiny random model of every architecture that can be edited, and a tokenizer for it; made here, no network.

Widths are chosen so that no down-projection is square (24 x 40) and nothing in it can be transposed unnoticed.
"""

from __future__ import annotations

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from patchmgr.methods.contract import LoadedModel
from patchmgr.testing.tiny import tiny_seq2seq, tiny_tokenizer

__all__ = ["ARCHITECTURES", "HIDDEN", "INNER", "loaded_model", "tiny_model", "tiny_seq2seq", "tiny_tokenizer"]

HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 24, 40, 3, 2, 64

_ROTARY = {
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
_GROUPED = {**_ROTARY, "num_key_value_heads": 1}
_WIDE_HEADS = {**_GROUPED, "head_dim": 8}
_GPT = {"n_embd": HIDDEN, "n_inner": INNER, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
_OPT = {
    "hidden_size": HIDDEN,
    "ffn_dim": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}

ARCHITECTURES: dict[str, tuple[type[PreTrainedConfig], dict[str, object]]] = {
    "gpt2": (GPT2Config, _GPT),
    "gptj": (GPTJConfig, {**_GPT, "rotary_dim": 4}),
    "gpt_neox": (GPTNeoXConfig, _ROTARY),
    "opt": (OPTConfig, {**_OPT, "word_embed_proj_dim": HIDDEN}),
    "opt_post_norm": (OPTConfig, {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "llama": (LlamaConfig, _GROUPED),
    "mistral": (MistralConfig, {**_WIDE_HEADS, "sliding_window": 8}),
    "qwen2": (Qwen2Config, _GROUPED),
    "qwen3": (Qwen3Config, _WIDE_HEADS),
    "gemma": (GemmaConfig, _WIDE_HEADS),
    "gemma2": (Gemma2Config, {**_WIDE_HEADS, "sliding_window": 8}),
    "gemma3": (Gemma3TextConfig, {**_WIDE_HEADS, "sliding_window": 8}),
    "phi": (PhiConfig, _ROTARY),
    "phi3": (Phi3Config, _GROUPED),
}
_REFUSED: dict[str, tuple[type[PreTrainedConfig], dict[str, object]]] = {
    "mixtral": (MixtralConfig, {**_GROUPED, "num_local_experts": 2}),
}


def tiny_model(
    architecture: str, *, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: object
) -> PreTrainedModel:
    """A random model in evaluation mode, the same for the same seed; torch's global generator is left alone.

    ``changes`` go into its config.
    """
    config_class, sizes = (ARCHITECTURES | _REFUSED)[architecture]
    tokenizer = tiny_tokenizer()
    config = config_class(
        **{**sizes, **changes},
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,  # the usual 0.02 makes so small a model say nearly the same everywhere
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    return model.to(dtype).eval()


def loaded_model(architecture: str, **changes: object) -> LoadedModel:
    """A random model with its tokenizer, as a method is given one."""
    return LoadedModel(tiny_model(architecture, **changes), tiny_tokenizer(), f"{architecture} {changes}")
