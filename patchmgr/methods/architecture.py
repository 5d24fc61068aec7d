"""Where things are in a loaded language model, found by structure: blocks, down-projections, final norm, head.

Glossary: a *block* is one decoder layer; its *down-projection* maps the MLP's inner width back to the hidden size and
is the weight that locate-and-edit methods change; *orientation* says how a weight lies in memory. It is recorded from
the type of the module, never guessed from the shape, which a square weight would make a coin toss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from patchmgr.errors import MethodError

Orientation = Literal["out_in", "in_out"]
Array = NDArray[np.float32]

_ATTENTION_MARKS = ("attn", "attention")
_DOWN_NAMES = ("down_proj", "fc2", "fc_out", "dense_4h_to_h", "c_proj", "w2", "wo")
"""Asked only where more than one projection of a block ends in the hidden size, and to name what was refused."""
_EDITABLE_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map of the model, with the way its weight lies in memory and in the checkpoint."""

    module: nn.Module
    name: str
    """Dotted path in the model, such as ``model.layers.5.mlp.down_proj``."""
    orientation: Orientation
    """``out_in``: the weight is (d_out, d_in), as in ``nn.Linear``; ``in_out``: (d_in, d_out), as in GPT-2's Conv1D."""
    d_in: int
    d_out: int

    @property
    def weight_name(self) -> str:
        """The parameter's name in the model."""
        return f"{self.name}.weight"

    def matrix(self) -> Float[Tensor, "d_out d_in"]:
        """The weight as the mathematics has it; a view, so do not write to it."""
        weight: Tensor = self.module.get_parameter("weight").detach()
        return weight if self.orientation == "out_in" else weight.T

    def bias(self) -> Float[Tensor, " d_out"] | None:
        """What the module adds to W k, if anything."""
        bias = getattr(self.module, "bias", None)
        return None if bias is None else bias.detach()

    def factors(self, left: Float[Tensor, "d_out rank"], right: Float[Tensor, "rank d_in"]) -> tuple[Array, Array]:
        """``(u, v)``, float32, so that ``u @ v`` is the change ``left @ right`` as the checkpoint stores the weight."""
        u, v = (left, right) if self.orientation == "out_in" else (right.T, left.T)
        return _array(u), _array(v)


@dataclass(frozen=True, eq=False)
class Architecture:
    """The parts of a language model that editing methods work on; of an encoder-decoder, those of its decoder."""

    model: PreTrainedModel
    blocks: tuple[nn.Module, ...]
    blocks_name: str
    """Dotted path of the list of blocks, such as ``model.layers``."""
    final_norm: nn.Module | None
    """The norm behind the last block; None for a model that has none, such as OPT-350m."""
    head: nn.Module
    hidden_size: int

    def down_projection(self, layer: int) -> Projection:
        """The projection of block ``layer`` (from 0) that ends its MLP.

        Raises:
            MethodError: there is no such layer, or its MLP is a mixture of experts, quantised or of an unknown form.
        """
        if not 0 <= layer < len(self.blocks):
            raise MethodError(
                f"layer {layer} is out of range, the model has {len(self.blocks)} blocks",
                hint=f"choose a layer from 0 to {len(self.blocks) - 1}",
            )
        return _down_projection(self.blocks[layer], f"{self.blocks_name}.{layer}", self.hidden_size)

    def projections(self, layer: int) -> tuple[Projection, ...]:
        """All linear maps of block ``layer`` outside its attention, in the order of its modules.

        Raises:
            MethodError: as for :meth:`down_projection`.
        """
        self.down_projection(layer)
        found = tuple(_projections(self.blocks[layer], f"{self.blocks_name}.{layer}"))
        for projection in found:
            _refuse_quantised(projection)
        return found


def _array(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().to("cpu", torch.float32).numpy())


def find_architecture(model: PreTrainedModel, *, encoder_decoder: bool = False) -> Architecture:
    """Locate blocks, final norm and head.

    Args:
        model: what to look into.
        encoder_decoder: whether the method can edit the decoder of an encoder-decoder such as T5, whose prompt the
            decoder does not read; those that look for the subject in the decoder's input cannot.

    Raises:
        MethodError: the model has no list of decoder blocks or no head that can be told apart, or is an
            encoder-decoder and must not be one.
    """
    if model.config.is_encoder_decoder and not encoder_decoder:
        raise MethodError(
            f"{type(model).__name__} is an encoder-decoder, which this method cannot edit",
            hint="use a method that trains weights, such as ft-m or lora",
        )
    decoder = model.get_decoder()
    if decoder is None or decoder is model:
        decoder = model.base_model
    config = model.config.get_text_config(decoder=True)
    n_blocks = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers  # T5 has its own word for them
    parent_name, blocks_name, blocks = _block_list(model, decoder, int(n_blocks))
    head = model.get_output_embeddings()
    if head is None:
        raise MethodError(
            f"{type(model).__name__} has no language-modelling head", hint="load it with AutoModelForCausalLM"
        )
    parent = model.get_submodule(parent_name)
    norms = [child for child in parent.children() if "norm" in type(child).__name__.lower()]
    return Architecture(
        model=model,
        blocks=tuple(blocks),
        blocks_name=blocks_name,
        final_norm=norms[-1] if norms else None,
        head=head,
        hidden_size=int(config.hidden_size),
    )


