"""How many requests may be sent, and when: within limits per minute, and as an endpoint that is full asks for.

The limits hold for *any* minute, not only for those of the clock: what was sent stays counted for a minute (and a
sixtieth of it more, for what is late on its way), so that a full minute's worth may go out at once and then no more.
Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from memagent.endpoints.retry import Backoff


@dataclass(frozen=True)
class Limits:
    """At most `parallel` requests at once, and in any `window` of seconds `rpm` requests and `tpm` tokens."""

    parallel: int = 16
    rpm: int | None = None
    tpm: int | None = None
    window: float = 60.0


@dataclass
class Sent:
    """A request that was let through: when, and how many tokens it counts for."""

    at: float
    tokens: int
    counted: bool = True


class Pace:
    """Lets requests through one by one, in the order in which they come."""

    def __init__(self, limits: Limits, backoff: Backoff) -> None:
        self.holds = 0
        """How often all had to wait since a request was last answered."""
        self._limits = limits
        self._kept = limits.window * 61 / 60
        self._limited = limits.rpm is not None or limits.tpm is not None
        self._backoff = backoff
        self._sent: deque[Sent] = deque()
        self._tokens = 0
        self._under_way = 0
        self._room = float(limits.parallel)
        self._held_at = -math.inf
        self._held_until = -math.inf
        self._queue = asyncio.Lock()
        self._moved = asyncio.Event()

    async def enter(self, tokens: int) -> Sent:
        """Wait until a request of so many tokens may be sent, and count it."""
        async with self._queue:
            while (seconds := self._wait(tokens)) > 0:
                self._moved.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                        await self._moved.wait()
            sent = Sent(time.monotonic(), tokens)
            self._under_way += 1
            if self._limited:
                self._sent.append(sent)
                self._tokens += tokens
            return sent

    def leave(self) -> None:
        """A request is no longer under way."""
        self._under_way -= 1
        self._moved.set()

    def answered(self, sent: Sent, tokens: int | None) -> None:
        """It was answered, and this is what it really cost."""
        self.holds = 0
        self._room = min(float(self._limits.parallel), self._room + 1 / self._room)
        if tokens is not None and self._limited and sent.counted:
            self._tokens += tokens - sent.tokens
            sent.tokens = tokens

    def hold(self, sent: Sent, headers: Mapping[str, str]) -> float:
        """The endpoint has had enough: nothing is sent for a while, and then half as much at once. Returns how long.

        Of all that were under way and hear the same, only the first counts.
        """
        now = time.monotonic()
        if sent.at >= self._held_at:
            self._held_at = now
            self.holds += 1
            self._room = max(1.0, self._room / 2)
        self._held_until = max(self._held_until, now + self._backoff.wait(max(1, self.holds), headers))
        return self._held_until - now

    def _wait(self, tokens: int) -> float:
        """Seconds until there may be room for so many tokens; 0 if there is."""
        now = time.monotonic()
        while self._sent and self._sent[0].at + self._kept <= now:
            gone = self._sent.popleft()
            gone.counted = False
            self._tokens -= gone.tokens
        if now < self._held_until:
            return self._held_until - now
        if self._under_way >= int(self._room):
            return math.inf
        if self._limits.rpm is not None and len(self._sent) >= self._limits.rpm:
            return self._sent[0].at + self._kept - now
        return self._wait_for_tokens(tokens, now)

    def _wait_for_tokens(self, tokens: int, now: float) -> float:
        if self._limits.tpm is None:
            return 0
        over = self._tokens + tokens - self._limits.tpm
        until = now
        for sent in self._sent:
            if over <= 0:
                break
            over -= sent.tokens
            until = sent.at + self._kept
        return until - now
