"""Generations: pending, ready, failed, removed, and who may write the next one."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys

import pytest

from patchmgr.errors import BusyError, ConflictError, NotFoundError
from patchmgr_registry import Owner, timestamp
from patchmgr_registry import generating as generating_module
from patchmgr_registry import owner as owner_module
from patchmgr_registry.owner import host_name

ROOT = "1" * 64


@pytest.fixture
def packages(registry, model, make_version):
    with registry.begin() as tx:
        for number in (1, 2):
            tx.add_version(make_version(number=number))
        tx.commit()
    return (make_version(number=2).digest, make_version(number=1).digest)


def _apply(registry, packages, **fields):
    with registry.begin() as tx:
        pending = tx.begin_generation("prod", action="apply", packages=packages, **fields)
        tx.commit()
    return pending


def _finish(registry, number, tensors=None):
    with registry.begin() as tx:
        tx.finish_generation("prod", number, state_root=ROOT, folder=f"/generations/{number}", tensors=tensors or {})
        tx.set_current("prod", number)
        tx.commit()


def _ended_owner() -> Owner:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return Owner(pid=child.pid, host=host_name(), started=Owner.current().started)


@pytest.fixture
def dead_owner(monkeypatch):
    """Calls made through it are by a process that has ended."""
    owner = _ended_owner()

    def use(dead: bool) -> None:
        real = Owner.current
        monkeypatch.setattr(generating_module, "Owner", type("O", (), {"current": lambda: owner if dead else real()}))

    return use


def test_a_generation_is_pending_then_ready_then_current(registry, packages):
    pending = _apply(registry, packages, message="hot fix")
    assert (pending.number, pending.status, pending.packages) == (1, "pending", packages)
    assert pending.owner == Owner.current()
    assert registry.model("prod").generation == 0
    _finish(registry, 1, {"h.0.w": "2" * 64, "h.1.w": "3" * 64})
    current = registry.generation("prod")
    assert (current.number, current.status, current.state_root, current.folder) == (1, "ready", ROOT, "/generations/1")
    assert current.tensors == {"h.0.w": "2" * 64, "h.1.w": "3" * 64}
    assert (current.packages, current.message) == (packages, "hot fix")
    assert [generation.number for generation in registry.generations("prod")] == [0, 1]


def test_a_live_owner_keeps_others_out(registry, packages):
    _apply(registry, packages)
    with registry.begin() as tx:
        with pytest.raises(BusyError) as caught:
            tx.begin_generation("prod", action="revert", packages=())
        with pytest.raises(BusyError):
            tx.remove_model("prod")
    assert f"process {Owner.current().pid} on {host_name()} writes generation 1 of prod since 2" in str(caught.value)
    assert registry.stale_generations() == ()


def test_a_dead_owner_is_found_and_gives_way(registry, packages, dead_owner):
    dead_owner(True)
    left = _apply(registry, packages, folder="/half-written")
    dead_owner(False)
    assert registry.stale_generations() == (left,)
    second = _apply(registry, packages)
    assert second.number == 2
    assert [generation.status for generation in registry.generations("prod")] == ["ready", "failed", "pending"]
    with registry.begin() as tx:
        with pytest.raises(BusyError, match="generation 1 of prod is failed"):
            tx.finish_generation("prod", 1, state_root=ROOT, folder=None, tensors={})
        with pytest.raises(BusyError):
            tx.heartbeat("prod", 1)
        tx.heartbeat("prod", 2)
        tx.commit()
    assert registry.generation("prod", 2).heartbeat > second.heartbeat


def test_a_failed_number_is_not_used_again(registry, packages):
    with registry.begin() as tx:
        tx.fail_generation("prod", tx.begin_generation("prod", action="apply", packages=packages).number)
        tx.commit()
    assert _apply(registry, packages).number == 2
    assert registry.generation("prod", 1).status == "failed"


def test_only_a_ready_generation_can_be_current(registry, packages):
    _apply(registry, packages)
    with registry.begin() as tx:
        with pytest.raises(ConflictError, match="pending"):
            tx.set_current("prod", 1)
        with pytest.raises(NotFoundError, match="no generation 7"):
            tx.set_current("prod", 7)


def test_a_generation_needs_known_packages_and_model(registry, packages):
    with registry.begin() as tx:
        with pytest.raises(NotFoundError, match="package version"):
            tx.begin_generation("prod", action="apply", packages=["f" * 64])
        with pytest.raises(NotFoundError, match="model 'none'"):
            tx.begin_generation("none", action="apply", packages=())
    with pytest.raises(NotFoundError, match="model 'none'"):
        registry.generations("none")


def test_a_removed_generation_stays_known(registry, packages):
    for number in (1, 2):
        _apply(registry, packages)
        _finish(registry, number)
    with registry.begin() as tx:
        with pytest.raises(ConflictError, match="current"):
            tx.remove_generation("prod", 2)
        with pytest.raises(NotFoundError):
            tx.remove_generation("prod", 9)
        tx.remove_generation("prod", 1)
        tx.commit()
    removed = registry.generation("prod", 1)
    assert (removed.status, removed.folder, removed.state_root) == ("removed", None, ROOT)
    _apply(registry, ())
    with registry.begin() as tx, pytest.raises(BusyError, match="writes generation 3"):
        tx.remove_generation("prod", 3)


def test_the_same_stack_is_found_in_any_order(registry, packages, base):
    assert registry.same_stack(base.key, packages) is None
    _apply(registry, packages)
    assert registry.same_stack(base.key, packages) is None, "a pending generation has no digests yet"
    _finish(registry, 1, {"h.0.w": "2" * 64})
    for order in (packages, packages[::-1]):
        found = registry.same_stack(base.key, order)
        assert found is not None
        assert found.tensors == {"h.0.w": "2" * 64}
    assert registry.same_stack(base.key, packages[:1]) is None
    pristine = registry.same_stack(base.key, ())
    assert pristine is not None
    assert pristine.number == 0


def test_removing_a_model_takes_its_generations_along(registry, packages):
    _apply(registry, packages)
    _finish(registry, 1, {"h.0.w": "2" * 64})
    with registry.begin() as tx:
        tx.remove_model("prod")
        tx.commit()
    assert registry.models() == ()
    assert len(registry.versions("fact-fixes")) == 2


def started_with(**changed: str) -> str:
    """When and where this process started, with a part of it changed."""
    boot, namespace, tick = (Owner.current().started or "").split(":")
    parts = {"boot": boot, "namespace": namespace, "tick": tick, **changed}
    return f"{parts['boot']}:{parts['namespace']}:{parts['tick']}"


def test_an_owner_that_ran_before_the_machine_was_started_last_is_dead_at_once(monkeypatch):
    monkeypatch.setattr(owner_module, "_machine", lambda: "0123")
    started = Owner.current().started or ""
    before = Owner(Owner.current().pid, host_name(), started.replace(started.partition("@")[0], "earlier"))
    assert Owner.current().is_alive(timestamp())
    assert not before.is_alive(timestamp())
    monkeypatch.setattr(owner_module, "_machine", lambda: "4567")  # a copy of the machine, with the same name
    assert before.is_alive(timestamp())


@pytest.mark.parametrize("changed", [{"boot": "another"}, {"namespace": "1"}], ids=["machine", "container"])
def test_an_owner_in_another_place_of_the_same_name_is_judged_by_its_heartbeat(changed):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    for pid in (child.pid, Owner.current().pid):
        elsewhere = Owner(pid, host_name(), started_with(**changed))
        assert not elsewhere.is_here
        assert elsewhere.is_alive(timestamp()), "its pid says nothing here"
        assert not elsewhere.is_alive("2020-01-01T00:00:00.000000Z")


def test_an_owner_that_an_older_patchmgr_noted_is_asked_by_its_pid():
    boot, _, tick = (Owner.current().started or "").split(":")
    mine = Owner(Owner.current().pid, host_name(), f"{boot}:{tick}")
    assert mine.is_here
    assert mine.is_alive("2020-01-01T00:00:00.000000Z")
    assert not Owner(mine.pid, mine.host, f"{boot}:1").is_alive(timestamp())


def test_a_pid_of_another_count_than_that_of_proc_is_not_looked_up(monkeypatch):
    """As in a namespace of pids of its own that sees the ``/proc`` of the one above."""
    mine, there = Owner.current(), started_with(namespace="7")
    monkeypatch.setattr(owner_module.os, "readlink", lambda place: "1" if str(place) == "/proc/self" else "pid:[7]")
    assert Owner(mine.pid, mine.host).is_alive(timestamp())
    assert Owner.current().started == there
    assert Owner(mine.pid, mine.host, started_with(tick="1")).is_alive(timestamp()), "that line of /proc is another's"


def _wait(pipe) -> None:
    pipe.recv()


def test_an_owner_is_alive_as_long_as_that_very_process():
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_wait, args=(theirs,))
    child.start()
    now = timestamp()
    assert Owner.current().is_alive(now)
    assert Owner(child.pid, host_name()).is_alive(now)
    assert not Owner(child.pid, host_name(), started=started_with(tick="1")).is_alive(now), (
        "the pid was given to another"
    )
    ours.send(None)
    child.join()
    assert not Owner(child.pid, host_name()).is_alive(now)


def test_a_process_that_nobody_asked_for_its_end_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    for _ in range(200):
        if not Owner(child.pid, host_name()).is_alive(timestamp()):
            break
        subprocess.run(["sleep", "0.01"], check=True)
    assert not Owner(child.pid, host_name()).is_alive(timestamp())
    child.wait()


def test_an_owner_on_another_host_is_judged_by_its_heartbeat():
    elsewhere = Owner(1, "some-other-host")
    assert elsewhere.is_alive(timestamp())
    assert not elsewhere.is_alive("2020-01-01T00:00:00.000000Z")


def test_the_generations_of_a_model_are_read_in_pages(registry, model):
    for number in range(1, 5):
        with registry.begin() as tx:
            tx.begin_generation("prod", action="apply", packages=[])
            tx.finish_generation("prod", number, state_root="1" * 64, folder=None, tensors={})
            tx.commit()

    def numbers(**page):
        return [generation.number for generation in registry.generations("prod", **page)]

    assert numbers() == [0, 1, 2, 3, 4]
    assert (numbers(limit=2), numbers(before=3, limit=2), numbers(before=0, limit=2)) == ([3, 4], [1, 2], [])
