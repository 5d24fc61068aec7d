"""``patchmgr stats``: statistics that methods need, made ahead of edits, listed, shared and removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import CorpusOpt, DryRunOpt, JsonOpt, ModelArg, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.cli.settings import key_values
from patchmgr.cli.switches import Group
from patchmgr.errors import UsageError

if TYPE_CHECKING:
    from patchmgr.manager.stats import StatsOrder
    from patchmgr.methods.artefacts import ArtefactEntry
    from patchmgr.methods.shared import Shared


class _ModelFirst(Group):
    """``stats MODEL`` means ``stats compute MODEL``; a model that is called like a command needs the long form."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        known = args and (args[0] in self.commands or args[0].startswith("-"))
        return super().resolve_command(ctx, args if known else ["compute", *args])


app = typer.Typer(
    name="stats",
    cls=_ModelFirst,
    help="Make, list and share statistics that methods need; `stats MODEL` makes them.",
    no_args_is_help=True,
)
FolderArg = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of statistics.")]
NewFolderArg = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]


@app.command("compute")
def compute(
    model: ModelArg,
    corpus: CorpusOpt = None,
    tokens: Annotated[int | None, typer.Option(min=1, metavar="N", help="Read so many at most.")] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="L", help="Such as 3-8 or all; else those of the method.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the model's own samples.")] = None,
    until: Annotated[
        float | None, typer.Option(metavar="X", help="Stop when C⁻¹k agrees so well with endless text: 0.99.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="M", help="For whom.", autocompletion=complete.methods)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the method; repeatable.")
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="K", help="Where plugins bring several.")] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:0, mps or auto.")] = "cpu",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="As for the edit; auto: float32 on the cpu, as stored elsewhere."),
    ] = "auto",
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Make statistics of a model's base, which `edit` then finds. Interrupted, the same command goes on.

    \b
    Examples:
      patchmgr stats atlas --corpus wiki.jsonl --tokens 1000000 --until 0.99 --method memit
      patchmgr stats llama-7b --layers all
    """
    from patchmgr.manager.stats import StatsOrder

    order = StatsOrder(
        corpus=corpus,
        tokens=tokens,
        layers=_layers(layers),
        seed=seed,
        until=until,
        method=method,
        parameters=key_values(settings or [], example="layers=3-8"),
        kind=kind,
        device=device,
        dtype=dtype,
    )
    with manager(quiet=quiet) as registry:
        entries = registry.stats.compute(model, order)
    if json:
        render.emit_json({"statistics": [_json(entry) for entry in entries]})
        return
    render.emit(_table(entries))
    render.remark(_next(model, order, entries), quiet=quiet)


@app.command("list")
def list_statistics(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Only of its base.", autocompletion=complete.models)
    ] = None,
    json: JsonOpt = False,
) -> None:
    """List the statistics that are there."""
    with manager() as registry:
        kept = registry.stats.list(model)
    if json:
        render.emit_json({"statistics": [{**_json(each.entry), "models": list(each.models)} for each in kept]})
        return
    if not kept:
        render.emit("no statistics; `edit` makes what it needs, or `patchmgr stats MODEL`")
        return
    render.emit(_table([each.entry for each in kept], models=[", ".join(each.models) or "-" for each in kept]))


@app.command("export")
def export(
    model: ModelArg,
    folder: NewFolderArg,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="DIGEST", help="Some; repeatable.")] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Write the statistics of a model's base to a new folder, for others with the same base.

    \b
    Examples:
      patchmgr stats export llama-7b ./llama-7b-statistics
    """
    with manager(quiet=quiet) as registry:
        shared = registry.stats.export(model, folder, only or ())
    _show_shared(shared, folder, "wrote", json=json)


