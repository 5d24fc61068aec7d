"""A registry of 100,000 versions, 1,000,000 edits and 1,000,000 events, written in bulk.

5,000 packages, one of them with 20,000 versions; ten edits, three files and two scores of each version; ten models with
5,000 generations each, each of a stack of five packages; and a chain of events in which every hash is right. One model
and one package are whole, made by the program itself, so that ``show`` can read every byte.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from checkpoints import make_checkpoint, make_package
from patchmgr.canonical import canonical_json, sha256_hex
from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_registry.rows.text import to_text
from patchmgr_registry.words import searchable, words_of

N_PACKAGES, N_VERSIONS, N_IN_BIGGEST = 5_000, 100_000, 20_000
N_EDITS, N_EVENTS = 1_000_000, 1_000_000
N_MODELS, N_GENERATIONS, N_IN_STACK = 10, 5_000, 5
MOMENT = "2026-01-02T03:04:05.000000Z"
TOWNS = [f"{a}{b}{c}" for a in ("Al", "Bor", "Cas", "Dun", "Esk") for b in ("a", "en", "i", "or") for c in ("berg", "ford", "holm", "stad", "vik")]  # fmt: skip  # noqa: E501


def small_home(folder: Path) -> Path:
    """A home with a model and one whole package, applied; made by the program itself."""
    home = folder / "small"
    base = make_checkpoint(folder / "base")
    make_package(folder / "whole", base, name="whole", seed=1)
    with Manager.open(home) as manager:
        manager.add_model("prod", str(base))
        manager.apply("prod", [str(folder / "whole")])
    return home


def big_home(folder: Path, small: Path) -> Path:
    """The small home, with all the rest beside."""
    home = folder / "big"
    subprocess.run(["cp", "-a", str(small), str(home)], check=True)
    with closing(sqlite3.connect(home / "registry.db")) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # nothing is lost when this is broken off: it begins anew
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        with connection:
            write_versions(connection)
            write_generations(connection)
            write_events(connection)
        connection.execute("PRAGMA journal_mode = WAL")
    return home


def write_versions(connection: sqlite3.Connection) -> None:
    """Packages, versions, files, edits and scores."""
    chance = random.Random(0)
    (manifest,) = connection.execute("SELECT manifest FROM versions WHERE id = 1").fetchone()
    root, base = connection.execute("SELECT parent_root, base_fingerprint FROM versions WHERE id = 1").fetchone()
    insert(connection, "packages", ((n, f"package-{n:04}", MOMENT) for n in range(2, N_PACKAGES + 1)))
    numbers: dict[int, int] = {}
    versions, files = [], []
    for row in range(2, N_VERSIONS + 1):
        package = 2 if row <= N_IN_BIGGEST + 1 else 3 + (row % (N_PACKAGES - 2))
        number = numbers[package] = numbers.get(package, 0) + 1
        digest = sha256_hex(f"version {row}".encode())
        message = f"{chance.choice(TOWNS)} moved, number {row}"
        versions.append(
            (row, package, number, digest, number - 1 or None, "weights", "rome", message, "ana", MOMENT, base, root,
             "[]", N_EDITS // N_VERSIONS, 12_000, manifest, " ".join(words_of(message)))
        )  # fmt: skip
        files += [(row, name, sha256_hex(f"{name}{row}".encode()), 4_000) for name in ("edits.jsonl", "eval.json", "weights.safetensors")]  # fmt: skip  # noqa: E501
    insert(connection, "versions", versions)
    insert(connection, "files", files)
    insert(connection, "edits", edits(chance))
    score = ("tf", "after", 0.9, 10, "d" * 64, 0)
    insert(
        connection,
        "scores",
        (
            (None, row, metric, *score, sha256_hex(f"state {row}".encode()), 0.8, 1.0, "float32", MOMENT)
            for row in range(2, N_VERSIONS + 1)
            for metric in ("reliability", "locality")
        ),
    )


def edits(chance: random.Random) -> Iterator[tuple[object, ...]]:
    """The rows of a million edits; a trigger adds each to the full-text index."""
    each = N_EDITS // N_VERSIONS
    for row in range(2, N_VERSIONS + 1):
        for position in range(each if row > 2 else each + each - 1):  # version 1 has its own edit
            subject, target = f"{chance.choice(TOWNS)} {row}-{position}", chance.choice(TOWNS)
            text = f'{{"prompt":"{{}} lies in","subject":"{subject}","target_new":"{target}"}}'
            words = f"{subject.replace('-', ' ')} lies in {target}".lower()
            if position == 0 and row == 3:  # the short way writes what the program would
                request = EditRequest(prompt="{} lies in", subject=subject, target_new=target)
                assert (text, words) == (to_text(request.to_json()), searchable(request))
            yield (None, row, position, text, words)


def write_generations(connection: sqlite3.Connection) -> None:
    """Ten models on the one base, each with its history."""
    (base,) = connection.execute("SELECT base_id FROM models WHERE id = 1").fetchone()
    insert(connection, "models", ((m, f"model-{m}", base, N_GENERATIONS - 1, MOMENT) for m in range(2, N_MODELS + 2)))
    rows, entries, tensors = [], [], []
    key = 10
    for model in range(2, N_MODELS + 2):
        for number in range(N_GENERATIONS):
            key += 1
            root = sha256_hex(f"root {key}".encode())
            rows.append((key, model, number, "ready", "apply" if number else "add", root, None, f"change {number}", MOMENT, 1, "host", None, MOMENT))  # fmt: skip  # noqa: E501
            first = 2 + model * N_GENERATIONS + number  # the oldest goes, a new one comes
            stack = range(first, first + N_IN_STACK) if number else []
            entries += [(key, position, version) for position, version in enumerate(stack)]
            tensors += [(key, f"layers.{n}.down.weight", root) for n in range(2)] if number else []
    insert(connection, "generations", rows)
    insert(connection, "generation_entries", entries)
    insert(connection, "generation_tensors", tensors)


def write_events(connection: sqlite3.Connection) -> None:
    """The chain, up to a million, from where it ended."""
    sequence, previous = connection.execute("SELECT sequence, sha256 FROM event_head").fetchone()

    def chain() -> Iterator[tuple[object, ...]]:
        nonlocal sequence, previous
        while sequence < N_EVENTS:
            sequence += 1
            kind = "edit" if sequence % 10 == 0 else "apply" if sequence % 20 == 1 else "evaluate"
            about = (
                ("model", f"model-{2 + sequence % N_MODELS}"),
                ("package", f"package-{sequence % N_PACKAGES:04}@v1"),
            )
            named = (f'{{"digest":null,"kind":"{thing}","name":"{name}"}}' for thing, name in about)
            objects = f"[{','.join(named)}]"
            command = f'["patchmgr","{kind}"]'
            body = (
                f'{{"action":"{kind}","actor":"ana","command":{command},"host":"worker-1","objects":{objects},'
                f'"previous_sha256":"{previous}","program_version":"0.1.0","result":"ok","scores":[],'
                f'"sequence":{sequence},"time":"{MOMENT}"}}\n'
            ).encode()
            if sequence % 100_000 == 0:  # the short way writes what the program would
                assert body == canonical_json(json.loads(body))
            digest = sha256_hex(body)
            yield (sequence, MOMENT, "ana", "worker-1", "0.1.0", command, kind, objects, "ok", "[]", previous, digest)
            previous = digest

    insert(connection, "events", chain())
    connection.execute("UPDATE event_head SET sequence = ?, sha256 = ?", (sequence, previous))


def insert(connection: sqlite3.Connection, table: str, rows: object) -> None:
    """Rows with a value for each column."""
    places = ", ".join("?" for _ in connection.execute(f"PRAGMA table_info({table})").fetchall())
    connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
