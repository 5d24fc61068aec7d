"""What a step makes edits of and asks: by its number alone, and nothing twice or in two roles."""

from __future__ import annotations

from patchmgr_mend.drawing import Drawing, whole_groups


def test_a_step_hangs_on_seed_and_number_alone(data):
    drawing, again = (Drawing(data.training, 3, 2, 7) for _ in range(2))
    assert drawing.group(4) == again.group(4) != drawing.group(5)
    assert Drawing(data.training, 3, 2, 8).group(4) != drawing.group(4)


def test_a_group_has_different_prompts_and_asks_nothing_unrelated_that_it_answers(data):
    for number in range(30):
        group = Drawing(data.training, 4, 2, 7).group(number)
        assert len({prompt for prompt, _ in group.edits}) == 4
        assert set(group.edits) <= set(group.asked)
        assert len(group.asked) == len(group.unrelated) == 8
        assert not {prompt for prompt, _ in group.unrelated} & {prompt for prompt, _ in group.asked}


def test_requests_without_probes_are_kept_apart_from_other_requests(data):
    bare = [request.model_copy(update={"locality": ()}) for request in data.training]
    prompts = {request.text for request in bare}
    group = Drawing(bare, 1, 3, 0).group(0)
    assert {prompt for prompt, _ in group.unrelated} <= prompts - {prompt for prompt, _ in group.edits}
    assert all(len(group.unrelated) == 5 for group in whole_groups(bare, 1, 3))
