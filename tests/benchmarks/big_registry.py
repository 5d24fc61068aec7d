"""Reading commands on a registry of 100,000 versions, 1,000,000 edits and 1,000,000 events.

The registry is written once, into ``FOLDER`` (about 2 GB): see ``big_registry_rows.py``. Each command then runs as a
process of its own on that registry, and on one with one package and one model, which is what starting it takes. Beside
it the SQL alone: the statements that the answer needs, written by hand, every row fetched. Seconds are those of the
processor, so that other work on the machine does not count; what is read lies in memory after the first round. The
exit code is 3 when a command takes more than twice the sum of both.

    python tests/benchmarks/big_registry.py FOLDER [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from big_registry_rows import big_home, small_home  # noqa: E402

LIMIT = 2.0

VERSION = "SELECT p.name, v.number, v.digest, v.method, v.n_edits, v.size_bytes, v.created, v.message, v.id "
NEWEST = "(SELECT package_id, max(number) n, count(*) c FROM versions GROUP BY package_id)"
FOUND = "SELECT rowid FROM edits_search WHERE edits_search MATCH ?"


def sql_list(database: sqlite3.Connection) -> None:
    """The newest version of every package, and its tags."""
    query = f"{VERSION}, m.c FROM {NEWEST} m JOIN versions v ON v.package_id = m.package_id AND v.number = m.n "
    database.execute(f"{query} JOIN packages p ON p.id = v.package_id ORDER BY p.name").fetchall()
    database.execute("SELECT * FROM tags").fetchall()


def sql_log_package(database: sqlite3.Connection) -> None:
    """The versions of the biggest package with their scores."""
    of = "FROM packages p JOIN versions v ON v.package_id = p.id"
    database.execute(f"{VERSION} {of} WHERE p.name = 'package-0002' ORDER BY v.number DESC").fetchall()
    scores = (
        f"SELECT s.version_id, s.metric, s.value, s.phase, s.dataset_sha256 {of} JOIN scores s ON s.version_id = v.id"
    )
    database.execute(f"{scores} WHERE p.name = 'package-0002' ORDER BY s.id").fetchall()


def sql_log_newest(database: sqlite3.Connection) -> None:
    """The newest fifty of them with their scores."""
    of = "FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.name = 'package-0002'"
    found = database.execute(f"{VERSION} {of} ORDER BY v.number DESC LIMIT 50").fetchall()
    places = ", ".join("?" for _ in found)
    scores = f"SELECT version_id, metric, value FROM scores WHERE version_id IN ({places}) ORDER BY id"
    database.execute(scores, [row[8] for row in found]).fetchall()


def sql_log_model(database: sqlite3.Connection) -> None:
    """The generations of a model with their stacks and the scores of their states."""
    of = "FROM models m JOIN generations g ON g.model_id = m.id"
    database.execute(f"SELECT g.* {of} WHERE m.name = 'model-2' ORDER BY g.number DESC").fetchall()
    entries = f"{of} JOIN generation_entries e ON e.generation_id = g.id JOIN versions v ON v.id = e.version_id"
    named = f"SELECT g.id, p.name, v.number {entries} JOIN packages p ON p.id = v.package_id"
    database.execute(f"{named} WHERE m.name = 'model-2' ORDER BY g.id, e.position").fetchall()
    database.execute(
        f"SELECT s.* {of} JOIN scores s ON s.state_root = g.state_root WHERE m.name = 'model-2'"
    ).fetchall()


def sql_show(database: sqlite3.Connection) -> None:
    """One version with files, scores and tags, and the models that it is applied to."""
    version = database.execute(
        "SELECT v.* FROM packages p JOIN versions v ON v.package_id = p.id WHERE p.name = 'whole'"
    )
    (row, *_) = version.fetchone()
    for table in ("files", "scores", "tags"):
        database.execute(f"SELECT * FROM {table} WHERE version_id = ?", (row,)).fetchall()
    current = "models m JOIN generations g ON g.model_id = m.id AND g.number = m.generation"
    where = "JOIN generation_entries e ON e.generation_id = g.id WHERE e.version_id = ?"
    database.execute(f"SELECT m.name FROM {current} {where}", (row,)).fetchall()


def sql_search(words: str) -> Callable[[sqlite3.Connection], None]:
    """The fifty edits with these words that were added last, and the messages."""

    def search(database: sqlite3.Connection) -> None:
        of = "edits_search s JOIN edits e ON e.id = s.rowid JOIN versions v ON v.id = e.version_id"
        named = (
            f"{of} JOIN packages p ON p.id = v.package_id WHERE s.edits_search MATCH ? ORDER BY s.rowid DESC LIMIT 50"
        )
        database.execute(f"SELECT p.name, v.number, e.position, e.request FROM {named}", (words,)).fetchall()
        told = "versions_search s JOIN versions v ON v.id = s.rowid JOIN packages p ON p.id = v.package_id"
        which = "WHERE s.versions_search MATCH ? ORDER BY s.rowid DESC LIMIT 50"
        database.execute(f"SELECT p.name, v.number, v.message FROM {told} {which}", (words,)).fetchall()

    return search


def sql_status(database: sqlite3.Connection) -> None:
    """Every model with its base, its current generation and what is in its stack."""
    current = "models m JOIN generations g ON g.model_id = m.id AND g.number = m.generation"
    database.execute(f"SELECT m.name, b.*, g.* FROM {current} JOIN bases b ON b.id = m.base_id").fetchall()
    entries = "generation_entries e JOIN versions v ON v.id = e.version_id JOIN packages p ON p.id = v.package_id"
    which = f"WHERE e.generation_id IN (SELECT g.id FROM {current}) ORDER BY e.generation_id, e.position"
    database.execute(f"{VERSION} FROM {entries} {which}").fetchall()


COMMANDS: list[tuple[str, tuple[str, ...], tuple[str, ...], Callable[[sqlite3.Connection], None]]] = [
    ("list", ("list",), ("list",), sql_list),
    ("log PACKAGE (20,000 versions)", ("log", "package-0002"), ("log", "whole"), sql_log_package),
    ("log PACKAGE -n 50", ("log", "package-0002", "-n", "50"), ("log", "whole", "-n", "50"), sql_log_newest),
    ("log MODEL (5,000 generations)", ("log", "model-2"), ("log", "prod"), sql_log_model),
    ("show", ("show", "whole"), ("show", "whole"), sql_show),
    ("search, a word of ten edits", ("search", "77777"), ("search", "nowhere"), sql_search('"77777"*')),
    ("search, a word of 20,000 edits", ("search", "eskorvik"), ("search", "nowhere"), sql_search('"eskorvik"*')),
    ("status", ("status",), ("status",), sql_status),
]


def process_s(home: Path, words: tuple[str, ...]) -> float:
    """Processor seconds of one command, from its start to its end, its output read."""
    program = str(Path(sys.executable).with_name("patchmgr"))
    environment = {**os.environ, "PATCHMGR_HOME": str(home), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([program, *words], check=True, env=environment, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sql_s(home: Path, ask: Callable[[sqlite3.Connection], None]) -> float:
    """Processor seconds of the statements alone, on a new connection."""
    with closing(sqlite3.connect(home / "registry.db")) as database:
        started = time.process_time()
        ask(database)
        return time.process_time() - started


def main() -> None:
    """Write the registry if it is not there, then time the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if not (given.folder / "done").exists():
        started = time.perf_counter()
        given.folder.mkdir(parents=True)
        big_home(given.folder, small_home(given.folder))
        (given.folder / "done").touch()
        print(f"written in {time.perf_counter() - started:.0f} s")
    small, big = given.folder / "small", given.folder / "big"
    print("| command | seconds | started alone | SQL alone | ratio |\n|---|--:|--:|--:|--:|")
    worst = 0.0
    for name, words, few, ask in COMMANDS:
        took, start, alone = zip(
            *((process_s(big, words), process_s(small, few), sql_s(big, ask)) for _ in range(given.rounds)), strict=True
        )
        whole, begin, sql = map(statistics.median, (took, start, alone))
        worst = max(worst, whole / (begin + sql))
        print(f"| `{name}` | {whole:.2f} | {begin:.2f} | {sql:.3f} | {whole / (begin + sql):.2f} |", flush=True)
    sys.exit(3 if worst > LIMIT else 0)


if __name__ == "__main__":
    main()
