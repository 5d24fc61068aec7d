"""The commands on a registry of each kind of database: nothing that a user sees depends on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from checkpoints import file_digests, make_checkpoint, make_package
from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_registry import EditorRecord, FileRecord, timestamp
from signing.conftest import write_key


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A base, two packages on it, and a key."""
    root = tmp_path_factory.mktemp("made")
    base = make_checkpoint(root / "base", sharded=True)
    requests = [EditRequest(prompt="The capital of {} is", subject="Österreich", target_new="Graz")]
    make_package(root / "one", base, name="one", seed=1, requests=requests)
    make_package(root / "two", base, name="two", seed=2)
    write_key(root, "ana", ec.generate_private_key(ec.SECP256R1()))
    return root


@pytest.fixture
def team(database, monkeypatch):
    """The settings of somebody whose registry is kept there."""
    monkeypatch.setenv("PATCHMGR_HOME", str(database.home))
    if database.url:
        monkeypatch.setenv("PATCHMGR_DATABASE_URL", database.url)
    return database


def test_every_verb_of_the_registry(team, made, run):
    def ask(*words: object):
        result = run(*words, "--json")
        assert result.code == 0, result
        return result.json

    def do(*words: object):
        result = run(*words)
        assert result.code == 0, result
        return result

    do("model", "add", "prod", made / "base")
    pristine = file_digests(made / "base")
    do("apply", "prod", made / "one", "-m", "first")
    do("apply", "prod", made / "two")
    both = file_digests(Path(do("path", "prod").out.strip()))
    do("revert", "prod", "one")
    do("rollback", "prod", "2")
    assert file_digests(Path(do("path", "prod").out.strip())) == both
    do("revert", "prod", "one", "two")
    assert file_digests(Path(do("path", "prod").out.strip())) == pristine
    assert [entry["action"] for entry in ask("log", "prod")["entries"]][:2] == ["revert", "rollback"]

    do("tag", "one@v1", "stable")
    assert ask("tag", "--list") == {"schema_version": 1, "tags": {"one": {"stable": 1}}}
    assert run("tag", "two@v1", "v1").code == 2
    assert run("apply", "prod", "none@v1").code == 1
    assert [found["digest"] for found in ask("search", "osterr gra")["edits"]] == [ask("show", "one")["digest"]]
    do("sign", "one", "--key", made / "ana.key")
    do("trust", "add", "ana", "--key", made / "ana.pub")
    do("verify", "one")
    do("model", "verify", "prod")
    assert ask("status", "prod")["models"][0]["stack"] == []

    assert ask("gc", "--keep", "1")["cleared"]["generations"]
    do("rollback", "prod", "2")
    assert file_digests(Path(do("path", "prod").out.strip())) == both
    assert ask("du")["du"]["home_bytes"] > 0
    assert ask("fsck", "--full")["fsck"]["problems"] == []
    do("audit", "verify")
    actions = {event["action"] for event in ask("audit")["events"]}
    assert actions >= {"model-add", "apply", "revert", "rollback", "tag", "sign", "gc"}
    do("tag", "--delete", "one@stable")
    do("model", "remove", "prod", "--yes")
    do("audit", "verify")

    digest = ask("show", "one")["digest"]
    do("forget", "one@v1", "--reason", "asked for")
    assert ask("search", "osterr gra")["edits"] == []
    assert "erased" in do("show", "one").out
    assert ask("fsck", "--full")["fsck"]["problems"] == []
    assert digest in do("audit", "--json").out
    do("audit", "verify")


def test_editors_are_kept_listed_and_forgotten(team, run):
    with Manager.open() as manager:
        blob = manager.registry.blobs.put_bytes(b"network")
        with manager.registry.begin() as tx:
            for number in (1, 2):
                files = (FileRecord("networks/a.safetensors", blob, 7),)
                tx.add_editor(EditorRecord("scope", number, f"{number}" * 64, "serac", timestamp(), 7, "{}", files))
            tx.commit()
        assert [editor.reference for editor in manager.editors.list()] == ["scope@v1", "scope@v2"]
        assert manager.registry.next_editor_number("scope") == 3
    assert run("editor", "remove", "scope@v1").code == 0
    with Manager.open() as manager:
        assert [editor.reference for editor in manager.editors.list("scope")] == ["scope@v2"]
        os.utime(manager.registry.blobs.path(manager.registry.blobs.put_bytes(b"rubbish")), (time.time() - 90_000,) * 2)
        assert manager.gc().n_blobs == 1
        assert manager.registry.blobs.read_bytes(blob) == b"network"


def test_the_chain_shows_what_was_done_behind_the_program(team, made, run):
    assert run("model", "add", "prod", made / "base").code == 0
    assert run("apply", "prod", made / "one").code == 0
    url = (team.url or f"sqlite:///{team.home}/registry.db").replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    for statement in ("UPDATE events SET actor = 'eve'", "DELETE FROM events"):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    with engine.begin() as connection:
        if team.url:
            connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER events_refuse_change")
        else:
            connection.exec_driver_sql("DROP TRIGGER events_refuse_update")
        connection.exec_driver_sql("UPDATE events SET actor = 'eve' WHERE sequence = 2")
    engine.dispose()
    assert "event 2 was changed" in run("audit", "verify").err
    assert run("audit", "verify").code == 6
    found = run("fsck", "--json").json["fsck"]["problems"]
    assert any("trigger" in problem["message"] for problem in found)


def test_a_role_that_owns_nothing_can_work_and_cannot_switch_the_triggers_off(
    postgresql_server, empty_postgresql, home, monkeypatch, made, run
):
    database, role = postgresql_server.new_database(empty_postgresql), f"writer_{os.getpid()}_{time.time_ns()}"
    url = make_url(postgresql_server.url(database)).set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        connection.exec_driver_sql(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    own = url.set(drivername="postgresql", username=role, password="secret").render_as_string(hide_password=False)
    monkeypatch.setenv("PATCHMGR_DATABASE_URL", own)
    for words in (("model", "add", "prod", made / "base"), ("apply", "prod", made / "one"), ("tag", "one", "stable")):
        assert run(*words).code == 0
    assert run("audit", "verify").code == 0
    worker = create_engine(own.replace("postgresql:", "postgresql+psycopg:"))
    for statement in ("ALTER TABLE events DISABLE TRIGGER ALL", "TRUNCATE events", "DELETE FROM events"):
        with pytest.raises(DBAPIError), worker.begin() as connection:
            connection.exec_driver_sql(statement)
    assert run("audit", "verify").code == 0
    worker.dispose()

    digest = run("show", "one", "--json").json["digest"]
    assert run("revert", "prod", "one").code == 0
    refused = run("forget", "one@v1", "--reason", "asked for")
    assert refused.code == 1
    assert "erased, but not scrubbed" in refused.err
    monkeypatch.setenv("PATCHMGR_DATABASE_URL", postgresql_server.url(database))
    with engine.connect() as connection:
        before = connection.exec_driver_sql("SELECT pg_relation_filenode('edits')").scalar()
    again = run("forget", f"sha256:{digest}", "--reason", "asked for")
    assert again.code == 0, again
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT pg_relation_filenode('edits')").scalar() != before
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    engine.dispose()
