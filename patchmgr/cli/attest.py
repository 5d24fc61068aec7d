"""``patchmgr attest``: say what a model is, and prove that what is served is that."""

from __future__ import annotations

import json as json_module
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from patchmgr.cli import complete, render
from patchmgr.cli.options import JsonOpt, QuietOpt
from patchmgr.cli.session import manager
from patchmgr.errors import ConflictError
from patchmgr.output import check_output

if TYPE_CHECKING:
    from patchmgr.manager.audit.attest import Attested


def attest(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|DIR",
            help="A model; with --check also a folder that is served, where no registry is needed.",
            autocompletion=complete.models,
        ),
    ],
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="PEM|trusted", help="Sign by this private key; with --check, who must have signed."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a new file; else print it.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Compare with this attestation instead (exit 6).")
    ] = None,
    json: JsonOpt = False,
    quiet: QuietOpt = False,
) -> None:
    """Say what a model is as an in-toto statement: state root, files, base, stack, scores and event.

    \b
    Examples:
      patchmgr attest prod --key key.pem -o prod.intoto.json
      patchmgr attest prod --check prod.intoto.json --key trusted
      patchmgr attest ./served --check prod.intoto.json --key ana.pem
    """
    if check is not None:
        _check(target, check, key, json=json, quiet=quiet)
        return
    if output is not None:
        if os.path.lexists(output):
            raise ConflictError(f"{output} is there already", hint="name a new file")
        check_output(output)
    with manager(quiet=quiet) as registry:
        statement = registry.audit.attest(target, key=None if key is None else Path(key))
    text = json_module.dumps(statement, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        render.emit(text)
        return
    from patchmgr.durable import store_file

    store_file(text.encode(), output, what=f"the attestation of {target}")
    if json:
        render.emit_json({"file": str(output), "signed": key is not None})
    else:
        render.emit(f"wrote {output} ({'signed' if key else 'not signed'})")


def _check(target: str, file: Path, key: str | None, *, json: bool, quiet: bool) -> None:
    from patchmgr.manager.audit.attest import check_folder
    from patchmgr.manager.audit.signers import signers_named
    from patchmgr.manager.packages import folder_of, is_folder
    from patchmgr.manager.settings import load_settings

    signers = signers_named(key, load_settings().trust)
    if is_folder(target):
        checked = check_folder(file, folder_of(target), signers)
    else:
        with manager(quiet=quiet) as registry:
            checked = registry.audit.check_attested(file, target, signers)
    if json:
        render.emit_json({"attested": asdict(checked)})
    else:
        render.emit(_text(checked))


def _text(checked: Attested) -> str:
    if checked.signed_by:
        signer = f"signed by {checked.signed_by}"
    elif checked.key_id:
        signer = f"signed by the key sha256:{checked.key_id}, which is not trusted here: that proves nothing"
    else:
        signer = "not signed, so anybody may have written it"
    return (
        f"{checked.folder} is {checked.model} as approved: generation {checked.generation}, "
        f"state {checked.state_root}, {checked.n_files} files\n{signer}"
    )
