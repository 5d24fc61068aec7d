"""What the Hub reads in front of a model card: YAML that makes a package findable beside its base.

Fields are those of the Hub's model cards: ``library_name``, ``base_model``, ``license``, tags, and a ``model-index`` of
the scores that were measured on the state with the package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from patchmgr.package.manifest import Manifest
from patchmgr.package.scores import Score

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAGS = ("patchmgr", "model-editing", "knowledge-editing")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile("[0-9a-f]{40}")
_DEMO = re.compile(r"demo:[a-z0-9-]+")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_LICENSES = frozenset(
    {
        "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "cc0-1.0", "cc-by-2.0",
        "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
        "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
        "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "gpl", "gpl-2.0", "gpl-3.0", "lgpl",
        "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "odc-by", "odbl", "openrail", "bigscience-openrail-m",
        "creativeml-openrail-m", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma",
        "unlicense", "wtfpl", "zlib", "isc", "artistic-2.0", "afl-3.0", "bsl-1.0", "c-uda", "ecl-2.0", "epl-1.0",
        "epl-2.0", "eupl-1.1", "ms-pl", "osl-3.0", "pddl", "postgresql", "ncsa", "ofl-1.1", "unknown", "other",
    }
)  # fmt: skip
"""Identifiers that the Hub takes for a licence; any other is `other` with a name."""


def front_matter(
    manifest: Manifest, scores: Sequence[Score], *, papers: Sequence[str] = (), adapter: bool = False
) -> str:
    """The YAML block between two lines of dashes.

    Args:
        manifest: of the package.
        scores: of the package.
        papers: what the method is cited by, ``title (arXiv:…)``.
        adapter: whether the files of a PEFT adapter lie beside the package.
    """
    from huggingface_hub import ModelCardData

    licence, licence_name = licence_fields(manifest.license)
    results = [_result(score, manifest) for score in scores if score.phase == "after"]
    data = ModelCardData(
        library_name="patchmgr",
        base_model=manifest.base.source if is_hub_id(manifest.base.source) else None,
        base_model_relation="adapter",
        license=licence,
        license_name=licence_name,
        model_name=manifest.name if results else None,
        eval_results=results or None,
        tags=[
            *TAGS,
            manifest.kind,
            manifest.method.name,
            *(f"arxiv:{number}" for paper in papers for number in _ARXIV.findall(paper)),
            *(["lora", "peft"] if adapter else []),
        ],
    )
    return f"---\n{data.to_yaml()}\n---\n"


def is_hub_id(source: str) -> bool:
    """Whether a base comes from the Hub, by what its record calls it.

    >>> [is_hub_id(source) for source in ("org/llama", "llama", "demo:atlas", 'org/"; rm')]
    [True, False, False, False]
    """
    return _HUB_ID.fullmatch(source) is not None


def is_commit(revision: str | None) -> bool:
    """Whether a revision says exactly which bytes, and nothing else."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def is_demo(source: str) -> bool:
    """Whether a base came along with patchmgr."""
    return _DEMO.fullmatch(source) is not None


def cited(papers: Sequence[str]) -> str:
    """Papers as Markdown, each with its page; the Hub links a card to those."""
    return ", ".join(_ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", paper) for paper in papers)


def _result(score: Score, manifest: Manifest) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="text-generation",
        dataset_type="patchmgr-edits",
        dataset_name=f"edits of {manifest.name}",
        dataset_revision=score.dataset_sha256,
        metric_type=score.metric,
        metric_name=f"{score.metric} ({score.protocol})",
        metric_value=round(score.value, 6),
        metric_config=score.protocol,
    )


def licence_fields(licence: str | None) -> tuple[str | None, str | None]:
    """``license`` and ``license_name`` as the Hub takes them, of what a manifest calls its licence.

    >>> licence_fields("MIT"), licence_fields("LicenseRef-Acme")
    (('mit', None), ('other', 'licenseref-acme'))
    """
    spdx = (licence or "").lower()
    if not spdx or spdx in _LICENSES:
        return spdx or None, None
    return "other", re.sub(r"[^a-z0-9.]+", "-", spdx).strip("-")
