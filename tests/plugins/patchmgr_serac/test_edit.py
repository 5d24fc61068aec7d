"""Bundles: made without training, version by version, and the same wherever they are read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from patchmgr.errors import FormatError, MethodError, UsageError
from patchmgr.live.routed import RoutedModel
from patchmgr.methods.runtime import Router
from patchmgr.package.memory.bundle import MemoryBundle
from patchmgr.request import EditRequest
from patchmgr_serac import Serac
from tiny_models import loaded_model

ASKED = (
    "The capital city of France is",
    "The continent on which France lies is",
    "The continent on which Mali lies is",
    "It was a",
)
LATER = ("capital city of France", "continent on which Italy lies", "continent on which Kenya lies")


@pytest.fixture(scope="module")
def bundle(edited, editor, world):
    return edited(world(["France", "Italy"]), editor=editor)


def answers(bundle):
    routes = Serac().open(bundle, "cpu").route(ASKED)
    return [(route.prompt, route.entries, round(route.score, 5)) if route else None for route in routes]


def test_without_an_editor_the_next_step_is_named(edited, world):
    with pytest.raises(MethodError, match="needs a trained editor") as caught:
        edited(world(["France"]))
    assert "patchmgr train serac MODEL --data FILE --name NAME" in caught.value.hint


def test_a_question_in_scope_goes_to_its_entry_and_others_to_the_base(bundle):
    city, food, stranger, other = Serac().open(bundle, "cpu").route(ASKED)
    assert city.entries == ("city-France",)
    assert city.prompt == "The capital of France is Rome The capital city of France is"
    assert food.entries == ("land-France",)
    assert city.model is food.model is not None
    assert (stranger, other) == (None, None)


def test_the_next_version_adds_replaces_and_forgets_and_encodes_only_what_is_new(bundle, edited, world, monkeypatch):
    from patchmgr_serac.scope import ScopeEncoder

    encoded, vectors = [], ScopeEncoder.vectors
    monkeypatch.setattr(ScopeEncoder, "vectors", lambda self, rows: encoded.append(len(rows)) or vectors(self, rows))
    changed = world(["France"])[0].model_copy(update={"target_new": "Lima"})
    after = edited([changed, *world(["Kenya"])], memory=bundle, forget=("land-Italy",))
    assert encoded == [3]
    assert [entry.id for entry in after.entries] == [
        "city-France",
        "land-France",
        "city-Italy",
        "city-Kenya",
        "land-Kenya",
    ]
    assert np.array_equal(after.keys[1:3], bundle.keys[1:3])
    assert not np.array_equal(after.keys[0], bundle.keys[0])
    memory = Serac().open(after, "cpu")
    routes = memory.route(
        [
            "The capital city of France is",
            "The continent on which Italy lies is",
            "The continent on which Kenya lies is",
        ]
    )
    assert routes[0].prompt.startswith("The capital of France is Lima ")
    assert routes[1] is None or routes[1].entries != ("land-Italy",)
    assert routes[2].entries == ("land-Kenya",)
    with pytest.raises(UsageError, match="no entry 'none'"):
        edited([], memory=bundle, forget=("none",))


def test_nothing_is_trained_when_a_memory_grows(bundle, edited, world):
    after = edited(world(["Kenya"]), memory=bundle)
    kept = [name for name in bundle.files if name.partition("/")[0] in ("encoder", "cross", "counterfactual")]
    assert kept
    assert all(after.files[name].read_bytes() == bundle.files[name].read_bytes() for name in kept)
    for name in ("editor", "sha256", "template"):
        assert after.config.settings[name] == bundle.config.settings[name]


def test_an_empty_memory_claims_nothing(bundle, edited):
    after = edited([], memory=bundle, forget=tuple(entry.id for entry in bundle.entries))
    assert answers(after) == [None] * len(ASKED)


def test_a_bundle_answers_alike_in_another_process_and_from_another_folder(bundle, tmp_path):
    for name, path in bundle.files.items():
        (tmp_path / "moved" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / "moved" / name)
    code = (
        "import json, sys; from pathlib import Path; from patchmgr.package.memory.bundle import read_bundle;"
        "from patchmgr_serac import Serac; folder = Path(sys.argv[1]);"
        "files = {'memory/' + path.relative_to(folder).as_posix(): path for path in folder.rglob('*.*')};"
        "routes = Serac().open(read_bundle('kb@v1', files), 'cpu').route(json.loads(sys.argv[2]));"
        "print(json.dumps([route and [route.prompt, route.entries, round(route.score, 5)] for route in routes]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "moved"), json.dumps(ASKED)],
        env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )
    expected = [None if answer is None else [answer[0], list(answer[1]), answer[2]] for answer in answers(bundle)]
    assert json.loads(ran.stdout) == expected


def test_the_threshold_is_what_decides(edited, editor, world, bundle):
    score = Serac().open(bundle, "cpu").route(ASKED)[0].score
    for threshold, claimed in ((score * 0.99, True), (min(0.999999, score * 1.01), False)):
        again = edited(world(["France", "Italy"]), editor=editor, settings={"threshold": threshold})
        assert again.config.settings["threshold"] == threshold
        found = Serac().open(again, "cpu").route(ASKED)[0]
        assert (found is not None) == claimed


def test_batches_split_by_branch_and_each_row_gets_its_own_answer(bundle, base):
    """Together and one by one, by a base that has the counterfactual model's tokenizer."""
    model = RoutedModel(base, Router((("kb@v1", Serac().open(bundle, "cpu")),)))
    tokenizer = base.tokenizer
    rows = tokenizer(list(ASKED), padding=True, padding_side="left", return_tensors="pt")
    together = model.generate(rows["input_ids"], rows["attention_mask"], max_new_tokens=4, do_sample=False)
    width = rows["input_ids"].shape[1]
    for row, text in enumerate(ASKED):
        alone = tokenizer(text, return_tensors="pt")
        said = model.generate(alone["input_ids"], alone["attention_mask"], max_new_tokens=4, do_sample=False)
        expected = tokenizer.decode(said[0, alone["input_ids"].shape[1] :], skip_special_tokens=True)
        assert tokenizer.decode(together[row, width:], skip_special_tokens=True) == expected


