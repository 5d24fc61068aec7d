"""What two states say to everything that the edits of either side ask, where they do not say the same.

The model is loaded here, and only for what no earlier evaluation has asked these states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.evaluate.engine import State
from patchmgr.manager.bench import Bench, find_device
from patchmgr.manager.diff.sides import Packages, PackageSide, States, StateSide
from patchmgr.manager.measuring import engine_of
from patchmgr.manager.states import open_base, registered_fingerprint
from patchmgr.manager.subjects import find_subjects
from patchmgr.metrics.contract import Free
from patchmgr.metrics.equations import normalise, starts_with_target
from patchmgr.ops.difference.contract import AnswerDifference, AnswersDifference
from patchmgr.ops.stack import Stack
from patchmgr.package.reader import EditPackage
from patchmgr.readers.sample import sample
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

Role = Literal["edit", "rephrasing", "portability", "locality"]


@dataclass(frozen=True)
class _Asked:
    """A side that can be asked."""

    name: str
    base: Checkpoint
    known: Fingerprint
    stack: Stack
    opened: Mapping[str, EditPackage]
    requests: tuple[EditRequest, ...]

    def state(self, manager: Manager, device: str) -> State:
        """The state, loaded when it is first asked something new."""
        bench = Bench(manager, self.base, self.known, device=device, dtype="float32", opened=self.opened)
        return bench.state(self.stack)


@dataclass(frozen=True)
class _Probe:
    """A prompt, why it is asked, and what is wanted to be heard."""

    role: Role
    prompt: str
    target: str


def answers_difference(
    manager: Manager, sides: Packages | States, *, limit: int | None, seed: int, device: str
) -> AnswersDifference:
    """Ask both states the edit prompts, rephrasings, portability and locality probes of both sides, greedily.

    Answers that begin with the same expected answer are the same; how a sentence goes on behind it does not count.

    Args:
        manager: the registry.
        sides: each package on the state that it was made on, a first version against that state; or two states.
        limit: at most so many edits of each side, drawn by relation.
        seed: decides the draw.
        device: a torch device.

    Raises:
        NotFoundError: a base, or a package below one that is compared, is not here.
        RequestError: a probe that cannot be asked.
        MethodError: memory ran out.
    """
    from patchmgr.live.shortage import within_memory

    with within_memory("asking both states", hint="use a machine with more memory, or another --device"):
        a, b = _asked(manager, sides)
        device = find_device(device)
        wanted_a, wanted_b = ({probe.prompt: probe for probe in _probes(_drawn(one, limit, seed))} for one in (a, b))
        targets = _targets((*wanted_a.values(), *wanted_b.values()))
        questions = {prompt: Free(prompt, answer=max(found, key=len)) for prompt, found in targets.items()}
        engine = engine_of(manager, device=device)
        said = [engine.ask(one.state(manager, device), questions.values(), what=f"asking {one.name}") for one in (a, b)]
    found = []
    for prompt, question in questions.items():
        texts = [answers.free(question).text for answers in said]
        if not _same(texts[0], texts[1], targets[prompt]):
            found.append(_difference(prompt, wanted_a.get(prompt), wanted_b.get(prompt), texts[0], texts[1]))
    return AnswersDifference(tuple(sorted(found, key=_order)), len(questions))


def _asked(manager: Manager, sides: Packages | States) -> tuple[_Asked, _Asked]:
    if isinstance(sides, States):
        return _of_state(manager, sides.a), _of_state(manager, sides.b)
    before, b = _of_package(manager, sides.b)
    return (before if sides.a is None else _of_package(manager, sides.a)[1]), b


def _of_package(manager: Manager, side: PackageSide) -> tuple[_Asked, _Asked]:
    """The state that a package was made on, and the one with it."""
    (subject,) = find_subjects(manager, [side.reference])
    shared = (subject.base, subject.known)
    return (
        _Asked("the state below", *shared, subject.before, subject.opened, ()),
        _Asked(side.name, *shared, subject.after, subject.opened, subject.requests),
    )


def _of_state(manager: Manager, side: StateSide) -> _Asked:
    known = registered_fingerprint(manager, side.model.base)
    requests = tuple(request for manifest in side.stack for request in manager.registry.edits(manifest.digest))
    return _Asked(side.name, open_base(manager, side.model, known), known, side.stack, {}, requests)


def _drawn(side: _Asked, limit: int | None, seed: int) -> tuple[EditRequest, ...]:
    if limit is None:
        return side.requests
    return tuple(request for case in sample([(one,) for one in side.requests], limit, seed) for request in case)


def _probes(requests: Sequence[EditRequest]) -> Iterator[_Probe]:
    """Every probe, the weightiest role of a prompt last; of two edits of one prompt the later one counts."""
    for request in requests:
        yield from (_Probe("locality", probe.prompt, probe.target) for probe in request.locality)
    for request in requests:
        yield from (_Probe("portability", probe.prompt, probe.target) for probe in request.portability)
    for request in requests:
        yield from (_Probe("rephrasing", prompt, request.target_new) for prompt in request.rephrasings)
    for request in requests:
        yield _Probe("edit", request.text, request.target_new)


def _targets(probes: Sequence[_Probe]) -> dict[str, tuple[str, ...]]:
    """All that is wanted to be heard behind each prompt, the same whichever side comes first."""
    found: dict[str, set[str]] = {}
    for probe in probes:
        found.setdefault(probe.prompt, set()).add(probe.target)
    return {prompt: tuple(sorted(targets)) for prompt, targets in found.items()}


def _same(a: str, b: str, targets: Sequence[str]) -> bool:
    if normalise(a) == normalise(b):
        return True
    return any(starts_with_target(a, target) and starts_with_target(b, target) for target in targets)


def _difference(prompt: str, a: _Probe | None, b: _Probe | None, said_a: str, said_b: str) -> AnswerDifference:
    roles = [probe.role for probe in (a, b) if probe is not None]
    role = min(roles, key=_ROLES.index)
    wanted = [probe.target if probe is not None else None for probe in (a, b)]
    right = [
        None if target is None else bool(starts_with_target(said, target))
        for said, target in zip((said_a, said_b), wanted, strict=True)
    ]
    return AnswerDifference(role, prompt, _line(said_a), _line(said_b), wanted[0], wanted[1], right[0], right[1])


_ROLES: tuple[Role, ...] = ("edit", "rephrasing", "portability", "locality")


def _order(answer: AnswerDifference) -> tuple[bool, int, str]:
    """Where one is right and the other wrong first, then by role."""
    return answer.right_a == answer.right_b, _ROLES.index(answer.role), answer.prompt


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
