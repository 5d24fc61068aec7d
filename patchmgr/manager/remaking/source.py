"""A version that another is made from: its edits, and how it was made, as far as that can be done again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from patchmgr.errors import RequestError
from patchmgr.manager.order import Continued, DeviceMap, EditDtype
from patchmgr.manager.packages import adopt, folder_of, is_folder
from patchmgr.manager.states import open_version
from patchmgr.package.manifest import Manifest
from patchmgr.package.reader import EDITS, EditPackage
from patchmgr.request import EditRequest
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


@dataclass(frozen=True)
class Source:
    """A version, with its edits."""

    manifest: Manifest
    requests: tuple[EditRequest, ...]

    def named(self, kind: str) -> EventObject:
        """The version as an event names it."""
        return EventObject(kind, self.manifest.reference, self.manifest.digest)

    def continued(self, replaced: tuple[EditRequest, ...] = ()) -> Continued:
        """The version as the parent of another."""
        return Continued(self.manifest.reference, self.manifest.digest, self.manifest.version, replaced)


@dataclass(frozen=True)
class Wishes:
    """What a user says of a package that is made from others; None: as those were made."""

    method: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Laid over theirs, where the method is the same; a preset begins anew."""
    message: str | None = None
    on: Literal["current", "base"] | None = None
    seed: int | None = None
    corpus: Path | None = None
    """The text for statistics; it must be given again where a version was made with one."""
    editor: str | None = None
    """The trained editor, where the method needs one; one that was trained on another base is of no use."""
    license: str | None = None
    require: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: EditDtype = "auto"
    device_map: DeviceMap | None = None


def open_source(
    manager: Manager, reference: str, *, done: str, hint: str = "ask its author for the edits", look: bool = False
) -> Source:
    """A version with its edits; one in a folder is taken into the registry first.

    Args:
        manager: the registry.
        reference: the version.
        done: what was to be done with it, for messages: "rebased".
        hint: what to do where its edits are withheld.
        look: only look; what lies in a folder stays there.

    Raises:
        NotFoundError: there is no such version.
        RequestError: its author withheld its edits.
        IntegrityError: a file of it is missing or damaged.
    """
    if look and is_folder(reference):
        package = EditPackage.read(folder_of(reference))
        return Source(package.manifest, package.requests)
    version = adopt(manager, folder_of(reference)) if is_folder(reference) else manager.registry.version(reference)
    if all(file.path != EDITS for file in version.files):
        raise RequestError(
            f"the author of {version.reference} withheld its edits, so it cannot be {done}",
            hint=hint,
        )
    package = open_version(manager, version)
    return Source(package.manifest, package.requests)
