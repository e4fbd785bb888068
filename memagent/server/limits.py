"""How much a key may ask for, and of an agent: requests in a minute, counted in this process, and tokens in a day,
counted in storage; and how often an address may come with a wrong one.

Knows nothing of routes.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from memagent.access import Key, Keys
from memagent.roster import Entry
from memagent.server.problems import Refused
from memagent.settings import Settings

TRIES, PAUSE = 10, 60.0
"""After so many wrong keys, an address is not listened to for so many seconds."""
MOST_ADDRESSES = 10_000
NOT_SOON = {"retry-after": "3600", "x-should-retry": "false"}


class Limits:
    """What all keys have asked for of late."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, key: Key | None) -> None:
        """A request comes in; raises `Refused` if it is one too many."""
        most = key.limits.get("requests", 0) if key else 0
        if key:
            self._hit(most, key.id, f"This key may ask {most} times in a minute.")

    def _hit(self, most: int, of: str, why: str) -> None:
        item = RateLimitItemPerMinute(most or 1)
        if most and not self._window.hit(item, of):
            free = self._window.get_window_stats(item, of).reset_time
            raise Refused(429, why, {"retry-after": str(max(1, math.ceil(free - time.time())))})

    def check_spent(self, key: Key | None) -> None:
        """A turn is asked for; raises `Refused` if the key has spent its tokens of the last 24 hours."""
        most = key.limits.get("tokens", 0) if key else 0
        if key and most and self._keys.spent(key) >= most:
            raise Refused(429, f"This key may spend {most} tokens in 24 hours, and has.", NOT_SOON)

    def check_agent(self, entry: Entry, settings: Settings) -> None:
        """A turn of an agent is asked for; raises `Refused` if its own limits forbid it."""
        most, spent = settings.turns_a_minute, settings.tokens_a_day
        if spent and self._keys.spent_by(entry.id) >= spent:
            raise Refused(429, f"The agent {entry.name!r} may spend {spent} tokens in 24 hours, and has.", NOT_SOON)
        self._hit(most, f"agent {entry.id}", f"The agent {entry.name!r} takes {most} turns in a minute.")


class Guesses:
    """How often an address came with a wrong key."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wrong(self, address: str) -> None:
        """Count a wrong key."""
        with self._lock:
            count, since = self._wrong.pop(address, (0, time.monotonic()))
            fresh = time.monotonic() - since > PAUSE
            self._wrong[address] = (1, time.monotonic()) if fresh else (count + 1, since)
            if len(self._wrong) > MOST_ADDRESSES:
                self._wrong.popitem(last=False)

    def check(self, address: str) -> None:
        """Refuse an address that guesses."""
        count, since = self._wrong.get(address, (0, 0.0))
        if count >= TRIES and time.monotonic() - since <= PAUSE:
            raise Refused(429, "Too many wrong keys came from this address.", {"retry-after": str(int(PAUSE))})
