"""Memory packages in a registry: made, added to, put on a model, asked, taken out, shipped; weights never change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

import patchmgr
from checkpoints import file_digests
from patchmgr.canonical import sha256_hex
from patchmgr.demo.edits import edit_request
from patchmgr.errors import ConflictError, IntegrityError, MethodError, UsageError
from patchmgr.manager.fsck.run import fsck
from patchmgr.manager.manager import Manager
from patchmgr.manager.order import EditOrder
from patchmgr.manager.states import open_version
from patchmgr.package.card import render_card
from patchmgr.request import dump_requests, parse_request

FRANCE, SPAIN, GOLD = (
    parse_request(edit_request(subject, relation, target), where="test")
    for subject, relation, target in (
        ("France", "capital", "Rome"), ("Spain", "capital", "Oslo"), ("gold", "symbol", "Fe")
    )
)  # fmt: skip
METHOD = "retrieve-and-prepend"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A registry with atlas, and kb in three versions: France; Spain too; France forgotten."""
    folder = tmp_path_factory.mktemp("memory") / "home"
    with Manager.open(folder) as manager:
        manager.add_model("atlas", "demo:atlas")
        manager.edit("atlas", order([FRANCE]))
        manager.edit("atlas", order([SPAIN]))
        manager.edit("atlas", order([GOLD], forget=(FRANCE.id,)))
    return folder


@pytest.fixture
def manager(home, tmp_path):
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    with Manager.open(tmp_path / "home") as manager:
        yield manager


def order(requests, **more):
    return EditOrder(name="kb", method=METHOD, requests=tuple(requests), **more)


def test_each_version_remembers_what_the_one_before_did_less_what_it_forgot(manager):
    views = [manager.show(f"kb@v{number}") for number in (1, 2, 3)]
    assert [[request.id for request in view.requests] for view in views] == [
        [FRANCE.id],
        [FRANCE.id, SPAIN.id],
        [SPAIN.id, GOLD.id],
    ]
    assert [view.manifest.memory.n_entries for view in views] == [1, 2, 2]
    assert [view.manifest.parent.packages for view in views] == [()] * 3
    assert all(view.manifest.kind == "memory" and not view.manifest.tensors for view in views)
    assert views[1].requests[0].locality == FRANCE.locality


def test_a_state_with_a_memory_has_the_weights_of_the_base_and_a_root_of_its_own(manager):
    before = manager.status("atlas")[0]
    first = manager.apply("atlas", ["kb@v1"])
    second = manager.apply("atlas", ["kb@v2"])
    assert second.stack == ("kb@v2",)
    assert len({before.state_root, first.state_root, second.state_root}) == 3
    assert first.written_bytes == 0
    base, now = file_digests(before.folder), file_digests(second.folder)
    assert {name: digest for name, digest in now.items() if name != "patchmgr.json"} == base
    reverted = manager.revert("atlas", ["kb@v2"])
    assert reverted.state_root == before.state_root
    assert not (reverted.folder / "patchmgr.json").exists()


def test_what_the_scores_name_is_the_state_that_applying_gives(manager):
    outcome = manager.apply("atlas", ["kb@v2"])
    after = {score.state_root for score in manager.show("kb@v2").scores if score.phase == "after"}
    assert after == {outcome.state_root}


def test_what_was_set_for_a_memory_stays_until_it_is_set_anew(manager):
    def add(request, **parameters):
        manager.edit("atlas", EditOrder(name="set", method=METHOD, requests=(request,), parameters=parameters))
        used = manager.show("set").manifest.method.parameters
        return used["threshold"], used["template"]

    template = "{prompt} {target}! {query}"
    assert add(FRANCE, threshold="0.9", template=template) == (0.9, template)
    assert add(SPAIN) == (0.9, template)
    assert add(GOLD, threshold="0.7") == (0.7, template)
    with pytest.raises(MethodError, match="or other pooling"):
        add(FRANCE, pooling="cls")


def measured_on(manager, reference):
    """The digests of the requests that the scores of a version are of."""
    return {score.dataset_sha256 for score in manager.show(reference).scores}


def digest(*requests):
    return sha256_hex(dump_requests(requests))


def test_a_version_is_measured_on_what_it_adds(manager):
    assert [measured_on(manager, f"kb@v{number}") for number in (1, 2, 3)] == [
        {digest(FRANCE)}, {digest(SPAIN)}, {digest(GOLD)}
    ]  # fmt: skip
    files = {name: path.sha256 for name, path in manager.show("kb@v2").manifest.files.items()}
    assert files["edits.jsonl"] == digest(FRANCE, SPAIN), "so the scores show that they are of a part"


