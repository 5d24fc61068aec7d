"""The model card of a package: what a stranger should read before applying it."""

from __future__ import annotations

from collections.abc import Sequence

from patchmgr.canonical import sha256_hex
from patchmgr.package.card_metadata import cited, front_matter, is_commit, is_demo, is_hub_id
from patchmgr.package.manifest import Manifest, MemoryRecord
from patchmgr.package.scores import Score
from patchmgr.request import EditRequest, dump_requests

_SHOWN_EDITS = 20


def render_card(
    manifest: Manifest,
    requests: Sequence[EditRequest],
    scores: Sequence[Score],
    *,
    repo_id: str | None = None,
    papers: Sequence[str] = (),
    adapter: str | None = None,
) -> str:
    """Markdown with the metadata that the Hub reads in front.

    Args:
        manifest: of the package.
        requests: its edits; none where their author withheld them.
        scores: of the package.
        repo_id: where the Hub has it; None: it is not there.
        papers: what its method is cited by.
        adapter: the class of transformers that loads the base, where a PEFT adapter lies beside the package.
    """
    parts = [
        front_matter(manifest, scores, papers=papers, adapter=adapter is not None),
        f"# {manifest.name} v{manifest.version}\n",
        f"{manifest.message}\n" if manifest.message else "",
        _made(manifest, papers),
        _edits(manifest, requests),
        _scores(scores, requests),
        _memory(manifest.memory) if manifest.memory else _tensors(manifest),
        _use(manifest, repo_id),
        _adapter(manifest, repo_id, adapter) if adapter and repo_id and is_hub_id(manifest.base.source) else "",
    ]
    return "\n".join(part for part in parts if part)


def _made(manifest: Manifest, papers: Sequence[str]) -> str:
    parent = f"a stack of {len(manifest.parent.packages)}" if manifest.parent.packages else "the pristine base"
    return (
        f"An edit package made by {manifest.author} on {manifest.created} with {manifest.method.name} "
        f"{manifest.method.version}, on {parent} of `{manifest.base.source}` "
        f"(fingerprint `{manifest.base.fingerprint[:12]}`)."
        f"{f' The method: {cited(papers)}.' if papers else ''}\n"
    )


def _edits(manifest: Manifest, requests: Sequence[EditRequest]) -> str:
    if not requests:
        return f"## Edits ({manifest.n_edits})\n\nTheir author withheld the texts; `edits.jsonl` commits to them.\n"
    lines = [f"## Edits ({manifest.n_edits})", "", "| prompt | was | now |", "|---|---|---|"]
    lines += [
        f"| {_cell(request.text)} | {_cell(request.target_true or '')} | {_cell(request.target_new)} |"
        for request in requests[:_SHOWN_EDITS]
    ]
    if len(requests) > _SHOWN_EDITS:
        lines.append(f"\n… and {len(requests) - _SHOWN_EDITS} more in `edits.jsonl`.")
    return "\n".join(lines) + "\n"


def _scores(scores: Sequence[Score], requests: Sequence[EditRequest]) -> str:
    if not scores:
        return ""
    before = {(score.metric, score.protocol): score.value for score in scores if score.phase == "before"}
    lines = ["## Scores", "", "| metric | protocol | probes | before | after | 95 % |", "|---|---|--:|--:|--:|--:|"]
    for score in scores:
        if score.phase == "after":
            was = before.get((score.metric, score.protocol))
            was_text = "" if was is None else f"{was:.3f}"
            sure = "" if score.low is None or score.high is None else f"{score.low:.3f} – {score.high:.3f}"
            lines.append(f"| {score.metric} | {score.protocol} | {score.n} | {was_text} | {score.value:.3f} | {sure} |")
    whole = sha256_hex(dump_requests(requests))
    if requests and any(score.dataset_sha256 != whole for score in scores):
        lines.append("\nMeasured on a part of the edits.")
    return "\n".join(lines) + "\n"


def _tensors(manifest: Manifest) -> str:
    lines = ["## Touched tensors", "", "| tensor | dtype | shape | encoding |", "|---|---|---|---|"]
    lines += [
        f"| `{tensor.name}` | {tensor.dtype} | {' × '.join(map(str, tensor.shape))} | {tensor.encoding} |"
        for tensor in manifest.tensors
    ]
    return "\n".join(lines) + "\n"


def _memory(memory: MemoryRecord) -> str:
    where = "any base, for it works on texts" if memory.level == "text" else "the base that it was made for"
    return (
        f"## Memory\n\n{memory.n_entries} entries, asked before the model by `{memory.runtime}`; "
        f"weights stay as they are. It goes on {where}.\n"
    )


def _use(manifest: Manifest, repo_id: str | None) -> str:
    base, reference = manifest.base, f"{repo_id}@v{manifest.version}" if repo_id else manifest.reference
    source = base.source if is_hub_id(base.source) or is_demo(base.source) else "FOLDER-OF-THE-BASE"
    revision = f" --revision {base.revision}" if is_commit(base.revision) and is_hub_id(base.source) else ""
    return (
        "## Use\n\n```console\n"
        f"patchmgr model add mymodel {source}{revision}\n"
        f"patchmgr apply mymodel {reference}\n"
        f"patchmgr revert mymodel {manifest.reference}\n```\n"
    )


def _adapter(manifest: Manifest, repo_id: str, auto_class: str) -> str:
    base = manifest.base
    revision = f', revision="{base.revision}"' if is_commit(base.revision) else ""
    return (
        "Without patchmgr, as a LoRA adapter: the same weights, rounded by the adapter's own arithmetic.\n\n```python\n"
        f"from peft import PeftModel\nfrom transformers import {auto_class}\n\n"
        f'base = {auto_class}.from_pretrained("{base.source}"{revision})\n'
        f'model = PeftModel.from_pretrained(base, "{repo_id}", revision="v{manifest.version}")\n```\n'
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
