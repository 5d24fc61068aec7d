"""What a step makes edits of and asks: by its number alone, and nothing twice or in two roles."""

from __future__ import annotations

import pytest

from patchmgr.errors import RequestError
from patchmgr.request import EditRequest, Probe
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


def test_there_is_a_group_to_validate_with_though_it_is_larger_than_what_is_validated_with(data):
    (group,) = whole_groups(data.training, 12, 5)
    assert len(group.edits) == 12
    assert [len(each.edits) for each in whole_groups(data.training, 2, 5)] == [2, 2]


def each_others_rephrasing(**more) -> list[EditRequest]:
    first, second = "The capital of France is", "The seat of France is"
    return [
        EditRequest(prompt=text, target_new="Rome", rephrasings=(again,), **more)
        for text, again in ((first, second), (second, first))
    ]


def test_data_in_which_nothing_is_unrelated_are_refused():
    with pytest.raises(RequestError, match="the training data has nothing that is unrelated to edits=1"):
        Drawing(each_others_rephrasing(), 1, 2, 0).group(0)
    with pytest.raises(RequestError, match="the validation data has nothing that is unrelated to edits=1"):
        whole_groups(each_others_rephrasing(), 1, 5)
    probed = each_others_rephrasing(locality=(Probe(prompt="The tower of Peru is in", target="Lima"),))
    assert len(Drawing(probed, 1, 2, 0).group(0).unrelated) == 2


def test_a_group_of_which_nothing_is_unrelated_is_drawn_again():
    some = [*each_others_rephrasing(), EditRequest(prompt="The tower of Peru is in", target_new="Lima")]
    groups = [Drawing(some, 2, 1, 0).group(number) for number in range(20)]
    assert all(group.unrelated == (("The tower of Peru is in", "Lima"),) * 2 for group in groups)
    assert {prompt for group in groups for prompt, _ in group.edits} == {request.text for request in some[:2]}
