"""``patches.lock``: exactly what each model shall be, to the digest of every tensor. Made by `patchmgr lock`.

The file is TOML with one value to a line and a fixed order, so the same state is always the same bytes and a change
shows as the lines that it is about. It is written here rather than by a library: the form needs strings and numbers
only, a library would have to be held to one layout from version to version, and the standard library reads it back.
What stands beside ``wanted`` is copied from ``patches.toml``, so that whoever has both files, and no registry, can tell
whether they belong together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from patchmgr.durable import store_file
from patchmgr.errors import FormatError, NotFoundError
from patchmgr.manager.lock.patches import WantedBase, WantedModel
from patchmgr.manager.toml_text import parse_toml
from patchmgr.package.fields import Name, Section, Sha256
from patchmgr.reasons import reason_of
from patchmgr_registry import BaseKey

LOCK = "patches.lock"
LOCK_VERSION: Final = 1
_HEAD = "# Made by `patchmgr lock` from patches.toml; not to be edited by hand.\n"


class LockedBase(Section):
    """The base: as ``patches.toml`` names it (informative), and what it is (binding)."""

    model: str | None = None
    source: str | None = None
    revision: str | None = None
    fingerprint: Sha256
    config_sha256: Sha256
    tokenizer_sha256: Sha256

    @property
    def key(self) -> BaseKey:
        """What it is known by."""
        return BaseKey(self.fingerprint, self.config_sha256, self.tokenizer_sha256)

    @property
    def wanted(self) -> WantedBase:
        """How ``patches.toml`` named it."""
        return WantedBase(self.model, self.source, self.revision)


class LockedPackage(Section):
    """One package of the stack."""

    name: Name
    wanted: str
    """What ``patches.toml`` asked for."""
    version: Annotated[int, Field(ge=1)]
    digest: Sha256
    path: str | None = None
    hub: str | None = None
    """The repository on the Hub that it comes from."""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Where it was found in that."""

    @property
    def source(self) -> tuple[str | None, str | None]:
        """Where it comes from: a folder, a repository, or neither."""
        return self.path, self.hub

    @property
    def reference(self) -> str:
        """``name@v3``."""
        return f"{self.name}@v{self.version}"


class LockedModel(Section):
    """One model: base, stack in order, and the bytes that come of them."""

    name: Name
    state_root: Sha256
    base: LockedBase
    packages: tuple[LockedPackage, ...] = Field(default=(), alias="package", strict=False)
    tensors: dict[str, Sha256] = Field(default_factory=dict)
    """SHA-256 of every touched tensor of the state."""

    def strays(self, wanted: WantedModel) -> Iterator[str]:
        """Where ``patches.toml`` asks for something else than what this was made from, a line each."""
        if self.base.wanted != wanted.base:
            yield f"{self.name}: the base is named otherwise"
        was = [(package.name, package.wanted, *package.source) for package in self.packages]
        now = [(package.requirement.package, package.requirement.text, *package.source) for package in wanted.packages]
        yield from (f"{self.name}: {each[0]}@{each[1]} is new" for each in now if each not in was)
        yield from (f"{self.name}: {each[0]}@{each[1]} is not wanted any more" for each in was if each not in now)
        if was != now and sorted(map(str, was)) == sorted(map(str, now)):
            yield f"{self.name}: the order of the packages is another"


class Lock(Section):
    """A whole ``patches.lock``."""

    version: Literal[1] = LOCK_VERSION
    models: tuple[LockedModel, ...] = Field(default=(), alias="model", strict=False)

    def model(self, name: str) -> LockedModel:
        """One model; NotFoundError when the file does not lock it."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models) or "none"
        raise NotFoundError(f"{LOCK} has no model {name!r}", hint=f"it has {known}; run `patchmgr lock`")

    def to_text(self) -> str:
        """The text of the file, models by name."""
        models = sorted(self.models, key=lambda model: model.name)
        return "".join([_HEAD, f"version = {self.version}\n", *(line for model in models for line in _lines(model))])


def read_lock(folder: Path) -> Lock | None:
    """The ``patches.lock`` of a folder, None when there is none.

    Raises:
        FormatError: it cannot be read, or is of another version.
    """
    path = folder / LOCK
    try:
        value = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{path} cannot be read: {error}", hint="bring it back, or run `patchmgr lock` anew"
        ) from None
    if value.get("version") != LOCK_VERSION:
        raise FormatError(
            f"{path} has version {value.get('version')!r}, this patchmgr reads {LOCK_VERSION}", hint="upgrade patchmgr"
        )
    try:
        return Lock.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{path}: {place}: {reason_of(error)}", hint="run `patchmgr lock` anew") from None


def write_lock(folder: Path, lock: Lock) -> None:
    """Write the ``patches.lock`` of a folder in one step; StorageError when the disk cannot take it."""
    store_file(lock.to_text().encode(), folder / LOCK, what=LOCK)


def toml_string(text: str) -> str:
    """A string of TOML, on one line: JSON's form, but for one character that TOML wants escaped.

    >>> toml_string("fact fixes")
    '"fact fixes"'
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(model: LockedModel) -> Iterator[str]:
    yield f'\n[[model]]\nname = "{model.name}"\nstate_root = "{model.state_root}"\n'
    yield "\n[model.base]\n"
    for name, text in model.base.model_dump(exclude_none=True).items():
        yield f"{name} = {toml_string(text)}\n"
    for package in model.packages:
        yield f'\n[[model.package]]\nname = "{package.name}"\nwanted = {toml_string(package.wanted)}\n'
        yield f'version = {package.version}\ndigest = "{package.digest}"\n'
        for name, text in (("path", package.path), ("hub", package.hub), ("commit", package.commit)):
            if text is not None:
                yield f"{name} = {toml_string(text)}\n"
    if model.tensors:
        yield "\n[model.tensors]\n"
        yield from (f'{toml_string(name)} = "{model.tensors[name]}"\n' for name in sorted(model.tensors))
