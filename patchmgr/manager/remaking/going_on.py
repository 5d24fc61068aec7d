"""The next version of a package, computed on what an earlier one was computed on: with further edits, or without some.

It takes the place of the earlier one when it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.order import Below, EditOrder
from patchmgr.manager.packages import is_folder
from patchmgr.manager.remaking.alike import made_alike
from patchmgr.manager.remaking.picking import labels, pick
from patchmgr.manager.remaking.source import Source, Wishes, open_source
from patchmgr.package.manifest import Manifest
from patchmgr.request import EditRequest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


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
    """An order for all edits of a version together with further ones.

    A new request with the prompt of an old one takes that one's place.

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
    if is_folder(reference):
        raise UsageError(
            f"{reference!r} is a folder, only a version of the registry can be continued", hint="apply it first"
        )
    hint = "make a package of the new edits by themselves"
    source = open_source(manager, reference, done="continued", hint=hint)
    if name not in (None, source.manifest.name):
        raise UsageError(
            f"{source.manifest.reference} is continued as {source.manifest.name!r}, not as {name!r}",
            hint="leave --name out; to have its edits under another name, `patchmgr cherry-pick --name`",
        )
    wishes = Wishes(method=method, parameters=parameters or {}, seed=seed, corpus=corpus, license=license)
    texts = {request.text for request in requests}
    replaced = tuple(request for request in source.requests if request.text in texts)
    kept = (request for request in source.requests if request.text not in texts)
    made = made_alike(manager, [source], wishes)
    made |= {name: value for name, value in others.items() if value is not None or name not in made}
    return EditOrder(
        name=source.manifest.name,
        requests=(*kept, *requests),
        below=_below(manager, source.manifest),
        continues=source.continued(replaced),
        origins=(source.named("continued"),),
        **made,
    )


def order_without(manager: Manager, source: Source, texts: Sequence[str], wishes: Wishes) -> EditOrder:
    """An order for the edits of a version but for some.

    Args:
        manager: the registry.
        source: the version.
        texts: the edits that go, as :func:`patchmgr.manager.remaking.picking.find` takes them.
        wishes: how to make it; ``on`` says nothing.

    Raises:
        NotFoundError: the version has no such edit, or packages that it was computed on are not in the registry.
        UsageError: no edit would be left, or as for :func:`patchmgr.manager.remaking.alike.made_alike`.
    """
    manifest = source.manifest
    leaving = set(pick(source.requests, texts, of=manifest.reference))
    if len(leaving) == len(source.requests):
        raise UsageError(
            f"without {', '.join(texts)} there is no edit left in {manifest.reference}",
            hint="revert the whole package: leave --edit out",
        )
    names = [labels(source.requests)[place] for place in sorted(leaving)]
    kept = [place for place in range(len(source.requests)) if place not in leaving]
    made = made_alike(manager, [source], wishes)
    return EditOrder(
        name=manifest.name,
        message=f"{manifest.reference} without {', '.join(names)}" if wishes.message is None else wishes.message,
        below=_below(manager, manifest),
        continues=source.continued(),
        origins=(source.named("reverted"),),
        **edits_kept(source, kept, method=made["method"]),
        **made,
    )


def edits_kept(source: Source, places: Sequence[int], *, method: str) -> dict[str, Any]:
    """The fields of an order for the next version of a package, with some of its edits, made by this method.

    A memory keeps its record: the others are taken out of it.
    """
    if (source.manifest.kind, source.manifest.method.name) != ("memory", method):
        return {"requests": tuple(source.requests[place] for place in places)}
    gone = sorted(set(range(len(source.requests))) - set(places))
    return {"requests": (), "forget": tuple(f"#{place + 1}" for place in gone)}


def _below(manager: Manager, manifest: Manifest) -> Below:
    """What a version was computed on, all of it in the registry."""
    packages = manifest.parent.packages
    missing = [digest for digest in packages if manager.registry.version_by_digest(digest) is None]
    if missing:
        raise NotFoundError(
            f"{manifest.reference} was computed on packages that are not in the registry "
            f"({', '.join(digest[:12] for digest in missing)})",
            hint="bring them in first: `patchmgr apply MODEL ./FOLDER`",
        )
    return Below(packages, manifest.parent.root)