@app.command("import")
def import_folder(
    model: ModelArg, folder: FolderArg, dry_run: DryRunOpt = False, json: JsonOpt = False, quiet: QuietOpt = False
) -> None:
    """Take in statistics that others exported; another base is refused (exit 5), a damaged file too (exit 6).

    \b
    Examples:
      patchmgr stats import llama-7b ./llama-7b-statistics
      patchmgr edit llama-7b --name fixes --method memit --edits edits.jsonl --corpus ./llama-7b-statistics
    """
    with manager(quiet=quiet) as registry:
        shared = registry.stats.import_folder(model, folder, dry_run=dry_run)
    _show_shared(shared, folder, "would take in" if dry_run else "took in", json=json)


@app.command("remove")
def remove(
    digests: Annotated[list[str], typer.Argument(metavar="DIGEST…", help="As `stats list` has them.")],
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Forget statistics; they are made again when they are wanted."""
    with manager() as registry:
        entries = registry.stats.remove(digests, dry_run=dry_run)
    if json:
        render.emit_json({"removed": [_json(entry) for entry in entries], "dry_run": dry_run})
        return
    size_bytes = sum(entry.size_bytes for entry in entries)
    render.emit(f"{'would remove' if dry_run else 'removed'} {len(entries)}: {render.size(size_bytes)}")


def _layers(text: str | None) -> tuple[int, ...] | Literal["all"] | None:
    from patchmgr.methods.parameters import split_layers

    if text is None or text == "all":
        return "all" if text else None
    try:
        return tuple(int(part) for part in split_layers(text))
    except ValueError:
        raise UsageError(f"{text!r} are no layers", hint="write 5, 3-8 or 3,4,9, or all") from None


def _json(entry: ArtefactEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "digest": entry.sha256,
        "size_bytes": entry.size_bytes,
        "key": dict(entry.key),
        **{name: entry.notes.get(name) for name in ("tokens", "d_in", "difference", "cosine", "agreement")},
    }


def _table(entries: Sequence[ArtefactEntry], models: Sequence[str] | None = None) -> str:
    rows = [
        [
            entry.kind,
            entry.key.get("tensor", "-"),
            entry.notes.get("tokens", "-"),
            entry.notes.get("d_in", "-"),
            _figure(entry, "difference"),
            _figure(entry, "agreement"),
            render.size(entry.size_bytes),
            render.short(entry.sha256),
            *([] if models is None else [models[index]]),
        ]
        for index, entry in enumerate(entries)
    ]
    header = ["KIND", "TENSOR", "TOKENS", "D_IN", "DIFFERENCE", "AGREEMENT", "SIZE", "DIGEST"]
    return render.table(rows, [*header, *([] if models is None else ["MODELS"])], right=[2, 3, 4, 5, 6])


def _figure(entry: ArtefactEntry, name: str) -> str:
    value = entry.notes.get(name)
    return f"{value:.4f}" if isinstance(value, float) else "-"


def _next(model: str, order: StatsOrder, entries: Sequence[ArtefactEntry]) -> str:
    """The edit that finds these statistics; and what to do where they are not as good as was asked."""
    lines = []
    reached = min((entry.notes.get("agreement", 0.0) for entry in entries), default=0.0)
    if order.until is not None and reached < order.until:
        lines.append(f"agreement {reached:.4f} is short of {order.until}: read more, by --tokens or a longer corpus")
    words = ["patchmgr edit", model, f"--method {order.method or 'memit'}"]
    if order.corpus is not None:
        words.append(f"--corpus {order.corpus}")
    words += [f"--set statistics_tokens={tokens}" for tokens in {entry.key.get("tokens") for entry in entries}]
    words += [
        f"--{name} {value}"
        for name, value in (("device", order.device), ("dtype", order.dtype))
        if value not in ("cpu", "auto")
    ]
    if order.seed:
        words.append(f"--set statistics_seed={order.seed}")
    return "\n".join([*lines, f"next: {' '.join(words)} …"])


def _show_shared(shared: Shared, folder: Path, verb: str, *, json: bool) -> None:
    size_bytes = sum(artefact.size_bytes for artefact in shared.artefacts)
    if json:
        render.emit_json({"folder": str(folder), "statistics": shared.model_dump(mode="json")})
        return
    render.emit(f"{verb} {len(shared.artefacts)} of {shared.base.source}, {render.size(size_bytes)}: {folder}")
