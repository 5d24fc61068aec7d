"""Shell completion of models, references and methods; a registry that cannot be opened completes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from patchmgr.errors import PatchmgrError


def models(incomplete: str) -> list[str]:
    """Names of models."""
    return _complete(incomplete, _models)


def references(incomplete: str) -> list[str]:
    """Packages with their newest version."""
    return _complete(incomplete, _references)


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


def _references() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return [
            f"{package.name}@v{number}"
            for package in manager.registry.packages()
            for number in range(package.latest.number, 0, -1)
        ]


def _editors() -> list[str]:
    from patchmgr.manager.manager import Manager

    with Manager.open() as manager:
        return [editor.reference for editor in reversed(manager.registry.editors())]


def _methods() -> list[str]:
    from patchmgr.methods.loader import load_plugins

    return sorted(load_plugins().methods)
