"""The metrics that come with patchmgr; they enter by the hook that is open to every plugin."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from patchmgr.metrics.accuracy import EditSuccess, Generalization, Portability, Reliability
from patchmgr.metrics.contract import Metric
from patchmgr.metrics.counterfact import CounterFactScore, Efficacy, Neighborhood, Paraphrase
from patchmgr.metrics.generated import ExactMatch, Fluency
from patchmgr.metrics.locality import Drawdown, Locality
from patchmgr.metrics.perplexity import Perplexity
from patchmgr.metrics.scope import ClaimAccuracy, HardEditSuccess, SentimentDrawdown, SentimentSuccess

hookimpl = pluggy.HookimplMarker("patchmgr")

METRICS: tuple[type[Metric], ...] = (
    Reliability,
    Generalization,
    Portability,
    ExactMatch,
    Locality,
    Efficacy,
    Paraphrase,
    Neighborhood,
    CounterFactScore,
    EditSuccess,
    Drawdown,
    HardEditSuccess,
    ClaimAccuracy,
    SentimentSuccess,
    SentimentDrawdown,
    Fluency,
    Perplexity,
)
"""In the order in which tables show them."""


@hookimpl
def patchmgr_register_metrics(register: Callable[[Metric], None]) -> None:
    """Ours."""
    for metric in METRICS:
        register(metric())
