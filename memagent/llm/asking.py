"""How any model behind a wire is asked: again where that helps, waiting as long as it wants, and never without an end.

What is asked, and how an answer is read, is the business of each kind of model. Knows nothing of that, or of agents.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

from memagent.endpoints.failures import Endpoint, Setback
from memagent.endpoints.retry import Backoff
from memagent.errors import MemagentError, NotFound
from memagent.llm import Answer, Heard, Pause, Piece, Request, Restarted
from memagent.llm.sse import TooLong

if TYPE_CHECKING:
    import httpx2

LONGEST_BODY = 32_000_000
GRACE = 2.0
"""Seconds that a server has, after the last word, to say how many tokens it counted and to end."""


Event = TypeVar("Event")
Told = TypeVar("Told")


class Growing(Protocol):
    """An answer while it is heard. `finish` says why it ended, as soon as it did; `full` that no more is taken in."""

    finish: str
    full: bool


class Asking:
    """A model at an endpoint. `time_limit` is how long one answer may take, `retries` how often a request that failed
    is sent again.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, window: int, *, time_limit: float = 900.0, retries: int = 4,
        backoff: Backoff | None = None, sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.model = model
        self.window = window
        self.endpoint = endpoint
        self._time_limit = time_limit
        self._retries = retries
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._clock = clock

    def ask(self, request: Request) -> Iterator[Heard]:
        """Ask, and hear pieces as they come; the last item is the `Answer`. To stop early, close the iterator."""
        failures = broken = 0
        while True:
            try:
                answer = yield from self._heard(request)
                break
            except Setback as caught:
                setback = caught
            if self._concedes(setback):
                continue
            if setback.midway:
                broken += 1
                if broken > 1:
                    raise setback.after(broken)
                yield Restarted(setback.reason)
                if setback.refusal is None:  # just cut: nobody asked us to wait
                    continue
            else:
                failures += 1
                if not setback.again or failures > self._retries:
                    raise self._given_up(setback, failures)
            seconds = self._backoff.wait(failures + broken, setback.refusal.headers if setback.refusal else {})
            yield Pause(seconds, setback.reason)
            self._sleep(seconds)
        yield answer

    def _heard(self, request: Request) -> Generator[Piece, None, Answer]:
        """One question and its whole answer, or a `Setback`."""
        raise NotImplementedError

    def _concedes(self, _setback: Setback, /) -> bool:
        """Whether the same can be said in a way that this endpoint does not refuse."""
        return False

    def list_models(self) -> list[str]:
        """The names of the models there."""
        raise NotImplementedError

    def _given_up(self, setback: Setback, tries: int) -> MemagentError:
        if isinstance(setback.error, NotFound):
            with suppress(MemagentError):
                names = self.list_models()
                if names:
                    shown = ", ".join(map(self.endpoint.masked, names[:12])) + (" …" if len(names) > 12 else "")
                    return NotFound(setback.error.message, hint=f"It has: {shown}.")
        return setback.after(tries)

    def _chunks(self, response: httpx2.Response) -> Iterator[bytes]:
        """The bytes of an answer, as long as it is neither too long nor too slow."""
        import httpx2

        deadline = self._clock() + self._time_limit
        room = LONGEST_BODY
        try:
            for chunk in response.iter_bytes():
                room -= len(chunk)
                if room < 0:
                    raise TooLong
                if self._clock() > deadline:
                    raise self.endpoint.too_slow(self._time_limit)
                yield chunk
        except httpx2.TimeoutException:
            raise self.endpoint.broke(f"nothing came for {self.endpoint.timeout:g} s") from None
        except (httpx2.RequestError, ssl.SSLError):
            raise self.endpoint.broke("the connection was cut") from None


def heard_out(
    response: httpx2.Response, events: Iterable[Event], hear: Callable[[Event], Iterator[Told]], answer: Growing
) -> Iterator[Told]:
    """Hear the events of an answer to its end, or until it is full; what breaks behind its last word breaks nothing."""
    ending: threading.Timer | None = None
    try:
        for event in events:
            yield from hear(event)
            if answer.full:
                break
            if answer.finish and ending is None:
                ending = hang_up_after(GRACE, response)
    except TooLong:
        answer.full = True
    except Setback:
        if not answer.finish:
            raise
    finally:
        if ending is not None:
            ending.cancel()
        response.close()


def hang_up_after(seconds: float, response: httpx2.Response) -> threading.Timer:
    """Not all servers end what they send; reading on must not wait for ever."""

    def hang_up() -> None:
        stream = response.extensions.get("network_stream")
        connection = stream.get_extra_info("socket") if stream else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # under TLS too: it is the reader who must wake up

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    return timer
