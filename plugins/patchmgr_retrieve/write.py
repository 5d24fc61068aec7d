"""What is asked on a hit."""

from __future__ import annotations

import re
from collections.abc import Sequence

from patchmgr.errors import FormatError
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr.package.memory.operations import Entry
from patchmgr_memory.texts import Write


def written(bundle: MemoryBundle) -> Write:
    """The bundle's template, filled in.

    Raises:
        FormatError: it has none.
    """
    template = bundle.config.settings.get("template")
    if not isinstance(template, str):
        raise FormatError(f"{bundle.reference}: memory.json lacks the setting template")

    def write(question: str, hits: Sequence[Entry]) -> str:
        return filled(template, prompt=hits[0].prompt, target=hits[0].target, query=question)

    return write


def filled(template: str, **parts: str) -> str:
    """Each mark replaced, whatever stands in the texts that take their places.

    >>> filled("{prompt} {target}. {query}", prompt="a {query}", target="b", query="c")
    'a {query} b. c'
    """
    return re.sub(r"\{(\w+)\}", lambda mark: parts.get(mark[1], mark[0]), template)
