"""Asking a model: a greedy continuation at its current state, and at its base beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import UsageError
from patchmgr.manager.states import check_current, read_state

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Answer:
    """What a model says behind a prompt."""

    prompt: str
    text: str
    stack: tuple[str, ...]
    base_text: str | None = None
    """What the base says; None unless asked for."""


def generate(manager: Manager, model: str, prompt: str, *, compare: bool, max_new_tokens: int) -> Answer:
    """Continue a prompt greedily.

    Args:
        manager: the registry.
        model: which model.
        prompt: the text to go on from.
        compare: ask the base as well.
        max_new_tokens: how long the answer may be, in tokens.

    Raises:
        NotFoundError: there is no such model, or it cannot be loaded.
        UsageError: the prompt is empty.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty", hint='write for instance "The capital of France is"')
    from patchmgr.evaluate.answers import greedy_texts
    from patchmgr.live.load import load_model

    state = read_state(manager, model)
    check_current(manager, state)
    manager.progress(0, 1, "loading the model")
    (text,) = greedy_texts(load_model(state.folder, state.root), [prompt], [max_new_tokens])
    base_text = None
    if compare:
        pristine = manager.registry.generation(model, 0).state_root or ""
        (base_text,) = greedy_texts(load_model(state.base.folder, pristine), [prompt], [max_new_tokens])
    return Answer(prompt, text, tuple(manifest.reference for manifest in state.stack), base_text)
