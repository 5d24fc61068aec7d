"""Making a package as others were made: by their method, with their parameters, seed and licence.

On the base that a version was made for, every parameter is taken over with the value that was used. On another base
only those are that somebody gave: the others were derived from the old base, or are defaults, and are so again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from patchmgr.errors import NotFoundError, UsageError
from patchmgr.manager.editors.use import inherited_editor
from patchmgr.manager.order import Inherited
from patchmgr.manager.parent import MERGE_SUM, PEFT_IMPORT
from patchmgr.manager.remaking.source import Source, Wishes
from patchmgr.methods.contract import MethodParameters
from patchmgr.methods.parameters import PresetParameters
from patchmgr.package.manifest import Manifest

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


def made_alike(
    manager: Manager, sources: Sequence[Source], wishes: Wishes, *, other_base: bool = False
) -> dict[str, Any]:
    """The fields of an order that makes a package as some versions were made, but for what a user wishes otherwise.

    Args:
        manager: for its plugins.
        sources: the versions, one at least.
        wishes: what the user says.
        other_base: the package will be on another base than one of them.

    Raises:
        UsageError: the versions were made in different ways, and the user does not say which; or one was made with a
            text for statistics and none is given.
        NotFoundError: no plugin here brings the method.
    """
    manifests = [source.manifest for source in sources]
    method = wishes.method or _method(manifests)
    schema = _schema(manager, manifests[0], method)
    if wishes.corpus is None:
        for manifest in manifests:
            if manifest.method.name == method:
                _check_no_corpus(manifest)
    return {
        "method": method,
        "parameters": wishes.parameters,
        "inherited": _inherited(manifests, method, schema, wishes.parameters, other_base=other_base),
        "seed": _agreed(manifests, [m.method.seed for m in manifests], wishes.seed, "seeds", "--seed"),
        "license": _agreed(manifests, [m.license for m in manifests], wishes.license, "licences", "--license"),
        "corpus": wishes.corpus,
        "editor": wishes.editor or inherited_editor(manager, manifests, method),
        "require": wishes.require,
        "device": wishes.device,
        "dtype": wishes.dtype,
        "device_map": wishes.device_map,
    }


def taken_over(manifest: Manifest, schema: type[MethodParameters], *, other_base: bool) -> Inherited:
    """What is taken over of the parameters that a version was made with, where its method still knows them.

    A manifest that does not say which of them somebody gave tells it by their values, on another base: what is not the
    default was given, or a preset filled it in; only where the default means "derived" it may have been derived, and
    is left out.
    """
    known = manifest.method.given
    used = {name: value for name, value in manifest.method.parameters.items() if name in schema.model_fields}
    given = None if known is None else tuple(name for name in known if name in used)
    if not other_base:
        return Inherited(used, given)
    if given is not None:
        return Inherited({name: used[name] for name in given}, given)
    defaults = {
        name: to_jsonable_python(schema.model_fields[name].get_default(call_default_factory=True)) for name in used
    }
    kept = {
        n: value for n, value in used.items() if value != defaults[n] and (defaults[n] is not None or n == "preset")
    }
    return Inherited(kept, None)


def _method(manifests: Sequence[Manifest]) -> str:
    """The method by which all were made."""
    sums = [manifest.reference for manifest in manifests if manifest.method.name == MERGE_SUM]
    if sums:
        raise UsageError(
            f"no method made {sums[0]}: it is the sum of packages", hint="give --method, or use the packages themselves"
        )
    adapters = [manifest.reference for manifest in manifests if manifest.method.name == PEFT_IMPORT]
    if adapters:
        raise UsageError(f"no method made {adapters[0]}: it was a LoRA adapter", hint="give --method to make it anew")
    names = [manifest.method.name for manifest in manifests]
    if len(set(names)) > 1:
        raise UsageError(f"{_each(manifests, names)}: they were made by different methods", hint="give --method")
    return names[0]


def _schema(manager: Manager, manifest: Manifest, method: str) -> type[MethodParameters]:
    try:
        return manager.plugins.method(method).parameters
    except NotFoundError as missing:
        if method != manifest.method.name:
            raise
        raise NotFoundError(
            f"{manifest.reference} was made by {method!r}, which no plugin here brings",
            hint="install the plugin that brings it (see `patchmgr plugins`), or give --method",
        ) from missing


def _inherited(
    manifests: Sequence[Manifest],
    method: str,
    schema: type[MethodParameters],
    wished: Mapping[str, Any],
    *,
    other_base: bool,
) -> Inherited:
    anew = issubclass(schema, PresetParameters) and "preset" in wished
    if anew or any(manifest.method.name != method for manifest in manifests):
        return Inherited()
    found = [taken_over(manifest, schema, other_base=other_base) for manifest in manifests]
    first, *others = ({n: v for n, v in each.values.items() if n not in wished} for each in found)
    for name in sorted({name for values in others for name in values} | first.keys() if others else ()):
        _agreed(manifests, [each.values.get(name) for each in found], None, name, f"--set {name}=…")
    given = [each.given for each in found if each.given is not None]
    everyone = len(given) == len(found)
    return Inherited(found[0].values, tuple(sorted({n for names in given for n in names})) if everyone else None)


def _agreed(manifests: Sequence[Manifest], values: Sequence[Any], wished: Any, what: str, option: str) -> Any:
    """What the user says, else what all versions say alike."""
    if wished is None and any(value != values[0] for value in values):
        raise UsageError(f"{_each(manifests, values)}: different {what}", hint=f"say which with {option}")
    return values[0] if wished is None else wished


def _each(manifests: Sequence[Manifest], values: Sequence[Any]) -> str:
    return ", ".join(f"{manifest.reference} {value!s}" for manifest, value in zip(manifests, values, strict=True))


def _check_no_corpus(manifest: Manifest) -> None:
    digest = next(_corpora(manifest.method.parameters), None)
    if digest is not None:
        raise UsageError(
            f"{manifest.reference} was made with statistics of the text sha256:{digest[:12]}",
            hint="give that text, or another, to --corpus",
        )


def _corpora(value: Any) -> Iterator[str]:
    """The digests that stand under ``corpus`` anywhere in the parameters that a method used."""
    if isinstance(value, Mapping):
        found = value.get("corpus")
        if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found):
            yield found
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _corpora(part)
