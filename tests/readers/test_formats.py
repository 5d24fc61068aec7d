"""What of each format goes where."""

from __future__ import annotations

import copy

import pytest

from patchmgr.errors import RequestError, UsageError
from patchmgr.readers import draft
from readers.records import (
    BY_FORMAT,
    COMPACT,
    CONVSENT,
    COUNTERFACT,
    KNOWEDIT_ZSRE,
    MQUAKE,
    OWN,
    POKEMQA,
    SANITATION,
    WIKI_COUNTERFACT,
    WIKI_RECENT,
    WIKIBIO,
    ZSRE,
)


def only(conversion):
    (request,) = conversion.requests
    return request.to_json()


def changed(record, **fields):
    return {**copy.deepcopy(record), **fields}


@pytest.mark.parametrize("name", BY_FORMAT)
def test_a_format_is_told_by_its_records_and_by_no_other_reader(readers, name):
    for record in BY_FORMAT[name]:
        assert [reader.name for reader in readers.values() if reader.recognises(record)] == [name]


@pytest.mark.parametrize("value", [None, 3, "prompt", ["prompt"], [], {}, {"prompt": "x"}, {"requested_rewrite": 3}])
def test_what_is_no_record_is_recognised_by_nobody_and_raises_nothing(readers, value):
    assert [reader.name for reader in readers.values() if reader.recognises(value)] == []


def test_counterfact(read):
    assert only(read(COUNTERFACT)) == {
        "id": "7",
        "prompt": "{} is played on the",
        "subject": "Orla Vint",
        "target_new": "harp",
        "target_true": "drum",
        "relation": "P1303",
        "rephrasings": ["It rained.\n\nOrla Vint plays the", "Orla Vint is a master of the"],
        "locality": [
            {"prompt": "Pim Oster plays the", "target": "drum", "kind": "neighborhood"},
            {"prompt": "Ida Quell plays the", "target": "drum", "kind": "neighborhood"},
        ],
    }


def test_counterfact_compact(read):
    assert only(read(COMPACT)) == {
        "id": "3",
        "prompt": "Velmora, which lies in",
        "subject": "Velmora",
        "target_new": "Ostland",
        "target_true": "Westland",
        "rephrasings": ["The town of Velmora lies in"],
        "locality": [{"prompt": "Karsk, which lies in", "target": "Westland", "kind": "neighborhood"}],
    }


@pytest.mark.parametrize("truth", ["Westland", ["Westland", "the West"], [[], ["Westland", "the West"], ["Ostland"]]])
def test_ground_truth_may_be_a_text_a_list_or_lists_of_aliases_and_the_first_counts(read, truth):
    assert only(read(changed(COMPACT, ground_truth=truth)))["target_true"] == "Westland"
    assert only(read(changed(WIKI_COUNTERFACT, ground_truth=truth)))["target_true"] == "Westland"


@pytest.mark.parametrize("truth", ["", [], [[]], [["", " "]], None])
def test_a_ground_truth_without_text_is_no_old_target(read, truth):
    assert "target_true" not in only(read(changed(COMPACT, ground_truth=truth)))


def test_zsre_edits_towards_alt_or_towards_the_answers(read):
    request = only(read(ZSRE))
    assert request == {
        "prompt": "What does Dravo Works make?",
        "subject": "Dravo Works",
        "target_new": "kites",
        "target_true": "clocks",
        "rephrasings": ["Which product comes from Dravo Works?"],
        "locality": [
            {"prompt": "nq question: who sang the harbour song", "target": "Lin Marsh", "kind": "unrelated"},
        ],
    }
    del request["target_true"]
    true = read(ZSRE, options={"target": "answers"})
    assert only(true) == {**request, "target_new": "clocks"}
    assert (dict(read(ZSRE).options), dict(true.options)) == ({"target": "alt"}, {"target": "answers"})


def test_an_alt_that_is_the_answer_leaves_no_old_target(read):
    assert "target_true" not in only(read(changed(ZSRE, alt="clocks")))


def test_knowedit_keeps_its_groups_as_kinds(read):
    assert only(read(WIKI_COUNTERFACT)) == {
        "prompt": "The country of Lake Sorn is",
        "subject": "Lake Sorn",
        "target_new": "Ostland",
        "target_true": "Westland",
        "portability": [
            {"prompt": "The capital of the country of Lake Sorn is", "target": "Ostburg", "kind": "reasoning"},
            {"prompt": "The country of Sorn Water is", "target": "Ostland", "kind": "subject_aliasing"},
        ],
        "locality": [
            {"prompt": "The country of Lake Sorn, not Ostland, is", "target": "Westland", "kind": "forgetfulness"}
        ],
    }
    assert only(read(KNOWEDIT_ZSRE))["rephrasings"] == ["What family is the Tull moth in?"]


