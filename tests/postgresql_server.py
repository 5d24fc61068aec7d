"""A real PostgreSQL for tests and benchmarks: one of its own where the server is installed, or one that is named.

``PATCHMGR_TEST_POSTGRESQL_URL`` names another server, such as ``postgresql://postgres:secret@127.0.0.1:5432``; its user
must be allowed to make databases, and those made here (``patchmgr_test_…``) are dropped again.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, make_url

VARIABLE = "PATCHMGR_TEST_POSTGRESQL_URL"
MISSING = f"PostgreSQL's server is not installed (initdb), and {VARIABLE} names none; all else runs on SQLite"


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    pattern: str
    """URL with ``{}`` where the name of the database stands."""
    made: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        return self.pattern.replace("{}", database)

    def execute(self, statement: str) -> None:
        url = make_url(self.url("postgres")).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    def new_database(self, template: str = "template1") -> str:
        """The name of a new database, a copy of the one named."""
        name = f"patchmgr_test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        self.made.append(name)
        return name


def find_initdb() -> Path | None:
    """The newest ``initdb``, where packagers put it, where ``pg_config`` says, or on the path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if told := shutil.which("pg_config"):
        answer = subprocess.run([told, "--bindir"], check=True, capture_output=True, text=True).stdout
        places.insert(0, Path(answer.strip()))
    if on_path := shutil.which("initdb"):
        places.insert(0, Path(on_path).parent)
    return next((place / "initdb" for place in reversed(places) if (place / "initdb").is_file()), None)


@contextmanager
def running_server() -> Iterator[Server | None]:
    """A server until the block ends; None where there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        server = Server(
            make_url(named).set(database="{}").render_as_string(hide_password=False).replace("%7B%7D", "{}")
        )
        try:
            yield server
        finally:
            for name in reversed(server.made):
                server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    elif (initdb := find_initdb()) is None:
        yield None
    else:
        with _own_server(initdb) as server:
            yield server


@contextmanager
def _own_server(initdb: Path) -> Iterator[Server]:
    """One in a folder of its own, on a socket in that folder, without a port."""
    folder = Path(tempfile.mkdtemp(prefix="patchmgr-pg-"))
    user = getpass.getuser()
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "postgres"
        as_user = {"user": user, "group": user, "extra_groups": []}
        shutil.chown(folder, user, user)

    def run(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True, cwd=folder, timeout=120, **as_user)

    pg_ctl, data = str(initdb.with_name("pg_ctl")), str(folder / "data")
    settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=100"
    try:
        run(str(initdb), "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync")
        run(pg_ctl, "-D", data, "-l", str(folder / "log"), "-w", "-o", settings, "start")
        try:
            yield Server(f"postgresql://{user}@/{{}}?host={folder}")
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
