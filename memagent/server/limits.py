"""How much a key may ask for: requests in a minute, counted in this process, and tokens in a day, counted in storage;
and how often an address may come with a wrong one.

Knows nothing of routes.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from memagent.access import Key, Keys
from memagent.server.problems import Refused

TRIES, PAUSE = 10, 60.0
"""After so many wrong keys, an address is not listened to for so many seconds."""
MOST_ADDRESSES = 10_000


class Limits:
    """What all keys have asked for of late."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, key: Key | None) -> None:
        """A request comes in; raises `Refused` if it is one too many."""
        most = key.limits.get("requests", 0) if key else 0
        if key and most and not self._window.hit(RateLimitItemPerMinute(most), key.id):
            raise Refused(429, f"This key may ask {most} times in a minute.", {"retry-after": "60"})

    def check_spent(self, key: Key | None) -> None:
        """A turn is asked for; raises `Refused` if the key has spent its tokens of the last 24 hours."""
        most = key.limits.get("tokens", 0) if key else 0
        if key and most and self._keys.spent(key) >= most:
            raise Refused(
                429, f"This key may spend {most} tokens in 24 hours, and has.",
                {"retry-after": "3600", "x-should-retry": "false"},
            )  # fmt: skip


class Guesses:
    """How often an address came with a wrong key."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wrong(self, address: str) -> None:
        """Count a wrong key."""
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