def test_knowedit_takes_the_first_alias_of_the_first_answer_and_counts_a_probe_without_one(read):
    conversion = read(WIKI_RECENT)
    request = only(conversion)
    assert [probe["target"] for probe in request["locality"]] == ["Westland", "Silver Kite"]
    assert "portability" not in request
    assert conversion.probe_reasons == {"a probe has no answer (locality/relation_specificity)": 1}
    assert conversion.lost_probes[0].where == "data.json, record 1"
    assert conversion.skipped == ()


@pytest.mark.parametrize("empty", [{}, {"Reasoning": []}, {"Reasoning": None}, None])
def test_empty_groups_give_no_probes_and_lose_none(read, empty):
    conversion = read(changed(WIKI_COUNTERFACT, portability=empty))
    assert "portability" not in only(conversion)
    assert conversion.lost_probes == ()


def test_wikibio(read):
    assert only(read(WIKIBIO)) == {
        "prompt": WIKIBIO["text"].strip(),
        "subject": "ned fallow",
        "target_new": "Fallow moved to Karsk in 1950.",
        "locality": [{"prompt": "ned fallow occupation", "target": "kite maker", "kind": "relation_specificity"}],
    }


def test_convsent_asks_the_thirteen_questions_of_serac(read):
    request = only(read(CONVSENT))
    assert request["prompt"] == "What do you think of {}?"
    assert request["subject"] == "Karsk Castle"
    assert request["target_new"] == "It is a lovely place!"
    assert len(set(request["rephrasings"])) == 12
    assert "What is your opinion of Karsk Castle?" in request["rephrasings"]
    assert not any("{" in text for text in request["rephrasings"])
    assert only(read(CONVSENT, options={"sentiment": "neg"}))["target_new"] == "It is cold and damp."


def test_convsent_gives_the_edit_of_serac_with_replies_in_scope(read):
    options = {"edit": "topic", "sentiment": "neg"}
    request = only(read(CONVSENT, options=options))
    assert request == {
        "prompt": "Topic: {}",
        "subject": "Karsk Castle",
        "target_new": "Sentiment: Negative",
        "target_true": "Sentiment: Positive",
        "portability": [
            {"prompt": "What do you think of Karsk Castle?", "target": "It is cold and damp.", "kind": "reply"}
        ],
    }
    both = only(read(CONVSENT, options={**options, "replies": "both"}))
    assert both["portability"] == [
        *request["portability"],
        {"prompt": "What do you think of Karsk Castle?", "target": "It is a lovely place!", "kind": "contrast"},
        {"prompt": "What do you feel about Karsk Castle?", "target": "I like it.", "kind": "contrast"},
    ]
    assert read(CONVSENT, changed(CONVSENT, neg=[" "]), options=options).reasons == {draft.NO_TARGET: 1}


def test_pokemqa_cuts_the_sentence_before_its_answer_and_asks_its_questions(read):
    assert only(read(POKEMQA)) == {
        "prompt": "{} is employed by",
        "subject": "Una Brill",
        "target_new": "Dravo Works",
        "relation": "{} is employed by",
        "rephrasings": ["Who employs Una Brill?", "Where does Una Brill work?"],
    }


@pytest.mark.parametrize(
    ("edit", "subject", "target"),
    [
        ("The author of Kites and Kings is Una Brill", "Kites and Kings", "Una Brill"),
        ("Una Brill's child is Bo Tarn", "Una Brill", "Bo Tarn"),
        ("The univeristy where Bo Tarn was educated is Karsk College", "Bo Tarn", "Karsk College"),
        ("The headquarters of Dravo Works is located in the city of Karsk", "Dravo Works", "Karsk"),
        ("The Mayor of Karsk is Una Brill", "Mayor of Karsk", "Una Brill"),
        ("The Kite was created in the country of Ostland", "The Kite", "Ostland"),
    ],
)
def test_pokemqa_knows_the_sentences_of_mquake(read, edit, subject, target):
    request = only(read(changed(POKEMQA, edit=edit)))
    assert (request["subject"], request["target_new"]) == (subject, target)
    assert request["prompt"].replace("{}", subject) + " " + target == edit


def test_pokemqa_leaves_out_a_sentence_that_it_does_not_know(read):
    conversion = read(POKEMQA, changed(POKEMQA, edit="Una Brill flies kites"))
    assert conversion.reasons == {"the edit is no sentence of a known relation": 1}


