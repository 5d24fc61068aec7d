"""A database of every released revision is upgraded with all that is in it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy.exc import IntegrityError as BrokenRule

import patchmgr_migrations
from patchmgr_migrations import triggers
from patchmgr_registry import Registry, ScoreRecord, SignatureRecord
from patchmgr_registry.schema import metadata

RELEASED = {path.stem.removeprefix("released_"): path for path in Path(__file__).parent.glob("released_*.db")}
OLD = {"dataset_sha256": "3" * 64, "seed": 0, "created": "2026-01-02T03:04:05.000000Z"}


@pytest.fixture(params=sorted(RELEASED))
def home(request, tmp_path):
    shutil.copy(RELEASED[request.param], tmp_path / "registry.db")
    with closing(sqlite3.connect(tmp_path / "registry.db")) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == (request.param,)
    return tmp_path


def test_every_revision_but_the_newest_has_its_database():
    assert set(RELEASED) >= set(patchmgr_migrations.REVISIONS[:-1])


def test_everything_in_it_is_still_there(home):
    with Registry.open(home) as registry:
        assert registry.scores("d" * 64) == (
            ScoreRecord("reliability", "tf", "before", 0.0, 3, state_root="e" * 64, **OLD),
            ScoreRecord("reliability", "tf", "after", 0.1 + 0.2, 3, state_root="f" * 64, **OLD),
            ScoreRecord("exact_match", "gen", "after", 1.0, 3, state_root="f" * 64, **OLD),
            ScoreRecord("locality/same_subject", "tf", "after", 0.5, 2, state_root="f" * 64, **OLD),
        )
        assert registry.scores_of_state("e" * 64) == registry.scores("d" * 64)[:1]
        assert registry.verify_events() is None
        assert registry.event_head().sequence == 2
        assert [found.request.target_new for found in registry.search("moon")] == ["cheese"]
        assert registry.version("fact-fixes@stable").number == 1
        assert registry.generation("prod").tensors == {"w": "5" * 64}


def test_it_becomes_the_schema_with_every_trigger_and_rule(home):
    with Registry.open(home) as registry, registry._engine.connect() as connection:
        command.check(patchmgr_migrations.configuration(connection, metadata=metadata))
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
        assert set(names) == set(triggers.expected_triggers("sqlite"))
        (table,) = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'scores'").scalars()
        for rule in ("pk_scores", "ck_scores_phase", "fk_scores_version_id"):
            assert table.count(f"CONSTRAINT {rule} ") == 1, rule
        assert table.count("CHECK") == 1
        for statement in ("UPDATE events SET actor = 'eve'", "DELETE FROM events"):
            with pytest.raises(BrokenRule, match="append-only"):
                connection.exec_driver_sql(statement)


def test_new_scores_fit_into_it(home):
    measured = ScoreRecord(
        "reliability", "tf", "after", 0.9, 40, "6" * 64, 7, "f" * 64, low=0.8, high=1.0, compute_dtype="bfloat16",
        created="2026-02-03T04:05:06.000000Z",
    )  # fmt: skip
    with Registry.open(home) as registry:
        before = registry.scores("d" * 64)
        with registry.begin() as tx:
            tx.add_scores("d" * 64, [measured])
            tx.add_scores(None, [measured])
            tx.commit()
        assert registry.scores("d" * 64) == (*before, measured)
        assert registry.scores_of_state("f" * 64)[-2:] == (measured, measured)
        with pytest.raises(BrokenRule, match="ck_scores_phase"), registry.begin() as tx:
            tx.add_scores(None, [ScoreRecord("x", "tf", "during", 0.9, 40, "6" * 64, 7, "f" * 64)])


def test_messages_of_old_versions_can_be_searched(home):
    with Registry.open(home) as registry:
        version = registry.version("fact-fixes@stable")
        word = version.message.split()[0]
        assert [hit.digest for hit in registry.search_messages(word)] == [version.digest]
        assert registry.check_database() == ()


def test_versions_of_old_databases_can_be_signed(home):
    signature = SignatureRecord("7" * 64, 1200, "2026-03-04T05:06:07.000000Z")
    with Registry.open(home) as registry:
        assert registry.signatures() == {}
        with registry.begin() as tx:
            tx.set_signature("d" * 64, signature)
            tx.commit()
        assert registry.signature("d" * 64) == signature
        assert registry.check_database() == ()
