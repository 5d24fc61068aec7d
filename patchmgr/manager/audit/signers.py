"""Who must have signed what is checked: nobody in particular, somebody who is trusted, or the holder of one key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmgr.signing.contract import TrustedKey
from patchmgr.signing.pem import read_public_key
from patchmgr.signing.trust import trusted_keys

TRUSTED = "trusted"
"""What stands for whoever is trusted, where a file of a key may be given."""


@dataclass(frozen=True)
class Signers:
    """Whose signature counts."""

    keys: tuple[TrustedKey, ...]
    required: bool
    """Whether one of them must have signed."""


def signers_named(text: str | None, trust: Path) -> Signers:
    """What a user asked for.

    Args:
        text: the file of a public key, or ``trusted``; None: a signature is looked at and not asked for.
        trust: the folder of the trusted keys.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it holds something else than a public EC key.
        IntegrityError: the list of trusted keys is damaged.
    """
    if text is None or text == TRUSTED:
        return Signers(trusted_keys(trust), required=text is not None)
    return Signers((read_public_key(Path(text), text),), required=True)
