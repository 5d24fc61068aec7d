"""Asking a model: a greedy continuation at its current state or with packages on trial, and at its base beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import UsageError
from patchmgr.manager.load import load_stack, planned
from patchmgr.manager.states import read_state

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Answer:
    """What a model says behind a prompt."""

    prompt: str
    text: str
    stack: tuple[str, ...]
    """Packages of the state that was asked, those on trial among them."""
    base_text: str | None = None
    """What the base says; None unless asked for."""
    trial: bool = False
    """Whether packages were on trial: the model itself does not say this."""


def generate(
    manager: Manager,
    model: str,
    prompt: str,
    *,
    references: Sequence[str] = (),
    compare: bool,
    max_new_tokens: int,
) -> Answer:
    """Continue a prompt greedily.

    Args:
        manager: the registry.
        model: which model.
        prompt: the text to go on from.
        references: packages to try on top of the model's stack; the model stays as it is.
        compare: ask the base as well.
        max_new_tokens: how long the answer may be, in tokens.

    Raises:
        NotFoundError: there is no such model or package, or it cannot be loaded.
        UsageError: the prompt is empty.
        BaseMismatchError: a package was made for another base.
        ConflictError: the packages do not go together.
        MethodError: memory ran out.
        IntegrityError: a byte of the model or of a package is not what its digest says.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty", hint='write for instance "The capital of France is"')
    from patchmgr.evaluate.answers import greedy_texts
    from patchmgr.live.shortage import within_memory

    state = read_state(manager, model)
    stack = planned(manager, state, references)
    base_text = None
    with within_memory("asking the model", hint="close other programs, or use a machine with more memory"):
        loaded = load_stack(manager, state, stack, references, dtype="float32")
        (text,) = greedy_texts(loaded, [prompt], [max_new_tokens])
        if compare:
            base = load_stack(manager, state, (), (), dtype="float32")
            (base_text,) = greedy_texts(base, [prompt], [max_new_tokens])
    names = tuple(manifest.reference for manifest in stack)
    return Answer(prompt, text, names, base_text, bool(references))
