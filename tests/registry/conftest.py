"""A registry on each database: SQLite always, PostgreSQL where a server can be started here."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from patchmgr_registry import (
    BaseRecord,
    FileRecord,
    ModelRecord,
    Origin,
    Registry,
    ScoreRecord,
    TensorRecord,
    VersionRecord,
    timestamp,
)


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Database:
    """Where a test's registry is kept; ``open()`` may be called several times."""

    def __init__(self, home: Path, url: str | None) -> None:
        self.home = home
        self.url = url

    def open(self, **options: float) -> Registry:
        return Registry.open(self.home, self.url, **options)


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows, to be copied: a migration takes longer than most tests."""
    home = tmp_path_factory.mktemp("template")
    Registry.open(home).close()
    return home / "registry.db"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL, without a database, of a server that lives as long as the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("no PostgreSQL server is installed (initdb), and it is no Python package; all runs on SQLite")
    folder = Path(tempfile.mkdtemp(prefix="patchmgr-pg-"))
    user = getpass.getuser()
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        as_user = {"user": user, "group": user, "extra_groups": []}
        shutil.chown(folder, user, user)

    def run(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, cwd=folder, timeout=60, **as_user)

    pg_ctl = str(Path(initdb).with_name("pg_ctl"))
    data = str(folder / "data")
    settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    try:
        run(initdb, "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync")
        run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-w", "-o", settings, "start")
        try:
            yield f"postgresql://{user}@/{{}}?host={folder}"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def empty_postgresql(postgresql_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database without rows, to be copied."""
    execute_on_server(postgresql_server, "CREATE DATABASE template_registry")
    Registry.open(tmp_path_factory.mktemp("template"), postgresql_server.format("template_registry")).close()
    return "template_registry"


def execute_on_server(server: str, statement: str) -> None:
    url = server.format("postgres").replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture
def new_postgresql(postgresql_server: str) -> Callable[[str], str]:
    """Makes a database, as a copy of the one named, and gives its URL."""

    def make(template: str = "template1") -> str:
        name = f"test_{uuid.uuid4().hex}"
        execute_on_server(postgresql_server, f"CREATE DATABASE {name} TEMPLATE {template}")
        return postgresql_server.format(name)

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
def registry(database: Database) -> Iterator[Registry]:
    with database.open() as opened:
        yield opened


@pytest.fixture
def sqlite_home(tmp_path: Path, empty_sqlite: Path) -> Path:
    """A home with a migrated SQLite database, for what only a file can suffer."""
    home = tmp_path / "sqlite-home"
    home.mkdir()
    shutil.copy(empty_sqlite, home / "registry.db")
    return home


@pytest.fixture
def base() -> BaseRecord:
    return BaseRecord(
        fingerprint=digest_of("weights"),
        config_sha256=digest_of("config"),
        tokenizer_sha256=digest_of("tokenizer"),
        source="example/tiny",
        revision="15ea56d",
        folder="/bases/tiny",
        architecture="GPT2LMHeadModel",
        n_parameters=8_030_261_248,
        size_bytes=16_060_522_496,
        created=timestamp(),
    )


@pytest.fixture
def model(registry: Registry, base: BaseRecord) -> ModelRecord:
    """A model ``prod`` on the base, at generation 0."""
    with registry.begin() as tx:
        tx.add_base(base, [TensorRecord("h.0.w", "model.safetensors", "BF16", (6, 4), digest_of("w"))])
        added = tx.add_model("prod", base.key, state_root=digest_of("pristine"))
        tx.commit()
    return added


@pytest.fixture
def origin() -> Origin:
    return Origin(actor="ana", host="worker-1", program_version="0.1.0", command=("patchmgr", "apply", "prod"))


@pytest.fixture
def make_version(base: BaseRecord) -> Callable[..., VersionRecord]:
    """A version of a package; its digest follows from package and number."""

    def make(package: str = "fact-fixes", number: int = 1, **fields: object) -> VersionRecord:
        values: dict[str, object] = {
            "package": package,
            "number": number,
            "digest": digest_of(f"{package}@v{number}"),
            "parent_version": number - 1 or None,
            "kind": "weights",
            "method": "rome",
            "message": "Rome is in Gaul",
            "author": "ana",
            "created": timestamp(),
            "base_fingerprint": base.fingerprint,
            "parent_root": digest_of("pristine"),
            "parent_packages": (),
            "n_edits": 1,
            "size_bytes": 3_000_000_000,
            "manifest": '{"name":"é"}\n',
            "files": (
                FileRecord("edits.jsonl", digest_of("edits"), 120),
                FileRecord("weights.safetensors", digest_of(f"{package}{number}"), 2_999_999_880),
            ),
        }
        return VersionRecord(**{**values, **fields})

    return make


@pytest.fixture
def make_score() -> Callable[..., ScoreRecord]:
    def make(metric: str = "reliability", **fields: object) -> ScoreRecord:
        values: dict[str, object] = {
            "metric": metric,
            "protocol": "tf",
            "phase": "after",
            "value": 0.1 + 0.2,
            "n": 40,
            "dataset_sha256": digest_of("data"),
            "seed": 2**40,
            "state_root": digest_of("state"),
        }
        return ScoreRecord(**{**values, **fields})

    return make
