"""What is written where nothing reads it is refused, and where the prompt ends with the subject it is not."""

from __future__ import annotations

import pytest

from patchmgr.errors import MethodError
from patchmgr.methods.architecture import find_architecture
from patchmgr.request import EditRequest
from patchmgr_keyvalue.target_value import ValueSettings, optimise_values, pose
from patchmgr_keyvalue.value_rows import edit_rows
from tiny_models import ARCHITECTURES, loaded_model

BEHIND = EditRequest(prompt="The capital of {} is", subject="Atlantis", target_new="Rome")
AT_END = EditRequest(prompt="Because of Ada Lovelace", subject="Ada Lovelace", target_new="tower")


def looked_for(name, layer, *requests, **settings):
    loaded = loaded_model(name)
    architecture = find_architecture(loaded.model)
    site = architecture.down_projection(layer).module
    problem = pose(architecture, [site], layer, edit_rows(loaded.tokenizer, ["{}"], requests))
    return optimise_values(problem, ValueSettings(steps=2, **settings))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_last_block_is_refused_where_the_prompt_goes_on_behind_the_subject(name):
    with pytest.raises(MethodError, match=r"not read where the target is said, in 1 edit\(s\)"):
        looked_for(name, 2, BEHIND, AT_END)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_elsewhere_it_is_read(name):
    assert looked_for(name, 1, BEHIND, AT_END).n_steps == 2
    assert looked_for(name, 2, AT_END).n_steps == 2
