"""Leaves an embedding model alone for a while after it failed, so that waiting for it does not slow every turn.

Knows nothing of what is asked.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import cache

from memagent.errors import EmbeddingError, MemagentError

FIRST, LONGEST = 30.0, 300.0
"""Seconds: after the first failure, and after many in a row."""


class Rest:
    """When a model may be asked again. One is shared by all who ask the same model in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._until = -math.inf
        self._length = FIRST
        self._error: MemagentError | None = None

    def refuse(self) -> None:
        """Raise what went wrong, as long as it is too early to ask again."""
        with self._guard:
            left = self._until - self._clock()
            if self._error is not None and left > 0:
                message = f"{self._error.message} It is asked again in {math.ceil(left)} s."
                raise EmbeddingError(message, hint=self._error.hint)

    def begin(self, error: MemagentError, seconds: float | None = None) -> None:
        """It has failed: rest for a while, twice as long as the last time, and at least as long as it asked for."""
        with self._guard:
            now = self._clock()
            if now < self._until:  # several who had asked at the same time
                return
            self._error = error
            self._until = now + min(LONGEST, max(self._length, seconds or 0.0))
            self._length = min(LONGEST, 2 * self._length)

    def over(self) -> None:
        """It has answered."""
        with self._guard:
            self._until, self._length, self._error = -math.inf, FIRST, None


@cache
def rest_of(_place: str, _model: str, _key: str) -> Rest:
    """The one rest of a model at a place, as it is asked with one key."""
    return Rest()
