"""Whom this home trusts: keys put on the list and taken off it, each change an event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from patchmgr.errors import UsageError
from patchmgr.package.manifest import check_name
from patchmgr.signing.contract import TrustedKey
from patchmgr.signing.pem import read_certificate, read_public_key
from patchmgr.signing.trust import drop_trusted, find_trusted, store_trusted, trusted_keys
from patchmgr_registry import EventObject

if TYPE_CHECKING:
    from patchmgr.manager.manager import Manager


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
            StorageError: the disk is full, read-only or failing.
        """
        check_name(name)
        if key is not None and certificate is None:
            coming = read_public_key(key, name)
        elif certificate is not None and key is None:
            coming = read_certificate(certificate, name)
        else:
            raise UsageError("whom to trust?", hint="give --key PUB.pem, or --certificate CA.pem")
        with self._manager.registry.begin() as tx:  # one process at a time looks at the list and changes it
            new = store_trusted(self._manager.settings.trust, coming, dry_run=dry_run)
            if new and not dry_run:
                tx.record_event(self._manager.origin, "trust-add", objects=[_about(coming)])
                tx.commit()
        return coming, new

    def remove(self, name: str, *, dry_run: bool = False) -> TrustedKey:
        """Trust a key no more; what was applied stays.

        Raises:
            NotFoundError: nobody is trusted under that name.
            StorageError: the disk is read-only or failing.
        """
        folder = self._manager.settings.trust
        with self._manager.registry.begin() as tx:
            key = find_trusted(folder, name)
            if not dry_run:
                drop_trusted(folder, name)
                tx.record_event(self._manager.origin, "trust-remove", objects=[_about(key)])
                tx.commit()
        return key


def _about(key: TrustedKey) -> EventObject:
    return EventObject(key.kind, key.name, key.fingerprint)
