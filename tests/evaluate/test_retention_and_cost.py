"""Means over packages by hand, what an edit costs, metrics of others, and the page that names ours."""

from __future__ import annotations

import re
from pathlib import Path

from patchmgr.evaluate.measure import Measured
from patchmgr.evaluate.retention import of_package, of_stack
from patchmgr.manager.cost import metered
from patchmgr.methods.loader import load_plugins
from patchmgr.metrics import METRICS
from patchmgr.package.scores import Score

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def score(metric: str, value: float, n: int, phase: str = "after") -> Score:
    return Score(
        metric=metric, protocol="tf", phase=phase, value=value, n=n, dataset_sha256=f"{n:064x}", state_root="1" * 64
    )


def test_every_package_counts_alike_whatever_its_size():
    big = of_package(
        [Measured(score("reliability", 0.5, 100), ()), Measured(score("reliability", 0.1, 9, "before"), ())]
    )
    small = of_package([Measured(score("reliability", 1.0, 1), ()), Measured(score("locality", 0.75, 1), ())])
    assert [one.metric for one in big] == ["retention/reliability"]
    means = {one.metric: one for one in of_stack({"a": big, "b": small}, seed=3)}
    reliability = means["retention/reliability"]
    assert (reliability.value, reliability.n, reliability.seed) == (0.75, 2, 3)
    assert (reliability.low, reliability.high) == (0.5, 1.0)
    assert (means["retention/locality"].value, means["retention/locality"].n) == (0.75, 1)
    assert means["retention/locality"].low is None
    assert of_stack({}) == ()


def test_what_is_spent_in_the_block_is_metered():
    assert len(bytearray(b"x") * 500_000_000) > 0  # what was larger before does not count
    with metered() as meter:
        kept = bytearray(b"x") * 400_000_000
    found = {one.metric: one for one in meter.scores((score("reliability", 1.0, 4),))}
    assert len(kept) == 400_000_000
    assert {one.protocol for one in found.values()} == {"run"}
    assert found["cost/peak_bytes"].value > 50_000_000
    assert found["cost/seconds"].value > 0
    assert found["cost/cpu_seconds"].value > 0
    assert meter.scores(()) == ()


def test_a_metric_of_a_stranger_comes_in_by_the_hook(tmp_path, monkeypatch):
    code = re.search(r"```python\n(from patchmgr\.methods\.hookspecs.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert code, "the page shows a whole one"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "patchmgr_first.py").write_text(code[1])
    metadata = tmp_path / "patchmgr_first-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: patchmgr-first\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[patchmgr]\nfirst = patchmgr_first\n")
    metric = load_plugins().metrics["first_token"]
    assert metric.protocol == "tf"
    assert not metric.default


def test_the_page_names_every_metric_with_its_protocol_and_no_other():
    table = PAGE.read_text(encoding="utf-8").partition("## Metrics")[2].partition("Notes for those")[0]
    rows = re.findall(r"^\| `(\w+)` \| (tf|gen) \| (yes|with `--text`|) ?\|", table, re.M)
    shown = {(name, protocol, marked == "yes") for name, protocol, marked in rows}
    assert shown == {(metric.name, metric.protocol, metric.default) for metric in METRICS}
