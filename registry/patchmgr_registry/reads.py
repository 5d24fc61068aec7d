"""What the registry can be asked. A :class:`Reads` answers alike outside a transaction and inside one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from patchmgr_registry.chain import ChainProblem, verify_chain
from patchmgr_registry.event_filter import EventFilter
from patchmgr_registry.events import Anchor, Event
from patchmgr_registry.paging import PagedReads
from patchmgr_registry.records import (
    BaseKey,
    BaseRecord,
    EditorRecord,
    ForgottenRecord,
    GenerationRecord,
    ModelRecord,
    PackageRecord,
    RemoteRecord,
    ScoreRecord,
    SignatureRecord,
    TensorRecord,
    VersionRecord,
)
from patchmgr_registry.reference import Reference
from patchmgr_registry.rows import bases, editors, events, forgotten, generations, names, scores, signatures, versions
from patchmgr_registry.schema import generations as generations_table
from patchmgr_registry.schema import scores as scores_table
from patchmgr_registry.schema import versions as versions_table


class Reads(PagedReads):
    """Every question. Each method sees one moment, and raises BusyError, IntegrityError or StorageError as files do."""

    def bases(self, fingerprint: str | None = None) -> tuple[BaseRecord, ...]:
        """Every base, or those of one fingerprint, which differ in config or tokenizer."""
        with self._reading() as connection:
            return bases.read_bases(connection, fingerprint)

    def base(self, key: BaseKey) -> BaseRecord:
        """One base; NotFoundError when it is not registered."""
        with self._reading() as connection:
            return bases.read_base(connection, key)

    def tensors(self, key: BaseKey) -> tuple[TensorRecord, ...]:
        """The tensors of a base, in the order they were added."""
        with self._reading() as connection:
            return bases.read_tensors(connection, key)

    def models(self) -> tuple[ModelRecord, ...]:
        """Every model, by name."""
        with self._reading() as connection:
            return bases.read_models(connection)

    def model(self, name: str) -> ModelRecord:
        """One model; NotFoundError, naming those most like it, when there is none."""
        with self._reading() as connection:
            return bases.read_model(connection, name)

    def packages(self, *, limit: int | None = None) -> tuple[PackageRecord, ...]:
        """Every package with its newest version and its tags, by name; with a limit the first of them."""
        with self._reading() as connection:
            tags = names.read_tags(connection)
            return tuple(
                PackageRecord(version.package, n_versions, version, tags.get(version.package, {}))
                for version, n_versions in versions.read_latest(connection, limit)
            )

    def version(self, reference: Reference | str) -> VersionRecord:
        """The version that a reference names.

        Raises:
            NotFoundError: there is none; the hint holds what is most like it.
            UsageError: the text is no reference, or its digest begins that of several versions.
        """
        wanted = Reference.parse(reference) if isinstance(reference, str) else reference
        with self._reading() as connection:
            return versions.find_version(connection, wanted)

    def version_by_digest(self, digest: str) -> VersionRecord | None:
        """The version with this whole digest, None when it is not registered; ForgottenError when it was erased."""
        with self._reading() as connection:
            forgotten.refuse_forgotten(connection, versions_table.c.digest == digest)
            return next(iter(versions.read_versions(connection, versions_table.c.digest == digest)), None)

    def editors(self, name: str | None = None) -> tuple[EditorRecord, ...]:
        """Every version of every editor or of one, by name and number; NotFoundError when there is none of the name."""
        with self._reading() as connection:
            return editors.read_editors(connection, name)

    def editor(self, reference: Reference | str) -> EditorRecord:
        """The editor that a reference names, by number or digest, else its newest version.

        Raises:
            NotFoundError: there is none; the hint holds what is most like it.
            UsageError: the text is no such reference, or its digest begins that of several.
        """
        wanted = Reference.parse(reference) if isinstance(reference, str) else reference
        with self._reading() as connection:
            return editors.find_editor(connection, wanted)

    def next_editor_number(self, name: str) -> int:
        """The number that the next version of an editor gets, 1 for a new one."""
        with self._reading() as connection:
            return editors.next_number(connection, name)

    def next_number(self, package: str) -> int:
        """The number that the next version of a package gets, 1 for a new one."""
        with self._reading() as connection:
            return versions.next_number(connection, package)

    def scores(self, digest: str) -> tuple[ScoreRecord, ...]:
        """The scores of a version, in the order they were added."""
        with self._reading() as connection:
            return scores.read_scores(connection, scores_table.c.version_id == versions.version_id(connection, digest))

    def scores_of_state(self, state_root: str) -> tuple[ScoreRecord, ...]:
        """Every score that was measured on a state."""
        with self._reading() as connection:
            return scores.read_scores(connection, scores_table.c.state_root == state_root)

    def forgotten(self, digest: str | None = None) -> tuple[ForgottenRecord, ...]:
        """Every version that was erased, by package and number; with a digest that one, if it was."""
        with self._reading() as connection:
            return forgotten.read_forgotten(
                connection, *(() if digest is None else (versions_table.c.digest == digest,))
            )

    def about_the_same(self, digest: str) -> tuple[str, ...]:
        """The other versions that say something of a subject of a version, by name and number."""
        with self._reading() as connection:
            return forgotten.others_about_the_same(connection, digest)

    def own_blobs(self, digest: str) -> frozenset[str]:
        """The blobs of a version and its signature that nothing else is made of."""
        with self._reading() as connection:
            return forgotten.read_own_blobs(connection, digest)

    def signature(self, digest: str) -> SignatureRecord | None:
        """The signature of a version known by its whole digest; None: it has none."""
        with self._reading() as connection:
            return signatures.read_signature(connection, digest)

    def signatures(self) -> Mapping[str, SignatureRecord]:
        """Every signature, by the digest of its version."""
        with self._reading() as connection:
            return signatures.read_signatures(connection)

    def tags(self, package: str) -> dict[str, int]:
        """The tags of a package: tag to version number."""
        with self._reading() as connection:
            return names.read_tags(connection, package).get(package, {})

    def tagged(self) -> Mapping[str, Mapping[str, int]]:
        """The tags of every package that has some: package to tag to version number."""
        with self._reading() as connection:
            return names.read_tags(connection)

    def remotes(self) -> tuple[RemoteRecord, ...]:
        """Every remote, by name."""
        with self._reading() as connection:
            return names.read_remotes(connection)

    def generation(self, model: str, number: int | None = None) -> GenerationRecord:
        """One generation of a model, without a number the current one; NotFoundError when there is none."""
        with self._reading() as connection:
            return generations.read_generation(connection, model, number)

    def stale_generations(self) -> tuple[GenerationRecord, ...]:
        """Pending generations that nobody writes any more: their folders can go, and the rows be failed."""
        with self._reading() as connection:
            pending = generations.read_generations(connection, generations_table.c.status == "pending")
        return tuple(generation for generation in pending if generation.is_stale)

    def same_stack(self, key: BaseKey, packages: Sequence[str]) -> GenerationRecord | None:
        """A generation on this base made before from these packages, whatever their order; its digests must be met."""
        with self._reading() as connection:
            return generations.find_same_stack(connection, key, packages)

    def blob_digests(self) -> frozenset[str]:
        """The blobs that packages, their signatures and editors are made of; any other is rubbish."""
        with self._reading() as connection:
            readers = (versions.read_blob_digests, signatures.read_blob_digests, editors.read_blob_digests)
            return frozenset[str]().union(*(read(connection) for read in readers))

    def check_database(self) -> tuple[str, ...]:
        """What the database itself finds wrong, a line each; empty when all is well. Reads all of it."""
        with self._reading() as connection:
            return self.dialect.check(connection)

    def events(
        self, *, model: str | None = None, package: str | None = None, limit: int | None = None
    ) -> tuple[Event, ...]:
        """The last events, all or those about a model and a package, oldest first."""
        pages = self.event_pages(EventFilter(model=model, package=package), limit=limit)
        return tuple(event for page in pages for event in page)

    def event_head(self) -> Anchor:
        """Where the chain of events ends, to be kept elsewhere."""
        with self._reading() as connection:
            return events.read_head(connection)

    def verify_events(self, anchors: Iterable[Anchor] = ()) -> ChainProblem | None:
        """The first event that was changed, removed, inserted or reordered; None when the chain holds."""
        with self._reading() as connection:
            return verify_chain(events.read_chain(connection), head=events.read_head(connection), anchors=anchors)
