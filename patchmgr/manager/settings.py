"""Settings: an argument wins over ``PATCHMGR_*``, that over ``patchmgr.toml`` here, that over the user's own file."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import platformdirs

from patchmgr.errors import UsageError
from patchmgr.manager.change_hook import ChangeHook, hooks_of_variable, parse_hooks, refuse_hooks
from patchmgr.manager.toml_text import parse_toml

KNOWN = ("home", "database_url", "actor", "after_change", "signatures", "blobs")

Signatures = Literal["any", "trusted"]
"""``any``: packages need no signature · ``trusted``: each must be signed by somebody on the trust list."""


@dataclass(frozen=True)
class Settings:
    """Where things are kept, and who is at work."""

    home: Path
    database_url: str | None
    """None: ``registry.db`` in the home."""
    actor: str
    after_change: tuple[ChangeHook, ...] = ()
    """What is called after a change, in this order."""
    signatures: Signatures = "any"
    """What is asked of the signatures of packages before they are put on a model."""

    blobs: str | None = None
    """Where the bytes of packages are kept, ``s3://BUCKET/PREFIX``; None: in the home."""

    @property
    def trust(self) -> Path:
        """Folder of the keys whose signatures are trusted."""
        return self.home / "trust"

    @property
    def digests(self) -> Path:
        """Folder of the cache of tensor digests."""
        return self.home / "cache" / "digests"

    @property
    def artefacts(self) -> Path:
        """Folder of statistics and other artefacts."""
        return self.home / "artefacts"

    @property
    def trainings(self) -> Path:
        """Folder of checkpoints of trainings that have not ended."""
        return self.home / "trainings"

    def generations(self, model: str) -> Path:
        """Folder of a model's generations."""
        return self.home / "models" / model / "generations"


def load_settings(*, home: Path | None = None) -> Settings:
    """The settings that hold here and now.

    Raises:
        UsageError: a config file cannot be read, names an unknown setting, or names hooks where none may be.
    """
    own, here = (
        _read(platformdirs.user_config_path("patchmgr") / "config.toml", hooks=True),
        _read(Path("patchmgr.toml"), hooks=False),
    )
    merged = {**own, **here}
    if "trusted" in (own.get("signatures"), here.get("signatures")):
        merged["signatures"] = "trusted"  # a folder that one happens to be in may ask for more, and never for less
    for name in KNOWN:
        value = os.environ.get(f"PATCHMGR_{name.upper()}")
        if value:
            merged[name] = hooks_of_variable(value) if name == "after_change" else value
    signatures = parse_signatures(merged.get("signatures", "any"), where="PATCHMGR_SIGNATURES")
    chosen = home or merged.get("home") or platformdirs.user_data_path("patchmgr")
    return Settings(
        home=_home(Path(chosen)),
        database_url=merged.get("database_url"),
        actor=merged.get("actor") or _user(),
        after_change=merged.get("after_change", ()),
        signatures=signatures,
        blobs=merged.get("blobs"),
    )


def _home(chosen: Path) -> Path:
    try:
        if "\0" not in str(chosen):
            return chosen.expanduser().absolute()
        reason = "has a NUL in it"
    except RuntimeError:
        reason = "begins with the home of nobody"
    raise UsageError(f"the home {str(chosen)!r} {reason}", hint="set PATCHMGR_HOME to a folder")


def parse_signatures(text: str, *, where: str) -> Signatures:
    """What is asked of signatures, as a user writes it.

    Raises:
        UsageError: it is neither of the two; names ``where``.
    """
    if text in get_args(Signatures):
        return cast(Signatures, text)
    raise UsageError(f"{where}: signatures cannot be {text!r}", hint="write any or trusted")


def _read(path: Path, *, hooks: bool) -> Mapping[str, Any]:
    try:
        table = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="mend or remove it") from None
    section = table.get("patchmgr", {})
    if not isinstance(section, dict):
        raise UsageError(f"{path}: patchmgr is not a table", hint="write [patchmgr] and its settings below")
    unknown = set(section) - set(KNOWN)
    if unknown:
        raise UsageError(f"{path} has the unknown setting {min(unknown)!r}", hint=f"known: {', '.join(KNOWN)}")
    if "after_change" in section and not hooks:
        refuse_hooks(str(path))
    if "signatures" in section:
        parse_signatures(str(section["signatures"]), where=str(path))
    return {
        name: parse_hooks(value, where=str(path)) if name == "after_change" else str(value)
        for name, value in section.items()
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
