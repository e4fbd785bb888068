"""How long a connection may keep the server waiting for what it asks: who sends the head of a request bit by bit, or
stops in the middle of its body, is hung up on, so that such connections do not use up what there is for others.

Knows nothing of what is asked.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""A connection has so long to send the whole head of a request, from its first moment or the head's first byte."""
BODY_SECONDS = 30.0
"""Nothing may come of a body for so long."""


class Patience(H11Protocol):
    """A connection that is waited for, and not for ever. Between two requests uvicorn's own time-out holds. One that a
    WebSocket has taken over asks for nothing more in this way, and may be silent for as long as it likes.
    """

    _limit: asyncio.TimerHandle | None = None
    _heading = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        """Begin to wait for what is to come next, if something is. A head that comes bit by bit is not waited for
        longer than one that does not come.
        """
        state = self.conn.their_state
        if state is h11.IDLE and self._heading:
            return
        self._wait_no_more()
        ours = self.transport.get_protocol() is self and not self.transport.is_closing()
        if state in (h11.IDLE, h11.SEND_BODY) and ours:
            self._heading = state is h11.IDLE
            self._limit = self.loop.call_later(HEAD_SECONDS if self._heading else BODY_SECONDS, self._hang_up)

    def _wait_no_more(self) -> None:
        self._heading = False
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _hang_up(self) -> None:
        if not self.flow.read_paused:  # else it is the server that is slow
            self.transport.close()
