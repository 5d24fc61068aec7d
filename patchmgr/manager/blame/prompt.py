"""Which package answers a prompt: the nearest are found first, and then each is left out by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError, RequestError, UsageError
from patchmgr.manager.bench import ComputeDtype
from patchmgr.manager.blame.contract import Blame, Evidence, Nearness, Said, Verdict
from patchmgr.manager.blame.nearness import Edits, is_candidate, nearness
from patchmgr.manager.states import open_packages, read_state
from patchmgr.manager.subsets import Subsets, Which, open_subsets
from patchmgr.metrics.contract import Forced, Free
from patchmgr.metrics.equations import starts_with_target
from patchmgr.ops.conflict.ddmin import ddmin
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr.package.reader import EditPackage

ANSWER_TOKENS = 12
"""Of a greedy answer, when nobody says what to trace."""
_SENTENCE = re.compile(r"\W*\w.*?(?=[.!?](?:\s|$)|\n)", re.DOTALL)


def blame_prompt(
    manager: Manager,
    model: str,
    prompt: str,
    *,
    target: str | None = None,
    exhaustive: bool = False,
    device: str = "cpu",
    dtype: ComputeDtype = "float32",
) -> Blame:
    """Find the packages without which a model would answer otherwise, on exact states in memory.

    Tried are, each by itself, the packages whose keys are near the prompt's, those that keep none, and the memory that
    claims the prompt; all others only where none of these wrote what is said. Where no package alone changes the
    answer, delta debugging finds a few whose absence together does, and none of which could stay.

    Args:
        manager: the registry.
        model: which model; it stays as it is.
        prompt: what is asked.
        target: the answer that is traced, also one that the model does not give; None: what it says.
        exhaustive: try every package by itself.
        device: where to compute.
        dtype: in which precision; ``auto``: as stored.

    Raises:
        NotFoundError: there is no such model, or it has no packages.
        UsageError: the prompt or the target is empty, or there is no such device.
        RequestError: the model says nothing, or they are too long for it.
        IntegrityError: a byte of the base or of a package is not what its digest says.
        MethodError: memory ran out.
    """
    if not prompt.strip() or (target is not None and not target.strip()):
        raise UsageError("the prompt or the target is empty", hint='such as "The capital of France is" --target Rome')
    state = read_state(manager, model)
    if not state.stack:
        raise NotFoundError(
            f"there is no package on {model}, so the base answers", hint=f"ask it: `patchmgr generate {model} PROMPT`"
        )
    packages = open_packages(manager, state.stack)
    opened = {package.manifest.digest: package for package in packages}
    edits = [manager.registry.edits(digest) for digest in opened]
    with open_subsets(manager, model, state.stack, opened=opened, device=device, dtype=dtype) as subsets:
        traced = _Traced(subsets, prompt, _target(subsets, prompt, edits) if target is None else target.strip())
        near = nearness(subsets, prompt, packages, edits)
        verdict, blamed, tried = _attribute(traced, packages, edits, near, exhaustive=exhaustive)
        now, base = traced.said(subsets.everything), traced.said(frozenset())
        found = {place: _evidence(traced, packages, edits[place], near[place], place) for place in tried}
    ordered = sorted(tried, key=lambda place: -abs(found[place].log_p_lost(now)))
    mattering = tuple(found[place] for place in ordered if place in blamed)
    evidence = tuple(found[place] for place in ordered)
    return Blame(model, prompt, traced.target, now, base, verdict, mattering, evidence, len(packages))


class _Traced:
    """One target behind one prompt, on any of the subsets."""

    def __init__(self, subsets: Subsets, prompt: str, target: str) -> None:
        self.subsets, self.prompt, self.target = subsets, prompt, target
        self._said: dict[Which, Said] = {}

    def said(self, which: Which) -> Said:
        """What the base says with these packages; asked once."""
        if which not in self._said:
            self._said[which] = self._ask(which)
        return self._said[which]

    def _ask(self, which: Which) -> Said:
        free, forced = Free(self.prompt, answer=self.target), Forced(self.prompt, self.target)
        answers = self.subsets.ask([free, forced], which)
        text = answers.free(free).text
        says = bool(starts_with_target(text, self.target))
        return Said(" ".join(text.split()), says, sum(answers.forced(self.prompt, self.target).log_probabilities))

    def changes(self, without: Which) -> bool:
        """Whether leaving these out changes whether the target is said."""
        all_ = self.subsets.everything
        return self.said(all_ - without).says_target != self.said(all_).says_target

    def lost(self, place: int) -> float:
        """By how much leaving one out moves the target away from what is said, in nats."""
        now, without = self.said(self.subsets.everything), self.said(self.subsets.everything - {place})
        return now.log_p - without.log_p if now.says_target else without.log_p - now.log_p


def _attribute(
    traced: _Traced,
    packages: Sequence[EditPackage],
    edits: Sequence[Edits],
    near: Sequence[Nearness | None],
    *,
    exhaustive: bool,
) -> tuple[Verdict, list[int], list[int]]:
    """Who answers, and the places of those that do and of those that were tried."""
    everything = traced.subsets.everything
    now = traced.said(everything)
    first = [place for place in sorted(everything) if is_candidate(packages[place], near[place])]
    tried = sorted(everything) if exhaustive else first
    blamed = [place for place in tried if traced.changes(frozenset({place}))]
    if now.says_target and not blamed and not traced.changes(everything):
        return "base", [], tried
    if not any(_wrote(edits[place], near[place], now) for place in blamed):
        rest = [place for place in sorted(everything) if place not in tried]
        blamed += [place for place in rest if traced.changes(frozenset({place}))]
        tried = [*tried, *rest]
    if blamed:
        return "package", blamed, tried
    return ("together", _together(traced, tried), tried) if traced.changes(everything) else ("base", [], tried)


def _wrote(edits: Edits, near: Nearness | None, now: Said) -> bool:
    """Whether what is said is what a package wrote: the target of its nearest edit, or of any where nobody knows."""
    asked = edits if near is None else [edits[place] for place in near.places if place < len(edits)]
    return any(starts_with_target(now.text, edit.target_new) for edit in asked)


def _together(traced: _Traced, places: Sequence[int]) -> list[int]:
    """Packages whose absence together changes the answer, and none of which could stay; those that matter most."""
    suspects = sorted(places, key=traced.lost, reverse=True)
    return list(ddmin(suspects, lambda part: traced.changes(frozenset(part))))


def _evidence(
    traced: _Traced, packages: Sequence[EditPackage], edits: Edits, near: Nearness | None, place: int
) -> Evidence:
    manifest = packages[place].manifest
    digest = manifest.digest
    return Evidence(
        manifest,
        near,
        _by_their_texts(traced, edits) if near is None else tuple(edits[i] for i in near.places if i < len(edits)),
        traced.said(traced.subsets.everything - {place}),
        traced.changes(frozenset({place})),
        sum(digest in package.manifest.parent.packages for package in packages),
    )


def _by_their_texts(traced: _Traced, edits: Edits) -> Edits:
    """Edits that ask the prompt; where there is none, those that write what the model says."""
    asking = tuple(edit for edit in edits if traced.prompt in (edit.text, *edit.rephrasings))
    text = traced.said(traced.subsets.everything).text
    return asking or tuple(edit for edit in edits if starts_with_target(text, edit.target_new))


def _target(subsets: Subsets, prompt: str, edits: Sequence[Edits]) -> str:
    """What the model says: the target of an edit where its answer begins with one, else its first sentence.

    Raises:
        RequestError: it says nothing.
    """
    question = Free(prompt, max_tokens=ANSWER_TOKENS)
    answer = subsets.ask([question], subsets.everything).free(question)
    known = {target for requests in edits for edit in requests for target in _targets(edit)}
    said = [target for target in known if starts_with_target(answer.text, target)]
    target = max(said, key=len) if said else first_sentence(answer.text, whole=answer.n_tokens < ANSWER_TOKENS)
    if not target:
        raise RequestError(f"the model says nothing behind {prompt!r}", hint="give the answer to trace by --target")
    return target


def first_sentence(text: str, *, whole: bool) -> str:
    """The first sentence of an answer without its full stop; of one that was cut off, no part of a word.

    >>> first_sentence(" New York. The", whole=False), first_sentence(". A b. C", whole=False)
    ('New York', '. A b')
    >>> first_sentence(" Bandar Seri Bega", whole=False), first_sentence(" New York", whole=True)
    ('Bandar Seri', 'New York')
    """
    found = _SENTENCE.match(text)
    if found or whole:
        return (found[0] if found else text).strip()
    words = text.split()
    return " ".join(words[:-1] or words)


def _targets(edit: EditRequest) -> Iterable[str]:
    return filter(None, (edit.target_new, edit.target_true))
