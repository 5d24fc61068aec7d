"""Loading a checkpoint folder as a transformers model, quietly and offline."""

from __future__ import annotations

import contextlib
import importlib.util
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
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from patchmgr.errors import MethodError, NotFoundError, UsageError
from patchmgr.live.shortage import out_of_memory
from patchmgr.methods.contract import LoadedModel

ComputeDtype = Literal["auto", "float32", "bfloat16", "float16"]
DeviceMap = Literal["auto", "balanced", "sequential"]


def load_model(
    folder: Path,
    state_root: str,
    *,
    dtype: ComputeDtype = "float32",
    device: str = "cpu",
    device_map: DeviceMap | None = None,
) -> LoadedModel:
    """A language model, decoder-only or encoder-decoder, and its tokenizer from a folder.

    Args:
        folder: a checkpoint; nothing is fetched and no code in it is run.
        state_root: what the weights are.
        dtype: ``float32`` widens the stored numbers, which changes none; ``auto`` keeps them as stored; the others
            round what is stored wider.
        device: a torch device.
        device_map: spread the blocks over all devices of this machine, as accelerate does; ``device`` is not used then.

    Raises:
        NotFoundError: transformers cannot load it as a language model with a tokenizer.
        UsageError: ``device_map`` is given and accelerate is not installed.
        MethodError: the devices together have not the memory.
    """
    if device_map is not None and importlib.util.find_spec("accelerate") is None:
        raise UsageError(
            "a model is spread over devices by accelerate, which is not installed",
            hint="pip install 'patchmgr[large]'",
        )
    with loading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = auto_class(config).from_pretrained(
            folder, dtype=dtype, device_map=device_map, local_files_only=True, trust_remote_code=False
        )
        tokenizer = load_tokenizer(folder)
    if device_map is None:
        model = model.to(torch.device(device))
    _check_all_there(model)
    return LoadedModel(model.eval(), tokenizer, state_root)


def _check_all_there(model: PreTrainedModel) -> None:
    """Refuse a model of which accelerate keeps a part elsewhere until it is needed: such a weight cannot be edited."""
    away = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if away:
        raise MethodError(
            f"the devices have not the memory for {len(away)} weights of the model, from {away[0]!r} on",
            hint="load it narrower with --dtype bfloat16, or use --device cpu",
        )


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
        NotFoundError: it cannot load the folder as a language model with a tokenizer; what runs out of memory is
            raised as it is.
    """
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotFoundError(f"{folder.name} cannot be loaded as a language model: {reason}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
