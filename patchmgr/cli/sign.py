"""``patchmgr sign``: say with a key that a package is as it left one's hands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import DryRunOpt, JsonOpt, QuietOpt
from patchmgr.cli.session import manager

if TYPE_CHECKING:
    from patchmgr.manager.signing.sign import Signed


def sign(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="A version, or the folder of a package.", autocompletion=complete.references
        ),
    ],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="KEY.pem", help="A private EC key (P-256, P-384 or P-521).")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="CERT.pem", help="The certificate of that key.")
    ] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option("--chain", metavar="PEM", help="A certificate between that one and its CA; repeatable."),
    ] = None,
    keyless: Annotated[
        bool, typer.Option("--keyless", help="By Sigstore instead of a key; needs the network and a login.")
    ] = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Sign a package, every byte of which is checked first; an earlier signature goes.

    \b
    Examples:
      patchmgr sign fact-fixes@v3 --key key.pem
      patchmgr sign ./fact-fixes --key key.pem
      patchmgr sign fact-fixes@v3 --key key.pem --certificate me.pem --chain team.pem
    """
    from patchmgr.signing.sign import SigningOrder

    order = SigningOrder(key, certificate, tuple(chain or ()), keyless)
    with manager(quiet=quiet) as registry:
        done = registry.sign(reference, order, dry_run=dry_run)
    if json:
        render.emit_json({"signed": _json(done), "dry_run": dry_run})
    else:
        render.emit(_text(done))


def _json(done: Signed) -> dict[str, object]:
    return {
        "reference": done.reference,
        "digest": done.digest,
        "files": done.files,
        "signer": None if done.signer is None else str(done.signer),
        "replaced": None if done.replaced is None else str(done.replaced),
        "folder": None if done.place is None else str(done.place),
    }


def _text(done: Signed) -> str:
    where = "" if done.place is None else f": {done.place / 'model.sig'}"
    if done.signer is None:
        return f"would sign {done.reference}, {len(done.files)} files{where}"
    before = f"\ninstead of the {done.replaced}" if done.replaced else ""
    return f"signed {done.reference}, {len(done.files)} files, by the {done.signer}{where}{before}"
