"""What may be long is read in pages or by words: histories, edits, and the search through all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from patchmgr.errors import UsageError
from patchmgr_registry.dialects import Dialect
from patchmgr_registry.event_filter import EventFilter
from patchmgr_registry.events import Event
from patchmgr_registry.found import FoundEdit, FoundMessage
from patchmgr_registry.records import GenerationRecord, Result, VersionRecord, VersionSummary
from patchmgr_registry.rows import bases, edits, events, generations, scores, versions
from patchmgr_registry.schema import edits as edits_table
from patchmgr_registry.schema import versions as versions_table
from patchmgr_registry.words import words_of

if TYPE_CHECKING:
    from patchmgr.request import EditRequest


EVENTS_AT_ONCE = 500
"""Events of one page."""


class PagedReads(ABC):
    """Questions whose answers can be long; each method sees one moment."""

    dialect: Dialect

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction."""

    def package_names(self) -> tuple[str, ...]:
        """The names of all packages that have a version still, in order."""
        with self._reading() as connection:
            return versions.read_package_names(connection)

    def versions(
        self, package: str, *, before: int | None = None, limit: int | None = None
    ) -> tuple[VersionRecord, ...]:
        """Versions of a package, oldest first; NotFoundError when there is none, ForgottenError when all were erased.

        Args:
            package: its name.
            before: only those with a lower number.
            limit: only the newest of these.
        """
        with self._reading() as connection:
            found = versions.read_versions(connection, *versions.of_package(package, before, limit))
            if not found and before is None:
                raise versions.no_version_of(connection, package)
            return found

    def summaries(
        self, package: str, *, before: int | None = None, limit: int | None = None
    ) -> tuple[VersionSummary, ...]:
        """The same without manifests and files."""
        with self._reading() as connection:
            found = versions.read_summaries(connection, *versions.of_package(package, before, limit))
            if not found and before is None:
                raise versions.no_version_of(connection, package)
            return found

    def generations(
        self, model: str, *, before: int | None = None, limit: int | None = None
    ) -> tuple[GenerationRecord, ...]:
        """Generations of a model, oldest first; NotFoundError when there is no such model.

        Args:
            model: its name.
            before: only those with a lower number.
            limit: only the newest of these.
        """
        with self._reading() as connection:
            return generations.read_history(connection, bases.model_id(connection, model), before, limit)

    def event_pages(
        self, wanted: EventFilter, *, limit: int | None = None, page: int = EVENTS_AT_ONCE
    ) -> Iterator[tuple[Event, ...]]:
        """Events of a kind, oldest first, in pages that are read as they are asked for; with a limit the newest.

        Args:
            wanted: what they must be.
            limit: how many of the newest.
            page: how many at once.

        Raises:
            UnreadableEventError: a row cannot be an event.
        """
        after = wanted.first - 1
        if limit is not None:
            with self._reading() as connection:
                after = max(after, events.find_newest(connection, wanted, limit) - 1)
        while True:
            with self._reading() as connection:
                found = events.read_page(connection, wanted, after, page)
            if found:
                yield found
            if len(found) < page:
                return
            after = found[-1].sequence

    def current_generations(self, model: str | None = None) -> Mapping[str, GenerationRecord]:
        """The current generation of every model, by its name in order; with a name of that model alone."""
        with self._reading() as connection:
            return {found.model: found for found in generations.read_current(connection, model)}

    def applied_to(self, digest: str) -> tuple[str, ...]:
        """The models in whose stack a version is now, by name."""
        with self._reading() as connection:
            return generations.read_models_with(connection, digest)

    def summaries_by_digest(self, digests: Collection[str]) -> Mapping[str, VersionSummary]:
        """Several versions, by digest; those that are not known are left out."""
        with self._reading() as connection:
            return {
                found.digest: found
                for found in versions.read_summaries(connection, versions_table.c.digest.in_(digests))
            }

    def edits(self, digest: str, *, offset: int = 0, limit: int | None = None) -> tuple[EditRequest, ...]:
        """The requests of a version in their order; empty where the author withheld them.

        Args:
            digest: of the version.
            offset: how many are left out at the beginning.
            limit: how many there are at most.
        """
        with self._reading() as connection:
            return edits.read_edits(connection, digest, offset, limit)

    def references(self, digests: Collection[str]) -> Mapping[str, str]:
        """How versions are called, such as ``fact-fixes@v3``, by digest; those that are not known are left out."""
        with self._reading() as connection:
            return versions.read_references(connection, digests)

    def results_of_versions(
        self, digests: Collection[str], metrics: Collection[str]
    ) -> Mapping[str, tuple[Result, ...]]:
        """What several versions achieved in some metrics, by digest, in the order it was added."""
        with self._reading() as connection:
            return scores.read_results_of_versions(connection, digests, metrics)

    def results_of_states(
        self, state_roots: Collection[str], metrics: Collection[str]
    ) -> Mapping[str, tuple[Result, ...]]:
        """What was measured on several states in some metrics, by root, in the order it was added."""
        with self._reading() as connection:
            return scores.read_results_of_states(connection, state_roots, metrics)

    def search(self, text: str, *, package: str | None = None, limit: int = 50) -> tuple[FoundEdit, ...]:
        """The edits that hold every word of the text, or one beginning with it; those of the newest version first.

        Args:
            text: words of prompts or targets.
            package: only in its versions.
            limit: how many edits at most, those that were added last.

        Raises:
            UsageError: there is no word in the text.
        """
        condition = self.dialect.matches(_words(text), edits_table)
        with self._reading() as connection:
            return edits.search_edits(connection, condition, package, limit)

    def search_messages(self, text: str, *, package: str | None = None, limit: int = 50) -> tuple[FoundMessage, ...]:
        """The versions whose message holds every word of the text, or one beginning with it; the newest first.

        Raises:
            UsageError: there is no word in the text.
        """
        condition = self.dialect.matches(_words(text), versions_table)
        with self._reading() as connection:
            return versions.search_messages(connection, condition, package, limit)


def _words(text: str) -> tuple[str, ...]:
    words = words_of(text)
    if not words:
        raise UsageError(f"there is no word to search for in {text!r}")
    return words
