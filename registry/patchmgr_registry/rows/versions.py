"""Packages, their versions with files and scores, and how a reference finds one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Connection, Row, Select, func, insert, select

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr_registry.errors import NumberTakenError
from patchmgr_registry.records import FileRecord, FoundMessage, ScoreRecord, VersionRecord
from patchmgr_registry.reference import Reference, unknown
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import files, packages, scores, tags, versions
from patchmgr_registry.words import words_of

_VERSIONS = select(packages.c.name.label("package"), *versions.c).join_from(versions, packages)
_SCORES = [column for column in scores.c if column.name not in ("id", "version_id")]
_SCORE_NAMES = [column.name for column in _SCORES]
_VERSION_IDS = select(versions.c.id).join_from(versions, packages)


def read_versions(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[VersionRecord, ...]:
    """The versions that meet every condition, by package and number."""
    rows = connection.execute(_VERSIONS.where(*conditions).order_by(packages.c.name, versions.c.number)).all()
    of_version: dict[int, list[FileRecord]] = {row.id: [] for row in rows}
    if rows:
        query = select(files).where(files.c.version_id.in_(_VERSION_IDS.where(*conditions))).order_by(files.c.path)
        for row in connection.execute(query):
            of_version[row.version_id].append(FileRecord(row.path, row.sha256, row.size_bytes))
    return tuple(_version(row, of_version[row.id]) for row in rows)


def read_package(
    connection: Connection, name: str, before: int | None = None, limit: int | None = None
) -> tuple[VersionRecord, ...]:
    """The versions of a package, oldest first, none for one that does not exist; with a limit the newest of them."""
    of_package = select(packages.c.id).where(packages.c.name == name).scalar_subquery()
    meant = [versions.c.package_id == of_package]
    if before is not None:
        meant.append(versions.c.number < before)
    if limit is not None:
        last = select(versions.c.number).where(*meant).order_by(versions.c.number.desc()).limit(limit).subquery()
        meant.append(versions.c.number >= select(func.min(last.c.number)).scalar_subquery())
    return read_versions(connection, *meant)


def read_references(connection: Connection, digests: Collection[str]) -> dict[str, str]:
    """The names of versions, by digest."""
    query = select(versions.c.digest, packages.c.name, versions.c.number).join_from(versions, packages)
    return {
        row.digest: f"{row.name}@v{row.number}"
        for row in connection.execute(query.where(versions.c.digest.in_(digests)))
    }


def search_messages(
    connection: Connection, condition: ColumnElement[bool], package: str | None, limit: int
) -> tuple[FoundMessage, ...]:
    """The versions whose message meets the condition of a full-text search, the newest first."""
    columns = (packages.c.name, versions.c.number, versions.c.digest, versions.c.message)
    query = select(*columns).join_from(versions, packages).where(condition).order_by(versions.c.id.desc()).limit(limit)
    if package is not None:
        query = query.where(packages.c.name == package)
    return tuple(FoundMessage(*row) for row in connection.execute(query))


def read_latest(connection: Connection, limit: int | None) -> tuple[tuple[VersionRecord, int], ...]:
    """The newest version of every package by name, and how many versions the package has."""
    counts = select(versions.c.package_id, func.max(versions.c.number).label("newest"), func.count().label("n"))
    if limit is not None:
        first = select(packages.c.id).order_by(packages.c.name).limit(limit).subquery()
        counts = counts.where(versions.c.package_id.in_(select(first.c.id)))
    newest = counts.group_by(versions.c.package_id).subquery()
    is_newest = versions.c.id.in_(
        select(versions.c.id).join(
            newest, (versions.c.package_id == newest.c.package_id) & (versions.c.number == newest.c.newest)
        )
    )
    of_package = select(packages.c.name, newest.c.n).join(newest, newest.c.package_id == packages.c.id)
    n_versions = {row.name: row.n for row in connection.execute(of_package)}
    return tuple((version, n_versions[version.package]) for version in read_versions(connection, is_newest))


def find_version(connection: Connection, reference: Reference) -> VersionRecord:
    """The one version that a reference names."""
    conditions: list[ColumnElement[bool]] = []
    if reference.package is not None:
        conditions.append(packages.c.name == reference.package)
    if reference.digest is not None:
        conditions.append(versions.c.digest.startswith(reference.digest, autoescape=True))
    elif reference.tag is not None:
        tagged = select(tags.c.version_id).where(tags.c.name == reference.tag, tags.c.package_id == packages.c.id)
        conditions.append(versions.c.id == tagged.scalar_subquery())
    elif reference.number is not None:
        conditions.append(versions.c.number == reference.number)
    else:
        newest = select(func.max(versions.c.number)).join_from(versions, packages)
        conditions.append(versions.c.number == newest.where(packages.c.name == reference.package).scalar_subquery())
    found = read_versions(connection, *conditions)
    if len(found) > 1:
        names = ", ".join(f"{version.reference} ({version.digest[:12]}…)" for version in found[:5])
        raise UsageError(f"{reference} could be any of {names}", hint="give more digits of the digest")
    if not found:
        _explain_absence(connection, reference)
    return found[0]


def version_id(connection: Connection, digest: str) -> int:
    """The key of the row of a version known by its whole digest."""
    found: int | None = connection.scalar(select(versions.c.id).where(versions.c.digest == digest))
    if found is None:
        raise NotFoundError(f"no package version sha256:{digest[:12]}… is registered", hint="pull it first")
    return found


def next_number(connection: Connection, package: str) -> int:
    """The number that the next version of a package gets; 1 for a package that does not exist."""
    query = select(func.max(versions.c.number)).join_from(versions, packages).where(packages.c.name == package)
    return (connection.scalar(query) or 0) + 1


def insert_version(connection: Connection, version: VersionRecord) -> int:
    """Add a version with its files, and its package with the first of them; the key of its row."""
    name = version.package
    same = (packages.c.name == name) & (versions.c.number == version.number)
    for taken in connection.execute(_VERSIONS.where(same | (versions.c.digest == version.digest))):
        if (taken.package, taken.number) == (name, version.number):
            free = next_number(connection, name)
            raise NumberTakenError(name, version.number, digest=taken.digest, next_number=free)
        raise ConflictError(f"{taken.package}@v{taken.number} has the digest of {version.reference} already")
    package_id = connection.scalar(select(packages.c.id).where(packages.c.name == name))
    if package_id is None:
        package_id = _inserted(connection.execute(insert(packages).values(name=name, created=version.created)))
    values = asdict(version)
    del values["package"], values["files"]
    values.update(package_id=package_id, parent_packages=to_text(version.parent_packages))
    values["words"] = " ".join(words_of(version.message))
    row_id = _inserted(connection.execute(insert(versions).values(values)))
    if version.files:
        connection.execute(insert(files), [{"version_id": row_id, **asdict(file)} for file in version.files])
    return row_id


def read_scores(connection: Connection, condition: ColumnElement[bool]) -> tuple[ScoreRecord, ...]:
    """The scores that meet a condition, in the order they were added."""
    query = select(*_SCORES).where(condition).order_by(scores.c.id)
    return tuple(ScoreRecord(**row._mapping) for row in connection.execute(query))


def read_scores_of_versions(connection: Connection, digests: Collection[str]) -> dict[str, tuple[ScoreRecord, ...]]:
    """The scores of several versions, by digest."""
    query = select(versions.c.digest.label("thing"), *_SCORES).join_from(scores, versions)
    return _by_thing(connection, query.where(versions.c.digest.in_(digests)))


def read_scores_of_states(connection: Connection, roots: Collection[str]) -> dict[str, tuple[ScoreRecord, ...]]:
    """The scores of several states, by root."""
    query = select(scores.c.state_root.label("thing"), *_SCORES)
    return _by_thing(connection, query.where(scores.c.state_root.in_(roots)))


def _by_thing(connection: Connection, query: Select[Any]) -> dict[str, tuple[ScoreRecord, ...]]:
    found: dict[str, list[ScoreRecord]] = {}
    for thing, *values in connection.execute(query.order_by(scores.c.id)):
        found.setdefault(thing, []).append(ScoreRecord(**dict(zip(_SCORE_NAMES, values, strict=True))))
    return {thing: tuple(of_thing) for thing, of_thing in found.items()}


def insert_scores(connection: Connection, version: int | None, measured: Iterable[ScoreRecord]) -> None:
    """Add scores to the version whose row has this key; None: to a state as a whole."""
    rows = [{"version_id": version, **asdict(score)} for score in measured]
    if rows:
        connection.execute(insert(scores), rows)


def read_blob_digests(connection: Connection) -> frozenset[str]:
    """The digests of all files of all versions."""
    return frozenset(connection.scalars(select(files.c.sha256)))


def _explain_absence(connection: Connection, reference: Reference) -> NoReturn:
    if reference.package is None:
        raise NotFoundError(f"no package version has a digest that begins with {reference.digest}")
    known = read_package(connection, reference.package, limit=5)
    if not known:
        raise unknown("package", reference.package, connection.scalars(select(packages.c.name)))
    numbers = ", ".join(f"v{version.number}" for version in known)
    if reference.tag is not None:
        has_tag = select(tags.c.name).join_from(tags, packages).where(packages.c.name == reference.package)
        raise unknown(f"version of {reference.package} tagged", reference.tag, connection.scalars(has_tag))
    raise NotFoundError(f"there is no version {reference}", hint=f"{reference.package} has {numbers}")


def _inserted(result: Any) -> int:
    key: Sequence[int] = result.inserted_primary_key
    return key[0]


def _version(row: Row[Any], of_version: Sequence[FileRecord]) -> VersionRecord:
    return VersionRecord(
        package=row.package,
        number=row.number,
        digest=row.digest,
        parent_version=row.parent_version,
        kind=row.kind,
        method=row.method,
        message=row.message,
        author=row.author,
        created=row.created,
        base_fingerprint=row.base_fingerprint,
        parent_root=row.parent_root,
        parent_packages=tuple(from_text(row.parent_packages)),
        n_edits=row.n_edits,
        size_bytes=row.size_bytes,
        manifest=row.manifest,
        files=tuple(of_version),
    )
