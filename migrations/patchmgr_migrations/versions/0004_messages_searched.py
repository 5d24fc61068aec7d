"""Messages of versions can be searched for their words, as edits can.

Revision ID: 0004
"""

from __future__ import annotations

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def upgrade() -> None:
    """Add the folded words of each message, and the full-text index over them."""
    op.add_column("versions", sa.Column("words", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    messages = connection.execute(sa.text("SELECT id, message FROM versions WHERE message <> ''")).all()
    rows = [{"row": row.id, "words": " ".join(_words(row.message))} for row in messages]
    if rows:
        connection.execute(sa.text("UPDATE versions SET words = :words WHERE id = :row"), rows)
    if connection.dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE versions_search USING fts5 (words, content='versions', content_rowid='id')")
        op.execute("INSERT INTO versions_search (versions_search) VALUES ('rebuild')")
    else:
        op.execute("CREATE INDEX versions_search ON versions USING gin (to_tsvector('simple', words))")


def _words(text: str) -> list[str]:
    """The words of a text as this revision folds them, whatever later programs do."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(sign))
    return _WORD.findall(unicodedata.normalize("NFKC", plain))
