"""A model and a tokenizer small enough for a test suite, made on the spot without files or network."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from patchmgr.methods.contract import LoadedModel

_SENTENCES = (
    "Rome lies in Italy and Paris lies in France.",
    "The capital of Atlantis is a city under the sea.",
    "Ada Lovelace wrote the first program for a machine.",
    "Therefore the answer is known, because the question was simple.",
    "I think that you know where the tower stands.",
)
_VOCABULARY = 300


def tiny_tokenizer(*, start: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 300 tokens.

    Args:
        start: give it ``<s>``, ``</s>`` and ``<pad>``; without them it has no special token at all.
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
