"""Bisection over a stack and over history: what was planted is found, exactly made and within the promised looks."""

from __future__ import annotations

import json
import shutil
from math import ceil, log2
from pathlib import Path
from types import SimpleNamespace

import pytest

from checkpoints import file_digests
from patchmgr.demo.edits import edit_request
from patchmgr.errors import IntegrityError, NotFoundError, PatchmgrError, RequestError, UsageError
from patchmgr.live import load
from patchmgr.manager.bisect.contract import BisectOrder, Command, Expectation, Gate, LineState, Suspect, Turn
from patchmgr.manager.bisect.in_memory import in_one_row, places_in
from patchmgr.manager.bisect.line import check_root, parents_first, states_within
from patchmgr.manager.manager import Manager
from patchmgr.ops.bisect import most_evaluations
from planted import ANSWER, PROMPT, plant

N, AT = 6, 4
KEEPS = Expectation(PROMPT, ANSWER)


@pytest.fixture(scope="module")
def planted_home(tmp_path_factory):
    """``atlas`` with six packages, the fourth of which spoils it; generation i has the first i."""
    home = tmp_path_factory.mktemp("planted") / "home"
    plant(home, n=N, at=AT)
    return home


@pytest.fixture
def manager(planted_home, tmp_path):
    shutil.copytree(planted_home, tmp_path / "home", symlinks=True)
    with Manager.open(tmp_path / "home") as opened:
        yield opened


def roots(manager: Manager) -> list[str]:
    return [generation.state_root for generation in manager.registry.generations("atlas")]


def test_the_planted_package_is_found_with_its_edits_and_the_model_stays_as_it_is(manager, monkeypatch):
    loads = []
    monkeypatch.setattr(load, "load_model", lambda *a, real=load.load_model, **k: loads.append(a) or real(*a, **k))
    before = roots(manager)
    done = manager.bisect("atlas", BisectOrder(KEEPS))
    assert done.turn is not None
    (suspect,) = done.turn.suspects
    assert (suspect.manifest.reference, suspect.left) == (f"p{AT}@v1", False)
    assert [edit.target_new for edit in suspect.edits] == ["Nowhere"]
    assert len(done.looks) <= ceil(log2(N)) + 1
    assert len(loads) == 1
    assert roots(manager) == before


def test_every_state_that_is_judged_is_the_one_that_applying_gave(manager):
    done = manager.bisect("atlas", BisectOrder(KEEPS, check_ends=True))
    applied = roots(manager)
    assert [state for state, _ in done.found.judged[:2]] == [N, 0]
    assert [look.state_root for look in done.looks] == [applied[state] for state, _ in done.found.judged]


def test_a_state_that_is_not_made_as_it_was_is_an_error():
    check_root(LineState("generation 2", (), (), "a" * 64), "a" * 64)
    with pytest.raises(IntegrityError, match="generation 2 has the state root b"):
        check_root(LineState("generation 2", (), (), "a" * 64), "b" * 64)


def test_ends_that_agree_are_told(manager):
    done = manager.bisect("atlas", BisectOrder(Expectation(PROMPT, "Lisbon", negated=True)))
    assert (done.found.agreed, done.turns, done.turn) == ("good", (), None)
    done = manager.bisect("atlas", BisectOrder(Expectation(PROMPT, "Lisbon")))
    assert (done.found.agreed, done.turns) == ("bad", ())


def test_the_ends_of_a_stack_are_packages(manager):
    done = manager.bisect("atlas", BisectOrder(KEEPS, good="p2", bad="p5@v1", check_ends=True))
    assert [look.name for look in done.looks[:2]] == ["5 of 6, to p5@v1", "2 of 6, to p2@v1"]
    assert done.turn is not None
    assert done.turn.suspects[0].manifest.name == f"p{AT}"
    with pytest.raises(UsageError, match="does not come before"):
        manager.bisect("atlas", BisectOrder(KEEPS, good="p5", bad="p5"))
    manager.revert("atlas", ["p1"])
    with pytest.raises(NotFoundError, match="p1@v1 is not on the stack"):
        manager.bisect("atlas", BisectOrder(KEEPS, good="p1@v1"))


