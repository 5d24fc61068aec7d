"""Stacks: which packages go together, in which order, and what may be taken out. Pure values, no bytes.

A package is *attested* in a stack when every package that it was computed on is there too (design: a state is what the
parent's digests say, whatever came in between).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from patchmgr.base.fingerprint import Fingerprint
from patchmgr.canonical import sha256_json
from patchmgr.errors import BaseMismatchError, ConflictError, NotFoundError
from patchmgr.package.manifest import Manifest

Stack = tuple[Manifest, ...]


@dataclass(frozen=True)
class StackChange:
    """A stack after a change, with what went in and what went out on the way."""

    stack: Stack
    added: Stack = ()
    removed: Stack = ()
    contradictions: tuple[str, ...] = ()
    """Facts that the added packages and the rest answer differently, in words."""


def add(stack: Stack, packages: Sequence[Manifest]) -> StackChange:
    """The stack with these packages on top.

    A package that is there already stays where it is. Another version of a package that is there takes its place,
    unless it was computed on it: then it goes on top. A package that lost what it was computed on before, by force, is
    left in peace.

    Raises:
        ConflictError: a package was computed on others that are missing, one that leaves is still needed, or a hidden
            memory reads tensors that a package changes which it was not made on.
    """
    result = list(stack)
    for package in packages:
        if package.digest in digests(result):
            continue
        replaced = [old for old in result if old.name == package.name and old.digest not in package.parent.packages]
        result = [old for old in result if old not in replaced]
        result.append(package)
    lost = [package for package in stack if _missing(package, stack)]
    for package in result:
        if package not in lost:
            _check_attested(package, result)
        _check_reads(package, result)
    return exchange(stack, tuple(result))


def exchange(stack: Stack, result: Stack) -> StackChange:
    """One stack for another, with what goes in and what goes out."""
    before, after = set(digests(stack)), set(digests(result))
    added = tuple(package for package in result if package.digest not in before)
    removed = tuple(package for package in stack if package.digest not in after)
    return StackChange(result, added, removed)


def remove(stack: Stack, packages: Iterable[Manifest], *, cascade: bool = False, force: bool = False) -> StackChange:
    """The stack without these packages.

    Args:
        stack: packages in order.
        packages: what to take out.
        cascade: take out those that were computed on them too.
        force: leave those in, although what they were computed on is gone.

    Raises:
        NotFoundError: a package is not in the stack.
        ConflictError: others were computed on one of them; lists those.
    """
    leaving = set()
    for package in packages:
        if package.digest not in digests(stack):
            raise NotFoundError(f"{package.reference} is not applied", hint="see `patchmgr status`")
        leaving.add(package.digest)
    dependants = [] if force else _dependants(stack, leaving)
    if dependants and not cascade:
        raise ConflictError(
            f"{', '.join(package.reference for package in dependants)} was computed on what would be taken out",
            hint="--cascade takes these out too, --rebase makes them again on what is left, --force leaves them in",
        )
    leaving |= {package.digest for package in dependants}
    _check_kept_reads(stack, leaving)
    kept = tuple(package for package in stack if package.digest not in leaving)
    return StackChange(kept, removed=tuple(package for package in stack if package.digest in leaving))


def check_base(package: Manifest, base: Fingerprint, *, model: str) -> None:
    """Refuse a package that was made for another base; a memory of texts works on any.

    Raises:
        BaseMismatchError: naming both fingerprints, or both digests of the tokenizer.
    """
    if package.memory is not None and package.memory.level == "text":
        return
    for what, wanted, found in (
        ("base", package.base.fingerprint, base.weights_root),
        ("tokenizer", package.base.tokenizer_sha256, base.tokenizer_sha256),
    ):
        if wanted != found:
            raise BaseMismatchError(
                f"{package.reference} was made for the {what} {wanted[:12]} ({package.base.source}), "
                f"{model} has {found[:12]}",
                hint=f"make it again from its edits: `patchmgr rebase {package.reference} --base {model}`",
            )


def digests(stack: Iterable[Manifest]) -> tuple[str, ...]:
    """The digests of the packages, in order."""
    return tuple(package.digest for package in stack)


def memories(stack: Iterable[Manifest]) -> Stack:
    """The memory packages of a stack, in order: where two claim a prompt, the later one answers."""
    return tuple(package for package in stack if package.kind == "memory")


def root_of(weights: Fingerprint, stack: Iterable[Manifest]) -> str:
    """The state root of a stack whose weights have this fingerprint."""
    return state_root(weights, memory_roots(stack))


def memory_roots(stack: Iterable[Manifest]) -> tuple[str, ...]:
    """What the bundles of a stack are known by, in order."""
    return tuple(root for root in (package.bundle_root for package in stack) if root is not None)


def state_root(state: Fingerprint, memories: Sequence[str] = ()) -> str:
    """What a state is known by: its weights, the bundles of its memories in order, config and tokenizer."""
    return sha256_json(
        {
            "config": state.config_sha256,
            "memories": list(memories),
            "tokenizer": state.tokenizer_sha256,
            "weights": state.weights_root,
        }
    )


def _check_attested(package: Manifest, stack: Sequence[Manifest]) -> None:
    missing = _missing(package, stack)
    if missing:
        raise ConflictError(
            f"{package.reference} was computed on {len(missing)} package(s) that would not be in the stack "
            f"({', '.join(sorted(digest[:12] for digest in missing))})",
            hint="apply those first, or make it again on this state: `patchmgr rebase MODEL REF`",
        )


def _check_reads(package: Manifest, stack: Sequence[Manifest]) -> None:
    """Refuse a memory whose claims rest on tensors that packages change which it was not made on."""
    for other in stack:
        if other.digest not in package.parent.packages and (name := _read_there(package, other)):
            raise ConflictError(
                f"{package.reference} knows its prompts by what {name!r} makes of them, "
                f"which {other.reference} changes and it was not made on",
                hint=f"make it again on that state: `patchmgr rebase MODEL {package.reference}`",
            )


def _check_kept_reads(stack: Stack, leaving: set[str]) -> None:
    """Refuse to leave a memory in, even by force, when a package goes that changes what its claims rest on."""
    for package in stack:
        for other in stack:
            gone = other.digest in leaving and other.digest in package.parent.packages
            if package.digest not in leaving and gone and (name := _read_there(package, other)):
                raise ConflictError(
                    f"{package.reference} knows its prompts by what {name!r} makes of them with {other.reference}",
                    hint="--cascade takes it out too, --rebase makes it again on what is left",
                )


def _read_there(package: Manifest, other: Manifest) -> str | None:
    """A tensor that a memory reads and another package changes."""
    reads = (package.memory.reads if package.memory else None) or {}
    return next((touched.name for touched in other.tensors if touched.name in reads), None)


def _missing(package: Manifest, stack: Sequence[Manifest]) -> set[str]:
    """What a package was computed on and a stack has not."""
    return set(package.parent.packages) - set(digests(stack))


def _dependants(stack: Stack, leaving: set[str]) -> list[Manifest]:
    gone, found = set(leaving), []
    for package in stack:
        if package.digest not in gone and gone & set(package.parent.packages):
            gone.add(package.digest)
            found.append(package)
    return found
