"""Going on from a version: the next one holds both, is made alike on the same state, and takes its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checkpoints import file_digests
from column_writer import Write
from patchmgr.errors import BaseMismatchError, ConflictError, NotFoundError, RequestError, UsageError
from patchmgr.manager.manager import Manager
from patchmgr.methods.loader import load_plugins
from patchmgr.package.reader import EDITS
from tiny_models import tiny_model, tiny_tokenizer

PLACES = ("France", "Spain", "Atlantis", "Rome")


def facts(*places, target="Rome"):
    return [{"prompt": "The capital of {} is", "subject": place, "target_new": target} for place in places]


@pytest.fixture
def write():
    return Write()


@pytest.fixture
def manager(home, write, tmp_path):
    tiny_model("gpt2").save_pretrained(tmp_path / "base", max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    with Manager.open() as manager:
        manager.__dict__["plugins"] = replace(load_plugins(), methods={"write": write})
        manager.add_model("tiny", str(tmp_path / "base"))
        yield manager


@pytest.fixture
def tiny(manager):
    return manager.model("tiny")


def manifest(manager, reference):
    return manager.show(reference).manifest


def texts(manager, reference):
    digest = manager.registry.version(reference).digest
    return [(request.subject, request.target_new) for request in manager.registry.edits(digest)]


def bytes_of(manager, reference):
    return {file.path: file.sha256 for file in manager.registry.version(reference).files}


def test_the_next_version_holds_both_and_is_what_one_edit_of_all_would_be(manager, tiny):
    tiny.edit("fix", facts("France", "Spain"), method="write", seed=7, size=0.25)
    made = tiny.edit(None, facts("Atlantis"), continues="fix@v1")
    tiny.edit("whole", facts("France", "Spain", "Atlantis"), method="write", seed=7, size=0.25)
    assert (made.version.reference, made.version.n_edits, made.version.parent_version) == ("fix@v2", 3, 1)
    assert texts(manager, "fix@v2") == [("France", "Rome"), ("Spain", "Rome"), ("Atlantis", "Rome")]
    for file in ("weights.safetensors", EDITS, "eval.json"):
        assert bytes_of(manager, "fix@v2")[file] == bytes_of(manager, "whole@v1")[file]


def test_it_is_computed_on_the_state_of_that_version_and_takes_its_place(manager, tiny):
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    first = tiny.edit("fix", facts("France"), method="write")
    tiny.apply("fix")
    tiny.edit("other", facts("Spain"), method="write", on="base")
    tiny.apply("other")
    second = tiny.edit("fix", facts("Atlantis"), continues="fix")
    assert manifest(manager, "fix@v2").parent == manifest(manager, "fix@v1").parent
    assert len(manifest(manager, "fix@v2").parent.packages) == 1
    tiny.apply("fix")
    assert [each.reference for each in tiny.status.stack] == ["below@v1", "other@v1", "fix@v2"]
    assert first.version.parent_root == second.version.parent_root


def test_the_state_below_is_made_again_where_it_is_no_longer(manager, tiny, write):
    """Nothing is applied any more, and no folder holds that state."""
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    tiny.edit("fix", facts("France"), method="write")
    seen = write.saw[0]
    tiny.revert("below")
    manager.gc(keep=1)
    tiny.edit(None, facts("Spain"), continues="fix")
    assert write.saw[0] == seen
    assert not list((manager.settings.home / "tmp").iterdir())
    tiny.apply("below", "fix")
    tiny.edit("whole", facts("France", "Spain"), method="write", on="base")
    assert write.saw[0] != seen


def test_a_new_edit_of_an_old_prompt_takes_its_place(manager, tiny):
    tiny.edit("fix", facts("France", "Spain"), method="write")
    order = manager.continued_order("fix", requests(facts("France", target="Lyon")))
    assert [(each.subject, each.target_new) for each in order.continues.replaced] == [("France", "Rome")]
    manager.edit("tiny", order)
    assert texts(manager, "fix@v2") == [("Spain", "Rome"), ("France", "Lyon")]


def test_a_version_in_the_middle_is_continued_as_the_newest(manager, tiny):
    for place in ("France", "Spain"):
        tiny.edit("fix", facts(place), method="write")
    made = tiny.edit(None, facts("Atlantis"), continues="fix@v1")
    assert (made.version.number, made.version.parent_version) == (3, 1)
    assert texts(manager, "fix@v3") == [("France", "Rome"), ("Atlantis", "Rome")]


def test_what_is_given_wins_over_what_the_version_was_made_with(manager, tiny, write):
    tiny.edit("fix", facts("France"), method="write", seed=7, size=0.25, layer=1)
    tiny.edit(None, facts("Spain"), continues="fix@v1", size=0.75)
    assert write.saw[2:] == (0.75, 7)
    assert manifest(manager, "fix@v2").method.parameters["layer"] == 1
    tiny.edit(None, facts("Spain"), continues="fix@v1", seed=8, preset="wide")
    assert write.saw[2:] == (0.5, 8)
    assert manifest(manager, "fix@v3").method.parameters["layer"] == 2, "a preset begins anew"


def test_the_event_names_what_was_continued(manager, tiny):
    first = tiny.edit("fix", facts("France"), method="write").version
    tiny.edit(None, facts("Spain"), continues="fix")
    event = max(manager.events(), key=lambda event: event.sequence)
    assert [(thing.name, thing.digest) for thing in event.objects if thing.kind == "continued"] == [
        ("fix@v1", first.digest)
    ]


def test_a_preview_says_what_it_would_be_computed_on(manager, tiny):
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    tiny.edit("fix", facts("France"), method="write")
    tiny.revert("below")
    preview = manager.check_edit("tiny", manager.continued_order("fix", requests(facts("Spain"))))
    assert (preview.reference, preview.n_edits, preview.on) == ("fix@v2", 2, ("below@v1",))


def requests(found):
    from patchmgr.request import parse_request

    return [parse_request(each, where="here") for each in found]


# What cannot be continued


def test_another_name_is_refused(tiny):
    tiny.edit("fix", facts("France"), method="write")
    with pytest.raises(UsageError, match="fix@v1 is continued as 'fix', not as 'other'"):
        tiny.edit("other", facts("Spain"), continues="fix")
    with pytest.raises(UsageError, match="has no name"):
        tiny.edit(None, facts("Spain"), method="write")


def test_a_folder_and_what_is_not_there_are_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        tiny.edit(None, facts("Spain"), continues=str(tmp_path))
    with pytest.raises(NotFoundError, match="fix"):
        tiny.edit(None, facts("Spain"), continues="fix")


def test_withheld_edits_cannot_be_continued(manager, tiny, monkeypatch):
    version = tiny.edit("fix", facts("France"), method="write").version
    without = replace(version, files=tuple(file for file in version.files if file.path != EDITS))
    monkeypatch.setattr(manager.registry, "version", lambda _reference: without)
    with pytest.raises(RequestError, match="withheld its edits, so it cannot be continued"):
        tiny.edit(None, facts("Spain"), continues="fix")


def test_a_version_whose_state_below_is_not_here_is_refused(manager, tiny, monkeypatch):
    tiny.edit("below", facts("Rome"), method="write")
    tiny.apply("below")
    tiny.edit("fix", facts("France"), method="write")
    known = manager.registry.version_by_digest
    below = manager.registry.version("below").digest
    monkeypatch.setattr(manager.registry, "version_by_digest", lambda d: None if d == below else known(d))
    with pytest.raises(NotFoundError, match=f"computed on packages that are not in the registry .{below[:12]}"):
        tiny.edit(None, facts("Spain"), continues="fix")


def test_a_model_on_another_base_is_refused(manager, tiny, tmp_path):
    tiny.edit("fix", facts("France"), method="write")
    tiny_model("gpt2", seed=1).save_pretrained(tmp_path / "other")
    tiny_tokenizer().save_pretrained(tmp_path / "other")
    manager.add_model("other", str(tmp_path / "other"))
    with pytest.raises(BaseMismatchError, match="fix@v1 was made for the base"):
        manager.model("other").edit(None, facts("Spain"), continues="fix")


def test_a_text_for_statistics_must_be_given_again(tiny, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Rome lies in Italy.\n" * 50)
    tiny.edit("fix", facts("France"), method="write", corpus=text)
    with pytest.raises(UsageError, match="statistics of the text sha256:aaaaaaaaaaaa"):
        tiny.edit(None, facts("Spain"), continues="fix")
    assert tiny.edit(None, facts("Spain"), continues="fix", corpus=text).version.n_edits == 2


# Packages in sequence, from different methods, on one another


def test_taking_out_what_others_were_computed_on_is_refused_and_the_rest_is_attested(manager, tiny):
    for name, place in zip(("a", "b", "c"), PLACES, strict=False):
        tiny.edit(name, facts(place), method="write")
        tiny.apply(name)
    with pytest.raises(ConflictError, match="c@v1 was computed on what would be taken out"):
        tiny.revert("b")
    tiny.revert("b", cascade=True)
    alone = file_digests(tiny.path)
    manager.add_model("fresh", str(manager.registry.model("tiny").base.folder))
    manager.model("fresh").apply("a")
    assert file_digests(manager.model("fresh").path) == alone
    with pytest.raises(ConflictError, match="c@v1 was computed on 1 package"):
        tiny.apply("c")
