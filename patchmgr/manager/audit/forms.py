"""How digests, moments and numbers are written in files of the audit trail; whatever else stands there is refused."""

from __future__ import annotations

import re

DIGEST = re.compile(r"[0-9a-f]{64}")
"""A SHA-256."""
STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
"""A moment as the registry writes it: such texts are in the order of time."""
HIGHEST = 2**63 - 1
"""Number of an event."""
