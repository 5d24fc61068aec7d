"""Many processes that write to one registry: each command ends well or busy, and what was told of is in the chain."""

from __future__ import annotations

import pytest

from crash.writers import GOOD, prepare, write_together
from databases import Database


@pytest.fixture
def on_database(database: Database, tmp_path, monkeypatch):
    """A folder whose homes keep their registries in the database."""
    if database.url:
        monkeypatch.setenv("PATCHMGR_DATABASE_URL", database.url)
    return tmp_path


def end_well_or_busy(folder, n_writers: int, seconds: float, least: int) -> None:
    prepare(folder, n_writers)
    tally = write_together(folder, n_writers, seconds)
    assert set(tally.ended) <= GOOD, tally.odd
    assert tally.ended["0"] >= least, tally
    print(f"{tally.rate:.1f} commands a second, {dict(tally.ended)}, slowest {tally.slowest_s:.2f} s")


def test_four_writers_lose_nothing(on_database):
    end_well_or_busy(on_database, 4, seconds=2, least=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sixteen_writers_lose_nothing_in_a_minute(on_database):
    end_well_or_busy(on_database, 16, seconds=60, least=160)