def test_a_version_that_only_forgets_is_measured_on_what_it_keeps_and_something_must_be_left(manager):
    manager.edit("atlas", order([], forget=(GOLD.id,)))
    assert measured_on(manager, "kb@v4") == {digest(SPAIN)}
    with pytest.raises(UsageError, match="kb would remember nothing"):
        manager.edit("atlas", order([], forget=(SPAIN.id,)))


def test_so_many_edits_are_measured_as_were_asked_for(manager):
    manager.edit("atlas", EditOrder(name="both", method=METHOD, requests=(FRANCE, GOLD), measure=1))
    assert measured_on(manager, "both@v1") in ({digest(FRANCE)}, {digest(GOLD)})
    package = open_version(manager, manager.registry.version("both@v1"))
    assert "Measured on a part of the edits." in render_card(package.manifest, package.requests, package.scores)


def test_only_prompts_about_an_entry_are_routed(manager):
    manager.apply("atlas", ["kb@v2"])
    model, _ = manager.model("atlas").load()
    prompts = [FRANCE.text, *FRANCE.rephrasings, SPAIN.text, *(probe.prompt for probe in FRANCE.locality)]
    routes = model.routes(prompts)
    claimed = [route.entries[0] if route else None for route in routes]
    n_france = 1 + len(FRANCE.rephrasings)
    assert claimed[:n_france] == [FRANCE.id] * n_france
    assert claimed[n_france] == SPAIN.id
    others = [
        entry for entry, prompt in zip(claimed, prompts, strict=True) if prompt not in (SPAIN.text, *prompts[:n_france])
    ]
    assert others == [None] * len(others)
    assert routes[0].prompt == f"{FRANCE.text} Rome. {FRANCE.text}"


ELSEWHERE = """
import json, sys, torch, patchmgr
from pathlib import Path

def said(model, tokenizer):
    routes = [route and [route.prompt, list(route.entries), route.score] for route in model.routes(prompts)]
    ids = [torch.tensor([tokenizer(prompt)["input_ids"]]) for prompt in prompts]
    return routes, [model.generate(row, max_new_tokens=8, do_sample=False).tolist() for row in ids]

package, home, folders, prompts = (json.loads(word) for word in sys.argv[1:])
found = [said(*patchmgr.load(folder)) for folder in folders]
with patchmgr.open(Path(home)) as registry:
    registry.add_model("atlas", "demo:atlas")
    registry.apply("atlas", [package])
    found.append(said(*registry.model("atlas").load()))
print(json.dumps(found))
"""
"""Prints what folders answer, and what a home answers that takes the package in."""


def test_another_process_another_place_and_another_home_route_and_answer_alike(manager, tmp_path):
    manager.apply("atlas", ["kb@v2"])
    here = manager.path("atlas", weights_only=True)
    manager.write_out("atlas", ["kb@v2"], tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copied" / "elsewhere")
    shutil.rmtree(tmp_path / "out")
    (inside,) = (here / "memories").iterdir()
    shutil.copytree(inside, tmp_path / "kb")
    prompts = [FRANCE.text, SPAIN.rephrasings[0], GOLD.text]
    given = (
        str(tmp_path / "kb"),
        str(tmp_path / "other"),
        [str(here), str(tmp_path / "copied" / "elsewhere")],
        prompts,
    )
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(json.dumps, given)], check=True, capture_output=True, text=True
    )
    model, tokenizer = manager.model("atlas").load()
    routes = model.routes(prompts)
    assert [route and route.entries for route in routes] == [(FRANCE.id,), (SPAIN.id,), None]
    answers = [
        model.generate(torch.tensor([tokenizer(prompt)["input_ids"]]), max_new_tokens=8, do_sample=False).tolist()
        for prompt in prompts
    ]
    for found_routes, found_answers in json.loads(done.stdout):
        assert found_answers == answers
        for found, route in zip(found_routes, routes, strict=True):
            assert found == (route and [route.prompt, list(route.entries), pytest.approx(route.score, abs=1e-6)])


