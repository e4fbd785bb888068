"""Asks many requests of one endpoint at once, each until it is answered or has failed for good.

What would fail for all of them (a key that is refused, an endpoint that is not there, a limit that does not lift) ends
the whole: better to stop than to write down a million failures. Knows nothing of where requests come from or go to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memagent.endpoints.failures import Setback
from memagent.endpoints.retry import Backoff, retry_after
from memagent.errors import LLMError, MemagentError
from memagent.llm.batch.asking import Asking, told
from memagent.llm.batch.call import Call, Failure, Outcome
from memagent.llm.batch.door import Door
from memagent.llm.batch.feed import Feed
from memagent.llm.batch.pace import Limits, Pace, Sent

if TYPE_CHECKING:
    import httpx2

SPARE = 16
"""How many requests are read ahead."""
HOPELESS = 25
"""After so many failures in a row of a kind that passes, the endpoint is taken to be out of order."""
_GRACE = 5.0


@dataclass(frozen=True)
class Ending:
    """How a batch ended: with all asked, unless it was `interrupted`, or `stopped` by what would fail for all."""

    interrupted: bool = False
    stopped: MemagentError | None = None


def run_batch(
    calls: Iterable[Call],
    door: Door,
    limits: Limits,
    on_result: Callable[[Outcome], None],
    *,
    retries: int = 4,
    time_limit: float = 900.0,
    grace: float = _GRACE,
    backoff: Backoff | None = None,
    on_hold: Callable[[float, str], None] | None = None,
) -> Ending:
    """Ask all `calls`, and hand each outcome to `on_result` as it comes, in no order, one at a time.

    `calls` may be of any length: it is read as it is needed, in another thread. A call fails after `retries` more
    tries; one answer may take `time_limit` seconds. `on_hold` is told how long all must wait, and why. At Ctrl-C, what
    is under way has `grace` seconds to end; a second one raises `KeyboardInterrupt`. What `calls` or `on_result` raise
    ends the batch and is raised.
    """
    batch = _Batch(door, limits, on_result, retries, time_limit, grace, backoff or Backoff(), on_hold)
    return asyncio.run(batch.run(calls))


class _Batch:
    """A batch that runs."""

    def __init__(
        self,
        door: Door,
        limits: Limits,
        on_result: Callable[[Outcome], None],
        retries: int,
        time_limit: float,
        grace: float,
        backoff: Backoff,
        on_hold: Callable[[float, str], None] | None,
    ) -> None:
        self._door = door
        self._limits = limits
        self._on_result = on_result
        self._retries = retries
        self._grace = grace
        self._backoff = backoff
        self._on_hold = on_hold
        self._asking = Asking(door, time_limit)
        self._under_way: set[asyncio.Task[None] | None] = set()
        self._succeeded_at = float("-inf")
        self._failed_in_a_row = 0
        self._stopping = self._broken = False
        self._stopped: MemagentError | None = None

    async def run(self, calls: Iterable[Call]) -> Ending:
        self._pace = Pace(self._limits, self._backoff)
        self._over = asyncio.Event()
        self._feed = Feed(calls, self._limits.parallel + SPARE)
        workers = [asyncio.create_task(self._work()) for _ in range(self._limits.parallel)]
        everyone = asyncio.create_task(asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION))
        over = asyncio.create_task(self._over.wait())
        interrupted = False
        try:
            await asyncio.wait([everyone, over], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # Ctrl-C, once
            interrupted = True
            if self._on_hold:
                self._on_hold(self._grace, "interrupted; what is under way may still be answered")
        self._stopping = True
        self._feed.stop()
        if not everyone.done() and not self._broken:
            await self._let_end(workers)
        for task in (over, everyone, *workers):
            task.cancel()
        await asyncio.gather(over, everyone, *workers, return_exceptions=True)
        for worker in workers:
            if not worker.cancelled() and (error := worker.exception()):
                raise error
        return Ending(interrupted, self._stopped)

    async def _let_end(self, workers: list[asyncio.Task[None]]) -> None:
        """Those that wait for an answer have a while to hear it."""
        for worker in workers:
            if worker not in self._under_way:
                worker.cancel()
        left = [worker for worker in workers if worker in self._under_way]
        if left:
            await asyncio.wait(left, timeout=self._grace)

    async def _work(self) -> None:
        """Ask one call after the other, over a connection of one's own.

        One pool for all would look through all its connections for each request: with 800 at once, that is two thirds
        of all the work.
        """
        client: httpx2.AsyncClient | None = None
        try:
            while not self._stopping and (call := await self._feed.next()) is not None:
                outcome = self._unfit(call)
                if outcome is None:
                    client = client or self._asking.client()
                    outcome = await self._outcome(call, client)
                if outcome is not None and not self._broken:
                    self._broken = True  # unless it comes back
                    self._on_result(outcome)
                    self._broken = False
                self._feed.finished(call)
        finally:
            if client is not None:
                with suppress(OSError, RuntimeError):
                    await client.aclose()

    def _unfit(self, call: Call) -> Outcome | None:
        """The outcome of a call that can't be sent."""
        if call.problem:
            return Outcome(call, failure=Failure("unfit", call.problem))
        most = self._limits.tpm
        if most is not None and call.tokens > most:
            message = f"It needs about {call.tokens} tokens, and the limit is {most} a minute."
            return Outcome(call, failure=Failure("too_large", message))
        return None

    async def _outcome(self, call: Call, client: httpx2.AsyncClient) -> Outcome | None:
        """What comes of a call in the end; None if it was left for another time."""
        began = time.monotonic()
        tries = failures = 0
        while True:
            sent = await self._pace.enter(call.tokens)
            task = asyncio.current_task()
            self._under_way.add(task)
            try:
                if self._stopping:
                    return None
                tries += 1
                answered = await self._asking.ask(call, client)
            except Setback as caught:
                setback = caught
            else:
                self._pace.answered(sent, answered.tokens)
                self._succeeded_at = time.monotonic()
                self._failed_in_a_row = 0
                return answered
            finally:
                self._pace.leave()
                self._under_way.discard(task)
            limited = self._holds(setback, sent)
            failures += not limited
            if self._ends_all(setback, limited, failures, began):
                return None
            if not setback.again or failures > self._retries:
                return self._failed(call, setback, tries)
            if not limited:
                await asyncio.sleep(self._backoff.wait(failures, {}))

    def _holds(self, setback: Setback, sent: Sent) -> bool:
        """Whether the endpoint asked to be left alone; then all wait."""
        said = setback.refusal
        if said is None or not setback.again or (said.status != 429 and retry_after(said.headers) is None):
            return False
        seconds = self._pace.hold(sent, said.headers)
        if self._on_hold:
            self._on_hold(seconds, setback.reason)
        return said.status == 429

    def _ends_all(self, setback: Setback, limited: bool, failures: int, began: float) -> bool:
        """Stop if there is no use in asking anything else."""
        said = setback.refusal
        alone = self._succeeded_at < began
        if said is not None and said.why in ("key", "credit"):
            ends = True
        elif limited:
            ends = self._pace.holds > self._retries
        elif setback.again and failures <= self._retries:
            ends = False
        elif setback.__cause__ is not None:  # it was not even reached
            ends = alone
        else:
            ends = told(setback) == "not_compatible" and self._succeeded_at < 0
        if ends:
            self._stop(setback.error)
        return ends

    def _failed(self, call: Call, setback: Setback, tries: int) -> Outcome:
        if setback.again:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= HOPELESS:
                message = f"The last {HOPELESS} requests have all failed: {setback.error.message}"
                self._stop(LLMError(message, hint=setback.error.hint))
        status = setback.refusal.status if setback.refusal else None
        failure = Failure(told(setback), setback.after(tries).message, status or None, tries)
        return Outcome(call, failure=failure)

    def _stop(self, error: MemagentError) -> None:
        self._stopping = True
        self._stopped = self._stopped or error
        self._over.set()
