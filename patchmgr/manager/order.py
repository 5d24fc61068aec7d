"""What is asked of an edit; and how an order to go on from a version is filled in from that version."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from patchmgr.errors import NotFoundError, RequestError, UsageError
from patchmgr.manager.packages import is_folder
from patchmgr.manager.states import open_version
from patchmgr.methods.parameters import PresetParameters
from patchmgr.package.manifest import Manifest, parse_manifest
from patchmgr.package.reader import EDITS
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager
    from patchmgr_registry import VersionRecord

EditDtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Continued:
    """The version that an order adds edits to."""

    reference: str
    digest: str
    number: int
    parent_root: str
    parent_packages: tuple[str, ...]
    """What it was computed on, and the new version is too."""
    replaced: tuple[EditRequest, ...]
    """Its edits whose place new ones take."""


@dataclass(frozen=True)
class EditOrder:
    """What to edit, by which method, and what the package shall be called."""

    name: str
    method: str
    requests: tuple[EditRequest, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """As the user gave them; the method's own schema parses strings."""
    message: str = ""
    on: Literal["current", "base"] = "current"
    """Compute on the current state, or on the pristine base whatever is applied."""
    seed: int = 0
    corpus: Path | None = None
    """A text file for statistics; None: the model's own samples."""
    license: str | None = None
    forget: tuple[str, ...] = ()
    """Ids of entries that a memory shall not have any more."""
    continues: Continued | None = None
    """Compute on what this version was computed on; ``on`` says nothing then."""
    device: str = "cpu"
    """cpu, cuda, cuda:N, mps or auto."""
    dtype: EditDtype = "auto"
    """What the model computes in; ``auto``: float32 on the processor, as stored elsewhere. Solves are in float64."""
    device_map: Literal["auto", "balanced", "sequential"] | None = None
    """Spread the model over all devices in this way of accelerate's; ``device`` says nothing then."""


def continued_order(
    manager: Manager,
    reference: str,
    requests: Sequence[EditRequest],
    *,
    name: str | None = None,
    method: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    corpus: Path | None = None,
    license: str | None = None,
    **others: Any,
) -> EditOrder:
    """An order for all edits of a version together with further ones: the next version of its package.

    It is computed on what that version was computed on, and so takes its place when it is applied. A new request with
    the prompt of an old one takes that one's place.

    Args:
        manager: the registry.
        reference: the version to go on from.
        requests: the further edits.
        name: None: the version's; another is refused.
        method: None: the version's.
        parameters: laid over those that the version was made with, where the method is the same; a preset begins anew.
        seed: None: the version's.
        corpus: the text for statistics; it must be given again where the version was made with one.
        license: None: the version's.
        others: further fields of :class:`EditOrder`.

    Raises:
        NotFoundError: there is no such version, or packages that it was computed on are not in the registry.
        RequestError: its author withheld its edits.
        UsageError: it is named by a folder, has another name, or was made with a corpus and none is given.
    """
    version = _found(manager, reference)
    manifest = parse_manifest(version.manifest.encode())
    if name not in (None, manifest.name):
        raise UsageError(
            f"{manifest.reference} is continued as {manifest.name!r}, not as {name!r}",
            hint="leave --name out; to have its edits under another name, take them from its edits.jsonl",
        )
    given, used = dict(parameters or {}), method or manifest.method.name
    if corpus is None and used == manifest.method.name:
        _check_no_corpus(manifest)
    old = open_version(manager, version).requests
    replaced = {request.text for request in old} & {request.text for request in requests}
    return EditOrder(
        name=manifest.name,
        method=used,
        requests=(*(request for request in old if request.text not in replaced), *requests),
        parameters={**_inherited(manager, manifest, used, given), **given},
        seed=manifest.method.seed if seed is None else seed,
        corpus=corpus,
        license=manifest.license if license is None else license,
        continues=Continued(
            manifest.reference,
            manifest.digest,
            manifest.version,
            manifest.parent.root,
            manifest.parent.packages,
            tuple(request for request in old if request.text in replaced),
        ),
        **others,
    )


def _found(manager: Manager, reference: str) -> VersionRecord:
    """The version, with all that it takes to go on from it."""
    if is_folder(reference):
        raise UsageError(
            f"{reference!r} is a folder, only a version of the registry can be continued", hint="apply it first"
        )
    version = manager.registry.version(reference)
    if all(file.path != EDITS for file in version.files):
        raise RequestError(
            f"the author of {version.reference} withheld its edits, so it cannot be continued",
            hint="make a package of the new edits by themselves",
        )
    missing = [digest for digest in version.parent_packages if manager.registry.version_by_digest(digest) is None]
    if missing:
        raise NotFoundError(
            f"{version.reference} was computed on packages that are not in the registry "
            f"({', '.join(digest[:12] for digest in missing)})",
            hint="bring them in first: `patchmgr apply MODEL ./FOLDER`",
        )
    return version


def _inherited(manager: Manager, manifest: Manifest, method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a version that its method still knows, as they were used."""
    schema = manager.plugins.method(method).parameters
    if method != manifest.method.name or (issubclass(schema, PresetParameters) and "preset" in given):
        return {}
    return {name: value for name, value in manifest.method.parameters.items() if name in schema.model_fields}


def _check_no_corpus(manifest: Manifest) -> None:
    digest = next(_corpora(manifest.method.parameters), None)
    if digest is not None:
        raise UsageError(
            f"{manifest.reference} was made with statistics of the text sha256:{digest[:12]}",
            hint="give that text, or another, to --corpus",
        )


def _corpora(value: Any) -> Any:
    """The digests that stand under ``corpus`` anywhere in the parameters that a method used."""
    if isinstance(value, Mapping):
        found = value.get("corpus")
        if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found):
            yield found
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _corpora(part)
