"""The memories of a stack, opened by the plugins that answer with them, those within the model on the right weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from patchmgr.errors import BaseMismatchError
from patchmgr.methods.contract import LoadedModel
from patchmgr.methods.loader import Plugins
from patchmgr.methods.runtime import Router, opened
from patchmgr.package.manifest import Manifest
from patchmgr.package.memory.bundle import read_bundle
from patchmgr.package.reader import EditPackage

DigestOf = Callable[[str], str | None]
"""SHA-256 of a tensor of the state by its name in the checkpoint; None: it has none of that name."""


def open_router(
    packages: Iterable[EditPackage], plugins: Plugins, loaded: LoadedModel, digest_of: DigestOf | None = None
) -> Router | None:
    """The memory packages among these at work, in their order; None where there are none.

    Args:
        packages: of a stack.
        plugins: who bring the runtimes.
        loaded: the model that they stand before, or lie in.
        digest_of: what the tensors of the state are; None: it is known that those that are read are the right ones.

    Raises:
        NotFoundError: no plugin brings the runtime of one.
        FormatError: a bundle is malformed.
        BaseMismatchError: one was made on other tensors; names it and the tensor.
        MethodError: something that a bundle names is not here.
    """
    memories = []
    for package in packages:
        if package.manifest.kind == "memory":
            bundle = read_bundle(package.manifest.reference, package.files)
            runtime = plugins.runtime(bundle.config.runtime, wanted_by=bundle.reference)
            if digest_of is not None:
                check_reads(package.manifest, digest_of)
            memories.append((bundle.reference, opened(runtime, bundle, loaded)))
    return Router(tuple(memories)) if memories else None


def check_reads(manifest: Manifest, digest_of: DigestOf) -> None:
    """Refuse a memory whose keys are activations of other tensors; one of texts reads none.

    Raises:
        BaseMismatchError: names the package, the tensor and both digests.
    """
    reads = (manifest.memory.reads if manifest.memory else None) or {}
    for name, wanted in reads.items():
        found = digest_of(name)
        if found != wanted:
            raise BaseMismatchError(
                f"{manifest.reference} knows its prompts by what {name!r} = {wanted[:12]}… makes of them; "
                f"here it is {found[:12] + '…' if found else 'not there'}",
                hint=f"make it again on this state: `patchmgr rebase MODEL {manifest.reference}`",
            )
