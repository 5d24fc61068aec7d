"""Who carries what, since when and by which change; and where a fact comes from."""

from __future__ import annotations

import pytest

from checkpoints import make_package
from manager.audit.conftest import day
from patchmgr.errors import BusyError, IntegrityError, NotFoundError, UsageError
from patchmgr.manager.audit import carriers as carriers_module
from patchmgr.manager.manager import Manager
from patchmgr.request import EditRequest
from patchmgr_registry import EventFilter, ForgottenError


def test_who_carries_a_package_is_told_since_the_change_that_put_it_in(manager, history):
    for name in ("p1", "p2", "p3"):
        reference, spans, start = f"{name}@v1", [], None
        for number, stack in enumerate(history.stacks):
            if reference in stack and start is None:
                start = number
            elif reference not in stack and start is not None:
                spans.append((day(start), day(number)))
                start = None
        told = manager.audit.carriers(name, past=True)
        ended = [(one.since.time[:10], one.until.time[:10]) for one in told if one.until]
        assert ended == spans
        assert [one.since.time[:10] for one in told if one.until is None] == ([] if start is None else [day(start)])
        assert manager.audit.carriers(reference) == tuple(one for one in told if one.until is None)
    manager.remove_model("prod")
    assert manager.audit.carriers("p1") == manager.audit.carriers("p2") == manager.audit.carriers("p3") == ()
    with pytest.raises(NotFoundError, match="no package"):
        manager.audit.carriers("p9")


def test_a_registry_that_contradicts_its_trail_is_not_believed(manager):
    carried = next(name for name in ("p1", "p2", "p3") if manager.audit.carriers(name))
    with manager.registry.begin() as tx:
        tx.set_current("prod", 0)
        tx.commit()
    with pytest.raises(IntegrityError, match="say different things of prod"):
        manager.audit.carriers(carried)


def overtaken(monkeypatch, change, times: int) -> None:
    """Let another process change something between the look at the trail and that at the models, some times."""
    spans, left = carriers_module._spans, iter(range(times))

    def read(*asked):
        found = spans(*asked)
        if next(left, None) is not None:
            with Manager.open() as other:
                change(other)
        return found

    monkeypatch.setattr(carriers_module, "_spans", read)


def test_a_model_that_is_changed_meanwhile_contradicts_nothing(manager, history, monkeypatch):
    before = {name: len(manager.audit.carriers(name)) for name in ("p1", "p2", "p3")}
    assert set(before.values()) == {0, 1}
    name = next(name for name, n in before.items() if n)
    overtaken(monkeypatch, lambda other: other.revert("prod", [name]), 1)
    assert manager.audit.carriers(name) == ()
    assert manager.audit.carriers(name, past=True)[-1].until == manager.events()[-1]
    monkeypatch.undo()
    monkeypatch.setenv("PATCHMGR_HOME", str(history.home))

    turns = iter([lambda other: other.apply("prod", [f"{name}@v1"]), lambda other: other.revert("prod", [name])])
    monkeypatch.setattr(carriers_module, "_MOST_TRIES", 2)

    def turn(other):
        next(turns)(other)

    overtaken(monkeypatch, turn, 2)
    with pytest.raises(BusyError, match="faster than the trail is read"):
        manager.audit.carriers(name)


def test_who_carried_a_forgotten_package_is_still_answered(manager, history):
    name = next(name for name in ("p1", "p2", "p3") if not manager.audit.carriers(name))
    told = manager.audit.carriers(name, past=True)
    digest = manager.registry.version(f"{name}@v1").digest
    assert told
    manager.tag(f"{name}@v1", "stable")
    manager.forget(f"{name}@v1", reason="erasure request 7")
    for reference in (name, f"{name}@v1", f"sha256:{digest[:12]}", f"{name}@sha256:{digest}"):
        assert manager.audit.carriers(reference) == ()
        assert manager.audit.carriers(reference, past=True) == told
    with pytest.raises(NotFoundError):
        manager.audit.carriers(f"{name}@stable", past=True)
    with pytest.raises(ForgottenError):
        manager.audit.fact(f"{name}@v1")


def test_a_fact_is_traced_to_its_version_event_and_models(manager, history):
    found = manager.audit.fact("town 1")
    (fact,) = found.facts
    assert (fact.origin.version.reference, fact.request.target_new) == ("p1@v1", "Nowhere")
    assert fact.origin.event.action == "import"
    assert fact.origin.event.concerns("package", "p1@v1")
    assert fact.origin.carriers == manager.audit.carriers("p1")
    assert manager.audit.fact("p1@v1").facts == found.facts
    assert manager.audit.fact("town", limit=2).more
    with pytest.raises(NotFoundError, match="no edit holds the words"):
        manager.audit.fact("atlantis")


def test_words_with_an_at_sign_are_words(manager, history):
    """A text that could name a version and names none is looked for, and the answer says both."""
    request = EditRequest(prompt="{} writes from", subject="ana@example.com", target_new="Oslo")
    base = history.root / "base"
    make_package(history.root / "mail", base, name="mail", requests=[request])
    manager.import_package(history.root / "mail")
    for text in ("ana@example.com", "ana@example", "@example.com"):
        (fact,) = manager.audit.fact(text).facts
        assert fact.origin.version.reference == "mail@v1"
    with pytest.raises(NotFoundError, match="no edit holds the words 'bob@home', and there is no package 'bob'"):
        manager.audit.fact("bob@home")
    with pytest.raises(NotFoundError, match="and there is no version p1@v9"):
        manager.audit.fact("p1@v9")
    assert manager.audit.fact("p1@v1").facts[0].origin.version.reference == "p1@v1"


@pytest.mark.parametrize("field", ["model", "package"])
def test_a_name_longer_than_any_is_refused(manager, field):
    with pytest.raises(UsageError, match="has a name of 60000 characters"):
        next(manager.registry.event_pages(EventFilter(**{field: "a%" * 30_000})))
