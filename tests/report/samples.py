"""Reports made by hand, some of them hostile."""

from __future__ import annotations

from dataclasses import replace

from patchmgr.report.comparison import Comparison, Failure, VariantResult
from patchmgr.report.contract import (
    Conditions,
    EditRow,
    Estimate,
    GateRow,
    MetricCard,
    MetricRow,
    PackageChange,
    ProbeRow,
    Report,
    SubjectReport,
    TensorChange,
)

HOSTILE = '<script>alert("1")</script> | `x` ![p](http://evil.example/p.png) \u202egnp \x00\n# no </title></style>'

CARDS = (
    MetricCard("reliability", "tf", "Asked exactly as in the edit, is it said?", "1 is best"),
    MetricCard("perplexity", "tf", "How surprised is it?", "as before"),
)
ROWS = (
    MetricRow("reliability", "tf", 2, Estimate(0.0, 0.0, 0.0), Estimate(0.75, 0.5, 1.0)),
    MetricRow("locality", "tf", 4, None, Estimate(0.875, 0.5, 1.0)),
    MetricRow("locality/same_subject", "tf", 2, None, Estimate(0.5)),
    MetricRow("perplexity", "tf", 9, Estimate(12.5), Estimate(13.25, 12.0, 14.5), "lower"),
)


def package(text: str = "plain") -> PackageChange:
    return PackageChange(
        reference="fixes@v1", digest="ab" * 32, made="2026-01-02T03:04:05Z", author=text, message=text, license=None,
        method="rome", method_version="1", method_seed=0, parameters={"layer": 2, "note": text}, n_edits=2,
        size_bytes=4200, made_on=(),
        tensors=(
            TensorChange("h.2.mlp.c_proj.weight", "BF16", (512, 128), "lowrank", 1.5, 30.0),
            TensorChange("h.3.mlp.c_proj.weight", "I8", (512, 128), "xor", None, None),
        ),
    )  # fmt: skip


def subject(text: str = "The capital of France is", *, name: str = "fixes@v1") -> SubjectReport:
    edits = (
        EditRow(1, text, "Lyon", "Paris", {"reliability": 0.0}, {"reliability": 1.0, "locality": 1.0}, text, "Lyon"),
        EditRow(2, "Rome lies in", "Gaul", None, {"reliability": 0.0}, {"reliability": 0.5, "locality": 0.75}),
    )
    lost = ProbeRow(2, "locality", "same_subject", text, "Italy", 1.0, 0.0, "Italy", text)
    lost_less = ProbeRow(1, "locality", "", "Berlin lies in", "Germany", 1.0, 0.5, "Germany", None)
    missed = ProbeRow(2, "reliability", "", "Rome lies in", text, 0.0, 0.5, None, None)
    return SubjectReport(
        name=name, kind="package", digest="cd" * 32, base_source="demo:atlas", base_revision="0123abc",
        base_fingerprint="11" * 32, root_before="22" * 32, root_after="33" * 32, dataset_sha256=("44" * 32,),
        n_edits=2, dtype="float32", rows=ROWS, edits=edits, regressions=(lost, lost_less), misses=(missed,),
        packages=(package(text),),
    )  # fmt: skip


def report(text: str = "The capital of France is") -> Report:
    conditions = Conditions("", None, None, 7, "cpu", ("tf",), {"patchmgr": "0.1.0"})
    gates = (
        GateRow("fixes@v1", "reliability >= 0.5", 0.75, 0.5, met=True),
        GateRow("fixes@v1", "locality >= 0.9", 0.875, 0.9, met=False),
        GateRow("fixes@v1", "dd <= 0.1", None, 0.1, met=False),
    )
    return Report((subject(text),), conditions, CARDS, gates)


def comparison(text: str = "plain") -> Comparison:
    good = VariantResult(
        label="paper", method="rome", kind="weights", version="1", paper="ROME (arXiv:2202.05262)",
        parameters={"steps": 20}, seed=1, n_edits=2, n_failed=0, failures=(), rows=ROWS[:3],
        seconds=(1.0, 3.0), seconds_per_edit=2.0, peak_bytes=500_000_000, package_bytes=8000,
        states=("55" * 32, "66" * 32),
    )  # fmt: skip
    bad = replace(
        good, label="other", n_failed=2, failures=(Failure(1, text, text), Failure(2, "Rome", "singular")),
        seconds=(), seconds_per_edit=None, peak_bytes=None, package_bytes=None,
    )  # fmt: skip
    return Comparison(
        model="atlas", base_source="demo:atlas", base_revision=None, base_fingerprint="11" * 32, root_before="22" * 32,
        data="edits.jsonl", dataset_sha256="44" * 32, n_edits=2, limit=None, seed=1, mode="one-by-one",
        machine="some processor", libraries={"patchmgr": "0.1.0"}, metrics=CARDS, variants=(good, bad),
    )  # fmt: skip
