"""Options and arguments that several commands share, so that a flag means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from patchmgr.cli import complete

ModelArg = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model of the registry.", autocompletion=complete.models)
]
ReferenceArg = Annotated[
    str,
    typer.Argument(metavar="REF", help="name, name@v3, name@tag, name@sha256:…", autocompletion=complete.references),
]
ReferencesArg = Annotated[
    list[str],
    typer.Argument(metavar="REF", help="name, name@v3, name@tag, name@sha256:…", autocompletion=complete.references),
]
RepoArg = Annotated[str, typer.Argument(metavar="REPO", help="org/name on the Hub; made when it is not there.")]
PublicOpt = Annotated[bool, typer.Option("--public", help="A repository that is made is public; default: private.")]
JsonOpt = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
QuietOpt = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks on stderr.")]
YesOpt = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOpt = Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")]
MessageOpt = Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the history.")]
AllowConflictsOpt = Annotated[
    bool,
    typer.Option("--allow-conflicts", help="Also where packages give one fact two answers; the event says so."),
]
SignaturesOpt = Annotated[
    Literal["any", "trusted"] | None,
    typer.Option("--signatures", help="Whether each package must be signed by a trusted key; default: the setting."),
]
CorpusOpt = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="FILE", help="Text for statistics; without it, the model's own samples."),
]
ReportOpt = Annotated[
    list[Path] | None,
    typer.Option("--report", metavar="FILE", help="A page of it, by ending: .html, .md or .json; repeatable."),
]
DeviceOpt = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:0, mps or auto.")]
EditDtypeOpt = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="What the model computes in; auto: float32 on the cpu, as stored elsewhere."),
]
DeviceMapOpt = Annotated[
    Literal["auto", "balanced", "sequential"] | None,
    typer.Option(help="Spread a model over all devices, by accelerate."),
]
ProjectOpt = Annotated[
    Path,
    typer.Option(
        "--project",
        metavar="DIR",
        file_okay=False,
        help="Where patches.toml and patches.lock lie.",
        show_default="here",
    ),
]
RequireOpt = Annotated[
    list[str] | None,
    typer.Option("--require", metavar="METRIC>=X", help="Exit 3 when the new package fails it, and store nothing."),
]
MethodOpt = Annotated[
    str | None,
    typer.Option("--method", metavar="M", help="Another method than theirs.", autocompletion=complete.methods),
]
SetOpt = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value for a parameter of the method; repeatable."),
]
OnOpt = Annotated[
    Literal["current", "base"] | None,
    typer.Option(help="Compute on the present state without the packages themselves, or on the base."),
]
SeedOpt = Annotated[int | None, typer.Option(min=0, help="Decides what is sampled; default: as it was.")]
LicenseOpt = Annotated[str | None, typer.Option(metavar="SPDX", help="Licence of the package; default: theirs.")]
EditorOpt = Annotated[
    str | None,
    typer.Option("--editor", metavar="EDITOR", help="Another trained editor.", autocompletion=complete.editors),
]
