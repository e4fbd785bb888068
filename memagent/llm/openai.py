"""Models behind an OpenAI-compatible endpoint: OpenAI itself, and the many servers that speak like it.

Asks with the `openai` package's client, reads the stream as it comes, waits and asks again where that helps, and says
what is wrong where it does not. Knows nothing of agents, and nothing of where its settings come from.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from memagent import __version__
from memagent.errors import ConfigError, ContextOverflow, MemagentError, NotFound
from memagent.llm import Answer, Heard, Pause, Piece, Request, Restarted, refusals, wire
from memagent.llm.draft import Draft
from memagent.llm.failures import Endpoint, Setback
from memagent.llm.reading import parsed, parts
from memagent.llm.retry import Backoff
from memagent.llm.sse import TooLong

if TYPE_CHECKING:
    import httpx2
    import openai

OPENAI_URL = "https://api.openai.com/v1"
LONGEST_BODY = 32_000_000
GRACE = 2.0
"""Seconds that a server has, after the last word, to say how many tokens it counted and to end."""


class OpenAILLM:
    """A model at an endpoint.

    `timeout` is how many seconds the server may be silent, `time_limit` how long one answer may take, `retries` how
    often a request that failed is sent again. `extra` goes into every request as it is; `key_name` is where the user
    keeps the key, for messages.
    """

    def __init__(
        self,
        model: str,
        window: int,
        *,
        api_key: str | None,
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float = 180.0,
        time_limit: float = 900.0,
        retries: int = 4,
        extra: Mapping[str, Any] | None = None,
        key_name: str = "OPENAI_API_KEY",
        backoff: Backoff | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self.window = window
        url, login = _address(base_url or OPENAI_URL)
        self.endpoint = Endpoint(url, model, _key(api_key, key_name), key_name, timeout, login=login)
        self._settings = _settings(temperature, max_tokens, extra or {})
        self._time_limit = time_limit
        self._retries = retries
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._clock = clock
        self._without: set[str] = set()
        self._opening = threading.Lock()
        self._client: openai.OpenAI | None = None

    def warm_up(self) -> None:
        """Load what the first question needs; takes a second, and can be done in a thread while the user types."""
        self._connected()

    def close(self) -> None:
        """Let the connections go. It can still be asked afterwards."""
        with self._opening:
            if self._client is not None:
                self._client.close()
                self._client = None

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

    def list_models(self) -> list[str]:
        """The names of the models there, sorted."""
        try:
            response = self._sent(
                lambda client, cast_to: client.get("/models", cast_to=cast_to, options={"timeout": 10.0})
            )
            listed = parsed(response.content)
            if not isinstance(listed, dict):
                raise self.endpoint.not_compatible("its list of models is not JSON")
        except Setback as setback:
            raise setback.error from None
        models = listed.get("data")
        names = [model.get("id") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
        return sorted(name for name in names if isinstance(name, str))

    def _connected(self) -> openai.OpenAI:
        """The one client, whose connections are kept."""
        with self._opening:
            if self._client is None:
                import httpx2

                try:
                    self._client = self._open()
                except (httpx2.InvalidURL, OSError, ValueError) as failure:
                    why = f"{self.endpoint.where} can't be asked: {self.endpoint.masked(str(failure))}"
                    hint = "Check its address, that of the proxy, and SSL_CERT_FILE."
                    raise ConfigError(why, hint=hint) from None
            return self._client

    def _open(self) -> openai.OpenAI:
        import openai

        return openai.OpenAI(base_url=self.endpoint.url, **self._client_settings())

    def _client_settings(self) -> dict[str, Any]:
        import openai

        # A key is always given: without one the package takes what is in the environment, for another endpoint perhaps.
        headers = {"User-Agent": f"memagent/{__version__}"}
        if self.endpoint.login:
            headers["Authorization"] = "Basic " + self.endpoint.login_as_sent
        return {
            "api_key": self.endpoint.key or "none",
            "max_retries": 0,
            "timeout": openai.Timeout(self.endpoint.timeout, connect=self.endpoint.connect_timeout),
            "default_headers": headers,
            # What is said in confidence to one address is not sent on to another that this one names.
            "http_client": openai.DefaultHttpxClient(verify=trusted(), follow_redirects=False),
        }

    def _heard(self, request: Request) -> Generator[Piece, None, Answer]:
        """One question and its whole answer, or a `Setback`."""
        response = self._post(wire.written(self.model, self._settings, request, self._without))
        draft = Draft()
        ending: threading.Timer | None = None
        try:
            for part in parts(self._chunks(response), response.headers.get("content-type", ""), self.endpoint):
                if part is None:
                    draft.done()
                else:
                    yield from draft.take(part)
                if draft.full:
                    break
                if draft.finish and ending is None:
                    ending = _hang_up_after(GRACE, response)
        except TooLong:
            draft.full = True
        except Setback:
            if not draft.finish:  # else what broke is only the counting of tokens that comes after it
                raise
        finally:
            if ending is not None:
                ending.cancel()
            response.close()
        if draft.finish == "error" or not (draft.finish or draft.full):
            raise self.endpoint.broke("it did not come to its end")
        return draft.answer()

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

    def _post(self, body: bytes) -> httpx2.Response:
        def post(client: openai.OpenAI, cast_to: type[httpx2.Response]) -> object:
            import openai

            # Asked for the bare response, the package leaves the stream to us: a fraction of the time, and with limits.
            stream_cls = openai.Stream[object]
            return client.post("/chat/completions", cast_to=cast_to, content=body, stream=True, stream_cls=stream_cls)

        return self._sent(post)

    def _sent(self, send: Callable[[openai.OpenAI, type[httpx2.Response]], object]) -> httpx2.Response:
        client = self._connected()
        import httpx2
        import openai

        # `from None`: the package's own errors carry the endpoint's words as they came, perhaps with the key in them.
        try:
            return cast(httpx2.Response, send(client, httpx2.Response))
        except openai.APIStatusError as failure:
            response = failure.response
            said = refusals.read(response.status_code, failure.body, response.headers)
            raise self.endpoint.refused(said) from None
        except openai.APIConnectionError as failure:
            raise self.endpoint.unreachable(failure) from None

    def _concedes(self, setback: Setback) -> bool:
        """Whether the same can be said in a way that this endpoint does not refuse. It is remembered."""
        said = setback.refusal
        if said is None or said.status not in (400, 422) or isinstance(setback.error, ContextOverflow):
            return False
        for word, concessions in _CONCESSIONS.items():
            if said.names(word):
                new = next((concession for concession in concessions if concession not in self._without), None)
                self._without |= {new} if new else set()
                return new is not None
        return False

    def _given_up(self, setback: Setback, tries: int) -> MemagentError:
        if isinstance(setback.error, NotFound):
            with suppress(MemagentError):
                names = self.list_models()
                if names:
                    shown = ", ".join(map(self.endpoint.masked, names[:12])) + (" …" if len(names) > 12 else "")
                    return NotFound(setback.error.message, hint=f"It has: {shown}.")
        return setback.after(tries)


_CONCESSIONS = {
    "stream_options": ("stream_options",),
    "max_completion_tokens": ("max_tokens",),
    "tool_choice": ("named tool_choice", "tool_choice"),
}
"""A word in a refusal, and what to do without from then on, one after the other."""


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates to trust: read once, for it takes a while and some megabytes."""
    import httpx2

    return httpx2.create_ssl_context()


