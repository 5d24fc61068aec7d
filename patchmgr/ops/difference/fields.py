"""What packages say of themselves, field by field, where they do not say the same.

Left out is what is another in every package: name, number, time of making; and what follows from the parts that are
compared by themselves: edits, weights, scores, the card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from patchmgr.ops.difference.contract import FieldChange
from patchmgr.package.manifest import BaseRecord, Manifest
from patchmgr.package.memory.bundle import CONFIG, ENTRIES, FOLDER, MemoryConfig
from patchmgr.package.reader import CARD, EDITS, SCORES, WEIGHTS

_COMPARED_APART = frozenset({CARD, EDITS, SCORES, WEIGHTS, f"{FOLDER}{CONFIG}", f"{FOLDER}{ENTRIES}"})


class _Said(NamedTuple):
    """A field: what decides whether it is the same, and what is shown of it."""

    identity: Any
    shown: Any


def package_fields(
    a: Manifest | None,
    b: Manifest | None,
    *,
    memory_a: MemoryConfig | None = None,
    memory_b: MemoryConfig | None = None,
    reference_of: Callable[[str], str],
) -> tuple[FieldChange, ...]:
    """The fields in which two packages differ; none where one side is nothing, for then all are new.

    Args:
        a: one package, or nothing.
        b: the other.
        memory_a: the settings of its memory, where it has one.
        memory_b: likewise.
        reference_of: what a package is called, by its digest.
    """
    if a is None or b is None:
        return ()
    return _changes(dict(_package(a, memory_a, reference_of)), dict(_package(b, memory_b, reference_of)))


def base_fields(a: BaseRecord, b: BaseRecord) -> tuple[FieldChange, ...]:
    """How the bases of two states differ."""
    return _changes(dict(_base(a)), dict(_base(b)))


def _changes(a: Mapping[str, _Said], b: Mapping[str, _Said]) -> tuple[FieldChange, ...]:
    nothing = _Said(None, None)
    pairs = ((name, a.get(name, nothing), b.get(name, nothing)) for name in _together(list(a), list(b)))
    return tuple(FieldChange(name, one.shown, two.shown) for name, one, two in pairs if one.identity != two.identity)


def _together(a: list[str], b: list[str]) -> list[str]:
    """The names of both sides, what only one has sorted in behind the others of its family; the same both ways."""
    families = list(dict.fromkeys(name.partition(".")[0] for name in (*_ORDER, *sorted([*a, *b]))))
    return sorted({*a, *b}, key=lambda name: (families.index(name.partition(".")[0]), name))


_ORDER = (
    *("kind", "message", "author", "license", "base", "config", "tokenizer", "parent", "method", "method_version"),
    *("parameters", "seed", "contexts", "artefacts", "kernel", "memory", "file", "library"),
)


def _package(
    manifest: Manifest, memory: MemoryConfig | None, reference_of: Callable[[str], str]
) -> Iterator[tuple[str, _Said]]:
    """Every field that is compared."""
    method, parent = manifest.method, manifest.parent
    below = [reference_of(digest) for digest in parent.packages]
    plain = {
        "kind": manifest.kind,
        "message": manifest.message,
        "author": manifest.author,
        "license": manifest.license,
        "method": method.name,
        "method_version": method.version,
        **_flat("parameters", method.parameters),
        "seed": method.seed,
        "contexts": list(method.contexts),
        **_flat("artefacts", method.artefacts),
        "kernel": manifest.kernel,
        **({} if memory is None else _flat("memory", memory.model_dump(mode="json", exclude={"format_version"}))),
        **{f"file.{name}": file.sha256 for name, file in manifest.files.items() if name not in _COMPARED_APART},
        **_flat("library", manifest.libraries),
    }
    yield from _base(manifest.base)
    yield "parent", _Said(sorted(parent.packages), below)
    yield from ((name, _Said(value, value)) for name, value in plain.items())


def _base(base: BaseRecord) -> Iterator[tuple[str, _Said]]:
    """What makes a base another; what it is called is shown and does not count."""
    shown = {"source": base.source, "revision": base.revision, "fingerprint": base.fingerprint}
    yield "base", _Said(base.fingerprint, shown)
    yield "config", _Said(base.config_sha256, base.config_sha256)
    yield "tokenizer", _Said(base.tokenizer_sha256, base.tokenizer_sha256)


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Nested tables by dotted names, and those in a list by their number.

    >>> _flat("parameters", {"layer": 2, "sites": [{"layer": 1}, {"layer": 4}]})
    {'parameters.layer': 2, 'parameters.sites.0.layer': 1, 'parameters.sites.1.layer': 4}
    """
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: value}
    return {key: inner for part, below in value.items() for key, inner in _flat(f"{name}.{part}", below).items()}
