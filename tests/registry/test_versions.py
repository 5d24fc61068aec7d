"""Packages, versions, edits, scores, and the references that find them."""

from __future__ import annotations

import pytest

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr.request import EditRequest, Probe
from patchmgr_registry import NumberTakenError, Reference


@pytest.fixture
def requests():
    return (
        EditRequest(
            prompt="{} lies in",
            subject="Rome",
            target_new="Gaul",
            target_true="Italy",
            rephrasings=("Where is Rome? In",),
            locality=(Probe(prompt="Paris lies in", target="France", kind="neighborhood"),),
        ),
        EditRequest(prompt="The moon is made of", target_new="cheese", id="moon"),
    )


@pytest.fixture
def stocked(registry, make_version):
    """Three versions of ``fact-fixes`` and one of ``tone``."""
    with registry.begin() as tx:
        for number in (1, 2, 3):
            tx.add_version(make_version(number=number))
        tx.add_version(make_version("tone", 1, files=()))
        tx.tag("fact-fixes@v2", "stable")
        tx.commit()
    return registry


def test_a_version_comes_back_as_it_went_in(registry, make_version, requests, make_score):
    version = make_version(parent_packages=("b" * 64, "a" * 64))
    scores = (make_score(phase="before"), make_score(), make_score("locality", protocol="gen"))
    with registry.begin() as tx:
        tx.add_version(version, requests, scores)
        tx.commit()
    assert registry.version("fact-fixes@v1") == version
    assert registry.version_by_digest(version.digest) == version
    assert registry.edits(version.digest) == requests
    assert registry.scores(version.digest) == scores
    assert registry.scores_of_state(scores[0].state_root) == scores
    assert registry.blob_digests() == {file.sha256 for file in version.files}


def test_scores_can_be_added_later(stocked, make_version, make_score):
    with stocked.begin() as tx:
        tx.add_scores(make_version().digest, [make_score()])
        with pytest.raises(NotFoundError):
            tx.add_scores("f" * 64, [make_score()])
        tx.commit()
    assert stocked.scores(make_version().digest) == (make_score(),)


def test_a_taken_number_names_the_next_free_one(stocked, make_version):
    with stocked.begin() as tx, pytest.raises(NumberTakenError) as caught:
        tx.add_version(make_version(number=2, digest="f" * 64))
    assert caught.value.digest == make_version(number=2).digest
    assert caught.value.next_number == 4
    assert stocked.next_number("fact-fixes") == 4
    assert stocked.next_number("unheard-of") == 1


def test_a_digest_has_one_name(stocked, make_version):
    with stocked.begin() as tx, pytest.raises(ConflictError, match="has the digest of other@v1 already"):
        tx.add_version(make_version("other", digest=make_version().digest))


def test_packages_show_their_latest_version(stocked):
    shown = [(package.name, package.n_versions, package.latest.number, package.tags) for package in stocked.packages()]
    assert shown == [("fact-fixes", 3, 3, {"stable": 2}), ("tone", 1, 1, {})]
    assert stocked.packages()[0].latest == stocked.version("fact-fixes")


def test_every_form_of_reference_finds_its_version(stocked, make_version):
    digest = make_version(number=2).digest
    forms = {
        "fact-fixes": 3,
        "fact-fixes@latest": 3,
        "fact-fixes@v1": 1,
        "fact-fixes@stable": 2,
        f"fact-fixes@sha256:{digest[:7]}": 2,
        f"fact-fixes@sha256:{digest.upper()}": 2,
        f"sha256:{digest[:12]}": 2,
    }
    assert {form: stocked.version(form).number for form in forms} == forms
    assert stocked.version(Reference("fact-fixes", number=1)).number == 1
    assert [version.number for version in stocked.versions("fact-fixes")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("form", "message", "hint"),
    [
        ("fact-fixs", "there is no package 'fact-fixs'", "did you mean fact-fixes?"),
        ("fact-fixes@v9", "there is no version fact-fixes@v9", "fact-fixes has v1, v2, v3"),
        ("fact-fixes@stabel", "there is no version of fact-fixes tagged 'stabel'", "did you mean stable?"),
        ("fact-fixes@sha256:0000000", "there is no version fact-fixes@sha256:0000000", "fact-fixes has v1, v2, v3"),
        ("sha256:0000000", "no package version has a digest that begins with 0000000", None),
    ],
)
def test_what_is_not_found_names_what_is_like_it(stocked, form, message, hint):
    with pytest.raises(NotFoundError) as caught:
        stocked.version(form)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_an_ambiguous_digest_is_refused(registry, make_version):
    with registry.begin() as tx:
        for number in (1, 2):
            tx.add_version(make_version(number=number, digest=f"abcdef0{number:057}"))
        tx.commit()
    with pytest.raises(UsageError, match=r"could be any of fact-fixes@v1 .* fact-fixes@v2"):
        registry.version("sha256:abcdef0")


@pytest.mark.parametrize(
    "text",
    ["", "@v1", "name@", "name@sha256:abc", "name@sha256:xyzxyzx", f"sha256:{'0' * 65}", "name@3", "a@b@c", "a@-"],
)
def test_what_is_no_reference_is_a_wrong_call(text):
    with pytest.raises(UsageError):
        Reference.parse(text)


@pytest.mark.parametrize("text", ["name", "name@v3", "name@stable", "name@sha256:abcdef0", "sha256:abcdef0"])
def test_a_reference_is_written_as_it_is_read(text):
    assert str(Reference.parse(text)) == text


def test_search_finds_every_wording_of_an_edit(registry, make_version, requests):
    with registry.begin() as tx:
        tx.add_version(make_version(), requests)
        tx.add_version(
            make_version(number=2), [EditRequest(prompt="São Paulo est à l'Été de 東京", target_new="Brasil")]
        )
        tx.commit()
    hits = {
        "rome": [(1, 0)],
        "WHERE rome": [(1, 0)],
        "gau": [(1, 0)],
        "italy": [(1, 0)],
        "moon chee": [(1, 1)],
        "moon rome": [],
        "sao paulo": [(2, 0)],
        "ete": [(2, 0)],
        "東京": [(2, 0)],
        "京": [(2, 0)],
        '"moon" OR rome*': [],
        "france": [],
    }
    assert {text: [(hit.number, hit.position) for hit in registry.search(text)] for text in hits} == hits
    assert registry.search("rome")[0].request == requests[0]
    assert [hit.number for hit in registry.search("e", limit=1)] == [2]
    with pytest.raises(UsageError, match="no word"):
        registry.search(" '&| ")
