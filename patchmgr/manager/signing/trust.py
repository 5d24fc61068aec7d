"""Whom this home trusts: keys put on the list and taken off it, each change an event.

A key is put on the list after its event is committed, and taken off before: whatever is interrupted, nobody is trusted
of whom no event says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.durable import storing
from patchmgr.errors import BusyError, UsageError
from patchmgr.package.manifest import check_name
from patchmgr.signing.contract import TrustedKey
from patchmgr.signing.pem import read_certificate, read_public_key
from patchmgr.signing.trust import drop_trusted, find_trusted, is_new, store_trusted, trusted_keys
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager

_PATIENCE_S = 10.0


class Trust:
    """The list of trusted keys; a manager hands it out."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def list(self) -> tuple[TrustedKey, ...]:
        """Everybody on it, by name."""
        return trusted_keys(self._manager.settings.trust)

    def add(
        self, name: str, *, key: Path | None = None, certificate: Path | None = None, dry_run: bool = False
    ) -> tuple[TrustedKey, bool]:
        """Trust a public key, or whoever has a certificate of a CA.

        Args:
            name: how messages shall call it; as of a package.
            key: a file with a public EC key.
            certificate: a file with the certificate of a CA, instead.
            dry_run: check everything and change nothing.

        Returns:
            The key, and whether it was not on the list yet.

        Raises:
            UsageError: not one of the two is given, or the file holds something else; a private key above all.
            NotFoundError: there is no such file.
            ConflictError: another key has that name, or this one has another.
            BusyError: another process is changing the list.
            StorageError: the disk is full, read-only or failing; where the key could not be stored after its event, the
                call can be made again.
        """
        check_name(name)
        if key is not None and certificate is None:
            coming = read_public_key(key, name)
        elif certificate is not None and key is None:
            coming = read_certificate(certificate, name)
        else:
            raise UsageError("whom to trust?", hint="give --key PUB.pem, or --certificate CA.pem")
        folder = self._manager.settings.trust
        if dry_run:
            return coming, is_new(folder, coming)
        with self._alone():
            new = is_new(folder, coming)
            if new:
                self._record("trust-add", coming)
                store_trusted(folder, coming)
        return coming, new

    def remove(self, name: str, *, dry_run: bool = False) -> TrustedKey:
        """Trust a key no more; what was applied stays.

        Raises:
            NotFoundError: nobody is trusted under that name.
            BusyError: another process is changing the list.
            StorageError: the disk is read-only or failing.
        """
        folder = self._manager.settings.trust
        if dry_run:
            return find_trusted(folder, name)
        with self._alone():
            key = find_trusted(folder, name)
            drop_trusted(folder, name)
            try:
                self._record("trust-remove", key)
            except BaseException:
                store_trusted(folder, key)
                raise
        return key

    def _record(self, action: str, key: TrustedKey) -> None:
        with self._manager.registry.begin() as tx:
            objects = [EventObject(key.kind, key.name, key.fingerprint)]
            tx.record_event(self._manager.origin, action, objects=objects)
            tx.commit()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time looks at the list and changes it."""
        from filelock import FileLock, Timeout

        folder = self._manager.settings.trust
        with storing("the list of trusted keys"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{folder}.lock", timeout=_PATIENCE_S)
            try:
                lock.acquire()
            except Timeout:
                raise BusyError("another process is changing the list of trusted keys", hint="try again") from None
        try:
            yield
        finally:
            lock.release()
