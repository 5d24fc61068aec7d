"""Upgrading PostgreSQL registries of every old revision with rows in them; SQLite's are in tests/migrations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, insert, select

import patchmgr_migrations
from patchmgr_registry import Registry, ScoreRecord

RELEASED = sorted((Path(__file__).parents[1] / "migrations").glob("released_*.db"))
WHEN = "2026-01-02T03:04:05.000000Z"


def test_scores_of_revision_0001_are_kept_and_new_ones_fit(new_postgresql, tmp_path):
    url = new_postgresql()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        patchmgr_migrations.upgrade(connection, "0001")
        connection.exec_driver_sql("INSERT INTO packages (id, name, created) VALUES (1, 'p', %s)", (WHEN,))
        connection.exec_driver_sql(
            "INSERT INTO versions (id, package_id, number, digest, kind, method, message, author, created, "
            "base_fingerprint, parent_root, parent_packages, n_edits, size_bytes, manifest) "
            "VALUES (1, 1, 1, %s, 'weights', 'rome', '', 'ana', %s, 'b', 'r', '[]', 1, 1, '{}')",
            ("d" * 64, WHEN),
        )
        connection.exec_driver_sql(
            "INSERT INTO scores (version_id, metric, protocol, phase, value, n, dataset_sha256, seed, state_root) "
            "VALUES (1, 'reliability', 'tf', 'after', 0.5, 3, '3', 0, '4')"
        )
    engine.dispose()
    old = ScoreRecord("reliability", "tf", "after", 0.5, 3, "3", 0, "4", created=WHEN)
    new = ScoreRecord("reliability", "tf", "after", 0.75, 3, "3", 0, "4", 0.5, 1.0, "bfloat16", WHEN)
    with Registry.open(tmp_path, url) as registry:
        assert registry.scores("d" * 64) == (old,)
        with registry.begin() as tx:
            tx.add_scores("d" * 64, [new])
            tx.add_scores(None, [new])
            tx.commit()
        assert registry.scores("d" * 64) == (old, new)
        assert registry.scores_of_state("4") == (old, new, new)


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_a_database_of_every_revision_becomes_what_it_becomes_in_sqlite(released, new_postgresql, tmp_path):
    url = new_postgresql()
    old, engine = (
        create_engine(f"sqlite:///{released}"),
        create_engine(url.replace("postgresql:", "postgresql+psycopg:")),
    )
    with engine.begin() as connection, old.connect() as rows:
        patchmgr_migrations.upgrade(connection, released.stem.removeprefix("released_"))
        connection.exec_driver_sql("DELETE FROM event_head")
        tables = MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name != patchmgr_migrations.VERSION_TABLE:
                for row in rows.execute(select(table)).mappings():
                    connection.execute(insert(table), dict(row))
    engine.dispose()
    old.dispose()
    (tmp_path / "old").mkdir()
    shutil.copy(released, tmp_path / "old" / "registry.db")
    with Registry.open(tmp_path, url) as upgraded, Registry.open(tmp_path / "old") as same:
        assert upgraded.verify_events() is None
        assert upgraded.check_database() == ()
        for ask in (
            Registry.bases, Registry.models, Registry.packages, Registry.remotes, Registry.signatures, Registry.editors,
            Registry.events, Registry.event_head, Registry.tagged, Registry.blob_digests,
            lambda registry: registry.generation("prod"), lambda registry: registry.search("moon"),
            lambda registry: registry.search_messages(same.version("fact-fixes@stable").message.split()[0]),
            lambda registry: registry.scores("d" * 64), lambda registry: registry.versions("fact-fixes"),
        ):  # fmt: skip
            assert ask(upgraded) == ask(same)
