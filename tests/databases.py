"""Fixtures: a registry on each database. A file of tests, or a ``conftest.py``, imports those that it needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from patchmgr_registry import Registry
from postgresql_server import MISSING, Server, running_server


@dataclass(frozen=True)
class Database:
    """Where a test's registry is kept; ``open()`` may be called several times."""

    home: Path
    url: str | None
    """None: a file in the home."""

    def open(self, **options: float) -> Registry:
        return Registry.open(self.home, self.url, **options)


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows, to be copied: a migration takes longer than most tests."""
    home = tmp_path_factory.mktemp("template")
    Registry.open(home).close()
    return home / "registry.db"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A server that lives as long as the tests."""
    with running_server() as server:
        if server is None:
            pytest.skip(MISSING)  # no package index carries a server, so an environment alone cannot bring one
        yield server


@pytest.fixture(scope="session")
def empty_postgresql(postgresql_server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database without rows, to be copied."""
    name = postgresql_server.new_database()
    Registry.open(tmp_path_factory.mktemp("template"), postgresql_server.url(name)).close()
    return name


@pytest.fixture
def new_postgresql(postgresql_server: Server) -> Callable[..., str]:
    """Makes a database, as a copy of the one named, and gives its URL."""

    def make(template: str = "template1") -> str:
        return postgresql_server.url(postgresql_server.new_database(template))

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A migrated database without rows."""
    home = tmp_path / "registry-home"
    home.mkdir()
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite"), home / "registry.db")
        return Database(home, None)
    template = request.getfixturevalue("empty_postgresql")
    return Database(home, request.getfixturevalue("new_postgresql")(template))


@pytest.fixture
def sqlite_home(tmp_path: Path, empty_sqlite: Path) -> Path:
    """A home with a migrated SQLite database, for what only a file can suffer."""
    home = tmp_path / "sqlite-home"
    home.mkdir()
    shutil.copy(empty_sqlite, home / "registry.db")
    return home
