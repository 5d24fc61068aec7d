"""The rows that a value is looked for with: an edit's prompt in every context, and what its subject is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from patchmgr.request import EditRequest
from patchmgr_keyvalue.rows import Row, subject_of, subject_rows, target_rows

ESSENCE = "{} is a"
"""Where the subject's essence is read: what the model expects there shall not drift."""


@dataclass(frozen=True)
class EditRows:
    """One edit as rows."""

    targets: tuple[Row, ...]
    """The prompt in each template with the target behind it, the plain one first."""
    essence: Row

    @property
    def n_tail(self) -> int:
        """Tokens from the subject's last one on, in the longest row: what a step costs."""
        return max(row.n_tail for row in self.targets)


def edit_rows(tokenizer: Any, templates: Sequence[str], requests: Sequence[EditRequest]) -> list[EditRows]:
    """The rows of every request, in their order.

    Raises:
        RequestError: a request has no subject, or its end and the target are one token.
    """
    n = len(templates)
    rows = target_rows(tokenizer, [(template, request) for request in requests for template in templates])
    subjects = [subject_of(request)[0] for request in requests]
    essences = subject_rows(tokenizer, [(ESSENCE.replace("{}", subject), len(subject)) for subject in subjects])
    return [EditRows(tuple(rows[index * n : (index + 1) * n]), essence) for index, essence in enumerate(essences)]
