"""Models behind an OpenAI-compatible endpoint: OpenAI itself, and the many servers that speak like it.

Asks with the `openai` package's client, reads the stream as it comes, waits and asks again where that helps, and says
what is wrong where it does not. Knows nothing of agents, and nothing of where its settings come from.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

from memagent import __version__
from memagent.endpoints import refusals
from memagent.endpoints.address import OPENAI_URL, address, checked_key, trusted
from memagent.endpoints.failures import Endpoint, Setback
from memagent.endpoints.line import parsed
from memagent.errors import ConfigError, ContextOverflow
from memagent.llm import Answer, Piece, Request, wire
from memagent.llm.asking import Asking, heard_out
from memagent.llm.draft import Draft
from memagent.llm.reading import parts

if TYPE_CHECKING:
    import httpx2
    import openai


class OpenAILLM(Asking):
    """A model at an endpoint.

    `timeout` is how many seconds the server may be silent. `extra` goes into every request as it is; `key_name` is
    where the user keeps the key, for messages. What else can be set is what `Asking` takes.
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
        extra: Mapping[str, Any] | None = None,
        key_name: str = "OPENAI_API_KEY",
        **patience: Any,
    ) -> None:
        url, login = address(base_url or OPENAI_URL)
        endpoint = Endpoint(url, model, checked_key(api_key, key_name), key_name, timeout, login=login)
        super().__init__(endpoint, model, window, **patience)
        self._settings = _settings(temperature, max_tokens, extra or {})
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
        sent = parts(self._chunks(response), response.headers.get("content-type", ""), self.endpoint)
        yield from heard_out(response, sent, draft.hear, draft)
        if draft.finish == "error" or not (draft.finish or draft.full):
            raise self.endpoint.broke("it did not come to its end")
        return draft.answer()

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

    def _concedes(self, setback: Setback, /) -> bool:
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


_CONCESSIONS = {
    "stream_options": ("stream_options",),
    "max_completion_tokens": ("max_tokens",),
    "tool_choice": ("named tool_choice", "tool_choice"),
}
"""A word in a refusal, and what to do without from then on, one after the other."""


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
