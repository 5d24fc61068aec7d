"""Moments as people write them: ``2026-01-02`` or ``2026-01-02T15:30``, in UTC where no zone is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from patchmgr.errors import UsageError
from patchmgr_registry import timestamp

_DAY = timedelta(days=1)


def begin_of(text: str) -> str:
    """The first moment that a text means, as the registry writes it.

    >>> begin_of("2026-01-02")
    '2026-01-02T00:00:00.000000Z'

    Raises:
        UsageError: it is no date and no moment.
    """
    return timestamp(_parsed(text)[0])


def end_of(text: str) -> str:
    """The first moment after all that a text means: a day to its end, a minute to its end.

    >>> end_of("2026-01-02"), end_of("2026-01-02T15:30+01:00")
    ('2026-01-03T00:00:00.000000Z', '2026-01-02T14:31:00.000000Z')

    Raises:
        UsageError: it is no date and no moment.
    """
    begin, length = _parsed(text)
    try:
        return timestamp(begin + length)
    except OverflowError:
        raise _unreadable(text) from None


def check_range(since: str | None, until: str | None) -> None:
    """UsageError when a range of moments ends before it begins."""
    if since is not None and until is not None and begin_of(since) >= end_of(until):
        raise UsageError(f"{until} comes before {since}", hint="--since is the earlier one")


def _parsed(text: str) -> tuple[datetime, timedelta]:
    try:
        found = datetime.fromisoformat(text)
        begin = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _unreadable(text) from None
    clock = text[10:]
    if not clock:
        return begin, _DAY
    if "." in clock or "," in clock:
        return begin, timedelta(microseconds=1)
    n_colons = clock.partition("+")[0].partition("-")[0].count(":")
    return begin, (timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1))[min(n_colons, 2)]


def _unreadable(text: str) -> UsageError:
    return UsageError(f"{text!r} is no date", hint="write 2026-01-02, or 2026-01-02T15:30 (UTC), or with +01:00")
