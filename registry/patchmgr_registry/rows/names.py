"""Names that users give: tags of versions, remotes."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from patchmgr.errors import ConflictError
from patchmgr_registry.records import RemoteRecord, VersionRecord
from patchmgr_registry.reference import unknown
from patchmgr_registry.rows.versions import version_id
from patchmgr_registry.schema import packages, remotes, tags, versions


def read_tags(connection: Connection, package: str | None = None) -> dict[str, dict[str, int]]:
    """The tags of one package or of all: package to tag to version number."""
    query = select(packages.c.name.label("package"), tags.c.name, versions.c.number)
    query = query.select_from(
        tags.join(packages, tags.c.package_id == packages.c.id).join(versions, tags.c.version_id == versions.c.id)
    )
    if package is not None:
        query = query.where(packages.c.name == package)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query.order_by(packages.c.name, tags.c.name)):
        found.setdefault(row.package, {})[row.name] = row.number
    return found


def set_tag(connection: Connection, version: VersionRecord, name: str, created: str, *, move: bool) -> None:
    """Tag a version; a tag on another version is moved only when asked to."""
    row_id = version_id(connection, version.digest)
    package_id = connection.scalar(select(packages.c.id).where(packages.c.name == version.package))
    same = (tags.c.package_id == package_id) & (tags.c.name == name)
    tagged = connection.scalar(select(versions.c.number).join_from(tags, versions).where(same))
    if tagged is None:
        connection.execute(insert(tags).values(package_id=package_id, name=name, version_id=row_id, created=created))
    elif tagged != version.number:
        if not move:
            raise ConflictError(f"tag {name} is on {version.package}@v{tagged}", hint="--move moves it")
        connection.execute(update(tags).where(same).values(version_id=row_id, created=created))


def delete_tag(connection: Connection, package: str, name: str) -> None:
    """Take a tag away."""
    package_id = connection.scalar(select(packages.c.id).where(packages.c.name == package))
    if not connection.execute(delete(tags).where(tags.c.package_id == package_id, tags.c.name == name)).rowcount:
        raise unknown(
            f"tag of {package}",
            name,
            read_tags(connection, package).get(package, {}),
            see=f"patchmgr tag --list {package}",
        )


def read_remotes(connection: Connection) -> tuple[RemoteRecord, ...]:
    """Every remote, by name."""
    rows = connection.execute(select(remotes).order_by(remotes.c.name))
    return tuple(RemoteRecord(row.name, row.url, row.created) for row in rows)


def set_remote(connection: Connection, remote: RemoteRecord) -> None:
    """Add a remote, or point the one of that name elsewhere."""
    connection.execute(delete(remotes).where(remotes.c.name == remote.name))
    connection.execute(insert(remotes).values(name=remote.name, url=remote.url, created=remote.created))


def delete_remote(connection: Connection, name: str) -> None:
    """Forget a remote."""
    if not connection.execute(delete(remotes).where(remotes.c.name == name)).rowcount:
        raise unknown("remote", name, connection.scalars(select(remotes.c.name)))