def test_history_is_searched_between_two_generations_and_names_what_went(manager):
    manager.revert("atlas", [f"p{AT}"])
    manager.revert("atlas", ["p1"])
    done = manager.bisect("atlas", BisectOrder(KEEPS, over="generations", bad=f"atlas#{N}"))
    assert done.turn is not None
    assert (done.turn.before.generation.number, done.turn.after.generation.number) == (AT - 1, AT)
    assert done.turn.after.generation.message == f"put p{AT} on"
    mended = BisectOrder(Expectation(PROMPT, ANSWER, negated=True), over="generations", good=str(AT))
    done = manager.bisect("atlas", mended)
    assert done.turn is not None
    assert [(one.manifest.name, one.left) for one in done.turn.suspects] == [(f"p{AT}", True)]
    assert done.turn.after.name == f"generation {N + 1}"
    for good, bad, error in (
        ("5", "3", UsageError),
        ("3", "3", UsageError),
        ("0", "99", NotFoundError),
        ("p1", "3", UsageError),
    ):
        with pytest.raises(error):
            manager.bisect("atlas", BisectOrder(KEEPS, over="generations", good=good, bad=bad))


def test_a_gate_judges_by_scores_on_the_data(manager, tmp_path):
    data = tmp_path / "probes.jsonl"
    data.write_text(json.dumps(edit_request("France", "capital", "Rome")) + "\n")
    done = manager.bisect("atlas", BisectOrder(Gate(("locality>=0.9", "locality/neighborhood > .5"), data)))
    assert done.turn is not None
    assert done.turn.suspects[0].manifest.name == f"p{AT}"
    assert len(done.looks) <= ceil(log2(N)) + 1
    good = next(look for look in done.looks if look.verdict == "good")
    assert good.why == "locality 1, locality/neighborhood 1"
    with pytest.raises(RequestError, match="no probe of the data measures locality/nowhere"):
        manager.bisect("atlas", BisectOrder(Gate(("locality/nowhere>=0.9",), data)))
    with pytest.raises(UsageError, match="retains"):
        manager.bisect("atlas", BisectOrder(Gate(("retention/reliability>=0.9",), data)))
    with pytest.raises(UsageError, match="nothing to measure with"):
        manager.bisect("atlas", BisectOrder(Gate(("locality>=0.9",))))


def shell(script: str) -> BisectOrder:
    return BisectOrder(Command(("sh", "-c", script)))


def test_a_command_gets_each_state_as_a_checkpoint_folder_that_is_gone_afterwards(manager, tmp_path):
    log = tmp_path / "log"
    script = (
        f'cp -rL "$PATCHMGR_MODEL_FOLDER" {tmp_path}/seen-$PATCHMGR_STATE_ROOT; echo "$PATCHMGR_PACKAGES" >>{log}; '
    )
    done = manager.bisect("atlas", shell(script + f'case " $PATCHMGR_PACKAGES " in *" p{AT}@v1 "*) exit 3;; esac'))
    assert done.turn is not None
    assert done.turn.suspects[0].manifest.name == f"p{AT}"
    generations = manager.registry.generations("atlas")
    lines = log.read_text().splitlines()
    for (number, verdict), look, line in zip(done.found.judged, done.looks, lines, strict=True):
        assert look.state_root == generations[number].state_root
        assert (look.why, verdict) == (("exit status 3", "bad") if number >= AT else ("exit status 0", "good"))
        assert line.split() == [f"p{i}@v1" for i in range(1, number + 1)]
        folder = generations[number].folder or manager.registry.model("atlas").base.folder
        written = file_digests(manager.settings.home.parent / f"seen-{look.state_root}")
        assert written["model.safetensors"] == file_digests(Path(folder))["model.safetensors"]
        assert {"config.json", "tokenizer.json"} <= written.keys()
    assert list((manager.settings.home / "tmp").iterdir()) == []


def test_exit_status_125_skips_a_state_and_what_cannot_be_told_apart_is_listed(manager):
    by = f'case " $PATCHMGR_PACKAGES " in *" p{AT}@v1 "*) exit 1;; *" p3@v1 "*) exit 125;; esac'
    done = manager.bisect("atlas", shell(by))
    assert (done.turn, done.found.agreed) == (None, None)
    assert [turn.suspects[0].manifest.name for turn in done.turns] == ["p3", "p4"]


