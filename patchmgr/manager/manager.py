"""The manager: one object that every command and the Python API go through."""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from patchmgr import __version__
from patchmgr.base.digests import DigestCache
from patchmgr.manager.backup.unfinished import refuse_unfinished
from patchmgr.manager.changes import Changes
from patchmgr.manager.exchange import Exchange
from patchmgr.manager.progress import Progress, silent
from patchmgr.manager.questions import Questions
from patchmgr.manager.redacting import redacted
from patchmgr.manager.remaking.verbs import Remaking
from patchmgr.manager.settings import Settings, load_settings
from patchmgr.manager.sharing.nearby import Nearby
from patchmgr.manager.sharing.verbs import Sharing
from patchmgr.manager.upkeep import Upkeep
from patchmgr_registry import Origin, Registry

if TYPE_CHECKING:
    from pluggy import PluginManager

    from patchmgr.manager.audit.verbs import Audit
    from patchmgr.manager.editors.keep import Editors
    from patchmgr.manager.handle import ModelHandle
    from patchmgr.manager.signing.trust import Trust
    from patchmgr.manager.stats import Stats
    from patchmgr.methods.loader import Plugins


class Manager(Changes, Exchange, Remaking, Sharing, Questions, Upkeep):
    """A registry with the verbs that change, ask and keep it."""

    def __init__(self, settings: Settings, registry: Registry, *, progress: Progress = silent) -> None:
        self.settings = settings
        self.registry = registry
        self.progress = progress

    @classmethod
    def open(cls, home: Path | None = None, *, progress: Progress = silent) -> Self:
        """The manager of a home folder; the registry is made on first use and upgraded when it is older.

        Args:
            home: None: ``PATCHMGR_HOME`` or the platform's data folder.
            progress: told how far long work is.

        Raises:
            PatchmgrError: the settings or the registry cannot be used; the message says why.
        """
        settings = load_settings(home=home)
        refuse_unfinished(settings.home)
        return cls(
            settings, Registry.open(settings.home, settings.database_url, blobs=settings.blobs), progress=progress
        )

    @cached_property
    def plugins(self) -> Plugins:
        """What plugins brought; loaded when first asked for."""
        from patchmgr.methods.loader import load_plugins

        return load_plugins()

    @cached_property
    def observers(self) -> PluginManager:
        """The plugins, for the hooks that observe; what they bring is not loaded for that."""
        from patchmgr.methods.loader import load_observers

        return self.plugins.manager if "plugins" in self.__dict__ else load_observers()

    @property
    def digests(self) -> DigestCache:
        """The cache of tensor digests."""
        return DigestCache(self.settings.digests)

    @cached_property
    def nearby(self) -> Nearby:
        """Packages of the Hub that are tried without being taken in."""
        return Nearby(self)

    @cached_property
    def origin(self) -> Origin:
        """Who is at work, for the events."""
        words = ("patchmgr", *sys.argv[1:]) if Path(sys.argv[0]).name == "patchmgr" else ("python",)
        return Origin.current(__version__, redacted(words), actor=self.settings.actor)

    def model(self, name: str) -> ModelHandle:
        """One model, with the verbs that go with it.

        Raises:
            NotFoundError: there is none of that name.
        """
        from patchmgr.manager.handle import ModelHandle

        self.registry.model(name)
        return ModelHandle(self, name)

    @property
    def stats(self) -> Stats:
        """Statistics of bases, made ahead of edits, listed and shared."""
        from patchmgr.manager.stats import Stats

        return Stats(self)

    @property
    def editors(self) -> Editors:
        """Trained editors: made, kept, shared."""
        from patchmgr.manager.editors.keep import Editors

        return Editors(self)

    @property
    def audit(self) -> Audit:
        """The audit trail, and what an auditor asks of it."""
        from patchmgr.manager.audit.verbs import Audit

        return Audit(self)

    @property
    def trust(self) -> Trust:
        """Whose signatures are trusted."""
        from patchmgr.manager.signing.trust import Trust

        return Trust(self)

    def close(self) -> None:
        """Give the database back, and forget what was only tried."""
        if "nearby" in self.__dict__:
            self.nearby.close()
        self.registry.close()

    @property
    def _manager(self) -> Manager:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Manager({str(self.settings.home)!r})"
