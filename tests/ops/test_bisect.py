"""Bisection finds what was planted, in the evaluations that it promises, and rests on states that were judged."""

from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchmgr.ops.bisect import Found, Verdict, bisect, most_evaluations


class Line:
    """Verdicts of the states of a line; no state is asked about twice."""

    def __init__(self, verdicts: list[Verdict]) -> None:
        self.verdicts = verdicts
        self.asked: list[int] = []

    def __call__(self, state: int) -> Verdict:
        assert state not in self.asked
        self.asked.append(state)
        return self.verdicts[state]


def planted(n: int, at: int, skipped: frozenset[int] = frozenset()) -> Line:
    """Good before step ``at`` and bad from there on."""
    return Line(["skip" if state in skipped else "bad" if state >= at else "good" for state in range(n + 1)])


def search(line: Line, **how: bool) -> Found:
    return bisect(len(line.verdicts) - 1, line, **how)


@pytest.mark.parametrize("n", range(2, 65))
def test_every_planted_step_is_found_with_at_most_log_n_plus_one_evaluations(n):
    for at in range(1, n + 1):
        found = search(planted(n, at))
        assert found.step == at
        assert found.n_evaluations == len(found.judged) <= most_evaluations(n) <= ceil(log2(n)) + 1


@given(st.data())
def test_a_planted_step_is_found_between_states_that_are_skipped(data):
    n = data.draw(st.integers(2, 64))
    at = data.draw(st.integers(1, n))
    skipped = data.draw(st.frozensets(st.integers(0, n)))
    found = search(planted(n, at, skipped), check_ends=data.draw(st.booleans()))
    assert at in found.steps
    between = [step - 1 for step in found.steps if step > found.steps[0]]
    assert set(between) <= skipped
    assert not (found.good is None and 0 not in skipped)
    assert not (found.bad is None and n not in skipped)
    if not skipped & {at - 1, at}:
        assert found.step == at


@given(st.data())
def test_skipped_states_cost_nothing_but_their_own_evaluations(data):
    n = data.draw(st.integers(2, 64))
    skipped = data.draw(st.frozensets(st.integers(0, n)))
    found = search(planted(n, data.draw(st.integers(1, n)), skipped))
    assert found.n_evaluations <= ceil(log2(n)) + 1


@given(st.lists(st.sampled_from(["good", "bad", "skip"]), min_size=2, max_size=65), st.booleans())
def test_whatever_the_line_the_answer_rests_on_a_good_state_before_it_and_a_bad_one_behind(verdicts, check_ends):
    line = Line(verdicts)
    found = search(line, check_ends=check_ends)
    assert [state for state, _ in found.judged] == line.asked
    assert all(verdicts[state] == verdict for state, verdict in found.judged)
    if found.good is not None:
        assert verdicts[found.good] == "good"
    if found.bad is not None:
        assert verdicts[found.bad] == "bad"
    if found.step is not None:
        assert (found.good, found.bad) == (found.step - 1, found.step)
        assert {found.good, found.bad} <= set(line.asked)
    skips = {state for state, verdict in enumerate(verdicts) if verdict == "skip"}
    assert {step - 1 for step in found.steps} - {found.good} <= skips


@pytest.mark.parametrize("n", [1, 2, 5, 8, 40, 64])
@pytest.mark.parametrize("verdict", ["good", "bad"])
def test_ends_that_agree_are_told_within_the_same_number_of_evaluations(n, verdict):
    found = search(Line([verdict] * (n + 1)))
    assert (found.agreed, found.step, len(found.steps)) == (verdict, None, 0)
    assert found.n_evaluations <= most_evaluations(n)


def test_checking_the_ends_asks_about_them_first_and_stops_where_they_do_not_differ():
    assert search(Line(["good", "bad", "good"]), check_ends=True).judged == ((2, "good"),)
    assert search(Line(["bad", "good", "bad"]), check_ends=True).judged == ((2, "bad"), (0, "bad"))
    found = search(planted(40, 7), check_ends=True)
    assert found.step == 7
    assert [state for state, _ in found.judged[:2]] == [40, 0]
    assert found.n_evaluations <= ceil(log2(40)) + 2


def test_one_step_takes_both_of_its_ends():
    assert search(planted(1, 1)).judged == ((1, "bad"), (0, "good"))
