"""How long to wait before a service is asked again.

Knows nothing of models: any service that answers over HTTP, or not at all.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Backoff:
    """Waits that double from `first` up to `longest` seconds, with jitter so that clients don't come back all at once.

    What the service itself asks for (Retry-After) is honoured instead, up to `bound` seconds.
    """

    first: float = 0.5
    longest: float = 20.0
    bound: float = 60.0
    chance: Callable[[], float] = random.random
    now: Callable[[], float] = time.time

    def wait(self, failures: int, headers: Mapping[str, str]) -> float:
        """Seconds to wait after so many failures in a row (from 1)."""
        asked = retry_after(headers, self.now)
        if asked is not None and asked > 0:
            return min(asked, self.bound)
        return min(self.first * 2.0 ** min(failures - 1, 30), self.longest) * (0.75 + self.chance() / 2)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """The seconds that a service asks to be left alone, however it says so; None if it does not."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if not math.isnan(seconds):
            return seconds
    until = _moment(headers.get("retry-after", ""))
    if until is None:
        return None
    # Against the service's own clock if it tells it: ours may be wrong.
    told = _moment(headers.get("date", ""))
    return until - (now() if told is None else told)


def _moment(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
