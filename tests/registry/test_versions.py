"""Packages, versions, edits, scores, and the references that find them."""

from __future__ import annotations

import pytest

from patchmgr.errors import ConflictError, NotFoundError, UsageError
from patchmgr.request import EditRequest, Probe
from patchmgr_registry import NumberTakenError, Reference, Result, SignatureRecord, timestamp


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
    assert stocked.packages()[0].latest.digest == stocked.version("fact-fixes").digest


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


def test_messages_are_searched_and_a_search_can_keep_to_one_package(registry, make_version, requests):
    with registry.begin() as tx:
        tx.add_version(make_version(message="L'Été: Rome déménagée"), requests)
        tx.add_version(make_version("other", message="roman numerals"), requests)
        tx.add_version(make_version("other", 2, message=""))
        tx.commit()
    hits = {"rom": ["other@v1", "fact-fixes@v1"], "ete demenagee": ["fact-fixes@v1"], "été numerals": [], "v1": []}
    for text, found in hits.items():
        assert [f"{hit.package}@v{hit.number}" for hit in registry.search_messages(text)] == found
    assert [hit.package for hit in registry.search_messages("rom", limit=1)] == ["other"]
    assert [hit.message for hit in registry.search_messages("rom", package="fact-fixes")] == ["L'Été: Rome déménagée"]
    assert {hit.package for hit in registry.search("rome")} == {"fact-fixes", "other"}
    assert {hit.package for hit in registry.search("rome", package="other")} == {"other"}
    with pytest.raises(UsageError, match="no word"):
        registry.search_messages("&")


def test_a_limited_search_gives_what_was_added_last_and_sorts_it(registry, make_version):
    def edits(name):
        return [EditRequest(prompt=f"{name} {i} is", target_new="x") for i in range(3)]

    with registry.begin() as tx:
        tx.add_version(make_version(), edits("a"))
        tx.add_version(make_version(number=2), edits("b"))
        tx.commit()
    assert [(hit.number, hit.position) for hit in registry.search("is", limit=4)] == [(2, 0), (2, 1), (2, 2), (1, 2)]


def test_a_history_is_read_in_pages(registry, make_version, requests):
    with registry.begin() as tx:
        for number in (1, 2, 5, 9):
            tx.add_version(make_version(number=number), requests)
        tx.commit()

    def numbers(**page):
        return [version.number for version in registry.versions("fact-fixes", **page)]

    assert numbers() == [1, 2, 5, 9]
    assert (numbers(limit=2), numbers(before=5, limit=1), numbers(before=1), numbers(before=5)) == (
        [5, 9],
        [2],
        [],
        [1, 2],
    )
    newest = registry.version("fact-fixes").digest
    assert registry.edits(newest, offset=1) == registry.edits(newest)[1:]
    assert registry.edits(newest, limit=1) == registry.edits(newest)[:1]
    assert registry.references([newest, "0" * 64]) == {newest: "fact-fixes@v9"}


def test_results_of_several_things_at_once(registry, make_version, make_score):
    versions = [make_version(number=n) for n in (1, 2, 3)]
    with registry.begin() as tx:
        for version in versions:
            measured = [make_score(name, state_root=version.digest, value=0.5) for name in ("locality", "fluency")]
            tx.add_version(version, [], [make_score(phase="before"), *measured, measured[0]])
        tx.commit()
    wanted = [version.digest for version in versions[:2]]
    result = Result("locality", 0.5, make_score().dataset_sha256)
    expected = dict.fromkeys(wanted, (result, result))
    assert registry.results_of_versions([*wanted, "0" * 64], ["locality", "reliability"]) == expected
    assert registry.results_of_states(wanted, ["locality", "reliability"]) == expected
    assert registry.results_of_versions([], ["locality"]) == {}


def test_packages_are_named_and_listed_in_order(registry, make_version):
    with registry.begin() as tx:
        for name, number in [("b", 1), ("c", 1), ("a", 1), ("a", 2)]:
            tx.add_version(make_version(name, number))
        tx.tag("a@v1", "good")
        tx.commit()
    assert registry.package_names() == ("a", "b", "c")
    assert [(p.name, p.n_versions, p.latest.number) for p in registry.packages(limit=2)] == [("a", 2, 2), ("b", 1, 1)]
    assert registry.tagged() == {"a": {"good": 1}}


def test_a_version_has_one_signature_and_its_blob_is_kept(registry, make_version):
    version, other = make_version(), make_version("other")
    first, second = SignatureRecord("1" * 64, 900, timestamp()), SignatureRecord("2" * 64, 901, timestamp())
    with registry.begin() as tx:
        tx.add_version(version)
        tx.add_version(other)
        tx.set_signature(version.digest, first)
        tx.commit()
    assert registry.signature(version.digest) == first
    assert registry.signature(other.digest) is None
    assert first.sha256 in registry.blob_digests()
    with registry.begin() as tx:
        tx.set_signature(version.digest, second)
        tx.commit()
    assert registry.signatures() == {version.digest: second}
    assert registry.blob_digests() >= {second.sha256} and first.sha256 not in registry.blob_digests()
    with pytest.raises(NotFoundError), registry.begin() as tx:
        tx.set_signature("0" * 64, first)
