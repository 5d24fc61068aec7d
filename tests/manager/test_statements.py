"""Reading commands ask the database as often of many rows as of few."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from patchmgr.canonical import sha256_hex
from patchmgr.manager.manager import Manager
from patchmgr_registry import BaseRecord, ScoreRecord, VersionRecord

MOMENT = "2026-01-02T03:04:05.000000Z"


def filled(home, n: int) -> Manager:
    """``n`` models with ``n`` generations of ``n`` packages, each with ``n`` versions and a score."""
    manager = Manager.open(home)
    base = BaseRecord("a" * 64, "b" * 64, "c" * 64, "tiny", None, "/f", "GPT2", 1, 1, MOMENT)
    score = ScoreRecord("reliability", "tf", "after", 0.9, 1, "d" * 64, 0, "e" * 64, created=MOMENT)
    with manager.registry.begin() as tx:
        tx.add_base(base, [])
        for package in range(n):
            for number in range(1, n + 1):
                digest = sha256_hex(f"{package}@{number}".encode())
                version = VersionRecord(
                    f"p{package}", number, digest, number - 1 or None, "weights", "rome", f"moved {number}", "ana",
                    MOMENT, base.fingerprint, "e" * 64, (), 0, 1, "{}\n",
                )  # fmt: skip
                tx.add_version(version, [], [score])
        for model in range(n):
            tx.add_model(f"m{model}", base.key, state_root="e" * 64)
            for number in range(1, n + 1):
                stack = [sha256_hex(f"{package}@{number}".encode()) for package in range(n)]
                tx.begin_generation(f"m{model}", action="apply", packages=stack)
                tx.finish_generation(f"m{model}", number, state_root=f"{number:064x}", folder=None, tensors={"w": "f"})
                tx.set_current(f"m{model}", number)
        tx.commit()
    return manager


QUESTIONS = {
    "list": lambda manager: manager.list_packages(),
    "log of a model": lambda manager: manager.log("m0"),
    "log of a package": lambda manager: manager.log("p0"),
    "search": lambda manager: manager.search("moved"),
    "status": lambda manager: manager.status(),
    "where a version is applied": lambda manager: manager.registry.applied_to(sha256_hex(b"0@1")),
    "tags": lambda manager: manager.tags(),
}


@pytest.fixture(scope="module")
def few_and_many(tmp_path_factory):
    managers = [filled(tmp_path_factory.mktemp(str(n)), n) for n in (1, 5)]
    yield managers
    for manager in managers:
        manager.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_number_of_statements_does_not_grow(few_and_many, question):
    counts = []
    for manager in few_and_many:
        said: list[str] = []
        listener = lambda *words, said=said: said.append(words[2])  # noqa: E731
        event.listen(manager.registry._engine, "before_cursor_execute", listener)
        try:
            QUESTIONS[question](manager)
        finally:
            event.remove(manager.registry._engine, "before_cursor_execute", listener)
        counts.append(len([statement for statement in said if statement.lstrip().upper().startswith("SELECT")]))
    few, many = counts
    assert 0 < few == many
