"""What a stack shall become: with packages on top, without some, or as it was; worked out from the present state.

Each function gives another that is asked twice: before the registry is locked, and again under the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import ConflictError, NotFoundError
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.signing.ask import require_signatures
from patchmgr.manager.states import ModelState, find_manifests, stack_of
from patchmgr.ops import stack as stacks
from patchmgr.ops.stack import Stack, StackChange
from patchmgr.ops.sums import check_replacing
from patchmgr.package.manifest import Manifest
from patchmgr_registry import GenerationRecord

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

Wanted = Callable[[ModelState], StackChange]


def addition(manager: Manager, references: Sequence[str]) -> Wanted:
    """The stack with these packages on top.

    Raises:
        NotFoundError, BaseMismatchError, ConflictError: they do not fit.
        IntegrityError: a package of the stack that would be is not signed as is asked.
    """

    def adding(state: ModelState) -> StackChange:
        manifests = find_manifests(manager, references)
        for manifest in manifests:
            stacks.check_base(manifest, state.fingerprint, model=state.record.name)
        change = stacks.add(state.stack, manifests)
        check_replacing(change.stack, manager.plugins.encodings, state.fingerprint)
        require_signatures(manager, change.stack, folders_among(references, manifests))
        return change

    return adding


def removal(manager: Manager, references: Sequence[str], *, cascade: bool = False, force: bool = False) -> Wanted:
    """The stack without these packages; a bare name means the version that is applied."""

    def removing(state: ModelState) -> StackChange:
        leaving = [manifest for text in references for manifest in applied(manager, state.stack, text)]
        return stacks.remove(state.stack, leaving, cascade=cascade, force=force)

    return removing


def becoming(stack: Stack, generation: int) -> Wanted:
    """A stack that was worked out at a generation; refused by a ConflictError when the model is at another by then."""
    return unless_changed(generation, lambda state: stacks.exchange(state.stack, stack))


def back(manager: Manager, number: int | None) -> Wanted:
    """The stack of a generation; without a number, of the last one whose state is not the present one."""

    def going_back(state: ModelState) -> StackChange:
        target = _earlier(manager, state) if number is None else manager.registry.generation(state.record.name, number)
        if target.status not in ("ready", "removed"):
            raise NotFoundError(
                f"generation {target.number} of {target.model} was never finished",
                hint=f"see `patchmgr log {target.model}`",
            )
        return stacks.exchange(state.stack, stack_of(manager, target.packages))

    return going_back


def unless_changed(generation: int, wanted: Wanted) -> Wanted:
    """The same, refused by a ConflictError when the model is at another generation by then."""

    def still(state: ModelState) -> StackChange:
        if state.generation.number != generation:
            raise ConflictError(
                f"{state.record.name} is at generation {state.generation.number} now, not at {generation}",
                hint=f"somebody changed it meanwhile; see `patchmgr log {state.record.name}` and run it again",
            )
        return wanted(state)

    return still


def _earlier(manager: Manager, state: ModelState) -> GenerationRecord:
    for generation in reversed(manager.registry.generations(state.record.name)):
        finished = generation.status in ("ready", "removed") and generation.number < state.generation.number
        if finished and generation.state_root != state.generation.state_root:
            return generation
    raise NotFoundError(
        f"{state.record.name} has never been anything else", hint=f"see `patchmgr log {state.record.name}`"
    )


def folders_among(references: Sequence[str], manifests: Sequence[Manifest]) -> Mapping[str, Path]:
    """Which of these packages were named by their folder: digest to folder."""
    pairs = zip(references, manifests, strict=True)
    return {manifest.digest: folder_of(text) for text, manifest in pairs if is_folder(text)}


def applied(manager: Manager, stack: Stack, text: str) -> Sequence[Manifest]:
    """What a user means who names a package of a stack: by its bare name the version that is there.

    Raises:
        NotFoundError: there is no such package or version.
    """
    named = [manifest for manifest in stack if manifest.name == text]
    return named or find_manifests(manager, [text])
