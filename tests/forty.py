"""A stack of real edits on the demo base in which three packages were planted: one that breaks a fact of a neighbour,
and two that contradict each other.

The careful ones are the shares of one joint edit by EMMET without slack: each writes its own fact and is silent at the
keys of the others, so that all of them hold together. The breaker is one fact edited carelessly, as by ROME with C = I:
it moves everything that has a similar key.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.canonical import sha256_hex
from patchmgr.demo.edits import edit_requests
from patchmgr.demo.world import atlas_folder, load_world
from patchmgr.manager.manager import Manager
from patchmgr.manager.packages import adopt
from patchmgr.manager.states import open_version
from patchmgr.manager.subsets import Subsets, open_subsets
from patchmgr.methods.loader import load_plugins
from patchmgr.metrics.contract import Free
from patchmgr.metrics.equations import starts_with_target
from patchmgr.ops.kernel import summed_tensor
from patchmgr.package.encodings.contract import Factors
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EditPackage
from patchmgr.package.writer import seal, write_payload

PARAMETERS = {"slack": 0.0, "statistics_tokens": 8000, "steps": 60, "learning_rate": 1.0, "context_count": 0}
CARELESS = 6
"""Facts of which one becomes the breaker."""
SEED = 11


@dataclass(frozen=True)
class Asked:
    """A prompt, and what must stand behind it."""

    prompt: str
    target: str


@dataclass(frozen=True)
class Forty:
    """What was planted, and where; every package is in the registry of ``home``, and none is applied."""

    home: Path
    references: tuple[str, ...]
    """The stack, in order; ``manager.apply("atlas", references, allow_conflicts=True)`` makes it."""
    breaker: str
    victim: str
    """The package whose fact the breaker breaks, by itself."""
    broken: Asked
    """That fact: right on the whole stack without the breaker, and wrong with it."""
    left: str
    right: str
    """They give one fact two answers."""
    contradicted: tuple[Asked, Asked]
    """That fact, as left and as right would have it."""

    @property
    def careful(self) -> tuple[str, ...]:
        """All packages but the breaker and right; each holds beside the others."""
        return tuple(name for name in self.references if name not in (self.breaker, self.right))


def make_forty(home: Path, size: int = 40) -> Forty:
    """Make such a stack of ``size`` packages in a new home whose model is ``atlas``; the same one every time."""
    with tempfile.TemporaryDirectory() as workshop, Manager.open(Path(workshop) / "home") as manager:
        folders = Path(workshop) / "packages"
        n_careful = size - 2 + size // 3  # more than are needed: some do not hold beside the others
        manager.add_model("atlas", "demo:atlas")
        joint = _edited(manager, _facts(n_careful + CARELESS), workshop)
        shares = [_share(joint, i, folders / f"fact-{i:02d}") for i in range(n_careful)]
        later = range(n_careful, n_careful + CARELESS)
        sloppy = [_share(joint, i, folders / f"fact-{i:02d}", careless=True) for i in later]
        careful, breaker, victim = _chosen(manager, shares, sloppy, size - 2)
        left = next(package for package in reversed(careful) if package is not victim)
        right = _share(_edited(manager, [_contradicting(left)], workshop), 0, folders / "right")
        order = [*careful, breaker, right]
        random.Random(SEED).shuffle(order)
        return _stored(home, order, breaker, victim, left, right)


def _stored(
    home: Path,
    order: Sequence[EditPackage],
    breaker: EditPackage,
    victim: EditPackage,
    left: EditPackage,
    right: EditPackage,
) -> Forty:
    with Manager.open(home) as manager:
        manager.add_model("atlas", "demo:atlas")
        for package in order:
            adopt(manager, package.files["edits.jsonl"].parent)
    return Forty(
        home=home,
        references=tuple(package.manifest.reference for package in order),
        breaker=breaker.manifest.reference,
        victim=victim.manifest.reference,
        broken=_asked(victim),
        left=left.manifest.reference,
        right=right.manifest.reference,
        contradicted=(_asked(left), _asked(right)),
    )


def _facts(count: int) -> list[dict]:
    """Edits of so many different subjects."""
    of_subject = {request["subject"]: request for request in reversed(edit_requests(2 * count, seed=SEED))}
    return list(of_subject.values())[-count:]


def _corpus(path: Path) -> Path:
    """Text for statistics: every second fact that the base was taught."""
    world = load_world()
    path.write_text("\n".join(f"{world.prompt(fact, n % 9)} {fact.object}." for n, fact in enumerate(world.facts[::2])))
    return path


def _edited(manager: Manager, facts: Sequence[Mapping], workshop: str) -> EditPackage:
    """A real package of these facts."""
    corpus = _corpus(Path(workshop) / "corpus.txt")
    made = manager.model("atlas").edit("made", facts, method="emmet", on="base", corpus=corpus, **PARAMETERS)
    return open_version(manager, manager.registry.version(made.version.reference))


def _contradicting(package: EditPackage) -> dict:
    """The fact of a package with another answer."""
    (request,) = package.requests
    others = {fact.object for fact in load_world().facts if fact.relation == request.relation}
    target = min(others - {request.target_new, request.target_true})
    return {**request.to_json(), "target_new": target, "portability": []}


def _chosen(
    manager: Manager, shares: Sequence[EditPackage], sloppy: Sequence[EditPackage], count: int
) -> tuple[list[EditPackage], EditPackage, EditPackage]:
    """So many packages that hold together; a careless one that breaks the fact of one of them, by itself and among all
    of them; and that one."""
    packages = [*shares, *sloppy]
    opened = {package.manifest.digest: package for package in packages}
    manifests = [package.manifest for package in packages]
    with open_subsets(manager, "atlas", manifests, opened=opened) as subsets:
        held = list(range(len(shares)))
        while len(right := _right(subsets, packages, held, held)) < len(held):
            held = right
        careful = held[:count]
        for breaker in range(len(shares), len(packages)):
            if breaker not in _right(subsets, packages, [*careful, breaker], [breaker]):
                continue
            survivors = _right(subsets, packages, [*careful, breaker], careful)
            for victim in (i for i in careful if i not in survivors):
                if not _right(subsets, packages, [victim, breaker], [victim]):
                    return [packages[i] for i in careful], packages[breaker], packages[victim]
    raise AssertionError("no careless edit breaks a neighbour by itself")


def _right(subsets: Subsets, packages: Sequence[EditPackage], which: Sequence[int], asked: Sequence[int]) -> list[int]:
    """Those of the packages asked whose facts are right when some are in force."""
    facts = {i: _asked(packages[i]) for i in asked}
    questions = {i: Free(fact.prompt, answer=fact.target) for i, fact in facts.items()}
    answers = subsets.ask(questions.values(), frozenset(which))
    return [i for i, fact in facts.items() if starts_with_target(answers.free(questions[i]).text, fact.target)]


def _asked(package: EditPackage) -> Asked:
    (request,) = package.requests
    return Asked(request.text, request.target_new)


def _share(package: EditPackage, place: int, folder: Path, *, careless: bool = False) -> EditPackage:
    """The part of EMMET's package that belongs to one of its edits, under the name of the folder.

    Careless: with the key itself for the direction, k / |k|², as ROME has it with C = I.
    """
    encodings = load_plugins().encodings
    part = slice(place, place + 1)
    (keys,) = package.state.values()
    ((name, delta),) = package.deltas(encodings).items()
    key = keys[:, part]
    direction = key / np.square(key).sum() if careless else delta.u[:, part]  # the base stores (d_in, d_out)
    deltas = {name: Factors(np.ascontiguousarray(direction, np.float32), np.ascontiguousarray(delta.v[part]))}
    state = {name: keys[:, part] for name, keys in package.state.items()}
    requests = package.requests[part]
    folder.mkdir(parents=True)
    write_payload(folder, requests, deltas, encodings, state, ())
    seal(folder, _draft(package.manifest, folder.name, deltas), requests, ())
    return EditPackage.read(folder)


def _draft(manifest: Manifest, name: str, deltas: Mapping[str, Factors]) -> Manifest:
    base = Checkpoint.read(atlas_folder())
    tensors = []
    for touched in manifest.tensors:
        data, delta = base.read_bytes(touched.name), deltas[touched.name]
        after, _ = summed_tensor(data, touched.dtype, touched.shape, [delta], name=touched.name)
        tensors.append(touched.model_copy(update={"after_sha256": sha256_hex(after)}))
    return manifest.model_copy(
        update={
            "name": name,
            "version": 1,
            "parent_version": None,
            "tensors": tuple(tensors),
            "n_edits": 1,
            "files": {},
        }
    )
