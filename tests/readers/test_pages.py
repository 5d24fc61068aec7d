"""docs/datasets.md names every format and choice, and the reader in docs/plugins.md works as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from patchmgr.methods.loader import load_plugins
from patchmgr.readers import read_edits

DOCS = Path(__file__).parents[2] / "docs"
DATASETS = (DOCS / "datasets.md").read_text(encoding="utf-8")
PLUGINS = (DOCS / "plugins.md").read_text(encoding="utf-8")


def test_every_format_is_in_the_table_with_its_choices_and_no_other(readers):
    rows = re.findall(
        r"^\| `([\w-]+)` \| .* \| .* \| (.*) ?\|$", DATASETS.partition("|---|")[2].partition("## What")[0], re.MULTILINE
    )
    choices = {
        name: "; ".join(
            f"`{option}={first}` (default) or `{other}`" for option, (first, other) in reader.options.items()
        )
        for name, reader in readers.items()
    }
    assert {name: cell.strip() for name, cell in rows} == choices


def test_every_format_but_our_own_has_a_section(readers):
    assert {f"## {name}" for name in readers} - set(DATASETS.splitlines()) == {"## patchmgr"}


def test_the_paper_of_every_reader_is_on_the_page(readers):
    papers = {number for reader in readers.values() for number in re.findall(r"arXiv:([\d.]+\d)", reader.paper)}
    assert papers
    assert {number for number in papers if f"arXiv:{number}" not in DATASETS} == set()


def test_the_reader_on_the_page_for_authors_works(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PLUGINS.partition("## A reader")[2], re.DOTALL)
    (tmp_path / "patchmgr_quiz_of_the_page.py").write_text(code)
    metadata = tmp_path / "patchmgr_quiz-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: patchmgr-quiz\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[patchmgr]\nquiz = patchmgr_quiz_of_the_page\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    readers = load_plugins().readers
    data = tmp_path / "quiz.json"
    data.write_text(
        json.dumps(
            [
                {"question": "Who flies?", "answers": {"en": ["Ann"], "de": ["Anna"]}},
                {"question": "Who dives?", "answers": {"de": ["Bernd"]}},
            ]
        )
    )
    conversion = read_edits(data, readers)
    assert (conversion.format, [request.target_new for request in conversion.requests]) == ("quiz", ["Ann"])
    assert conversion.reasons == {"there is no answer in this language": 1}
    german = read_edits(data, readers, options={"language": "de"})
    assert [request.target_new for request in german.requests] == ["Anna", "Bernd"]
