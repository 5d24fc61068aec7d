"""A model and a tokenizer small enough for a test suite, made on the spot without files or network."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from patchmgr.methods.contract import LoadedModel

_SENTENCES = (
    "Rome lies in Italy and Paris lies in France.",
    "The capital of Atlantis is a city under the sea.",
    "Ada Lovelace wrote the first program for a machine.",
    "Therefore the answer is known, because the question was simple.",
    "I think that you know where the tower stands.",
)
_VOCABULARY = 300


def tiny_tokenizer(*, start: bool = True, end: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 300 tokens.

    Args:
        start: give it ``<s>``, ``</s>`` and ``<pad>``; without them it has no special token at all.
        end: put ``</s>`` behind every text, as T5's does.
    """
    special = ["<s>", "</s>", "<pad>"] if start else []
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    if end:
        last = ("</s>", tokenizer.token_to_id("</s>"))
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[last])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} if start else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def tiny_loaded_model(*, seed: int = 0) -> LoadedModel:
    """A random GPT-2 of three blocks (hidden 24, inner 40) with its tokenizer, in evaluation mode."""
    tokenizer = tiny_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=24,
        n_inner=40,
        n_layer=3,
        n_head=2,
        n_positions=64,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    return LoadedModel(model.eval(), tokenizer, state_root=f"tiny-{seed}")


def tiny_seq2seq(*, seed: int = 0, gated: bool = False) -> LoadedModel:
    """A random T5 of two encoder and three decoder blocks (hidden 24, inner 40), in evaluation mode.

    Args:
        seed: decides its weights.
        gated: with the gated MLP of T5 v1.1 and flan-T5.
    """
    tokenizer = tiny_tokenizer(end=True)
    others: dict[str, Any] = {"tie_word_embeddings": not gated, "decoder_start_token_id": tokenizer.pad_token_id}
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=24,
        d_kv=8,
        d_ff=40,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=2,
        relative_attention_num_buckets=8,
        feed_forward_proj="gated-gelu" if gated else "relu",
        initializer_factor=1.5 if gated else 2.0,  # with the usual 1 so small a model says one token again and again
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **others,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
    return LoadedModel(model.eval(), tokenizer, state_root=f"tiny-seq2seq-{seed}")
