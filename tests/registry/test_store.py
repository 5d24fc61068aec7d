"""The unit of work, bases, models and names, on every database."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace

import pytest

from patchmgr.errors import BusyError, ConflictError, NotFoundError, UsageError
from patchmgr_registry import NumberTakenError, Registry, TensorRecord


def test_rolls_back_by_default(registry, base):
    with registry.begin() as tx:
        tx.add_base(base, [])
        assert tx.bases() == (base,), "a transaction sees what it wrote"
    assert registry.bases() == ()


def test_rolls_back_on_an_error(registry, base):
    with pytest.raises(ZeroDivisionError), registry.begin() as tx:
        tx.add_base(base, [])
        1 / 0  # noqa: B018
    assert registry.bases() == ()


def test_commit_is_explicit_and_lasts(database, base):
    with database.open() as registry, registry.begin() as tx:
        tx.add_base(base, [])
        tx.commit()
    with database.open() as registry:
        assert registry.bases() == (base,)


def test_nothing_can_be_done_after_commit(registry, base):
    with registry.begin() as tx:
        tx.commit()
        with pytest.raises(RuntimeError, match="has ended"):
            tx.add_base(base, [])
        with pytest.raises(RuntimeError, match="has ended"):
            tx.models()
    assert registry.bases() == ()


def test_a_base_comes_back_with_its_tensors_in_order(registry, base):
    tensors = tuple(TensorRecord(name, "a.safetensors", "F32", (6, 4), base.fingerprint) for name in ("z", "a", "m"))
    with registry.begin() as tx:
        assert tx.add_base(base, iter(tensors)) == base
        tx.commit()
    assert registry.base(base.key) == base
    assert registry.tensors(base.key) == tensors


def test_a_base_known_already_is_found_as_it_was_first(registry, base):
    other_tokenizer = replace(base, tokenizer_sha256="0" * 64)
    with registry.begin() as tx:
        tx.add_base(base, [])
        assert tx.add_base(replace(base, folder="/elsewhere"), []) == base
        tx.add_base(other_tokenizer, [])
        tx.move_base(base.key, "/moved")
        tx.commit()
    assert registry.bases(base.fingerprint) == (replace(base, folder="/moved"), other_tokenizer)


def test_an_unknown_base_is_not_found(registry, base):
    with pytest.raises(NotFoundError, match="no base"):
        registry.base(base.key)
    with registry.begin() as tx:
        for change in (
            lambda: tx.move_base(base.key, "/moved"),
            lambda: tx.remove_base(base.key),
            lambda: tx.add_model("prod", base.key, state_root="0" * 64),
        ):
            with pytest.raises(NotFoundError, match="no base"):
                change()


def test_a_model_begins_at_generation_0(registry, model):
    assert registry.models() == (model,)
    assert registry.model("prod").generation == 0
    pristine = registry.generation("prod")
    assert (pristine.number, pristine.status, pristine.action, pristine.packages) == (0, "ready", "add", ())


def test_two_models_may_share_a_base_but_not_a_name(registry, model, base):
    with registry.begin() as tx:
        tx.add_model("staging", base.key, state_root="0" * 64)
        with pytest.raises(ConflictError, match="already"):
            tx.add_model("prod", base.key, state_root="0" * 64)
        tx.commit()
    assert [known.name for known in registry.models()] == ["prod", "staging"]


def test_an_unknown_model_names_those_like_it(registry, model):
    with pytest.raises(NotFoundError) as caught:
        registry.model("pord")
    assert caught.value.hint == "did you mean prod?"


def test_removing_a_model_keeps_its_base_until_that_is_removed(registry, model, base):
    with registry.begin() as tx:
        with pytest.raises(ConflictError, match="used by prod"):
            tx.remove_base(base.key)
        tx.remove_model("prod")
        assert tx.bases() == (base,)
        tx.remove_base(base.key)
        tx.commit()
    assert (registry.models(), registry.bases(), registry.tensors(base.key)) == ((), (), ())


def test_tags(registry, make_version):
    with registry.begin() as tx:
        for number in (1, 2):
            tx.add_version(make_version(number=number))
        tx.tag("fact-fixes@v1", "stable")
        tx.tag("fact-fixes@v1", "stable")
        with pytest.raises(ConflictError, match="fact-fixes@v1"):
            tx.tag("fact-fixes", "stable")
        tx.tag("fact-fixes", "stable", move=True)
        with pytest.raises(UsageError):
            tx.tag("fact-fixes", "v7")
        tx.commit()
    assert registry.tags("fact-fixes") == {"stable": 2}
    assert registry.packages()[0].tags == {"stable": 2}
    with registry.begin() as tx:
        tx.untag("fact-fixes", "stable")
        with pytest.raises(NotFoundError, match="tag"):
            tx.untag("fact-fixes", "stable")


def test_remotes(registry):
    with registry.begin() as tx:
        tx.set_remote("hub", "https://one")
        tx.set_remote("hub", "https://two")
        tx.commit()
    assert [(remote.name, remote.url) for remote in registry.remotes()] == [("hub", "https://two")]
    with registry.begin() as tx:
        tx.remove_remote("hub")
        with pytest.raises(NotFoundError):
            tx.remove_remote("hub")


def test_a_second_writer_waits_no_longer_than_the_busy_timeout(database, registry):
    with registry.begin(), database.open(busy_timeout_s=0.1) as second:
        assert second.models() == (), "readers do not wait"
        with pytest.raises(BusyError, match="another process"), second.begin():
            pass


def test_writers_in_threads_take_turns(registry, make_version):
    def add() -> None:
        with registry.begin() as tx:
            tx.add_version(make_version(number=tx.next_number("fact-fixes")))
            tx.commit()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.number for version in registry.versions("fact-fixes")] == list(range(1, 9))


def _add_versions(database, versions, origin) -> None:
    with database.open() as registry:
        for version in versions:
            number = version.number
            while True:
                try:
                    with registry.begin() as tx:
                        tx.add_version(replace(version, number=number))
                        tx.record_event(origin, "edit", objects=[])
                        tx.commit()
                    break
                except NumberTakenError as taken:
                    number = taken.next_number


def test_two_processes_never_share_a_number_nor_break_the_chain(database, make_version, origin):
    spawn = multiprocessing.get_context("fork")
    batches = [[make_version(number=n, digest=f"{worker}{n:063}") for n in range(1, 11)] for worker in (1, 2)]
    workers = [spawn.Process(target=_add_versions, args=(database, batch, origin)) for batch in batches]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with database.open() as registry:
        assert [version.number for version in registry.versions("fact-fixes")] == list(range(1, 21))
        assert registry.verify_events() is None
        assert registry.event_head().sequence == 20


def _read_models(registry: Registry, answers) -> None:
    answers.put([model.name for model in registry.models()])


def test_a_registry_survives_a_fork(registry, model):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_read_models, args=(registry, answers))
    child.start()
    assert answers.get(timeout=20) == ["prod"]
    child.join(20)
    assert registry.model("prod") == model
