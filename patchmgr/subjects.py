"""The subject of a request that does not name it, found in its prompt.

Nothing is guessed: exactly one candidate is taken, several are an error that lists them. What counts, in this order:

1. *Wording*: another request with a subject, whose prompt is the same but for the subject.
2. *Names* in the prompt, see :mod:`patchmgr.names`.
3. Of several names the targets are no subject; and if just one of the rest is the subject of another request, it is
   taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from patchmgr.errors import RequestError
from patchmgr.names import Candidate, candidates
from patchmgr.request import SUBJECT_MARK, EditRequest


def with_subjects(requests: Sequence[EditRequest]) -> tuple[tuple[EditRequest, ...], tuple[str, ...]]:
    """The requests, each with a subject; and those subjects that were found.

    A prompt that names its subject once stays as it is; where the name occurs several times, the last place is marked.
    A request in whose prompt nothing is found stays as it is.

    Raises:
        RequestError: several parts of a prompt may be the subject; names request and candidates.
    """
    done, found = [], []
    for number, request in enumerate(requests, start=1):
        if request.subject is not None:
            done.append(request)
            continue
        candidate = _chosen(request, requests, f"request {number} ({request.prompt!r})")
        if candidate is None:
            done.append(request)
            continue
        found.append(candidate.text)
        done.append(_with_subject(request, candidate))
    return tuple(done), tuple(found)


def _chosen(request: EditRequest, requests: Sequence[EditRequest], where: str) -> Candidate | None:
    worded = _by_wording(request, requests)
    if worded is not None:
        return worded
    found = candidates(request.prompt)
    if len(found) > 1:
        targets = {target.casefold() for target in (request.target_new, request.target_true) if target}
        found = tuple(each for each in found if each.text.casefold() not in targets) or found
    if len(found) > 1:
        known = {other.subject for other in requests}
        named = [each for each in found if each.text in known]
        if len(named) == 1:
            return named[0]
        texts = ", ".join(repr(each.text) for each in found)
        raise RequestError(
            f"{where} names no subject, and its prompt has several that it could be: {texts}",
            hint="add the field subject, or --subject",
        )
    return found[0] if found else None


def _by_wording(request: EditRequest, requests: Sequence[EditRequest]) -> Candidate | None:
    """What stands in the place of another request's subject; None where no wording fits, or several differ."""
    found = set()
    for other in requests:
        if other.subject is None or other.subject_end is None:
            continue
        before = other.text[: other.subject_end - len(other.subject)]
        after = other.text[other.subject_end :]
        prompt = request.prompt
        if len((before + after).split()) < 2 or not (prompt.startswith(before) and prompt.endswith(after)):
            continue
        text = prompt[len(before) : len(prompt) - len(after)]
        if text.strip() and text == text.strip() and len(before) + len(after) < len(prompt):
            found.add(Candidate(text, len(before)))
    return found.pop() if len(found) == 1 else None


def _with_subject(request: EditRequest, candidate: Candidate) -> EditRequest:
    prompt = request.prompt
    if prompt.count(candidate.text) > 1:
        prompt = prompt[: candidate.start] + SUBJECT_MARK + prompt[candidate.start + len(candidate.text) :]
    return request.model_copy(update={"prompt": prompt, "subject": candidate.text})
