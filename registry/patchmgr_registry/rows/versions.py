"""Packages, their versions with files, and how a reference finds one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any, NoReturn

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr_registry.errors import ForgottenError, NumberTakenError
from patchmgr_registry.found import FoundMessage
from patchmgr_registry.records import FileRecord, VersionRecord, VersionSummary
from patchmgr_registry.reference import Reference, unknown
from patchmgr_registry.rows.forgotten import REMEMBERED, delete_forgotten, read_forgotten, refuse_forgotten
from patchmgr_registry.rows.text import from_text, to_text
from patchmgr_registry.schema import files, packages, tags, versions
from patchmgr_registry.words import words_of

_VERSIONS = select(packages.c.name.label("package"), *versions.c).join_from(versions, packages)
_FIELDS = [field.name for field in fields(VersionSummary)]
_SUMMARIES = select(packages.c.name, *(versions.c[name] for name in _FIELDS[1:])).join_from(versions, packages)
_BELOW = _FIELDS.index("parent_packages")
_VERSION_IDS = select(versions.c.id).join_from(versions, packages)


def read_versions(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[VersionRecord, ...]:
    """The versions that meet every condition, by package and number."""
    conditions = (*conditions, REMEMBERED)
    rows = connection.execute(_VERSIONS.where(*conditions).order_by(packages.c.name, versions.c.number)).all()
    of_version: dict[int, list[FileRecord]] = {row.id: [] for row in rows}
    if rows:
        query = select(files).where(files.c.version_id.in_(_VERSION_IDS.where(*conditions))).order_by(files.c.path)
        for row in connection.execute(query):
            of_version[row.version_id].append(FileRecord(row.path, row.sha256, row.size_bytes))
    return tuple(_version(row, of_version[row.id]) for row in rows)


def read_summaries(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[VersionSummary, ...]:
    """The same without manifests and files, which are most of what there is to read."""
    rows = connection.execute(
        _SUMMARIES.where(*conditions, REMEMBERED).order_by(packages.c.name, versions.c.number)
    ).all()
    return tuple(map(_summary, rows))


def of_package(name: str, before: int | None = None, limit: int | None = None) -> list[ColumnElement[bool]]:
    """The condition of being a version of a package; with a limit one of the newest below ``before``."""
    package_id = select(packages.c.id).where(packages.c.name == name).scalar_subquery()
    meant = [versions.c.package_id == package_id]
    if before is not None:
        meant.append(versions.c.number < before)
    if limit is not None:
        last = select(versions.c.number).where(*meant).order_by(versions.c.number.desc()).limit(limit).subquery()
        meant.append(versions.c.number >= select(func.min(last.c.number)).scalar_subquery())
    return meant


def read_package_names(connection: Connection) -> tuple[str, ...]:
    """The names of all packages that have a version still, in order."""
    known = select(versions.c.package_id).where(REMEMBERED)
    return tuple(connection.scalars(select(packages.c.name).where(packages.c.id.in_(known)).order_by(packages.c.name)))


def read_references(connection: Connection, digests: Collection[str]) -> dict[str, str]:
    """The names of versions, by digest."""
    query = select(versions.c.digest, packages.c.name, versions.c.number).join_from(versions, packages)
    rows = connection.execute(query.where(versions.c.digest.in_(digests))).all()
    return {digest: f"{name}@v{number}" for digest, name, number in rows}


def search_messages(
    connection: Connection, condition: ColumnElement[bool], package: str | None, limit: int
) -> tuple[FoundMessage, ...]:
    """The versions whose message meets the condition of a full-text search, the newest first."""
    columns = (packages.c.name, versions.c.number, versions.c.digest, versions.c.message)
    query = select(*columns).join_from(versions, packages).where(condition).order_by(versions.c.id.desc()).limit(limit)
    if package is not None:
        query = query.where(packages.c.name == package)
    return tuple(FoundMessage(*row) for row in connection.execute(query))


def read_latest(connection: Connection, limit: int | None) -> tuple[tuple[VersionSummary, int], ...]:
    """The newest version of every package by name, and how many versions the package has."""
    counts = select(versions.c.package_id, func.max(versions.c.number).label("newest"), func.count().label("n"))
    counts = counts.where(REMEMBERED)
    if limit is not None:
        first = select(packages.c.id).order_by(packages.c.name).limit(limit).subquery()
        counts = counts.where(versions.c.package_id.in_(select(first.c.id)))
    newest = counts.group_by(versions.c.package_id).subquery()
    named = select(packages.c.name, newest.c.n).join(newest, newest.c.package_id == packages.c.id)
    n_versions = {row.name: row.n for row in connection.execute(named)}
    is_newest = versions.c.id.in_(
        select(versions.c.id).join(
            newest, (versions.c.package_id == newest.c.package_id) & (versions.c.number == newest.c.newest)
        )
    )
    return tuple((version, n_versions[version.package]) for version in read_summaries(connection, is_newest))


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
        conditions.append(
            versions.c.number == newest.where(packages.c.name == reference.package, REMEMBERED).scalar_subquery()
        )
    found = read_versions(connection, *conditions)
    if len(found) > 1:
        names = ", ".join(f"{version.reference} ({version.digest[:12]}…)" for version in found[:5])
        raise UsageError(f"{reference} could be any of {names}", hint="give more digits of the digest")
    if not found:
        if reference.digest is not None or reference.number is not None:
            refuse_forgotten(connection, *conditions)
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


def insert_version(connection: Connection, version: VersionRecord, *, again: bool = False) -> int:
    """Add a version with its files, and its package with the first of them; the key of its row.

    One that was erased comes to be known again with ``again``; otherwise ForgottenError.
    """
    if read_forgotten(connection, versions.c.digest == version.digest):
        if not again:
            refuse_forgotten(connection, versions.c.digest == version.digest)
        return _remember(connection, version)
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
    row_id = _inserted(connection.execute(insert(versions).values(package_id=package_id, **_values(version))))
    _insert_files(connection, row_id, version.files)
    return row_id


def _remember(connection: Connection, version: VersionRecord) -> int:
    row_id = version_id(connection, version.digest)
    delete_forgotten(connection, row_id)
    connection.execute(update(versions).where(versions.c.id == row_id).values(_values(version)))
    _insert_files(connection, row_id, version.files)
    return row_id


def _values(version: VersionRecord) -> dict[str, Any]:
    values = asdict(version)
    del values["package"], values["files"]
    words = " ".join(words_of(version.message))
    return {**values, "parent_packages": to_text(version.parent_packages), "words": words}


def _insert_files(connection: Connection, row_id: int, records: Sequence[FileRecord]) -> None:
    if records:
        connection.execute(insert(files), [{"version_id": row_id, **asdict(file)} for file in records])


def read_blob_digests(connection: Connection) -> frozenset[str]:
    """The digests of all files of all versions."""
    return frozenset(connection.scalars(select(files.c.sha256)))


def no_version_of(connection: Connection, package: str) -> NotFoundError:
    """The error for a package without a version: ForgottenError when all were erased, else with names like it."""
    for record in read_forgotten(connection, packages.c.name == package):
        return ForgottenError(record)
    return unknown("package", package, read_package_names(connection))


def _explain_absence(connection: Connection, reference: Reference) -> NoReturn:
    if reference.package is None:
        raise NotFoundError(f"no package version has a digest that begins with {reference.digest}")
    known = read_summaries(connection, *of_package(reference.package, limit=5))
    if not known:
        raise no_version_of(connection, reference.package)
    numbers = ", ".join(f"v{version.number}" for version in known)
    if reference.tag is not None:
        has_tag = select(tags.c.name).join_from(tags, packages).where(packages.c.name == reference.package)
        raise unknown(
            f"version of {reference.package} tagged",
            reference.tag,
            connection.scalars(has_tag),
            see=f"patchmgr tag --list {reference.package}",
        )
    raise NotFoundError(f"there is no version {reference}", hint=f"{reference.package} has {numbers}")


def _inserted(result: Any) -> int:
    key: Sequence[int] = result.inserted_primary_key
    return key[0]


def _summary(row: Row[Any]) -> VersionSummary:
    values: list[Any] = list(row)
    values[_BELOW] = tuple(from_text(values[_BELOW]))
    return VersionSummary(*values)


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
