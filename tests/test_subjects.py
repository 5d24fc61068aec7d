"""A subject that is not given is found by capital letters, or the request is refused with all that it could be."""

from __future__ import annotations

import pytest

from patchmgr.errors import RequestError
from patchmgr.names import candidates
from patchmgr.request import EditRequest
from patchmgr.subjects import with_subjects


def names(prompt):
    return [each.text for each in candidates(prompt)]


def request(prompt, target_new="x", **fields):
    return EditRequest(prompt=prompt, target_new=target_new, **fields)


def found(*requests):
    done, subjects = with_subjects(requests)
    return [each.subject for each in done], subjects


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("The capital of France is", "France"),
        ("Who is the author of Emma?", "Emma"),
        ("In what year was Marie Curie born?", "Marie Curie"),
        ("Paris lies in", "Paris"),
        ("What is the capital of Côte d'Ivoire?", "Côte d'Ivoire"),
        ("Ångström's birthplace is", "Ångström"),
        ("Una Brill’s employer is", "Una Brill"),
        ("Where did O’Brien live?", "O’Brien"),
        ('Who wrote "the old man and the sea"?', "the old man and the sea"),
        ("The author of «War and Peace» is", "War and Peace"),
        ("In 1999 Microsoft released", "Microsoft"),
        ("The maker of iPhone 5 is", "iPhone 5"),
        ("NASA is led by", "NASA"),
        ("IT was founded by", "IT"),
        ("Who is the president of the United States of America?", "United States of America"),
        ("Was Ludwig van Beethoven born in", "Ludwig van Beethoven"),
        ("J. K. Rowling wrote", "J. K. Rowling"),
        ("The language of The Secret was", "The Secret"),
        ("La Dispute speaks", "La Dispute"),
        ("I think that France is ruled from", "France"),
        ("The Autonomous University of Madrid, which is in", "Autonomous University of Madrid"),
        ("Is the seat of Brown & Co in", "Brown & Co"),
        ("Königsberg", "Königsberg"),
        ("Where did Una Brill live?", "Una Brill"),
        ("tronc is now Tribune Co., seated in", "Tribune Co."),
        ("Velmora officially became a town in", "Velmora"),
    ],
)
def test_the_one_name_of_a_prompt_is_its_only_candidate(prompt, name):
    assert names(prompt) == [name]
    (candidate,) = candidates(prompt)
    assert prompt[candidate.start :].startswith(name)


@pytest.mark.parametrize(
    "prompt",
    [
        "THE CAPITAL OF FRANCE IS",
        "The Capital Of France Is",
        "what is water?",
        "東京の首都は",
        "In 1999 it was",
        "Who is it?",
    ],
)
def test_a_prompt_whose_capitals_tell_nothing_has_no_candidate(prompt):
    assert names(prompt) == []


@pytest.mark.parametrize(
    ("prompt", "several"),
    [
        ("Official language of France is", ["Official language", "Official", "France"]),
        ("Paris lies north of London", ["Paris", "London"]),
        ("Simon and Garfunkel come from", ["Simon and Garfunkel", "Simon", "Garfunkel"]),
        ("The language of Wappo people is", ["Wappo people", "Wappo"]),
        ("The status of Steller sea lion is", ["Steller sea lion", "Steller"]),
        ("The Asian Games – men's singles follow", ["Asian Games – men's", "Asian Games"]),
        ("Mirror, Mirror II was made in", ["Mirror", "Mirror II"]),
        ('The author of "Emma" in England is', ["Emma", "England"]),
    ],
)
def test_several_names_are_all_named(prompt, several):
    assert names(prompt) == several
    with pytest.raises(RequestError, match=r"request 2 .* several that it could be: ") as problem:
        with_subjects([request("{} is", subject="Rome"), request(prompt)])
    assert all(repr(name) in str(problem.value) for name in several)
    assert "add the field subject" in str(problem.value)


def test_what_is_given_stays_and_what_is_found_is_told():
    given = request("Rome lies in", subject="Rome")
    done, subjects = with_subjects([given, request("The capital of France is"), request("what is it?")])
    assert done[0] is given
    assert [each.subject for each in done] == ["Rome", "France", None]
    assert done[1].prompt == "The capital of France is"
    assert subjects == ("France",)


def test_of_several_names_the_target_is_no_subject():
    assert found(request("Paris lies north of London", target_true="paris"))[1] == ("London",)
    assert found(request("Paris lies north of London", target_new="London"))[1] == ("Paris",)


def test_of_several_names_the_subject_of_another_request_is_taken():
    other = request("{} lies in", subject="London")
    assert found(request("Paris lies north of London"), other)[1] == ("London",)
    with pytest.raises(RequestError):
        found(request("Paris lies north of London"), other, request("{} is", subject="Paris"))


def test_the_same_wording_shows_the_place_also_of_small_letters():
    other = request("The capital of {} is", subject="Italy")
    assert found(request("The capital of france is"), other)[1] == ("france",)
    assert found(request("The capital of New France in Canada is"), other)[1] == ("New France in Canada",)
    assert found(request("The capital of  is"), other)[1] == ()


def test_two_wordings_that_show_different_places_are_not_believed():
    others = [request("The capital of {} is", subject="Italy"), request("The {} of France is", subject="seat")]
    assert found(request("The capital of France is"), *others)[1] == ("France",)  # by its capital letter


def test_where_a_name_occurs_twice_the_last_place_is_marked():
    (done,), _ = with_subjects([request("Rome is old. Rome lies in")])
    assert (done.prompt, done.subject, done.text) == ("Rome is old. {} lies in", "Rome", "Rome is old. Rome lies in")


def test_a_name_within_another_word_is_marked_where_it_stands_alone():
    (done,), _ = with_subjects([request("the Romeo of romance in Rome is", target_true="Romeo")])
    assert (done.prompt, done.subject) == ("the Romeo of romance in {} is", "Rome")
    assert done.subject_end == len("the Romeo of romance in Rome")
