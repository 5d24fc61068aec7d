"""Signatures of versions, one each."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from patchmgr_registry.records import SignatureRecord
from patchmgr_registry.rows.versions import version_id
from patchmgr_registry.schema import signatures, versions

_SIGNATURES = select(versions.c.digest, signatures.c.sha256, signatures.c.size_bytes, signatures.c.created).join_from(
    signatures, versions
)


def read_signature(connection: Connection, digest: str) -> SignatureRecord | None:
    """The signature of a version known by its whole digest; None: it has none."""
    row = connection.execute(_SIGNATURES.where(versions.c.digest == digest)).first()
    return None if row is None else SignatureRecord(row.sha256, row.size_bytes, row.created)


def read_signatures(connection: Connection) -> dict[str, SignatureRecord]:
    """All of them, by the digest of their version."""
    rows = connection.execute(_SIGNATURES)
    return {row.digest: SignatureRecord(row.sha256, row.size_bytes, row.created) for row in rows}


def set_signature(connection: Connection, digest: str, signature: SignatureRecord) -> None:
    """Give a version its signature, in place of one that it has."""
    row = version_id(connection, digest)
    connection.execute(delete(signatures).where(signatures.c.version_id == row))
    values = {"sha256": signature.sha256, "size_bytes": signature.size_bytes, "created": signature.created}
    connection.execute(insert(signatures).values(version_id=row, **values))


def read_blob_digests(connection: Connection) -> frozenset[str]:
    """The digests of all signatures."""
    return frozenset(connection.scalars(select(signatures.c.sha256)))