def _hang_up_after(seconds: float, response: httpx2.Response) -> threading.Timer:
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


def _address(url: str) -> tuple[str, str]:
    """The URL, if it is one, and the name and password in it: apart, for URLs get into logs."""
    try:
        found = urlsplit(url.strip())
        whole = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        whole = False
    if not whole or found.query or found.fragment or " " in found.netloc:
        raise ConfigError(
            "The address of the model's endpoint is not a URL that can be asked.",
            hint="It looks like http://localhost:8080/v1 or https://host.example/v1, with nothing after the path.",
        )
    login, _, host = found.netloc.rpartition("@")
    return found._replace(netloc=host).geturl().rstrip("/"), unquote(login)


def _key(key: str | None, name: str) -> str:
    """The key without the line feed or blanks that came along when it was pasted."""
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "The API key has characters in it that no key has.", hint=f"Look at {name}: was it copied whole?"
        )
    return key


def _settings(temperature: float | None, max_tokens: int | None, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What goes into every request."""
    if taken := sorted(wire.OURS & set(extra)):
        raise ConfigError(
            f"{', '.join(taken)} can't be set as an extra of the request.", hint="Take it out of the settings."
        )
    named = {"temperature": temperature, "max_tokens": max_tokens}
    settings = {**{name: value for name, value in named.items() if value is not None}, **extra}
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as failure:
        raise ConfigError(f"The extras of the request are not JSON: {failure}.") from None
    return settings
