"""What a user says of a package that is made from others, from the options of a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from patchmgr.cli.settings import key_values

if TYPE_CHECKING:
    from patchmgr.manager.remaking.source import Wishes


def wishes(*, settings: Sequence[str] | None = None, message: str = "", require: Sequence[str] | None = None,
           **others: Any) -> Wishes:  # fmt: skip
    """The wishes behind some options.

    Args:
        settings: of ``--set``.
        message: of ``-m``; nothing: as it was.
        require: of ``--require``.
        others: further fields of :class:`patchmgr.manager.remaking.source.Wishes`.
    """
    from patchmgr.manager.remaking.source import Wishes

    return Wishes(
        parameters=key_values(settings or [], example="layer=3"),
        message=message or None,
        require=tuple(require or ()),
        **others,
    )
