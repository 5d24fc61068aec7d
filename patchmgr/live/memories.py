"""The memories of a stack, opened by the plugins that answer with them."""

from __future__ import annotations

from collections.abc import Iterable

from patchmgr.methods.loader import Plugins
from patchmgr.methods.runtime import Router
from patchmgr.package.memory.bundle import read_bundle
from patchmgr.package.reader import EditPackage


def open_router(packages: Iterable[EditPackage], plugins: Plugins, *, device: str = "cpu") -> Router | None:
    """The memory packages among these at work, in their order; None where there are none.

    Raises:
        NotFoundError: no plugin brings the runtime of one.
        FormatError: a bundle is malformed.
        MethodError: something that a bundle names is not here.
    """
    memories = []
    for package in packages:
        if package.manifest.kind == "memory":
            bundle = read_bundle(package.manifest.reference, package.files)
            runtime = plugins.runtime(bundle.config.runtime, wanted_by=bundle.reference)
            memories.append((bundle.reference, runtime.open(bundle, device)))
    return Router(tuple(memories)) if memories else None
