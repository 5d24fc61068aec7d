"""Any subset of some packages at work on one model in memory: it is loaded once, and nothing is written to a disk.

A subset comes into force by writing the exact sum of the base and of its deltas into those parameters that the subset
before left otherwise: the bytes that ``patchmgr apply`` would write. So trying a subset costs what its difference from
the last one costs, and no reload. What a subset said once is remembered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchmgr.errors import BaseMismatchError, ConflictError, UsageError
from patchmgr.evaluate.engine import Engine, State
from patchmgr.manager.bench import ComputeDtype, checked, find_device, stored_dtype
from patchmgr.manager.states import ModelState, open_packages, read_state
from patchmgr.metrics.contract import Answer, Answers, Free, Question
from patchmgr.ops import stack as stacks
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from torch import nn

    from patchmgr.live.slot import Slot
    from patchmgr.manager.manager import Manager
    from patchmgr.methods.contract import LoadedModel
    from patchmgr.methods.loader import Plugins
    from patchmgr.methods.runtime import Router
    from patchmgr.package.encodings.contract import Delta

Which = frozenset[int]
"""A subset: places of its packages among those that were opened, from 0."""


@contextlib.contextmanager
def open_subsets(
    manager: Manager,
    model: str,
    packages: Sequence[Manifest],
    *,
    device: str = "cpu",
    dtype: ComputeDtype = "float32",
    opened: Mapping[str, EditPackage] | None = None,
) -> Iterator[Subsets]:
    """The subsets of some packages on the base of a model; the model of the registry stays as it is.

    A subset need not be attested: a package whose parents are left out adds what it adds.

    Args:
        manager: the registry.
        model: whose base to take.
        packages: in the order in which they would be in a stack, those of its own stack or any others on its base.
        device: as for :class:`patchmgr.manager.evaluate.EvaluationOrder`.
        dtype: what to compute in; ``auto``: as stored.
        opened: packages in folders, by digest; the registry has the others.

    Raises:
        NotFoundError: no such model, or its base's folder is gone.
        UsageError: this machine has no such device.
        BaseMismatchError: a package was made for another base, or a weight in memory is not the base's.
        IntegrityError: a byte of the base or a package is not what its digest says.
        MethodError: memory ran out, there or inside the block.
    """
    found = find_device(device)
    state = read_state(manager, model)
    for manifest in packages:
        stacks.check_base(manifest, state.fingerprint, model=model)
    wanted = stored_dtype(state.base) if dtype == "auto" else dtype
    from patchmgr.live.load import load_model  # torch: not before all that is named was found
    from patchmgr.live.shortage import within_memory

    with within_memory(f"trying packages on {model}", hint="lower --batch-tokens, or try --device cpu"):
        manager.progress(0, 1, "loading the model")
        root = stacks.state_root(state.fingerprint)
        loaded = load_model(state.base.folder, root, dtype=wanted, device=checked(found))
        known = dict(opened or {})
        others = [manifest for manifest in packages if manifest.digest not in known]
        known |= {package.manifest.digest: package for package in open_packages(manager, others)}
        slots: list[Slot] = []
        parts = [
            _part(known[digest], loaded.model, state, manager.plugins, slots) for digest in stacks.digests(packages)
        ]
        yield Subsets(manager, state, loaded, parts, device=found, dtype=wanted)


@dataclass(frozen=True, eq=False)
class _Part:
    """One package: its deltas by tensor, and the parameters that these are added to."""

    package: EditPackage
    deltas: Mapping[str, Delta]
    slots: Mapping[str, Slot]


class Subsets:
    """Subsets of some packages, one of them in force at a time; made by :func:`open_subsets`."""

    def __init__(
        self,
        manager: Manager,
        state: ModelState,
        loaded: LoadedModel,
        parts: Sequence[_Part],
        *,
        device: str,
        dtype: str,
    ) -> None:
        self.n_evaluations = 0
        """How often a subset was asked something that was not known yet."""
        self._plugins = manager.plugins
        self._engine = Engine(progress=manager.progress)
        self._fingerprint = state.fingerprint
        self._loaded, self._parts = loaded, parts
        self._device, self._dtype = device, dtype
        self._slots = tuple(dict.fromkeys(slot for part in parts for slot in part.slots.values()))
        self._there: dict[Slot, Which] = dict.fromkeys(self._slots, frozenset())
        self._digests: dict[tuple[Slot, Which], str] = {}
        self._roots: dict[Which, str] = {}
        self._routers: dict[tuple[int, ...], Router | None] = {}
        self._answers: dict[str, dict[Question, Answer]] = {}

    @property
    def packages(self) -> tuple[Manifest, ...]:
        """All that were opened, in their order."""
        return tuple(part.package.manifest for part in self._parts)

    @property
    def everything(self) -> Which:
        """All packages together."""
        return frozenset(range(len(self._parts)))

    def answers(self, prompts: Sequence[str], which: Which, *, max_tokens: int = 20) -> list[str]:
        """What the base with these packages says behind some prompts, greedily.

        Raises:
            UsageError: there is no package at one of these places.
            ConflictError: two of them replace one tensor.
            RequestError: a prompt is too long for the model.
            MethodError: a sum is not finite.
        """
        questions = [Free(prompt, max_tokens=max_tokens) for prompt in prompts]
        found = self.ask(questions, which)
        return [found.free(question).text for question in questions]

    def ask(self, questions: Iterable[Question], which: Which) -> Answers:
        """The answers of the base with these packages; errors as those of :meth:`answers`."""
        wanted = tuple(dict.fromkeys(questions))
        state = self.state(which)
        known = self._answers.setdefault(state.root, {})
        missing = [question for question in wanted if question not in known]
        if missing:
            self.n_evaluations += 1
            known.update(self._engine.ask(state, missing, what="trying packages").found)
        return Answers(state.root, {question: known[question] for question in wanted}, state.compute_dtype)

    def state(self, which: Which) -> State:
        """The base with these packages, for whoever brings an engine; errors as those of :meth:`answers`."""
        if which not in self._roots:
            self._put(which)
            self._roots[which] = self._root(which)
        root = self._roots[which]
        return State(root, lambda: self._opened(which, root), self._dtype, self._device.partition(":")[0])

    def _root(self, which: Which) -> str:
        """The root of the state that is in force."""
        touched = {name: slot for index in which for name, slot in self._parts[index].slots.items()}
        digests = {name: self._digests[slot, self._there[slot]] for name, slot in touched.items()}
        chosen = tuple(self._parts[index].package.manifest for index in sorted(which))
        return stacks.root_of(self._fingerprint.with_tensors(digests), chosen)

    @contextlib.contextmanager
    def _opened(self, which: Which, root: str) -> Iterator[LoadedModel]:
        self._put(which)  # another subset may have come in between
        yield replace(self._loaded, state_root=root, router=self._router(which))

    def _router(self, which: Which) -> Router | None:
        from patchmgr.live.memories import open_router

        memories = tuple(i for i in sorted(which) if self._parts[i].package.manifest.kind == "memory")
        if memories not in self._routers:
            opened = [self._parts[index].package for index in memories]
            self._routers[memories] = open_router(opened, self._plugins, self._loaded)
        return self._routers[memories]

    def _put(self, which: Which) -> None:
        """Give every parameter what it is with these packages, where it is not that already."""
        if not which <= self.everything:
            raise UsageError(f"there are {len(self._parts)} packages, and no number {max(which)} among them")
        for slot in self._slots:
            touching = frozenset(i for i in which if slot in self._parts[i].slots.values())
            if touching != self._there[slot]:
                self._there[slot] = frozenset()  # should writing fail
                slot.restore()
                if touching:
                    self._digests[slot, touching] = slot.write(self._sums(slot, touching))
                self._there[slot] = touching

    def _sums(self, slot: Slot, which: Collection[int]) -> Mapping[str, Sequence[Delta]]:
        """The deltas that fall on one parameter, by tensor, a replacement first."""
        from patchmgr.package.encodings.contract import Replacement

        sums: dict[str, list[Delta]] = {}
        for index in sorted(which):
            part = self._parts[index]
            for name, delta in part.deltas.items():
                if part.slots[name] is not slot:
                    continue
                below = sums.setdefault(name, [])
                replacing = isinstance(delta, Replacement)
                if replacing and any(isinstance(other, Replacement) for other in below):
                    raise ConflictError(
                        f"{part.package.manifest.reference} replaces {name!r}, which another of these packages "
                        "replaces too",
                        hint="try them one at a time",
                    )
                below.insert(0 if replacing else len(below), delta)
        return sums


def _part(package: EditPackage, model: nn.Module, state: ModelState, plugins: Plugins, known: list[Slot]) -> _Part:
    """A package with its deltas, and the parameters that it touches; new ones are added to those that are known."""
    from patchmgr.live.pairing import parameter
    from patchmgr.live.slot import Slot

    slots: dict[str, Slot] = {}
    for touched in package.manifest.tensors:
        live = parameter(model, touched.module)
        slot = next((slot for slot in known if slot.live is live), None)
        if slot is None:
            slot = Slot(live, touched)
            known.append(slot)
        slot.check(touched)
        base = state.fingerprint.tensors.get(touched.name)
        if base is None or base.sha256 != slot.pristine_sha256:
            raise BaseMismatchError(
                f"{touched.module!r} of the loaded model is not {touched.name!r} of the checkpoint",
                hint="the package's manifest pairs them wrongly; make it again",
            )
        slots[touched.name] = slot
    return _Part(package, package.deltas(plugins.encodings), slots)
