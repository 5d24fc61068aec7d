"""The card of a trained editor: what it is, what it learned from, and how it is used."""

from __future__ import annotations

from patchmgr.package.card_metadata import is_hub_id, licence_fields
from patchmgr.package.editor import EditorManifest

TAG = "patchmgr-editor"


def render_editor_card(manifest: EditorManifest, repo_id: str) -> str:
    """Markdown with the metadata that the Hub reads in front."""
    from huggingface_hub import ModelCardData

    licence, licence_name = licence_fields(manifest.license)
    data = ModelCardData(
        library_name="patchmgr",
        base_model=manifest.base.source if is_hub_id(manifest.base.source) else None,
        license=licence,
        license_name=licence_name,
        tags=["patchmgr", TAG, "model-editing", "knowledge-editing", manifest.method],
    )
    figures = "\n".join(f"| {name} | {value:.4f} |" for name, value in manifest.figures.items())
    return "\n".join(
        [
            f"---\n{data.to_yaml()}\n---\n",
            f"# {manifest.name} v{manifest.version}\n",
            *([f"{manifest.message}\n"] if manifest.message else []),
            f"A trained editor of {manifest.method}, made by {manifest.author} on {manifest.created} on "
            f"`{manifest.base.source}` (fingerprint `{manifest.base.fingerprint[:12]}`): {manifest.steps} steps on "
            f"{manifest.training.n} requests, stopped by {manifest.validation.n} others.\n",
            f"| on the validation data | |\n|---|--:|\n{figures}\n",
            "## Use\n\n```console\n"
            f"patchmgr editor pull {repo_id}@v{manifest.version}\n"
            f"patchmgr edit MODEL --name NAME --method {manifest.method} --editor {manifest.reference} "
            "--edits FILE\n```\n",
        ]
    )
