"""States held in memory for measuring: a base is loaded once, and a stack's exact tensors take the place of its own.

Nothing is written. The model is loaded when it is first asked something that is not known yet, and not before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from patchmgr.base.checkpoint import Checkpoint
from patchmgr.base.fingerprint import Fingerprint
from patchmgr.errors import IntegrityError, MethodError, UsageError
from patchmgr.evaluate.engine import State
from patchmgr.manager.states import open_packages
from patchmgr.ops import stack as stacks
from patchmgr.ops.kernel import summed_tensor
from patchmgr.ops.stack import Stack
from patchmgr.ops.sums import Sums, collect
from patchmgr.package.reader import EditPackage

if TYPE_CHECKING:
    from torch import Tensor

    from patchmgr.manager.manager import Manager
    from patchmgr.methods.contract import LoadedModel

ComputeDtype = Literal["auto", "float32", "bfloat16"]
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


class Bench:
    """One base, and any stacks on it."""

    def __init__(
        self,
        manager: Manager,
        base: Checkpoint,
        known: Fingerprint,
        *,
        device: str,
        dtype: ComputeDtype,
        opened: Mapping[str, EditPackage],
    ) -> None:
        self._manager = manager
        self._packages = opened
        self._base = base
        self._known = known
        self._device = device
        self._dtype = stored_dtype(base) if dtype == "auto" else dtype
        self._loaded: LoadedModel | None = None
        self._found: dict[tuple[str, frozenset[str]], str] = {}
        self._sums: tuple[Stack, Sums] = ((), {})

    def state(self, stack: Stack) -> State:
        """The state of a stack on the base; its root is worked out from manifests where they tell it.

        Raises:
            IntegrityError: a package is missing or damaged.
            ConflictError: two packages replace one tensor.
        """
        root = stacks.root_of(self._known.with_tensors(self._digests(stack)), stack)
        return State(root, lambda: self._opened(stack, root), self._dtype, self._device.partition(":")[0])

    @contextlib.contextmanager
    def _opened(self, stack: Stack, root: str) -> Iterator[LoadedModel]:
        from patchmgr.live.load import load_model
        from patchmgr.live.memories import open_router
        from patchmgr.live.replace import replaced

        if self._loaded is None:
            self._manager.progress(0, 1, "loading the model")
            pristine = stacks.state_root(self._known)
            self._loaded = load_model(self._base.folder, pristine, dtype=self._dtype, device=checked(self._device))
        with replaced(self._loaded.model, self._weights(self._loaded, stack)):
            now = replace(self._loaded, state_root=root)
            yield replace(now, router=open_router(self._open(stacks.memories(stack)), self._manager.plugins, now))

    def _digests(self, stack: Stack) -> Mapping[str, str]:
        """What each touched tensor is: told by the package that was computed on all others that touch it, or summed."""
        names = dict.fromkeys(tensor.name for package in stack for tensor in package.tensors)
        return {name: _told(stack, name) or self._digest(stack, name) for name in names}

    def _digest(self, stack: Stack, name: str) -> str:
        key = (name, frozenset(_touching(stack, name)))
        if key not in self._found:
            self._found[key] = self._summed(stack, name)[1]
        return self._found[key]

    def _weights(self, loaded: LoadedModel, stack: Stack) -> dict[str, Tensor]:
        from patchmgr.live.pairing import checkpoint_names, elements

        modules = {tensor.name: tensor.module for package in stack for tensor in package.tensors}
        weights = {}
        for name, module in modules.items():
            if self._dtype == "float32" and name not in checkpoint_names(loaded.model, module, self._base):
                raise MethodError(
                    f"{module!r} of the loaded model is not {name!r} of the checkpoint",
                    hint="the package's manifest pairs them wrongly; make it again",
                )
            data, found = self._summed(stack, name)
            told = _told(stack, name)
            if told not in (None, found):
                raise IntegrityError(
                    f"{name!r} becomes {found[:12]}… with {', '.join(p.reference for p in stack)}, "
                    f"and should be {str(told)[:12]}…",
                    hint="a package or this machine's arithmetic is broken; run `patchmgr fsck`",
                )
            _, entry = self._base.entry(name)
            weights[module] = elements(data, entry.dtype, entry.shape)
        return weights

    def _summed(self, stack: Stack, name: str) -> tuple[bytes, str]:
        """The bytes of one tensor of a state and their digest; the packages of the last stack are kept open."""
        if self._sums[0] != stack:
            self._sums = (stack, collect(self._open(stack), self._manager.plugins.encodings, self._base))
        _, entry = self._base.entry(name)
        return summed_tensor(self._base.read_bytes(name), entry.dtype, entry.shape, self._sums[1][name], name=name)

    def _open(self, stack: Stack) -> list[EditPackage]:
        """The packages of a stack, from the registry or the folders that were named."""
        missing = [manifest for manifest in stack if manifest.digest not in self._packages]
        found = {package.manifest.digest: package for package in open_packages(self._manager, missing)}
        return [self._packages.get(digest) or found[digest] for digest in stacks.digests(stack)]


def _touching(stack: Stack, name: str) -> set[str]:
    return {package.digest for package in stack if any(tensor.name == name for tensor in package.tensors)}


def _told(stack: Stack, name: str) -> str | None:
    """The digest of a tensor, where one package was computed on all others of the stack that touch it."""
    there, touching = set(stacks.digests(stack)), _touching(stack, name)
    for package in stack:
        below = set(package.parent.packages)
        if package.digest in touching and below <= there and (below & touching) | {package.digest} == touching:
            return next(tensor.after_sha256 for tensor in package.tensors if tensor.name == name)
    return None


def stored_dtype(base: Checkpoint) -> ComputeDtype:
    """The dtype that most numbers of a checkpoint are stored in, among those that can be computed in."""
    sizes = dict.fromkeys(_NAMES, 0)
    for _, entry in base.tensors.values():
        if entry.dtype in sizes:
            sizes[entry.dtype] += entry.size_bytes
    most = _NAMES[max(sizes, key=sizes.__getitem__)]
    return "bfloat16" if most == "bfloat16" else "float32"


def find_device(wanted: str) -> str:
    """The device that a word means: ``auto`` is the first of cuda, mps and cpu that is there.

    Raises:
        UsageError: it is none of cpu, cuda, cuda:N, mps and auto.
    """
    if wanted != "auto":
        kind, colon, number = wanted.partition(":")
        if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdecimal())):
            raise UsageError(f"{wanted!r} is no device", hint="give cpu, cuda, cuda:0, mps or auto")
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def checked(device: str) -> str:
    """A device that is there.

    Raises:
        UsageError: this machine has none.
    """
    import torch

    kind, _, number = device.partition(":")
    n_cuda = torch.cuda.device_count() if kind == "cuda" else 0
    missing = (kind == "cuda" and int(number or 0) >= n_cuda) or (
        kind == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise UsageError(f"this machine has no device {device!r}", hint="give --device cpu, or auto")
    return device
