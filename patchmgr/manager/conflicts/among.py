"""Which packages ``patchmgr conflicts`` looks at: a stack, a stack as it would be, or packages by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.errors import BaseMismatchError, NotFoundError, UsageError
from patchmgr.manager.log import neither
from patchmgr.manager.packages import folder_of, is_folder
from patchmgr.manager.states import find_manifests, open_base, open_packages, read_state, registered_fingerprint
from patchmgr.ops import stack as stacks
from patchmgr.ops.additive import as_sum
from patchmgr.ops.conflict.keys import Part
from patchmgr.ops.stack import Stack
from patchmgr.package.encodings.contract import Additive, Array, Replacement, matrix_shape
from patchmgr.package.reader import EditPackage
from patchmgr_registry import ForgottenError

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.request import EditRequest
    from patchmgr_registry import ModelRecord


@dataclass(frozen=True)
class Among:
    """The packages to look at, and where they would lie."""

    model: ModelRecord | None
    """One on their base; None: no model stands on it."""
    named: bool
    """The model was named: they are its stack."""
    stack: Stack
    asked: frozenset[str]
    """Digests of those that were asked about."""
    opened: Mapping[str, EditPackage]
    """By digest."""
    edits: Mapping[str, tuple[EditRequest, ...]]
    """By digest."""

    @property
    def only(self) -> frozenset[str] | None:
        """The digests that were asked about, where these are not all."""
        return None if len(self.asked) == len(self.stack) else self.asked


def named(manager: Manager, words: Sequence[str]) -> Among:
    """The packages that a user means, and the model.

    Raises:
        PatchmgrError: as :func:`patchmgr.manager.conflicts.conflicts.conflicts`.
    """
    models = {record.name: record for record in manager.registry.models()}
    first, references = (words[0], words[1:]) if words and words[0] in models else (None, words)
    for text in references:
        if text in models:
            raise UsageError(f"{text!r} is a model, and something is named before it", hint="name the model first")
    if first is None and len(words) == 1 and _is_nothing(manager, words[0]):
        raise neither(manager, words[0])
    manifests = find_manifests(manager, references)
    if first is not None:
        state = read_state(manager, first)
        for manifest in manifests:
            stacks.check_base(manifest, state.fingerprint, model=first)
        change = stacks.add(state.stack, manifests)
        stack = change.stack
        asked = stacks.digests(change.added if references else stack)
    else:
        stack = tuple({manifest.digest: manifest for manifest in manifests}.values())
        if len(stack) < 2:
            raise UsageError("one package has no conflicts", hint="name a model, or two packages and more")
        asked = stacks.digests(stack)
        _check_one_base(stack)
    opened = {package.manifest.digest: package for package in _folders(references)}
    missing = [manifest for manifest in stack if manifest.digest not in opened]
    opened |= {package.manifest.digest: package for package in open_packages(manager, missing)}
    model = models[first] if first is not None else _standing_on(models.values(), stack)
    edits = {digest: opened[digest].requests for digest in stacks.digests(stack)}
    return Among(model, first is not None, stack, frozenset(asked), opened, edits)


def _is_nothing(manager: Manager, word: str) -> bool:
    """Whether a name without a version is that of no package, not even of one that was forgotten."""
    try:
        return not is_folder(word) and "@" not in word and not manager.registry.summaries(word, limit=1)
    except ForgottenError:
        return False
    except NotFoundError:
        return True


def _folders(references: Sequence[str]) -> list[EditPackage]:
    return [EditPackage.read(folder_of(text)) for text in references if is_folder(text)]


def _check_one_base(stack: Stack) -> None:
    """Refuse packages that can never be applied together; a memory of texts works on any base."""
    bound = [manifest for manifest in stack if manifest.memory is None or manifest.memory.level != "text"]
    for manifest in bound[1:]:
        if manifest.base.fingerprint != bound[0].base.fingerprint:
            raise BaseMismatchError(
                f"{bound[0].reference} was made for {bound[0].base.source} ({bound[0].base.fingerprint[:12]}), "
                f"{manifest.reference} for {manifest.base.source} ({manifest.base.fingerprint[:12]})",
                hint="packages for different bases are never applied together",
            )


def _standing_on(models: Iterable[ModelRecord], stack: Stack) -> ModelRecord | None:
    """A model on the base that packages were made for; any will do, for they share its bytes."""
    wanted = {(m.base.fingerprint, m.base.config_sha256, m.base.tokenizer_sha256) for m in stack}
    for record in models:
        base = record.base
        if (base.fingerprint, base.config_sha256, base.tokenizer_sha256) in wanted:
            return record
    return None


def parts_of(manager: Manager, among: Among) -> list[Part]:
    """The packages with their changes as something that is added, where the base is here to say what is replaced."""
    base: Checkpoint | None = None
    found = []
    for manifest in among.stack:
        package = among.opened[manifest.digest]
        changes: dict[str, Additive] = {}
        shapes = {touched.name: (touched.dtype, matrix_shape(touched.shape)) for touched in manifest.tensors}
        for name, delta in package.deltas(manager.plugins.encodings).items():
            stored: Array | None = None
            if isinstance(delta, Replacement) and among.model is not None:
                base = base or open_base(manager, among.model, registered_fingerprint(manager, among.model.base))
                stored = np.frombuffer(base.read_bytes(name), np.uint8)
            dtype, shape = shapes[name]
            change = as_sum(delta, stored=stored, dtype=dtype, shape=shape)
            if change is not None:
                changes[name] = change
        found.append(Part(manifest, changes, package.state))
    return found
