"""Changes laid over a projection while a method works, later edits see earlier ones and no weight is written."""

from __future__ import annotations

from types import TracebackType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from patchmgr.methods.architecture import Projection


class LowRankOverlay:
    """A projection that answers as if its weight were W + left @ right, within a ``with`` block.

    Open it before other hooks on the projection: they then see the changed output.
    """

    def __init__(self, projection: Projection) -> None:
        device = projection.matrix().device
        self.projection = projection
        self.left: Float[Tensor, "d_out rank"] = torch.zeros(projection.d_out, 0, dtype=torch.float64, device=device)
        self.right: Float[Tensor, "rank d_in"] = torch.zeros(0, projection.d_in, dtype=torch.float64, device=device)
        self._handle: RemovableHandle | None = None

    def __enter__(self) -> LowRankOverlay:
        self._handle = self.projection.module.register_forward_hook(self._changed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.remove()

    def add(self, left: Float[Tensor, "d_out rank"], right: Float[Tensor, "rank d_in"]) -> None:
        """Lay ``left @ right`` over what is there."""
        self.left = torch.cat([self.left, left.double()], dim=1)
        self.right = torch.cat([self.right, right.double()], dim=0)

    def value(self, key: Float[Tensor, " d_in"]) -> Float[Tensor, " d_out"]:
        """What the projection gives for ``key``, bias included, in float64."""
        key = key.double()
        value = self.projection.matrix().double() @ key + self.left @ (self.right @ key)
        bias = self.projection.bias()
        return value if bias is None else value + bias.double()

    def _changed(self, _module: object, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not self.left.shape[1]:
            return output
        wide = torch.promote_types(output.dtype, torch.float32)
        change = (inputs[0].to(wide) @ self.right.to(wide).T) @ self.left.to(wide).T
        return (output.to(wide) + change).to(output.dtype)
