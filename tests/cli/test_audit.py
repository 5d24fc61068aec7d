"""`patchmgr audit` and `attest` in a terminal: what is asked, what is answered, with which exit code."""

from __future__ import annotations

import csv
import io
import json

import pytest

from manager.conftest import stocked, template  # noqa: F401  # fixtures
from patchmgr.errors import UsageError
from patchmgr.manager.audit.moments import begin_of, end_of
from signing.conftest import keys  # noqa: F401  # the fixture


def test_events_are_listed_by_what_was_asked(run, stocked):  # noqa: F811
    def numbers(*words):
        return [event["sequence"] for event in run("audit", *words, "--json").json["events"]]

    actions = {event.sequence: event.action for event in stocked.manager.events()}
    assert numbers() == numbers("events") == list(actions)
    assert numbers("tiny", "--limit", "2") == numbers("events", "tiny", "--limit", "2") == list(actions)[-2:]
    assert numbers("--action", "apply") == [number for number, action in actions.items() if action == "apply"]
    assert numbers("--package", "p1@v1") == numbers("-p", "p1")
    assert set(numbers("--package", "p1")) < set(numbers())
    assert run("audit", "--package", "p").code == run("audit", "--package", "p1@v").code == 1, "no such package"
    assert numbers("--until", "2020-01-01") == numbers("--actor", "nobody") == []
    assert numbers("--since", "2020-01-01") == numbers()
    header, *rows = csv.reader(io.StringIO(run("audit", "--csv").out))
    assert [int(row[0]) for row in rows] == numbers()
    assert json.loads(rows[0][header.index("objects")])[0]["kind"] == "model"
    assert run("audit", "--csv", "--until", "2020-01-01").out.strip() == ",".join(header)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nobody",), 1), (("--package", "nothing"), 1), (("--since", "soon"), 2), (("--csv", "--json"), 2),
        (("--since", "2026-02-02", "--until", "2026-02-01"), 2), (("verify", "--key", "trusted"), 2),
        (("verify", "--file", "nothing.jsonl"), 1), (("at", "tiny"), 2), (("at", "tiny", "2020-01-01"), 1),
        (("carriers", "nothing"), 1), (("anchor", "-o", "a", "--hub", "b/c"), 2),
        (("verify", "--whole"), 2), (("a" * 60_000,), 2), (("fact", "ana@example.com"), 1),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_has_its_exit_code(run, stocked, words, code):  # noqa: F811
    result = run("audit", *words)
    assert result.code == code
    assert "--json" in words or result.out == ""


def test_the_questions_have_answers_in_a_terminal(run, stocked, keys, tmp_path):  # noqa: F811
    assert "generation 3, state" in run("audit", "at", "tiny", "2900-01-01").out
    assert "p2@v1" in run("audit", "at", "tiny", "2900-01-01", "--json").json["state"]["stack"][0]["name"]
    assert "p2@v1 edit 0: Town 2 lies in → Nowhere" in run("audit", "fact", "town", "2").out
    assert run("audit", "fact", "p2@v1", "--json").json["facts"][0]["carriers"][0]["model"] == "tiny"
    assert "tiny" in run("audit", "carriers", "p2").out
    assert run("audit", "carriers", "p1").out == "no model carries p1\n"
    assert run("audit", "carriers", "p1", "--past", "--json").json["carriers"][0]["until"]["action"] == "revert"
    assert "+p2@v1" in run("audit", "changes", "--since", "2020-01-01").out
    assert run("audit", "changes", "tiny", "--json").json["models"][0]["before"] is None


