"""The model card of an exported adapter: what it is made of, how exact it is, and how it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from patchmgr.package.card_metadata import TAGS, is_demo, is_hub_id, licence_fields
from patchmgr.package.manifest import BaseRecord, Manifest

CARD = "README.md"


def render_card(
    name: str,
    base: BaseRecord,
    stack: Sequence[Manifest],
    errors: Mapping[str, float],
    *,
    rank: int,
    dtype: str,
    encoder_decoder: bool,
) -> str:
    """Markdown with the metadata that the Hub reads in front.

    Args:
        name: of what was exported.
        base: what the adapter goes on.
        stack: the packages in it, in order.
        errors: relative error of each module's change; 0 where it is exact.
        rank: of the adapter.
        dtype: what its factors are stored in.
        encoder_decoder: whether the model is one, as T5 is.
    """
    lossy = any(errors.values())
    revision = f" at `{base.revision}`" if base.revision else ""
    parts = [
        _front_matter(base, stack, lossy=lossy, encoder_decoder=encoder_decoder),
        f"# {name} as a LoRA adapter\n",
        f"{_exactness(errors, dtype)} Rank {rank}, α = {rank}, so the scale is 1. It goes on "
        f"`{base.source}`{revision} (fingerprint `{base.fingerprint[:12]}`).\n",
        _packages(stack),
        _errors(errors) if lossy else "",
        _use(base, "AutoModelForSeq2SeqLM" if encoder_decoder else "AutoModelForCausalLM"),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(base: BaseRecord, stack: Sequence[Manifest], *, lossy: bool, encoder_decoder: bool) -> str:
    from huggingface_hub import ModelCardData

    licences = {manifest.license for manifest in stack}
    licence, licence_name = licence_fields(licences.pop() if len(licences) == 1 else None)
    methods = sorted({manifest.method.name for manifest in stack})
    data = ModelCardData(
        library_name="peft",
        base_model=base.source if is_hub_id(base.source) else None,
        base_model_relation="adapter",
        pipeline_tag="text2text-generation" if encoder_decoder else "text-generation",
        tags=list(dict.fromkeys(["lora", *TAGS, *methods, *(["lossy"] if lossy else [])])),
        license=licence,
        license_name=licence_name,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _exactness(errors: Mapping[str, float], dtype: str) -> str:
    if not any(errors.values()):
        return (
            "B·A is exactly the change that the packages make before it is rounded into the weights' dtype; "
            "a program that adds it to the weights, or beside them, rounds in its own way."
        )
    stored = "" if dtype == "float32" else f", stored in {dtype}"
    worst = max(errors.values())
    return f"**Lossy**: recompressed{stored}; at worst {worst:.2e} of a change is missing (Frobenius norm)."


def _packages(stack: Sequence[Manifest]) -> str:
    lines = ["## Packages", "", "| package | method | edits | sha256 |", "|---|---|--:|---|"]
    lines += [f"| {m.reference} | {m.method.name} | {m.n_edits} | `{m.digest}` |" for m in stack]
    return "\n".join(lines) + "\n"


def _errors(errors: Mapping[str, float]) -> str:
    lines = ["## What is missing", "", "| module | ‖Δ − BA‖ / ‖Δ‖ |", "|---|--:|"]
    lines += [f"| `{path}` | {error:.3e} |" for path, error in sorted(errors.items())]
    return "\n".join(lines) + "\n"


def _use(base: BaseRecord, auto_class: str) -> str:
    """How it is loaded; nothing where only the author knows where the base is."""
    imports = f"from peft import PeftModel\nfrom transformers import {auto_class}\n"
    if is_hub_id(base.source):
        revision = f", revision={json.dumps(base.revision)}" if base.revision else ""
        where = f'"{base.source}"{revision}'
    elif is_demo(base.source):
        imports += "\nfrom patchmgr.demo.bases import demo_folder\n"
        where = f'demo_folder("{base.source.partition(":")[2]}")'
    else:
        return ""
    return (
        f"## Use\n\n```python\n{imports}\n"
        f"model = {auto_class}.from_pretrained({where})\n"
        'model = PeftModel.from_pretrained(model, "this-folder")\n```\n'
    )
