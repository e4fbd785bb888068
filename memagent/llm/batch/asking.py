"""Asks one request once: the answer, or a `Setback` that says what went wrong.

Knows nothing of limits, retries or other requests.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from memagent.endpoints import refusals
from memagent.endpoints.address import trusted
from memagent.endpoints.failures import Endpoint, Setback
from memagent.errors import ConfigError, LLMConnectionError
from memagent.llm.asking import LONGEST_BODY
from memagent.llm.batch.call import HOLDS, Call, Outcome
from memagent.llm.batch.door import Door

if TYPE_CHECKING:
    import httpx2

SURELY_A_KEY = 16
"""A shorter key, such as the `ollama` that local servers are given, is found in harmless answers."""


class Asking:
    """How requests are asked at a door."""

    def __init__(self, door: Door, time_limit: float) -> None:
        self._door = door
        self._time_limit = time_limit
        secrets = [text for text in (door.endpoint.key, door.endpoint.login) if len(text) >= SURELY_A_KEY]
        forms = {form for text in secrets for form in (text, json.dumps(text)[1:-1], text.replace("/", "\\/"))}
        self._secrets = [form.encode() for form in forms]

    def client(self) -> httpx2.AsyncClient:
        """A connection, which is kept between requests."""
        import httpx2

        endpoint = self._door.endpoint
        try:
            return httpx2.AsyncClient(
                verify=trusted(),
                headers=self._door.headers,
                # What is said in confidence to one address is not sent on to another that this one names.
                follow_redirects=False,
                timeout=httpx2.Timeout(endpoint.timeout, connect=endpoint.connect_timeout),
                limits=httpx2.Limits(max_connections=1),
            )
        except (httpx2.InvalidURL, OSError, ValueError) as failure:
            why = f"{endpoint.where} can't be asked: {endpoint.masked(str(failure))}"
            raise ConfigError(why, hint="Check the address of the proxy, and SSL_CERT_FILE.") from None

    async def ask(self, call: Call, client: httpx2.AsyncClient) -> Outcome:
        """The answer to this call."""
        import httpx2

        endpoint = replace(self._door.endpoint, model=call.model)
        begun = False
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._time_limit),
                client.stream("POST", self._door.url(call.path, call.model), content=call.body) as response,
            ):
                begun = True
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > LONGEST_BODY:
                        raise _too_long(endpoint)
        except TimeoutError:
            raise endpoint.too_slow(self._time_limit) from None
        except (httpx2.RequestError, ssl.SSLError, OSError) as failure:
            if begun:
                raise endpoint.broke("the connection was cut") from None
            setback = endpoint.unreachable(failure)
            reached = isinstance(failure, httpx2.ReadTimeout | httpx2.ReadError | httpx2.RemoteProtocolError)
            raise setback from (None if reached else failure)
        if response.status_code // 100 != 2:
            _refuse(endpoint, response, bytes(body))
        return self._read(call, endpoint, bytes(body))

    def _read(self, call: Call, endpoint: Endpoint, body: bytes) -> Outcome:
        if not body.strip():
            raise endpoint.silent()
        for secret in self._secrets:
            if secret in body:
                body = body.replace(secret, b"[key]")
        answer = _parsed(body)
        if not isinstance(answer, dict):
            raise endpoint.not_compatible("it sent something that is not JSON")
        if answer.get("error"):
            raise endpoint.refused(refusals.read(0, answer), midway=True)
        held = HOLDS[call.path][1]
        if not isinstance(answer.get(held), list):
            raise endpoint.not_compatible(f"its answer has no {held}")
        if b"\n" in body or b"\r" in body or not body.startswith(b"{"):  # it must stand on one line
            body = json.dumps(answer, separators=(",", ":")).encode()
        return Outcome(call, answer, body)


def told(setback: Setback) -> str:
    """What kind of failure this is, in a word for programs."""
    if setback.refusal is not None and setback.refusal.why != "path":
        return setback.refusal.why
    if setback.midway:
        return "midway"
    return "connection" if isinstance(setback.error, LLMConnectionError) else "not_compatible"


def _refuse(endpoint: Endpoint, response: httpx2.Response, body: bytes) -> NoReturn:
    parsed = _parsed(body)
    said: Any = body.decode("utf-8", "replace") if parsed is None else parsed
    raise endpoint.refused(refusals.read(response.status_code, said, response.headers))


def _too_long(endpoint: Endpoint) -> Setback:
    message = f"The answer of {endpoint.where} is longer than {LONGEST_BODY // 1_000_000} MB."
    return Setback(LLMConnectionError(message, hint="Ask for less at once."))


def _parsed(body: bytes) -> Any:
    """The JSON in it, or None: also for what only Python takes for JSON."""
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
