"""Whether the loss hangs on δ at all: behind the last block nothing of an earlier token is read any more."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from patchmgr.errors import MethodError

UNSAID = 0.05
"""Loss, in nats, above which a target is not said yet."""
UNREAD = 1e-6
"""Share of the loss that is rounding error; on tiny models what is read is 5e-3 and more, what is not 1e-9 and less."""


def refuse_unread(
    loss: Float[Tensor, " edits"],
    gradient: Float[Tensor, "edits sites d_out"],
    value0: Float[Tensor, "edits sites d_out"],
) -> None:
    """Refuse to follow rounding errors, which Adam makes whole steps of: the loss does not hang on δ.

    Raises:
        MethodError: an edit that is not said yet, and that a δ as long as v₀ would change by no more than that.
    """
    reach = (torch.linalg.vector_norm(gradient, dim=-1) * torch.linalg.vector_norm(value0, dim=-1)).sum(1)
    unread = (loss > UNSAID) & (reach < UNREAD * loss)
    if bool(unread.any()):
        raise MethodError(
            f"what is written at the subject is not read where the target is said, in {int(unread.sum())} edit(s)",
            hint="choose a lower layer, or a prompt that ends with the subject",
        )