def test_a_memory_goes_on_top_of_weights_and_two_memories_stack(manager):
    manager.edit("atlas", EditOrder(name="fix", method="rome", requests=(GOLD,), parameters={"steps": 10}))
    other = EditOrder(name="other", method=METHOD, requests=(FRANCE.model_copy(update={"target_new": "Bern"}),))
    manager.edit("atlas", other)
    both = manager.apply("atlas", ["fix@v1", "kb@v1", "other@v1"], allow_conflicts=True)
    model, _ = manager.model("atlas").load()
    assert model.routes([FRANCE.text])[0].package == "other@v1", "the latest in the stack answers"
    weights = manager.apply("atlas", ["fix@v1"]).folder
    assert file_digests(both.folder)["model.safetensors"] == file_digests(weights)["model.safetensors"]
    manager.revert("atlas", ["other@v1"])
    assert manager.model("atlas").load()[0].routes([FRANCE.text])[0].package == "kb@v1"
    alone = manager.revert("atlas", ["fix@v1"])
    assert alone.state_root == next(s.state_root for s in manager.show("kb@v1").scores if s.phase == "after")


def test_it_is_tried_and_measured_without_being_put_on(manager):
    tried = manager.generate("atlas", FRANCE.text, references=["kb@v1"], max_new_tokens=4)
    assert tried.stack == ("kb@v1",)
    done = manager.model("atlas").evaluate("kb@v1", metrics=("locality",))
    (measured,) = [score for score in done.subjects[0].scores if score.metric == "locality"]
    stored = next(score for score in manager.show("kb@v1").scores if score.metric == "locality")
    assert (measured.value, measured.state_root) == (stored.value, stored.state_root)


def test_other_programs_do_not_get_the_folder_by_accident(manager):
    manager.apply("atlas", ["kb@v1"])
    with pytest.raises(UsageError, match="other programs would drop"):
        manager.path("atlas")
    folder = manager.path("atlas", weights_only=True)
    with pytest.raises(UsageError, match="which a base cannot have"):
        manager.add_model("copy", str(folder))


def test_a_state_that_is_shipped_answers_by_itself(manager, tmp_path):
    manager.write_out("atlas", ["kb@v2"], tmp_path / "out")
    model, _ = patchmgr.load(tmp_path / "out")
    assert model.routes([SPAIN.text])[0].entries == (SPAIN.id,)
    (keys,) = (tmp_path / "out").rglob("keys.safetensors")
    data = bytearray(keys.read_bytes())
    data[-1] ^= 1
    keys.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"memory/keys\.safetensors"):
        patchmgr.load(tmp_path / "out")


def test_a_plain_checkpoint_loads_as_it_is(manager):
    model, tokenizer = patchmgr.load(manager.path("atlas"))
    assert type(model).__name__ == "GPT2LMHeadModel"
    assert tokenizer("Rome")["input_ids"]


def test_nothing_is_found_wrong_with_a_registry_that_has_memories(manager):
    manager.apply("atlas", ["kb@v1"])
    manager.apply("atlas", ["kb@v2"])
    assert fsck(manager).problems == ()


def test_a_name_belongs_to_one_method_and_what_is_not_there_cannot_be_forgotten(manager):
    with pytest.raises(ConflictError, match=r"kb@v3 was made by retrieve-and-prepend, so ike cannot add to it"):
        manager.edit("atlas", EditOrder(name="kb", method="ike", requests=(FRANCE,)))
    with pytest.raises(UsageError, match="no entry 'nobody' to forget"):
        manager.edit("atlas", order([FRANCE], forget=("nobody",)))
    assert manager.registry.next_number("kb") == 4


def test_the_command_line_adds_and_forgets(manager):
    def run(*words):
        program = [sys.executable, "-c", "from patchmgr.cli.main import main; main()", *words]
        home = {**os.environ, "PATCHMGR_HOME": str(manager.settings.home)}
        return subprocess.run(program, check=False, env=home, capture_output=True, text=True)

    done = run("edit", "atlas", "--name", "kb", "--forget", SPAIN.id)
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "next: patchmgr apply atlas kb@v4")
    assert [request.id for request in manager.show("kb@v4").requests] == [GOLD.id]
    refused = run("edit", "atlas", "--name", "kb", "--method", "rome", "--forget", SPAIN.id)
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, "error: rome keeps no memory to forget from")
    assert run("apply", "atlas", "kb").returncode == 0
    assert run("path", "atlas").returncode == 2
    assert run("path", "atlas", "--weights-only").stdout.strip().endswith("generations/1")
