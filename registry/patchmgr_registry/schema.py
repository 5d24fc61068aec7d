"""The tables, as they are after the last migration. A change here needs a new migration.

Only SQLAlchemy Core, since importing its ORM would cost every command a tenth of a second. Moments and lists are text
(:mod:`patchmgr_registry.clock`, canonical JSON), so that a value is the same bytes on every database.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from patchmgr_migrations import NAMING_CONVENTION

metadata = MetaData(naming_convention=NAMING_CONVENTION)

bases = Table(
    "bases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("config_sha256", Text, nullable=False),
    Column("tokenizer_sha256", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("revision", Text),
    Column("folder", Text, nullable=False),
    Column("architecture", Text, nullable=False),
    Column("n_parameters", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", Text, nullable=False),
    UniqueConstraint("fingerprint", "config_sha256", "tokenizer_sha256"),
)

tensors = Table(
    "tensors",
    metadata,
    Column("base_id", ForeignKey("bases.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("file", Text, nullable=False),
    Column("dtype", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("sha256", Text, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("base_id", ForeignKey("bases.id"), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("created", Text, nullable=False),
)

packages = Table(
    "packages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created", Text, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("package_id", ForeignKey("packages.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("parent_version", Integer),
    Column("kind", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("base_fingerprint", Text, nullable=False, index=True),
    Column("parent_root", Text, nullable=False),
    Column("parent_packages", Text, nullable=False),
    Column("n_edits", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("words", Text, nullable=False, server_default=""),  # of the message, folded, for full-text search
    UniqueConstraint("package_id", "number"),
)

files = Table(
    "files",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("sha256", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
)

edits = Table(
    "edits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("request", Text, nullable=False),
    Column("words", Text, nullable=False),  # what full-text search looks at, folded
    UniqueConstraint("version_id", "position"),
)

scores = Table(
    "scores",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), index=True),  # null: of a state as a whole
    Column("metric", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("n", Integer, nullable=False),
    Column("dataset_sha256", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state_root", Text, nullable=False, index=True),
    Column("low", Double),
    Column("high", Double),
    Column("compute_dtype", Text, nullable=False),
    Column("created", Text),
    CheckConstraint("phase IN ('before', 'after')", name="phase"),
)

generations = Table(
    "generations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("state_root", Text, index=True),
    Column("folder", Text),
    Column("message", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("process_started", Text),
    Column("heartbeat", Text, nullable=False),
    UniqueConstraint("model_id", "number"),
    CheckConstraint("status IN ('pending', 'ready', 'failed', 'removed')", name="status"),
    CheckConstraint("status <> 'ready' OR state_root IS NOT NULL", name="ready_has_root"),
)

ONE_PENDING = text("status = 'pending'")
"""Which generations the index below holds."""

pending_index = Index("uq_generations_pending", generations.c.model_id, unique=True, sqlite_where=ONE_PENDING)
"""One process at a time may write a generation of a model. PostgreSQL's half of it is said by that dialect, because
naming it here would import SQLAlchemy's whole PostgreSQL support at every start."""

generation_entries = Table(
    "generation_entries",
    metadata,
    Column("generation_id", ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("version_id", ForeignKey("versions.id"), nullable=False, index=True),
    UniqueConstraint("generation_id", "version_id"),
)

generation_tensors = Table(
    "generation_tensors",
    metadata,
    Column("generation_id", ForeignKey("generations.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
)

tags = Table(
    "tags",
    metadata,
    Column("package_id", ForeignKey("packages.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", Text, nullable=False),
)

editors = Table(
    "editors",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("method", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("manifest", Text, nullable=False),
    UniqueConstraint("name", "number"),
)

editor_files = Table(
    "editor_files",
    metadata,
    Column("editor_id", ForeignKey("editors.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("sha256", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
)

signatures = Table(
    "signatures",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created", Text, nullable=False),
)

# Versions whose content was erased; their rows keep what they are known by.
forgotten = Table(
    "forgotten",
    metadata,
    Column("version_id", ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True),
    Column("time", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

remotes = Table(
    "remotes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("created", Text, nullable=False),
)

# Append-only: triggers refuse UPDATE and DELETE.
events = Table(
    "events",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("time", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("program_version", Text, nullable=False),
    Column("command", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("objects", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("previous_sha256", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
)

# Where the chain ends; one row, so that events taken off its end are missed.
event_head = Table(
    "event_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