def test_an_editor_trained_once_serves_two_bases_without_retraining(editor, edited, world):
    """GPT-2-style and Llama-style: the bundles are equal, and both hand over to the same counterfactual model."""
    requests, said = world(["France", "Italy"]), []
    bases = [loaded_model("gpt2"), loaded_model("llama")]
    bundles = [edited(requests, model=base, editor=editor) for base in bases]
    left, right = ({name: path.read_bytes() for name, path in each.files.items()} for each in bundles)
    assert left == right
    for base, bundle in zip(bases, bundles, strict=True):
        memory = Serac().open(bundle, "cpu")
        rows = base.tokenizer([ASKED[0]], return_tensors="pt")
        found = RoutedModel(base, Router((("kb", memory),))).generate(**rows, max_new_tokens=3, do_sample=False)
        said.append(base.tokenizer.decode(found[0], skip_special_tokens=True))
        route = memory.route([ASKED[0]])[0]
        asked = torch.tensor([route.model.tokenizer(route.prompt)["input_ids"]])
        with torch.no_grad():
            first = int(route.model.model(input_ids=asked).logits[0, -1].argmax())
        assert said[-1].startswith(ASKED[0] + route.model.tokenizer.decode([first], skip_special_tokens=True))
    assert said[0] == said[1]


def test_the_base_may_be_its_own_counterfactual_model(trained, as_editor, edited, world, tmp_path):
    settings = {"steps": 1, "validate_every": 1, "template": "{prompt} {target}. {query}"}
    draft = trained(tmp_path, counterfactual="base", **settings)
    bundle = edited(world(["France"])[:1], editor=as_editor(draft), settings={"threshold": 1e-300})
    assert not [name for name in bundle.files if name.startswith("counterfactual/")]
    found = Serac().open(bundle, "cpu").route([ASKED[0]])[0]
    assert found.prompt == "The capital of France is Rome. The capital city of France is"
    assert found.model is None


@pytest.mark.parametrize("lost", ["router", "threshold", "keys.safetensors", "cross/config.json"])
def test_a_bundle_that_lacks_something_is_refused(both_stages, as_editor, edited, world, lost):
    bundle = edited(world(["France"]), editor=as_editor(both_stages))
    settings = {name: value for name, value in bundle.config.settings.items() if name != lost}
    config = bundle.config.model_copy(update={"settings": settings})
    files = {name: path for name, path in bundle.files.items() if name != lost}
    with pytest.raises(FormatError, match="lacks"):
        Serac().open(MemoryBundle("kb@v1", config, bundle.operations, files), "cpu")


def test_a_request_without_an_id_or_subject_is_remembered(editor, edited):
    found = edited([EditRequest(prompt="It was a", target_new="city")], editor=editor)
    assert [entry.prompt for entry in found.entries] == ["It was a"]
