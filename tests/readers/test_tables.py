"""CSV and TSV become requests; whatever is wrong is named with its line and column."""

from __future__ import annotations

import pytest

from patchmgr.errors import NotFoundError, RequestError
from patchmgr.readers import read_edits


@pytest.fixture
def read(tmp_path, readers):
    """``read(text)``: the conversion of ``facts.csv`` that holds this."""

    def reading(text, name="facts.csv", **how):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_edits(path, readers, **how)

    return reading


def values(conversion):
    return [request.to_json() for request in conversion.requests]


PLAIN = {"prompt": "Rome lies in", "subject": "Rome", "target_new": "Gaul"}


def test_our_own_names_of_fields_are_columns(read):
    conversion = read(
        "id,prompt,subject,target_new,target_true,relation,rephrasings,"
        "locality_prompt,locality_target,portability_prompt,portability_target\n"
        "7,Rome lies in,Rome,Gaul,Italy,country,Where is Rome?|Rome is in,"
        "Bonn lies in|Paris lies in,Germany|France,People in Rome speak,Gaulish\n"
    )
    assert values(conversion) == [
        {
            **PLAIN,
            "id": "7",
            "target_true": "Italy",
            "relation": "country",
            "rephrasings": ["Where is Rome?", "Rome is in"],
            "locality": [
                {"prompt": "Bonn lies in", "target": "Germany"},
                {"prompt": "Paris lies in", "target": "France"},
            ],
            "portability": [{"prompt": "People in Rome speak", "target": "Gaulish"}],
        }
    ]
    assert (conversion.format, conversion.n_records, conversion.n_usable) == ("csv", 1, 1)


def test_other_names_and_numbered_columns_mean_the_same(read):
    conversion = read(
        "Case ID,Question,Entity,Target,Ground-Truth,Rephrase 1,Rephrase_2,locality_prompt_1,locality_answer_1\n"
        "7,Rome lies in,Rome,Gaul,Italy,Where is Rome?,Rome is in,Bonn lies in,Germany\n"
        "8,Bonn lies in,Bonn,Gaul,,,,,\n"
    )
    first, second = values(conversion)
    assert first == {
        **PLAIN,
        "id": "7",
        "target_true": "Italy",
        "rephrasings": ["Where is Rome?", "Rome is in"],
        "locality": [{"prompt": "Bonn lies in", "target": "Germany"}],
    }
    assert second == {"id": "8", "prompt": "Bonn lies in", "subject": "Bonn", "target_new": "Gaul"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_and_a_byte_order_mark(read, separator, end):
    rows = [["prompt", "subject", "target_new"], [" Rome lies in ", "Rome", "Gaul"], ["", "", ""]]
    text = "\ufeff" + end.join(separator.join(row) for row in rows) + end + end
    assert values(read(text)) == [PLAIN]


def test_a_tsv_has_tabs_whatever_else_its_header_holds(read):
    conversion = read("prompt\tsubject\ttarget_new\ta,b,c,d\nRome lies in\tRome\tGaul\t\n", "facts.TSV")
    assert values(conversion) == [PLAIN]


def test_quotes_hold_separators_line_breaks_quotes_and_bars(read):
    conversion = read(
        'prompt,target_new,rephrasings\n"Say ""hi"", and\nbow",yes,a \\| b|c\nRome,\n'.replace(
            "Rome,\n", "Rome,Gaul,\n"
        )
    )
    assert values(conversion) == [
        {"prompt": 'Say "hi", and\nbow', "target_new": "yes", "rephrasings": ["a | b", "c"]},
        {"prompt": "Rome", "target_new": "Gaul"},
    ]


def test_a_column_that_is_not_ours_is_left_out_and_counted(read):
    text = "prompt,target_new,who\nRome,Gaul,me\nBonn,Gaul,\nParis,Gaul,you\n"
    conversion = read(text)
    assert len(conversion.requests) == 3
    assert conversion.probe_reasons == {"the column 'who' is not one of ours": 2}
    with pytest.raises(RequestError, match=r"facts\.csv, line 2: the column 'who'"):
        read(text, strict=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,subject\nRome lies in,Rome\n", r"^facts\.csv: no column is called 'target_new' .*prompt, subject"),
        ("subject,target_new\nRome,Gaul\n", r"^facts\.csv: no column is called 'prompt'"),
        ("prompt,taget_new\nRome,Gaul\n", r"^facts\.csv: there is no column 'taget_new'; did you mean 'target_new'"),
        ("prompt,question,target\nRome,Rome,Gaul\n", r"several columns give 'prompt': 'prompt', 'question'"),
        ("prompt,target\nRome,Gaul\n,Gaul\n", r"^facts\.csv, line 3: the column 'prompt' is empty"),
        ("prompt,target\nRome, \n", r"^facts\.csv, line 2: the column 'target' is empty"),
        ("prompt,target\n\n\nRome\n", r"^facts\.csv, line 4: 1 cells, and the header has 2"),
        ("prompt,target\nRome, Italy,Gaul\n", r"^facts\.csv, line 2: 3 cells, and the header has 2"),
        ('prompt,target\n"a\nb",x\n"Rome"x,Gaul\n', r"^facts\.csv, line 4: not CSV"),
        ('prompt,target\nRome,"Gaul\n', r"^facts\.csv, line 2: not CSV"),
        ("prompt,subject,target\nRome,Bonn,Gaul\n", r"^facts\.csv, line 2: the subject 'Bonn' is not in the prompt"),
        ("prompt,target,locality_prompt\nRome,Gaul,x|y\n", r"line 2: 2 text\(s\) under locality_prompt, and 0 under"),
        ("prompt,target\nRome,Gaul\nBonn,K\u00f6ln\n".encode("latin-1"), r"^facts\.csv, line 3: byte 31 is not UTF-8"),
        ("prompt,target\nRome,Gaul\n".encode("utf-16"), r"^facts\.csv: it is UTF-16; save it as CSV in UTF-8"),
        ("", r"/facts\.csv: no request in it"),
        ("prompt,target\n", r"/facts\.csv: no request in it"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(RequestError, match=message):
        read(text)


def test_a_missing_table_is_named(tmp_path, readers):
    with pytest.raises(NotFoundError, match=r"there is no file '.*gone\.csv'"):
        read_edits(tmp_path / "gone.csv", readers)


def test_the_format_can_be_named_and_is_refused_for_what_is_no_table(read):
    assert values(read("prompt,subject,target\nRome lies in,Rome,Gaul\n", format="csv")) == [PLAIN]
    with pytest.raises(RequestError, match=r"line 1: this is no row of a table; name the file \*\.csv"):
        read('{"prompt": "Rome", "target_new": "Gaul"}', "facts.jsonl", format="csv")


def test_requests_of_a_table_are_drawn_by_relation(read):
    rows = [f"City{i} lies in,City{i},Gaul,{'a' if i < 6 else 'b'}" for i in range(9)]
    conversion = read("prompt,subject,target,relation\n" + "\n".join(rows), limit=3)
    assert conversion.relations == {"a": 2, "b": 1}
    assert conversion.n_usable == 9
