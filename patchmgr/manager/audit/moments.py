"""Moments as people write them: ``2026-01-02`` or ``2026-01-02T15:30``, in UTC where no zone is given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from patchmgr.errors import UsageError
from patchmgr_registry import timestamp

_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}(?P<minute>:[0-9]{2}(?P<second>:[0-9]{2}(?P<fraction>\.[0-9]{1,6})?)?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
"""A day, or a moment; ISO 8601 has more forms, and how much those mean is not always plain."""
_STAMP_LENGTH = len("2026-01-02T00:00:00.000000Z")


def begin_of(text: str) -> str:
    """The first moment that a text means, as the registry writes it.

    >>> begin_of("2026-01-02")
    '2026-01-02T00:00:00.000000Z'

    Raises:
        UsageError: it is no date and no moment.
    """
    return _stamp(_parsed(text)[0])


def end_of(text: str) -> str:
    """The first moment after all that a text means: a day to its end, a minute to its end.

    >>> end_of("2026-01-02"), end_of("2026-01-02T15:30+01:00")
    ('2026-01-03T00:00:00.000000Z', '2026-01-02T14:31:00.000000Z')

    Raises:
        UsageError: it is no date and no moment.
    """
    begin, length = _parsed(text)
    try:
        return _stamp(begin + length)
    except OverflowError:
        raise _unreadable(text) from None


def check_range(since: str | None, until: str | None) -> None:
    """UsageError when a range of moments ends before it begins."""
    if since is not None and until is not None and begin_of(since) >= end_of(until):
        raise UsageError(f"{until} comes before {since}", hint="--since is the earlier one")


def _parsed(text: str) -> tuple[datetime, timedelta]:
    """The moment at which a text begins, and how long it lasts."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise _unreadable(text)
    try:
        found = datetime.fromisoformat(text)
        begin = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _unreadable(text) from None
    if "T" not in text:
        return begin, timedelta(days=1)
    if form["fraction"]:
        return begin, timedelta(microseconds=1)
    if form["second"]:
        return begin, timedelta(seconds=1)
    return begin, timedelta(minutes=1) if form["minute"] else timedelta(hours=1)


def _stamp(moment: datetime) -> str:
    """As the registry writes it; a year before 1000 with its zeros, so that texts are in the order of time."""
    return timestamp(moment).rjust(_STAMP_LENGTH, "0")


def _unreadable(text: str) -> UsageError:
    return UsageError(f"{text!r} is no date", hint="write 2026-01-02, or 2026-01-02T15:30 (UTC), or with +01:00")
