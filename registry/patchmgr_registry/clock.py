"""The one form in which the registry writes a moment: ISO 8601 in UTC, with microseconds and ``Z``.

Text rather than a database's own type, so that the hash of an event is the same on every database. Texts of this form
sort as the moments they name.
"""

from __future__ import annotations

from datetime import UTC, datetime

from patchmgr.errors import IntegrityError


def timestamp(moment: datetime | None = None) -> str:
    """The moment, or now, as text of 27 characters.

    >>> timestamp(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05.000000Z'
    """
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_since(text: str) -> float:
    """Seconds from a moment written by :func:`timestamp` until now; negative when it lies ahead.

    Raises:
        IntegrityError: it is none.
    """
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
    except (ValueError, TypeError):
        raise IntegrityError(f"{text!r} in the registry is no moment", hint="look with `patchmgr fsck`") from None