def _block_list(model: PreTrainedModel, decoder: nn.Module, n_blocks: int) -> tuple[str, str, nn.ModuleList]:
    """Name of the parent, name, and the one list with a block for every layer, each with an attention in it."""
    paths = {id(module): name for name, module in model.named_modules()}
    found = [
        module
        for module in decoder.modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_blocks and all(map(_has_attention, module))
    ]
    if len(found) != 1:
        raise MethodError(
            f"{type(model).__name__} has {len(found)} lists of {n_blocks} decoder blocks, one is needed",
            hint="this architecture cannot be edited by this method",
        )
    name = paths[id(found[0])]
    return name.rpartition(".")[0], name, found[0]


def _has_attention(block: nn.Module) -> bool:
    """T5 has its attention in a list within the block; the other architectures as a child of it."""
    return any(mark in name.lower() for name, _ in block.named_modules() for mark in _ATTENTION_MARKS)


def _down_projection(block: nn.Module, block_name: str, hidden_size: int) -> Projection:
    """The last projection of the block's MLP; refuses by name what cannot be edited."""
    _refuse_experts(block, block_name)
    candidates = [projection for projection in _projections(block, block_name) if projection.d_out == hidden_size]
    # An MLP narrows to the hidden size from another width; only where a model keeps one width do names have to decide.
    narrowing = [projection for projection in candidates if projection.d_in != hidden_size] or candidates
    if len(narrowing) > 1:
        narrowing = [projection for projection in narrowing if projection.name.rpartition(".")[2] in _DOWN_NAMES]
    if len(narrowing) != 1:
        _refuse_foreign(block, block_name)
        raise MethodError(
            f"{block_name} has {len(narrowing)} modules that could be the MLP's down-projection, one is needed",
            hint="this architecture cannot be edited by this method",
        )
    _refuse_quantised(narrowing[0])
    return narrowing[0]


def _outside_attention(block: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in block.named_modules():
        if path and not any(mark in path.lower() for mark in _ATTENTION_MARKS):
            yield path, module


def _projections(block: nn.Module, block_name: str) -> Iterator[Projection]:
    for path, module in _outside_attention(block):
        name = f"{block_name}.{path}"
        if isinstance(module, Conv1D):
            yield Projection(module, name, "in_out", d_in=module.nx, d_out=module.nf)
        elif isinstance(module, nn.Linear):
            yield Projection(module, name, "out_in", d_in=module.in_features, d_out=module.out_features)


def _refuse_experts(block: nn.Module, block_name: str) -> None:
    for path, module in _outside_attention(block):
        fused = any(parameter.ndim == 3 for parameter in module.parameters(recurse=False))
        if "expert" in path.rpartition(".")[2].lower() or fused:
            raise MethodError(
                f"{block_name}.{path} is a mixture of experts, which has no single down-projection to edit",
                hint="choose a layer with a dense MLP, or a model without experts",
            )


def _refuse_foreign(block: nn.Module, block_name: str) -> None:
    for path, module in _outside_attention(block):
        if path.rpartition(".")[2] in _DOWN_NAMES and not isinstance(module, nn.Linear | Conv1D):
            raise MethodError(
                f"{block_name}.{path} is a {type(module).__name__}, not a plain linear layer (quantised or wrapped?)",
                hint="load the model unquantised and without adapters",
            )


def _refuse_quantised(projection: Projection) -> None:
    weight = projection.module.get_parameter("weight")
    plain = type(weight) is nn.Parameter and weight.dtype in _EDITABLE_DTYPES and weight.ndim == 2
    if not plain or weight.is_meta:
        what = "not in memory" if weight.is_meta else f"{type(weight).__name__} of {weight.dtype}"
        raise MethodError(
            f"{projection.weight_name} is {what}, which cannot be edited",
            hint="load the model unquantised, as float32, bfloat16 or float16, and whole",
        )