def test_files_are_written_and_checked_in_a_terminal(run, stocked, keys, tmp_path):  # noqa: F811
    trail, anchors, state = tmp_path / "audit.jsonl", tmp_path / "anchors.jsonl", tmp_path / "tiny.json"
    assert run("audit", "export", "-o", trail, "--key", keys("ana.key")).code == 0
    assert "noted in" in run("audit", "anchor", "-o", anchors).out
    assert "as 1 anchor(s) say" in run("audit", "verify", "--anchor", anchors).out
    assert "which is not trusted here" in run("audit", "verify", "--file", trail).out
    assert run("audit", "verify", "--file", trail, "--key", "trusted").code == 6
    assert run("attest", "tiny", "--key", keys("ana.key"), "-o", state).code == 0
    run("trust", "add", "ana", "--key", keys("ana.pub"))
    assert "signed by ana" in run("audit", "verify", "--file", trail, "--key", "trusted", "--anchor", anchors).out
    assert run("audit", "verify", "--file", trail, "--key", keys("bob.pub")).code == 6
    assert "tiny as approved: generation 3" in run("attest", "tiny", "--check", state, "--key", "trusted").out
    folder = stocked.generation(3)
    assert run("attest", folder, "--check", state, "--json").json["attested"]["signed_by"] == "ana"
    (folder / "surplus.txt").touch()
    assert run("attest", folder, "--check", state).code == 6
    assert run("attest", "tiny", "-o", state).code == 4
    assert json.loads(run("attest", "tiny").out)["predicate"]["model"]["name"] == "tiny"
    assert run("model", "add", "carriers", stocked.base).code == 2


def test_an_older_file_and_anchors_that_went_on_are_told_apart_from_a_cut(run, stocked, tmp_path):  # noqa: F811
    trail, anchors = tmp_path / "audit.jsonl", tmp_path / "anchors.jsonl"
    assert (
        run("audit", "export", "-o", trail).code == run("audit", "export", "-o", tmp_path / "p", "--to", "2").code == 0
    )
    assert run("tag", "p1@v1", "stable").code == 0
    assert run("audit", "anchor", "-o", anchors).code == 0
    result = run("audit", "verify", "--file", trail, "--anchor", anchors)
    assert result.code == 0
    assert "1 anchor(s) lie behind its end: the chain has gone on since" in result.out
    assert run("audit", "verify", "--file", trail, "--anchor", anchors, "--json").json["file"]["n_later"] == 1
    assert run("audit", "verify", "--file", trail, "--anchor", anchors, "--whole").code == 6
    assert run("audit", "verify", "--file", trail, "--whole").code == 0
    assert "none of the 1 anchor(s) lies in this part" not in result.out
    anchors.write_bytes(anchors.read_bytes() + b'{"actor":"an')
    result = run("audit", "verify", "--anchor", anchors)
    assert (result.code, "1 line(s) of the anchors were never finished" in result.err) == (0, True)
    first = stocked.manager.events()[3]
    (tmp_path / "early").write_text(json.dumps({"sequence": 4, "sha256": first.sha256}))
    result = run("audit", "verify", "--file", tmp_path / "p", "--anchor", tmp_path / "early")
    assert (result.code, "none of the 1 anchor(s) lies in this part" in result.out) == (0, True)


def test_a_date_means_its_whole_day():
    assert (begin_of("2026-01-02"), end_of("2026-01-02")) == (
        "2026-01-02T00:00:00.000000Z", "2026-01-03T00:00:00.000000Z",
    )  # fmt: skip
    assert end_of("2026-01-02T15") == "2026-01-02T16:00:00.000000Z"
    assert end_of("2026-01-02T15:30:10-01:00") == "2026-01-02T16:30:11.000000Z"
    assert end_of("2026-01-02T15:30:10.5Z") == "2026-01-02T15:30:10.500001Z"
    assert end_of("2026-01-02T15:30Z") == "2026-01-02T15:31:00.000000Z"
    assert (begin_of("0999-01-01"), end_of("0001-01-01T00:00")) == (
        "0999-01-01T00:00:00.000000Z", "0001-01-01T00:01:00.000000Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["2026-01-02T1530", "20260102T1530", "20260102", "2026-W01-5", "2026-01-02 15:30", "2026-01-02T15:30+0100",
     "2026-01-02T15:30,5", "2026-01-02+01:00", "2026-13-01", "٢026-01-02", "0001-01-01T00:00+01:00", ""],
)  # fmt: skip
def test_a_form_of_which_it_is_not_plain_how_much_it_means_is_refused(text):
    with pytest.raises(UsageError, match="is no date"):
        end_of(text)


@pytest.mark.parametrize("words", [("attest", "tiny"), ("audit", "export"), ("audit", "anchor")], ids=" ".join)
def test_a_file_in_a_folder_that_is_not_there_is_refused_at_once(run, home, words):
    done = run(*words, "-o", "nowhere/file.json")
    assert done.code == 1
    assert "there is no folder 'nowhere'" in done.err
