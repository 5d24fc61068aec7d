"""The bases that come with patchmgr, by name."""

from __future__ import annotations

from pathlib import Path

DEMOS = ("atlas",)


def demo_folder(name: str) -> Path:
    """The checkpoint folder of a demo base."""
    return Path(__file__).parent / name
