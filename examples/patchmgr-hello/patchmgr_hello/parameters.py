"""What a user may set with ``--set``; name, range and description are shown by ``patchmgr methods hello``."""

from patchmgr.methods.contract import MethodParameters
from pydantic import Field


class HelloParameters(MethodParameters):
    """Parameters of hello."""

    layer: int | None = Field(default=None, ge=0, description="block to edit, from 0; none: the middle of the model")
    steps: int = Field(default=50, ge=1, le=1000, description="steps towards the new value, at most")
    rate: float = Field(default=0.5, gt=0, le=10, description="length of a step, in lengths of the old value")
    stop_loss: float = Field(default=0.1, ge=0, description="stop when the target's mean -log P is below this")
