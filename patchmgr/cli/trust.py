"""``patchmgr trust``: whose signatures are believed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patchmgr.cli import render
from patchmgr.cli.options import DryRunOpt, JsonOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.signing.contract import TrustedKey

app = typer.Typer(name="trust", help="Say whose signatures are believed; `patchmgr sign` makes one's own.",
                  no_args_is_help=True)  # fmt: skip
NameArg = Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")]


@app.command("add")
def add(
    name: NameArg,
    key: Annotated[Path | None, typer.Option("--key", metavar="PUB.pem", help="A public EC key.")] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="CA.pem", help="The certificate of a CA: all that it issued count."),
    ] = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Trust a key, or those whom a CA gave certificates.

    \b
    Examples:
      patchmgr trust add ana --key ana.pem
      patchmgr trust add acme --certificate acme-ca.pem
    """
    with manager() as registry:
        added, new = registry.trust.add(name, key=key, certificate=certificate, dry_run=dry_run)
    told = f"{'would trust' if dry_run else 'trusts'} {name}" if new else f"{name} is trusted already"
    _say(added, f"{told}: {added}", json=json, new=new, dry_run=dry_run)


@app.command("list")
def list_trusted(json: JsonOpt = False) -> None:
    """List those who are trusted."""
    with manager() as registry:
        keys, asked = registry.trust.list(), registry.settings.signatures
    if json:
        render.emit_json({"trusted": [_json(key) for key in keys], "signatures": asked})
        return
    rows = [[key.name, key.kind, f"sha256:{key.fingerprint}"] for key in keys]
    render.emit(render.table(rows, ["NAME", "KIND", "FINGERPRINT"]) if rows else "nobody is trusted")


@app.command("remove")
def remove(name: NameArg, dry_run: DryRunOpt = False, json: JsonOpt = False) -> None:
    """Trust a key no more; what was applied stays."""
    with manager() as registry:
        key = registry.trust.remove(name, dry_run=dry_run)
    _say(key, f"{'would trust' if dry_run else 'trusts'} {name} no more: {key}", json=json, dry_run=dry_run)


def _say(key: TrustedKey, text: str, *, json: bool, **more: Any) -> None:
    if json:
        render.emit_json({"trust": _json(key), **more})
    else:
        render.emit(text)


def _json(key: TrustedKey) -> dict[str, str]:
    return {"name": key.name, "kind": key.kind, "fingerprint": key.fingerprint}
