"""The history of a model or of a package, newest first, a page at a time: it may be long."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchmgr.errors import NotFoundError
from patchmgr.manager.newest import HEADLINES, headlines
from patchmgr_registry import ForgottenError, GenerationRecord, VersionSummary

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

PAGE = 500
"""Entries that are read at once."""


_Pages = Callable[..., "History"]


@dataclass(frozen=True)
class History:
    """The past of a model (generations) or of a package (versions), newest first; the other one is empty."""

    name: str
    generations: tuple[GenerationRecord, ...] = ()
    versions: tuple[VersionSummary, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    """How the packages of the generations are called, by digest."""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The newest values of the main metrics, by the digest of a version or the state root of a generation."""


def log(manager: Manager, name: str, *, limit: int | None = None) -> History:
    """The history of the model of this name, else of the package; with a limit only its newest entries.

    Raises:
        NotFoundError: there is neither.
    """
    pages = tuple(log_pages(manager, name, limit=limit))
    return History(
        name,
        tuple(entry for page in pages for entry in page.generations),
        tuple(entry for page in pages for entry in page.versions),
        {digest: reference for page in pages for digest, reference in page.references.items()},
        {thing: scores for page in pages for thing, scores in page.scores.items()},
    )


def log_pages(manager: Manager, name: str, *, limit: int | None = None) -> Iterator[History]:
    """The same in pages of :data:`PAGE` entries, each read when it is asked for.

    Raises:
        NotFoundError: there is neither such a model nor such a package; when the first page is asked for.
    """
    try:
        manager.registry.model(name)
    except NotFoundError:
        page_before: _Pages = _versions
    else:
        page_before = _generations
    before, left, references = None, limit, dict[str, str]()
    while left is None or left > 0:
        page = page_before(manager, name, before, PAGE if left is None else min(PAGE, left), references)
        entries = page.generations or page.versions
        if not entries:
            return
        yield page
        before, left = entries[-1].number, None if left is None else left - len(entries)


def _generations(manager: Manager, name: str, before: int | None, limit: int, references: dict[str, str]) -> History:
    """A page of generations; ``references`` are those of the pages before, and get those of this one."""
    registry = manager.registry
    found = tuple(reversed(registry.generations(name, before=before, limit=limit)))
    stacked = {digest for generation in found for digest in generation.packages}
    references |= registry.references(stacked - references.keys())
    roots = {generation.state_root for generation in found if generation.state_root}
    measured = registry.results_of_states(roots, HEADLINES)
    scores = {root: headlines(of_state) for root, of_state in measured.items()}
    return History(name, generations=found, references=references, scores=scores)


def _versions(manager: Manager, name: str, before: int | None, limit: int, _references: dict[str, str]) -> History:
    registry = manager.registry
    try:
        found = tuple(reversed(registry.summaries(name, before=before, limit=limit)))
    except ForgottenError:
        raise
    except NotFoundError:
        raise neither(manager, name) from None
    measured = registry.results_of_versions({version.digest for version in found}, HEADLINES)
    scores = {digest: headlines(of_version, own=True) for digest, of_version in measured.items()}
    return History(name, versions=found, scores=scores)


def neither(manager: Manager, name: str) -> NotFoundError:
    """The error for a name that nothing has; its hint holds the names most like it."""
    models = [model.name for model in manager.registry.models()]
    close = difflib.get_close_matches(name, [*models, *manager.registry.package_names()], n=3)
    return NotFoundError(
        f"there is neither a model nor a package {name!r}",
        hint=f"did you mean {' or '.join(close)}?" if close else "see `patchmgr list` and `patchmgr model list`",
    )
