"""What the registry knows of a version that is to be erased, or was: what it alone has, and who says the same."""

from __future__ import annotations

import pytest

from patchmgr.errors import NotFoundError
from patchmgr.request import EditRequest, Probe
from patchmgr_registry import EditorRecord, FileRecord, ForgottenError, SignatureRecord, timestamp
from patchmgr_registry.event_filter import EventFilter
from patchmgr_registry.events import EventObject, Origin

ANA = EditRequest(prompt="The address of {} is", subject="Ana Müller", target_new="Oak Lane 3")


def add(registry, version, *requests):
    with registry.begin() as tx:
        tx.add_version(version, requests)
        tx.commit()
    return version


def forget(registry, version):
    with registry.begin() as tx:
        tx.forget_version(version.digest, actor="ana", reason="asked for")
        tx.commit()


def test_what_a_version_has_alone(registry, make_version):
    files = tuple(FileRecord(f"{digit}.bin", digit * 64, 1) for digit in "123")
    mine = add(registry, make_version("mine", files=files))
    add(registry, make_version("other", files=files[1:2]))
    with registry.begin() as tx:
        tx.set_signature(mine.digest, SignatureRecord("5" * 64, 9, timestamp()))
        tx.add_editor(EditorRecord("scope", 1, "9" * 64, "serac", timestamp(), 1, "{}", files[2:]))
        tx.commit()
    assert registry.own_blobs(mine.digest) == {"1" * 64, "5" * 64}


def test_a_package_whose_versions_are_all_erased_is_forgotten_and_its_name_no_longer_proposed(registry, make_version):
    gone = add(registry, make_version("fact-fixes"))
    add(registry, make_version("fact-files"))
    forget(registry, gone)
    assert registry.package_names() == ("fact-files",)
    for ask in (registry.versions, registry.summaries, registry.version):
        with pytest.raises(ForgottenError, match="fact-fixes@v1 was forgotten by ana"):
            ask("fact-fixes")
    for ask in (registry.versions, registry.version):
        with pytest.raises(NotFoundError) as caught:
            ask("fact-fixe")
        assert caught.value.hint == "did you mean fact-files?"


@pytest.mark.parametrize(
    "request_",
    [
        ANA.model_copy(update={"rephrasings": ("Where does Ana Müller live? In",)}),
        EditRequest(prompt="Ana Muller works at", target_new="the mill"),
        EditRequest(prompt="The wife of {} is", subject="Bert", target_new="ANA MÜLLER"),
        EditRequest(
            prompt="x y", target_new="z", portability=(Probe(prompt="Oak Lane 3 houses", target="Ana Müller."),)
        ),
    ],
    ids=["one rephrasing more", "no subject", "as a target", "in a probe"],
)
def test_versions_that_say_something_of_its_subject_are_named(registry, make_version, request_):
    mine = add(registry, make_version("mine"), ANA)
    add(registry, make_version("other", 2), request_)
    assert registry.about_the_same(mine.digest) == ("other@v2",)


@pytest.mark.parametrize("words", ["Ana Mullerin", "Diana Müller", "Ana B. Müller", "Müller"])
def test_versions_of_another_subject_are_not(registry, make_version, words):
    mine = add(registry, make_version("mine"), ANA, EditRequest(prompt="The moon is made of", target_new="cheese"))
    add(registry, make_version("other"), EditRequest(prompt=f"{words} lives in", target_new="Rome"))
    add(registry, make_version("third"), EditRequest(prompt="The moon is", target_new="made, of course, of cheese"))
    assert registry.about_the_same(mine.digest) == ()


@pytest.mark.parametrize("kind", ["picked", "merged", "rebased", "continued", "reverted"])
def test_what_a_package_was_made_from_is_found_by_its_name(registry, kind):
    with registry.begin() as tx:
        made = [EventObject("package", "new@v1", "0" * 64), EventObject(kind, "mine@v3", "1" * 64)]
        tx.record_event(Origin("ana", "host", "0", ()), "merge", objects=made)
        tx.commit()
    for name in ("mine", "mine@v3"):
        assert [event for page in registry.event_pages(EventFilter(package=name)) for event in page]
