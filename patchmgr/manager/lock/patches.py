"""``patches.toml``: which packages of which versions a model shall have, in the order of its stack. Written by hand.

::

    [models.prod]
    base = { source = "openai-community/gpt2-xl", revision = "15ea56d" }   # or base = "gpt2-xl", a registered model
    packages = [
      "geography@^2",
      "house-style@stable",
      { name = "hot-fix", version = "==1", path = "packages/hot-fix" },
      { name = "fact-fixes", version = ">=2", hub = "org/fact-fixes" },
    ]

Without ``base`` it is that of the registered model of this name. A package with a ``path``, relative to the file, is
what lies in that folder; of one with ``hub`` the versions are those of that repository on the Hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from patchmgr.errors import NotFoundError, PatchmgrError, UsageError
from patchmgr.hub.reference import HubReference, is_hub_reference
from patchmgr.manager.lock.requirement import Requirement
from patchmgr.manager.toml_text import parse_toml
from patchmgr.package.fields import Name, Section
from patchmgr.package.parsing import shown
from patchmgr.reasons import reason_of

PATCHES = "patches.toml"


@dataclass(frozen=True)
class WantedBase:
    """The base as the user names it: by a model that stands on it, or by where it comes from; neither: the model's."""

    model: str | None = None
    source: str | None = None
    revision: str | None = None
    """The beginning of a commit."""


@dataclass(frozen=True)
class WantedPackage:
    """One package of a wanted stack."""

    requirement: Requirement
    path: str | None = None
    """A folder that it lies in, as written."""
    hub: str | None = None
    """A repository on the Hub whose versions are meant: ``org/name``."""

    @property
    def source(self) -> tuple[str | None, str | None]:
        """Where it comes from: a folder, a repository, or neither."""
        return self.path, self.hub


@dataclass(frozen=True)
class WantedModel:
    """What a model shall be."""

    name: str
    base: WantedBase
    packages: tuple[WantedPackage, ...]


@dataclass(frozen=True)
class Patches:
    """A whole ``patches.toml``."""

    folder: Path
    """Where it lies; paths of packages begin there."""
    models: Mapping[str, WantedModel]

    def model(self, name: str) -> WantedModel:
        """One model; NotFoundError when the file does not name it."""
        if name not in self.models:
            known = ", ".join(self.models) or "none"
            raise NotFoundError(f"{PATCHES} has no model {name!r}", hint=f"it has {known}; add [models.{name}]")
        return self.models[name]


class _Base(Section):
    source: str
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{7,64}$")


class _Package(Section):
    name: str
    version: str = "*"
    path: str | None = None
    hub: str | None = None


class _Model(Section):
    base: str | _Base | None = None
    packages: tuple[str | _Package, ...] = Field(default=(), strict=False)


class _File(Section):
    models: dict[Name, _Model] = Field(default_factory=dict)


def read_patches(folder: Path) -> Patches:
    """The ``patches.toml`` of a folder.

    Raises:
        NotFoundError: there is none.
        UsageError: it cannot be read; names the place and what was found.
    """
    try:
        text = (folder / PATCHES).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no {PATCHES} in {folder}",
            hint="write one, or `patchmgr lock --from MODEL` writes what a model is now",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder / PATCHES} cannot be read: {error}", hint="mend it by hand") from None
    return parse_patches(text, folder)


def parse_patches(text: str, folder: Path) -> Patches:
    """The text of a ``patches.toml`` that lies, or shall lie, in a folder; errors as those of :func:`read_patches`."""
    path = folder / PATCHES
    try:
        value = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{path} cannot be read: {error}", hint="mend it by hand") from None
    return Patches(folder, _models(value, path))


def _models(value: Mapping[str, Any], path: Path) -> Mapping[str, WantedModel]:
    try:
        file = _File.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f" (found {shown(first['input'])!r})"
        raise UsageError(f"{path}: {place}: {reason_of(error)}{found}", hint="see docs/versioning.md") from None
    try:
        return {name: _wanted(name, model) for name, model in file.models.items()}
    except PatchmgrError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from None


def _wanted(name: str, model: _Model) -> WantedModel:
    packages = tuple(_package(package) for package in model.packages)
    if isinstance(model.base, _Base):
        return WantedModel(name, WantedBase(source=model.base.source, revision=model.base.revision), packages)
    return WantedModel(name, WantedBase(model=model.base), packages)


def _package(given: str | _Package) -> WantedPackage:
    if isinstance(given, str):
        package, _, versions = given.partition("@")
        return WantedPackage(Requirement.parse(package.strip(), versions))
    if given.hub is not None:
        if given.path is not None:
            raise UsageError(f"{given.name} has a path and a hub", hint="it comes from one of them")
        return WantedPackage(Requirement.parse(given.name, given.version), hub=_repository(given.hub))
    return WantedPackage(Requirement.parse(given.name, given.version), given.path)


def _repository(text: str) -> str:
    if not is_hub_reference(text) or HubReference.parse(text).which:
        raise UsageError(f"{text!r} is no repository of the Hub", hint='write hub = "org/name"; versions stand apart')
    return HubReference.parse(text).repo_id