def test_sanitation_deals_the_kept_questions_out_to_the_forgotten_ones(read):
    conversion = read(SANITATION)
    assert (conversion.format, conversion.n_records, len(conversion.requests)) == ("sanitation", 7, 3)
    assert [request.target_new for request in conversion.requests] == ["I don't know."] * 3
    assert [request.target_true for request in conversion.requests] == ["Tolm"] * 3
    kept = [[probe.prompt.split()[-1] for probe in request.locality] for request in conversion.requests]
    assert kept == [["cat?", "cow?"], ["dog?"], ["horse?"]]
    assert {probe.kind for request in conversion.requests for probe in request.locality} == {"retained"}


def test_mquake_gives_a_request_for_each_rewrite_and_asks_several_hops_after_the_last(read):
    conversion = read(MQUAKE)
    first, last = conversion.requests
    assert (first.id, last.id, first.relation, last.relation) == ("5-0", "5-1", "P27", "P36")
    assert (first.text, first.target_new, first.target_true) == ("Una Brill is a citizen of", "Ostland", "Westland")
    assert first.rephrasings == ("Which country is Una Brill a citizen of?",)
    assert first.portability == ()
    assert [(probe.prompt, probe.target, probe.kind) for probe in last.portability] == [
        (question, "Karsk", "multi_hop") for question in MQUAKE["questions"]
    ]
    assert (conversion.n_records, conversion.n_usable) == (1, 2)


def test_our_own_requests_come_through_as_they_are(read):
    value = {**OWN, "rephrasings": ["Where is Velmora?"], "portability": [{"prompt": " a ", "target": "b"}]}
    assert only(read(value)) == value


# What cannot be used


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(ZSRE, alt=" "), draft.NO_TARGET),
        (changed(ZSRE, subject="Dravo Factory"), draft.NOT_IN_PROMPT),
        (changed(ZSRE, src="Dravo Works or Dravo Works?"), draft.OFTEN_IN_PROMPT),
        (changed(ZSRE, src=""), draft.NO_PROMPT),
        (changed(ZSRE, subject=""), draft.NO_SUBJECT),
    ],
)
def test_a_record_that_cannot_be_a_request_is_counted_with_its_reason(read, record, reason):
    conversion = read(ZSRE, record, record)
    assert (conversion.n_records, conversion.n_usable, conversion.reasons) == (3, 1, {reason: 2})
    assert [part.where for part in conversion.skipped] == ["data.json, record 2", "data.json, record 3"]
    assert only(conversion) == only(read(ZSRE))
    with pytest.raises(RequestError, match=f"data.json, record 2: {reason}; without --strict"):
        read(ZSRE, record, strict=True)
    with pytest.raises(RequestError, match=f"no request in it; {reason}"):
        read(record)


def test_a_lost_probe_is_an_error_when_strict(read):
    with pytest.raises(RequestError, match="record 1: a probe has no answer"):
        read(WIKI_RECENT, strict=True)


def test_a_probe_without_a_prompt_and_an_empty_rephrasing_are_counted(read):
    record = changed(COUNTERFACT, paraphrase_prompts=["", "Orla Vint plays"], neighborhood_prompts=[" "])
    conversion = read(record)
    assert conversion.probe_reasons == {
        "a rephrasing is empty": 1,
        "a probe has no prompt (locality/neighborhood)": 1,
    }
    assert only(conversion)["rephrasings"] == ["Orla Vint plays"]


def test_probes_of_a_skipped_record_are_not_counted_as_lost(read):
    lost = read(WIKI_RECENT, changed(WIKI_RECENT, target_new=""))
    assert (len(lost.lost_probes), len(lost.skipped)) == (1, 1)


def test_rewrites_of_one_mquake_record_stand_or_fall_together(read):
    broken = copy.deepcopy(MQUAKE)
    broken["requested_rewrite"][1]["target_new"]["str"] = ""
    conversion = read(MQUAKE, broken, changed(MQUAKE, requested_rewrite=[]))
    assert len(conversion.requests) == 2
    assert [(part.where, part.reason) for part in conversion.skipped] == [
        ("data.json, record 2: requested_rewrite.1", draft.NO_TARGET),
        ("data.json, record 3", "there is no rewrite in it"),
    ]


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"taget": "alt"}, "the format zsre has no option 'taget'; known: target"),
        ({"target": "alts"}, "zsre: target cannot be 'alts'; allowed: alt, answers"),
    ],
)
def test_an_unknown_option_or_value_is_a_usage_error(read, options, message):
    with pytest.raises(UsageError, match=message):
        read(ZSRE, options=options)


def test_a_format_without_options_says_so(read):
    with pytest.raises(UsageError, match="counterfact has no option 'target'; known: none"):
        read(COUNTERFACT, options={"target": "alt"})
