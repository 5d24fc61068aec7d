"""Shell completion of models, references and methods; a registry that cannot be opened completes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from patchmgr.errors import PatchmgrError

_SHOWN_VERSIONS = 100
"""Of one package, the newest."""


def models(incomplete: str) -> list[str]:
    """Names of models."""
    return _complete(incomplete, _models)


def references(incomplete: str) -> list[str]:
    """Packages; of the only one that fits its versions, newest first, and its tags."""
    return _complete(incomplete, lambda: _references(incomplete))


def packages(incomplete: str) -> list[str]:
    """Names of packages."""
    return _complete(incomplete, _packages)


def tags(incomplete: str) -> list[str]:
    """Tags, as ``package@tag``."""
    return _complete(incomplete, _tags)


def subjects(incomplete: str) -> list[str]:
    """Names of models, and packages with their versions."""
    return models(incomplete) + references(incomplete)


def methods(incomplete: str) -> list[str]:
    """Names of methods."""
    return _complete(incomplete, _methods)


def editors(incomplete: str) -> list[str]:
    """Trained editors with their versions."""
    return _complete(incomplete, _editors)


def _complete(incomplete: str, source: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [name for name in source() if name.startswith(incomplete)]
    except PatchmgrError:
        return []


def _models() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return [model.name for model in manager.registry.models()]


def _references(incomplete: str) -> list[str]:
    from patchmgr.manager.manager import Manager

    package, at, _ = incomplete.partition("@")
    with Manager.open() as manager:
        names = [package] if at else [name for name in manager.registry.package_names() if name.startswith(package)]
        if len(names) != 1:
            return names
        versions = manager.registry.summaries(names[0], limit=_SHOWN_VERSIONS)
        return [
            *(version.reference for version in reversed(versions)),
            *(f"{names[0]}@{tag}" for tag in manager.registry.tags(names[0])),
        ]


def _packages() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return list(manager.registry.package_names())


def _tags() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return [f"{package}@{tag}" for package, tags in manager.registry.tagged().items() for tag in tags]


def _editors() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return [editor.reference for editor in reversed(manager.registry.editors())]


def _methods() -> list[str]:
    from patchmgr.methods.loader import load_plugins

    return sorted(load_plugins().methods)
