"""Rebasing: made again by its own method from its own edits on another state, as its next version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manager.remaking.facts import AS_IT_WAS, bytes_of, facts, last_event, manifest, named, stack, texts
from patchmgr.errors import GateError, NotFoundError, RequestError, UsageError
from patchmgr.manager.order import Inherited
from patchmgr.manager.remaking.alike import taken_over
from patchmgr.manager.remaking.source import Wishes
from patchmgr.package.manifest import MethodRecord
from patchmgr.package.reader import EDITS
from tiny_models import tiny_model, tiny_tokenizer


def test_a_package_is_made_again_on_the_present_state_as_its_next_version(manager, tiny, write):
    tiny.edit("fix", facts("France", "Spain"), method="write", seed=7, size=0.25, message="why")
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    done = manager.rebase("tiny", "fix@v1", AS_IT_WAS)
    tiny.edit("plain", facts("France", "Spain"), method="write", seed=7, size=0.25)
    new = manifest(manager, "fix@v2")
    assert (done.source, done.edit.version.reference, new.parent_version) == ("fix@v1", "fix@v2", 1)
    assert new.parent.packages == (manager.registry.version("below").digest,)
    assert new.message == "why"
    assert bytes_of(manager, "fix@v2")["weights.safetensors"] == bytes_of(manager, "plain@v1")["weights.safetensors"]
    assert texts(manager, "fix@v2") == texts(manager, "fix@v1")
    event = last_event(manager, "rebase")
    assert (named(event, "package"), named(event, "rebased")) == (["fix@v2"], ["fix@v1"])
    tiny.apply("fix")
    assert stack(tiny) == ["below@v1", "fix@v2"]


def test_the_package_itself_and_what_was_computed_on_it_are_thought_away(manager, tiny):
    for name, place in (("fix", "France"), ("upon", "Spain")):
        tiny.edit(name, facts(place), method="write")
        tiny.apply(name)
    tiny.edit("beside", facts("Atlantis"), method="write", on="base")
    tiny.apply("beside")
    preview = manager.check_rebase("tiny", "fix", AS_IT_WAS)
    manager.rebase("tiny", "fix", AS_IT_WAS)
    assert preview.on == ("beside@v1",)
    assert manifest(manager, "fix@v2").parent.packages == (manager.registry.version("beside").digest,)
    assert manager.check_rebase("tiny", "fix", Wishes(on="base")).on == ()


def test_all_edits_are_told_apart_before_and_after(manager, tiny):
    tiny.edit("fix", [*facts("France", id="fr"), *facts("Spain")], method="write", size=0.25)
    survival = manager.rebase("tiny", "fix", Wishes(parameters={"size": "0.0"})).survival
    assert [(fact.edit, fact.prompt, fact.target) for fact in survival.facts] == [
        ("fr", "The capital of France is", "Rome"),
        ("#2", "The capital of Spain is", "Rome"),
    ]
    scores = manager.show("fix@v1").scores
    for fact in survival.facts:
        assert fact.now == fact.bare, "a change of nothing changes nothing"
        assert set(fact.now) == set(fact.was) == {"reliability", "exact_match"}
    mean = {score.metric: score.value for score in scores if score.phase == "after"}
    assert sum(fact.was["reliability"] for fact in survival.facts) / 2 == pytest.approx(mean["reliability"])
    assert sum(survival.count(held=a, holds=b) for a in (True, False) for b in (True, False)) == 2


def test_on_another_base_only_what_somebody_gave_is_kept_and_the_rest_is_derived_anew(
    manager, tiny, write, deeper_base, tiny_base
):
    tiny.edit("fix", facts("France"), method="write", layer=1, size="0.25")
    assert manifest(manager, "fix@v1").method.given == ("layer", "size")
    assert manifest(manager, "fix@v1").method.parameters["depth"] == 2
    manager.add_model("deep", str(deeper_base))
    done = manager.rebase("deep", "fix", Wishes(on="base"))
    new = manifest(manager, "fix@v2")
    assert (done.kept, done.changed) == (("layer", "size"), {"depth": (2, 3)})
    assert new.base.fingerprint == manager.registry.model("deep").base.fingerprint
    assert (new.method.parameters["depth"], new.method.given) == (3, ("layer", "size"))
    assert done.survival.unknown == ""
    manager.model("deep").apply("fix@v2")
    again = manager.rebase("tiny", "fix@v1", AS_IT_WAS)
    assert again.changed == {}, "on its own base all is as it was"


def test_an_edit_of_a_real_method_is_carried_to_another_architecture(manager, tiny, tmp_path):
    """A sixth of the way up is block 0 of two blocks, and block 1 of twelve; neither was given."""
    tiny_model("llama", num_hidden_layers=12).save_pretrained(tmp_path / "llama")
    tiny_tokenizer().save_pretrained(tmp_path / "llama")
    manager.add_model("llama", str(tmp_path / "llama"))
    tiny.edit("fix", facts("France"), method="rome", steps=1, statistics="identity", context_count=0)
    done = manager.rebase("llama", "fix", Wishes(on="base"))
    old, new = manifest(manager, "fix@v1"), manifest(manager, "fix@v2")
    assert (done.kept, done.changed) == (("context_count", "statistics", "steps"), {"layer": (0, 1)})
    assert [each.tensors[0].module for each in (old, new)] == [
        "transformer.h.0.mlp.c_proj.weight", "model.layers.1.mlp.down_proj.weight",
    ]  # fmt: skip
    manager.model("llama").apply("fix@v2")


def test_a_memory_is_carried_to_another_base_with_all_that_it_remembers(manager, tiny, deeper_base):
    tiny.edit("kb", facts("France", "Spain"), method="ike")
    manager.add_model("deep", str(deeper_base))
    done = manager.rebase("deep", "kb", AS_IT_WAS)
    new = manifest(manager, "kb@v2")
    assert new.base.fingerprint == manager.registry.model("deep").base.fingerprint
    assert bytes_of(manager, "kb@v2")["memory/entries.jsonl"] == bytes_of(manager, "kb@v1")["memory/entries.jsonl"]
    assert [fact.prompt for fact in done.survival.facts] == ["The capital of France is", "The capital of Spain is"]


def test_a_manifest_that_does_not_say_what_was_given_tells_it_by_values_that_are_no_defaults(manager, tiny, write):
    tiny.edit("fix", facts("France"), method="write")
    used = {"layer": 1, "size": 0.5, "depth": 2, "preset": None}
    record = MethodRecord(name="write", version="1", parameters={**used, "sites": []})
    old = manifest(manager, "fix@v1").model_copy(update={"method": record})
    assert taken_over(old, write.parameters, other_base=False) == Inherited(used, None)
    found = taken_over(old, write.parameters, other_base=True)
    assert found == Inherited({"layer": 1}, None), "size is the default, and depth may have been derived"


def test_where_the_old_base_is_gone_it_is_said_that_nothing_is_known_of_it(manager, tiny, deeper_base):
    tiny.edit("fix", facts("France"), method="write")
    manager.add_model("deep", str(deeper_base))
    manager.remove_model("tiny")
    survival = manager.rebase("deep", "fix", AS_IT_WAS).survival
    assert "no model here stands on the base of fix@v1" in survival.unknown
    assert (survival.facts[0].was, survival.facts[0].held) == (None, None)


def test_a_package_in_a_folder_is_taken_in_and_carried_over(manager, tiny, deeper_base, tmp_path):
    version = tiny.edit("fix", facts("France"), method="write").version
    folder = tmp_path / "fix"
    folder.mkdir()
    (folder / "patch.json").write_text(version.manifest)
    for file in version.files:
        (folder / file.path).write_bytes(manager.registry.blobs.path(file.sha256).read_bytes())
    manager.add_model("deep", str(deeper_base))
    (folder / "patch.json").write_text(version.manifest.replace('"name":"fix"', '"name":"new"'))
    assert manager.check_rebase("deep", str(folder), AS_IT_WAS).reference == "new@v1", "looking takes nothing in"
    assert manager.registry.next_number("new") == 1
    (folder / "patch.json").write_text(version.manifest)
    assert manager.rebase("deep", str(folder), AS_IT_WAS).edit.version.reference == "fix@v2"


# What cannot be rebased


def test_withheld_edits_a_missing_method_and_a_missing_text_are_refused_with_the_next_step(
    manager, tiny, monkeypatch, tmp_path
):
    version = tiny.edit("fix", facts("France"), method="write").version
    without = replace(version, files=tuple(file for file in version.files if file.path != EDITS))
    with monkeypatch.context() as patch:
        patch.setattr(manager.registry, "version", lambda _reference: without)
        with pytest.raises(RequestError, match="withheld its edits, so it cannot be rebased; ask its author"):
            manager.rebase("tiny", "fix", AS_IT_WAS)
    known = manager.plugins
    manager.__dict__["plugins"] = replace(known, methods={})
    with pytest.raises(NotFoundError, match="made by 'write', which no plugin here brings; install the plugin"):
        manager.rebase("tiny", "fix", AS_IT_WAS)
    manager.__dict__["plugins"] = known
    text = tmp_path / "text.txt"
    text.write_text("Rome lies in Italy.\n" * 50)
    tiny.edit("counted", facts("France"), method="write", corpus=text)
    with pytest.raises(UsageError, match="made with statistics of the text sha256:aaaaaaaaaaaa; give that text"):
        manager.rebase("tiny", "counted", AS_IT_WAS)
    assert manager.check_rebase("tiny", "counted", Wishes(corpus=text)).reference == "counted@v2"


def test_what_does_not_meet_a_requirement_is_not_stored(manager, tiny):
    tiny.edit("fix", facts("France"), method="write")
    events = len(manager.events())
    with pytest.raises(GateError, match="reliability > 1 was required of fix"):
        manager.rebase("tiny", "fix", Wishes(require=("reliability>1",)))
    assert (manager.registry.next_number("fix"), len(manager.events())) == (2, events)
    with pytest.raises(UsageError, match="not measured when a package is made"):
        manager.rebase("tiny", "fix", Wishes(require=("retention/reliability>0",)))
