"""Newer versions of what is applied: in the registry, and where the packages come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmgr.errors import PatchmgrError
from patchmgr.hub.listing import list_versions
from patchmgr.manager.states import stack_of

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Outdated:
    """A package of a model of which there is a newer version."""

    model: str
    package: str
    applied: int
    here: int
    """The newest in the registry."""
    there: int | None
    """The newest on the Hub; None: it comes from nowhere else, or that place cannot be asked."""
    remote: str | None
    trouble: str | None = None
    """Why the Hub could not be asked."""

    @property
    def newest(self) -> int:
        """The newest version anywhere."""
        return max(self.here, self.there or 0)


def outdated(manager: Manager, model: str | None = None) -> tuple[Outdated, ...]:
    """Packages of a model, or of all, that have newer versions; and those whose remote could not be asked.

    Raises:
        NotFoundError: there is no such model.
    """
    records = manager.registry.models() if model is None else (manager.registry.model(model),)
    remotes = {remote.name: remote.url for remote in manager.registry.remotes()}
    newest = {package.name: package.latest.number for package in manager.registry.packages()}
    asked: dict[str, tuple[int | None, str | None]] = {}
    found = []
    for record in records:
        for manifest in stack_of(manager, manager.registry.generation(record.name).packages):
            url = remotes.get(manifest.name)
            if url is not None and url not in asked:
                asked[url] = _newest_there(url)
            there, trouble = asked[url] if url is not None else (None, None)
            one = Outdated(record.name, manifest.name, manifest.version, newest[manifest.name], there, url, trouble)
            if one.newest > manifest.version or trouble:
                found.append(one)
    return tuple(found)


def _newest_there(url: str) -> tuple[int | None, str | None]:
    try:
        return list_versions(url.removeprefix("hf://")).newest, None
    except PatchmgrError as error:  # what is applied can be told all the same
        return None, error.message
