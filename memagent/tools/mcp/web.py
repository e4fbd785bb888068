"""How MCP servers at an address are asked: what they answer has a limit. Knows nothing of what is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx2

from memagent.endpoints.address import trusted
from memagent.tools.mcp.pipe import LARGEST, Diary

SILENT = 300.0
"""Seconds that a stream may be silent; the time limit of a call is another."""


def client(headers: Mapping[str, str], diary: Diary) -> httpx2.AsyncClient:
    """A client that sends these headers. An answer that is no stream of events ends at a limit; none is asked to be
    packed, which would hide its size.
    """

    async def limit(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            diary.why = "its answer was packed, which nobody asked for"
            raise httpx2.DecodingError(diary.why, request=response.request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Limited(response.stream, diary)

    return httpx2.AsyncClient(
        headers={**headers, "accept-encoding": "identity"},
        timeout=httpx2.Timeout(30.0, read=SILENT),
        verify=trusted(),
        event_hooks={"response": [limit]},
    )


class _Limited(httpx2.AsyncByteStream):
    """The bytes of an answer, up to the limit."""

    def __init__(self, stream: httpx2.AsyncByteStream, diary: Diary) -> None:
        self._stream = stream
        self._diary = diary

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > LARGEST:
                self._diary.why = f"it said more than {LARGEST >> 20} MB"
                raise httpx2.ReadError(self._diary.why)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
