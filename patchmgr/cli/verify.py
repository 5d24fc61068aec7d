"""``patchmgr verify``: one model or package, to the last byte."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import BaseMismatchError, UsageError

if TYPE_CHECKING:
    from patchmgr.manager.sharing.against import Against
    from patchmgr.manager.verify import Verified, VerifiedPackage

NameArg = Annotated[
    str,
    typer.Argument(metavar="MODEL|REF", help="A model, a package, or its folder.", autocompletion=complete.models),
]


def verify(
    name: NameArg,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="PUB.pem", help="A package must be signed by this public key.")
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="CA.pem", help="A package must be signed by a certificate of this CA."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="REPO[@REVISION]",
            help="Does the package fit this base on the Hub? Nothing is downloaded.",
        ),
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Read a model or a package again, every byte, and prove that the package does what it says (exit 6 if not).

    \b
    Examples:
      patchmgr verify atlas
      patchmgr verify fact-fixes@v1
      patchmgr verify ./fact-fixes
      patchmgr verify fact-fixes@v1 --key ana.pem
      patchmgr verify org/fact-fixes@v3 --against org/llama-70b
    """
    if against is not None:
        if key is not None or certificate is not None:
            raise UsageError("--against asks about the base alone", hint="leave --key and --certificate out")
        with manager(quiet=quiet) as registry:
            _show_against(registry.verify_against(name, against), json=json)
        return
    from patchmgr.manager.verify import Verified  # here, so that no other command pays for it

    with manager(quiet=quiet) as registry:
        found = registry.verify(name, key=key, certificate=certificate)
    if not isinstance(found, Verified):
        if json:
            render.emit_json({"kind": "package", "verified": asdict(found)})
        else:
            render.emit(_package(found))
        return
    if json:
        render.emit_json({"kind": "model", "verified": asdict(found)})
    else:
        render.emit(_model(found))
    if found.also_package:
        render.remark(f"there is a package {name} too: `patchmgr verify {name}@latest` verifies that", quiet=quiet)


def _show_against(found: Against, *, json: bool) -> None:
    if json:
        render.emit_json({"kind": "against", "fits": found.fits, "against": asdict(found)})
        if not found.fits:
            raise typer.Exit(BaseMismatchError.exit_code)
        return
    for tensor in found.tensors:
        render.emit(f"{tensor.status:11s}  {tensor.name}")
    found.check()
    where = f"{found.repo_id} at {found.commit[:12]}"
    if found.by == "nothing":
        render.emit(f"{found.reference} works on any base")
    elif found.by == "shards":
        render.emit(f"{found.reference} was made for {where}: every weight file is the one that its author recorded")
    else:
        render.emit(
            f"{found.reference} fits {where}: all {len(found.tensors)} tensor(s) are those that it was computed on "
            f"({render.size(found.fetched_bytes)} read); the other tensors were not looked at"
        )
    if found.by != "nothing" and not found.same_config:
        render.emit("its configuration is another one")


def _model(found: Verified) -> str:
    return f"{found.model}: {found.tensors} tensors, {render.size(found.size_bytes)}: as registered"


def _package(found: VerifiedPackage) -> str:
    whole = (
        f"{found.reference}: {found.n_files} files, {render.size(found.size_bytes)}: whole; "
        f"{found.n_edits} edit(s), {found.n_scores} score(s), {found.n_deltas} tensor(s)\n"
        f"signature: {found.signature.line}"
    )
    proof = found.proof
    if proof.missing:
        return f"{whole}\nnot proved what it does: {proof.missing}"
    return f"{whole}\nproved on {proof.base}: {len(proof.tensors)} tensor(s) become what the package says"