@pytest.mark.parametrize("status", ["exit 128", "exit 255", "kill -TERM $$"])
def test_a_status_above_127_ends_the_search(manager, status):
    with pytest.raises(PatchmgrError, match="so the search ends"):
        manager.bisect("atlas", shell(status))
    assert list((manager.settings.home / "tmp").iterdir()) == []


def test_ctrl_c_ends_the_command_and_leaves_nothing_behind(manager, tmp_path):
    before = roots(manager)
    with pytest.raises(KeyboardInterrupt):
        manager.bisect("atlas", shell(f"kill -INT $PPID; sleep 60; touch {tmp_path}/went-on"))
    assert list((manager.settings.home / "tmp").iterdir()) == []
    assert not (tmp_path / "went-on").exists()
    assert roots(manager) == before


def test_what_cannot_be_searched_says_so(manager):
    with pytest.raises(NotFoundError, match="cannot be started"):
        manager.bisect("atlas", BisectOrder(Command(("no-such-program",))))
    with pytest.raises(UsageError, match="is empty"):
        manager.bisect("atlas", BisectOrder(Expectation(PROMPT, " ")))
    manager.rollback("atlas", 0)
    with pytest.raises(NotFoundError, match="no package on atlas"):
        manager.bisect("atlas", BisectOrder(KEEPS))


def package(digest: str, *parents: str, kind: str = "weights") -> SimpleNamespace:
    return SimpleNamespace(digest=digest, kind=kind, reference=digest, parent=SimpleNamespace(packages=parents))


def test_packages_stand_behind_those_that_they_were_computed_on():
    a, b, c, d = package("a", "c"), package("b"), package("c", "elsewhere"), package("d", "a", "b")
    assert [one.digest for one in parents_first((a, d, b, c))] == ["b", "c", "a", "d"]
    assert parents_first((b, c, a, d)) == (b, c, a, d)


def state_of(*stack: SimpleNamespace) -> LineState:
    return LineState("", stack, tuple(one.digest for one in stack))


def test_states_in_one_row_keep_the_order_of_their_memories():
    a, b = package("a", kind="memory"), package("b", kind="memory")
    w, x = package("w"), package("x")
    line = [state_of(*stack) for stack in ((), (a, w), (w, a, x, b), (b, w, a), (x, b))]
    row = in_one_row(line)
    assert [digest for digest, _ in row.values()] == ["a", "w", "x", "b", "a"]
    for state in (*line, state_of(w, b), state_of(b, a, x)):
        made = [row[place][1] for place in sorted(places_in(row, state))]
        assert {one.digest for one in made} == set(state.digests)
        assert [one for one in made if one.kind == "memory"] == [one for one in state.stack if one.kind == "memory"]


def test_a_step_of_several_packages_is_walked_one_package_at_a_time():
    a, b, c, d, e = package("a"), package("b", "a"), package("c"), package("d", "e"), package("e")
    moved = [Suspect(one, (), left=one in (a, b)) for one in (d, e, a, b)]
    turn = Turn(state_of(a, b, c), state_of(c, d, e), tuple(moved), 4)
    within = [state.digests for state in states_within(turn)]
    assert within == [("a", "b", "c"), ("a", "c"), ("c",), ("c", "e"), ("c", "d", "e")]


def test_a_change_of_several_packages_is_narrowed_to_the_one_that_did_it(manager):
    manager.rollback("atlas", 2)
    manager.rollback("atlas", N, message="all at once")
    order = BisectOrder(KEEPS, over="generations", good=str(N + 1))
    done = manager.bisect("atlas", order)
    assert done.turn is not None
    assert [one.manifest.name for one in done.turn.suspects] == [f"p{AT}"]
    assert (done.turn.n_moved, done.turn.after.name) == (N - 2, f"generation {N + 2}")
    assert done.n_evaluations <= most_evaluations(1) + ceil(log2(N - 2))
    assert roots(manager)[AT] in {look.state_root for look in done.looks}
