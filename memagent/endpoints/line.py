"""The line to a service: one client whose connections are kept, and what can go wrong on the way told as a setback.

Knows nothing of what is asked.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from memagent import __version__
from memagent.endpoints import refusals
from memagent.endpoints.address import trusted
from memagent.endpoints.failures import Endpoint

if TYPE_CHECKING:
    import httpx2

QUICK = 5.0
"""Seconds for questions that are answered at once."""


class Line:
    """The line to an endpoint. `key_header` is where it wants the key, if not where most do."""

    def __init__(self, endpoint: Endpoint, key_header: str = "") -> None:
        self.endpoint = endpoint
        self._key_header = key_header
        self._opening = threading.Lock()
        self._client: httpx2.Client | None = None
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def open(self) -> httpx2.Client:
        """The one client, made when it is first needed."""
        with self._opening:
            if self._client is None:
                import httpx2

                headers = {"User-Agent": f"memagent/{__version__}"}
                if self.endpoint.login:
                    headers["Authorization"] = "Basic " + self.endpoint.login_as_sent
                elif self.endpoint.key and self._key_header:
                    headers[self._key_header] = self.endpoint.key
                elif self.endpoint.key:
                    headers["Authorization"] = f"Bearer {self.endpoint.key}"
                # What is said in confidence to one address is not sent on to another that this one names.
                self._client = httpx2.Client(
                    base_url=self.endpoint.url, headers=headers, follow_redirects=False,
                    verify=trusted() if self.endpoint.url.startswith("https") else False,
                )  # fmt: skip
            return self._client

    def close(self) -> None:
        """Let the connections go. It can still be used afterwards."""
        with self._opening:
            if self._client is not None:
                self._client.close()
                self._client = None

    def hang_up(self) -> None:
        """Break off whatever another thread is asking or hearing now. It can still be used afterwards."""
        for one in list(self._sockets):
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # under TLS too: it is the reader who must wake up

    def _connected(self, event: str, about: Mapping[str, Any]) -> None:
        """Told of all that the client does; a connection that it has made is kept in mind, to be broken off."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            found = about["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._sockets.add(found)

    def get(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = QUICK) -> Any:
        """Ask something that is answered at once: JSON comes back."""
        response = self.send("GET" if body is None else "POST", path, body, timeout)
        import httpx2

        try:
            found = parsed(response.read())
        except httpx2.RequestError as failure:
            raise self.endpoint.unreachable(failure) from None
        finally:
            response.close()
        if found is None:
            raise self.endpoint.not_compatible(f"what it sent at {path} is not JSON")
        return found

    def send(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> httpx2.Response:
        """The response, of which only the head has come; or a `Setback`."""
        client = self.open()
        import httpx2

        limits = httpx2.Timeout(timeout, connect=self.endpoint.connect_timeout)
        try:
            told = {"trace": self._connected}
            request = client.build_request(method, path, json=body, timeout=limits, extensions=told)
            response = client.send(request, stream=True)
        except (httpx2.RequestError, httpx2.InvalidURL, OSError) as failure:
            raise self.endpoint.unreachable(failure) from None
        if response.status_code == 200:
            return response
        try:
            said = b"".join(response.iter_bytes())[:100_000]
        except httpx2.RequestError:
            said = b""
        finally:
            response.close()
        found = parsed(said)
        body_said = said.decode("utf-8", "replace") if found is None else found
        raise self.endpoint.refused(refusals.read(response.status_code, body_said, response.headers)) from None


def parsed(text: bytes | str) -> Any:
    """The JSON in it, or None: never an exception, whatever the depth or length."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
