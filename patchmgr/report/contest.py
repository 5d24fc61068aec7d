"""The document of a comparison: one table and one plot for all variants, then what each of them was."""

from __future__ import annotations

from collections.abc import Iterator

from patchmgr.report.comparison import Comparison, VariantResult
from patchmgr.report.contract import Estimate, MetricRow
from patchmgr.report.document import Block, Document, Facts, Heading, Paragraph, Plot, Table, Track
from patchmgr.report.evaluation import metrics_table
from patchmgr.report.packages import parameters_text
from patchmgr.report.plots import N_TONES
from patchmgr.report.words import NOTHING, clipped, count, interval, number, size

SHOWN_FAILURES = 20


def comparison_document(comparison: Comparison) -> Document:
    """Everything of a comparison, the result first."""
    how = (
        "all edits together in one package"
        if comparison.mode == "together"
        else "each edit alone on the untouched base, scores pooled over all of them"
    )
    lead = (
        f"{count(len(comparison.variants), 'variant')} on the same {count(comparison.n_edits, 'edit')} "
        f"({comparison.data}) of {comparison.base_source}: {how}."
    )
    return Document(comparison.title, lead, tuple(_blocks(comparison)))


def summary_table(comparison: Comparison) -> Table:
    """One row a variant: its scores with their intervals, and what it cost."""
    metrics = metric_names(comparison)
    rows = tuple(
        (
            variant.label,
            variant.kind,
            f"{variant.n_failed}/{variant.n_edits}",
            *_scores(variant, metrics),
            *_costs(variant),
        )
        for variant in comparison.variants
    )
    header = ("variant", "kind", "failed", *metrics, "s/edit", "peak memory", "package")
    right = frozenset(range(1, len(header)))
    return Table("All variants", header, rows, right=right, code=frozenset({0}), cards=True)


def metric_names(comparison: Comparison) -> tuple[str, ...]:
    """The metrics that any variant has, their parts left out."""
    return tuple(dict.fromkeys(row.metric for variant in comparison.variants for row in _whole(variant)))


def _blocks(comparison: Comparison) -> Iterator[Block]:
    yield Heading("Result")
    yield Plot(
        "Scores of all variants with their 95 % intervals",
        "Each group is a metric from 0 to 1, each line a variant; the band is its 95 % interval. Where bands overlap, "
        "these edits do not settle which is better. What a metric means stands below.",
        tuple(_tracks(comparison)),
        summary_table(comparison),
    )
    if any(variant.n_failed for variant in comparison.variants):
        yield Heading("What failed")
        yield Paragraph("An edit that a method gave up on leaves the model unchanged, and is scored so.")
        yield _failures(comparison)
    yield Heading("All scores")
    yield _all_scores(comparison)
    yield Heading("What the metrics mean")
    yield metrics_table(comparison.metrics)
    yield Heading("The variants")
    for variant in comparison.variants:
        yield Heading(variant.label, level=3)
        yield _variant(variant)
    yield Heading("How it was measured")
    yield _conditions(comparison)
    yield Paragraph(
        "The interval beside a score is the 95 % percentile bootstrap over edits (1,000 resamples). Seconds are those "
        "of the method alone, without loading and measuring; what it computes once and keeps, such as statistics, "
        "counts in the first run that needs it. Scores and states are the same every time; seconds and memory are not."
    )


def _tracks(comparison: Comparison) -> Iterator[Track]:
    for metric in metric_names(comparison):
        for number_of, variant in enumerate(comparison.variants):
            row = next((row for row in _whole(variant) if row.metric == metric), None)
            if row is not None and row.is_share:
                text = f"{number(row.after.value)}  {_bracket(row.after)}".rstrip()
                yield Track(
                    variant.label, row.after, text=text, group=f"{metric} ({row.protocol})", tone=number_of % N_TONES
                )


def _scores(variant: VariantResult, metrics: tuple[str, ...]) -> Iterator[str]:
    found = {row.metric: row.after for row in _whole(variant)}
    for metric in metrics:
        estimate = found.get(metric)
        yield NOTHING if estimate is None else f"{number(estimate.value)} {_bracket(estimate)}".rstrip()


def _costs(variant: VariantResult) -> tuple[str, str, str]:
    return number(variant.seconds_per_edit), size(variant.peak_bytes), size(variant.package_bytes)


def _bracket(estimate: Estimate) -> str:
    return "" if estimate.low is None else f"[{interval(estimate)}]"


def _whole(variant: VariantResult) -> Iterator[MetricRow]:
    return (row for row in variant.rows if "/" not in row.metric)


def _failures(comparison: Comparison) -> Table:
    rows = tuple(
        (variant.label, NOTHING if failure.edit is None else str(failure.edit), failure.prompt, failure.reason)
        for variant in comparison.variants
        for failure in variant.failures[:SHOWN_FAILURES]
    )
    return Table("Failures", ("variant", "edit", "prompt", "reason"), rows, right=frozenset({1}), code=frozenset({0}))


def _all_scores(comparison: Comparison) -> Table:
    rows = tuple(
        (
            variant.label,
            row.metric,
            number(row.before.value) if row.before else NOTHING,
            number(row.after.value),
            interval(row.after),
            str(row.n),
            row.protocol,
        )
        for variant in comparison.variants
        for row in variant.rows
    )
    header = ("variant", "metric", "before", "after", "95 % interval", "probes", "protocol")
    return Table("Scores", header, rows, right=frozenset({2, 3, 4, 5}), code=frozenset({0, 1}))


def _variant(variant: VariantResult) -> Facts:
    total = f"{number(sum(variant.seconds))} s in {count(len(variant.seconds), 'run')}"
    states = (("state after", variant.states[0]),) if len(variant.states) == 1 else ()
    return Facts(
        (
            ("method", f"{variant.method} {variant.version}, seed {variant.seed}"),
            ("paper", variant.paper),
            ("parameters", parameters_text(variant.parameters) or NOTHING),
            ("failed", f"{variant.n_failed} of {variant.n_edits}"),
            ("time of the method", total),
            *states,
        )
    )


def _conditions(comparison: Comparison) -> Facts:
    revision = f" at {comparison.base_revision}" if comparison.base_revision else ""
    return Facts(
        (
            ("base", f"{comparison.base_source}{revision}"),
            ("fingerprint of the base", comparison.base_fingerprint),
            ("state before", comparison.root_before),
            ("edits", f"{clipped(comparison.data, 80)}, {comparison.n_edits} measured"),
            ("digest of the requests", comparison.dataset_sha256),
            ("drawn", f"at most {comparison.limit}" if comparison.limit else "all"),
            ("seed of draws and methods", str(comparison.seed)),
            ("edits are made", comparison.mode.replace("-", " ")),
            ("precision of the forward pass", "float32"),
            ("machine", comparison.machine),
            *comparison.libraries.items(),
        )
    )
