"""Times as other programs write them. Knows nothing of where they stand."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

EARLIEST, LATEST = 0, 253_402_300_799
"""The years 1970 to 9999, as seconds."""

_FORMS = (
    "%B %d, %Y %I:%M%p",  # SillyTavern: June 25, 2023 4:12pm
    "%Y-%m-%d@%Hh%Mm%Ss",  # and its older ones: 2023-3-15@13h37m52s
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S UTC",
    "%d.%m.%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
)
_MILLISECONDS = re.compile(r"\s*\d+ms$")
_NUMBER = re.compile(r"\d{9,19}(?:\.\d+)?$")


def time_of(written: Any) -> datetime | None:
    """A time with its zone, from seconds or milliseconds since 1970, ISO 8601 and some other forms; None when it is
    none of them. What has no zone is taken for the time of this machine's.
    """
    if isinstance(written, bool) or written is None:
        return None
    if isinstance(written, (int, float)):
        return _since_1970(float(written))
    text = _MILLISECONDS.sub("", " ".join(str(written).split())[:80])
    if _NUMBER.match(text):
        return _since_1970(float(text))
    found = _read(text)
    try:
        return found if found is None or found.tzinfo else found.astimezone()
    except (OverflowError, OSError, ValueError):
        return None


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for form in _FORMS:
        try:
            found = datetime.strptime(text, form)
            return found.replace(tzinfo=UTC) if form.endswith("UTC") else found
        except ValueError:
            continue
    return None


def _since_1970(seconds: float) -> datetime | None:
    while seconds > 1e11:  # milli-, micro-, nanoseconds
        seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC) if EARLIEST < seconds < LATEST else None
