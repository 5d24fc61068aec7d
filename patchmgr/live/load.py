"""Loading a checkpoint folder as a transformers model, quietly and offline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from patchmgr.errors import NotFoundError
from patchmgr.methods.contract import LoadedModel

ComputeDtype = Literal["auto", "float32", "bfloat16"]


def load_model(folder: Path, state_root: str, *, dtype: ComputeDtype = "float32", device: str = "cpu") -> LoadedModel:
    """A language model, decoder-only or encoder-decoder, and its tokenizer from a folder.

    Args:
        folder: a checkpoint; nothing is fetched and no code in it is run.
        state_root: what the weights are.
        dtype: ``float32`` widens the stored numbers, which changes none; ``auto`` keeps them as stored; ``bfloat16``
            rounds what is stored wider.
        device: a torch device.

    Raises:
        NotFoundError: transformers cannot load it as a language model with a tokenizer.
    """
    with loading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = auto_class(config).from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
        tokenizer = load_tokenizer(folder)
    return LoadedModel(model.eval().to(torch.device(device)), tokenizer, state_root)


def auto_class(config: PreTrainedConfig) -> Any:
    """What loads a language model of this configuration."""
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint folder; call it inside :func:`loading`."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


@contextlib.contextmanager
def loading(folder: Path) -> Iterator[None]:
    """A block in which transformers loads: it says nothing, and what it raises becomes one sentence.

    Raises:
        NotFoundError: it cannot load the folder as a language model with a tokenizer.
    """
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotFoundError(f"{folder.name} cannot be loaded as a language model: {reason}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
