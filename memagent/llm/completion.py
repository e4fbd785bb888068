"""Models that go on with a text: a server's way of being asked and a wrapper's way of writing, put together.

What goes over the wire is the server's business (servers/), what stands in the prompt the wrapper's (wrappers/).
Knows nothing of agents, and nothing of where its settings come from.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from memagent import __version__
from memagent.errors import ContextOverflow
from memagent.llm import Answer, Piece, Request, Usage, refusals
from memagent.llm.asking import GRACE, Asking, address, checked_key, hang_up_after, trusted
from memagent.llm.failures import Endpoint, Setback
from memagent.llm.reading import objects, parsed
from memagent.llm.servers import Completion, TextServer
from memagent.llm.sse import TooLong
from memagent.llm.wrappers import Wrapper
from memagent.messages import estimate

if TYPE_CHECKING:
    import httpx2

LEAST_ROOM = 32
"""Tokens that must be left for an answer."""
QUICK = 5.0
"""Seconds for questions other than the one for an answer."""
MOST_WORDS = 1024
"""Tokens of an answer, where nobody set a limit: some models never stop."""


class CompletionLLM(Asking):
    """A model behind a text server. With `constrain`, its answers are held to the form of calls, where the server can.

    `sampling` goes into every request as it is, `stop` ends an answer beside the wrapper's own marks. What else can be
    set is what `Asking` takes.
    """

    def __init__(
        self, server: TextServer, wrapper: Wrapper, model: str, *, base_url: str = "", window: int = 0,
        api_key: str | None = None, temperature: float | None = None, max_tokens: int | None = None,
        timeout: float = 180.0, constrain: bool = True, sampling: Mapping[str, Any] | None = None,
        stop: tuple[str, ...] = (), key_name: str = "MEMAGENT_API_KEY", **patience: Any,
    ) -> None:  # fmt: skip
        url, login = address(base_url or f"http://127.0.0.1:{server.port}")
        key = checked_key(api_key, key_name)
        kind = f"a server of {server.title}'s kind"
        endpoint = Endpoint(url.removesuffix("/v1"), model, key, key_name, timeout, login=login, kind=kind)
        super().__init__(endpoint, model, window, **patience)
        self.server = server
        self.wrapper = wrapper
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._constrain = constrain
        self._sampling = sampling or {}
        self._stop = stop
        self._factor = 1.0
        self._opening = threading.Lock()
        self._client: httpx2.Client | None = None

    def warm_up(self) -> None:
        """Load what the first question needs."""
        self._connected()

    def close(self) -> None:
        """Let the connections go. It can still be asked afterwards."""
        with self._opening:
            if self._client is not None:
                self._client.close()
                self._client = None

    def list_models(self) -> list[str]:
        """The names of the models there, the one in use first."""
        try:
            return [offer.name for offer in self.server.offers(self.get)]
        except Setback as setback:
            raise setback.error from None

    def find_window(self) -> int:
        """The context window that the model has there; 0 when the server does not say."""
        try:
            return self.server.window(self.get, self.model)
        except Setback as setback:
            raise setback.error from None

    def get(self, path: str, body: Mapping[str, Any] | None = None, timeout: float = QUICK) -> Any:
        """Ask something else than for an answer: JSON comes back."""
        method = "GET" if body is None else "POST"
        response = self._sent(method, path, body, timeout)
        try:
            found = parsed(response.read())
        finally:
            response.close()
        if found is None:
            raise self.endpoint.not_compatible(f"what it sent at {path} is not JSON")
        return found

    def _heard(self, request: Request) -> Generator[Piece, None, Answer]:
        completion = self._completion(request)
        path, body = self.server.asked(completion)
        response = self._sent("POST", path, body, self.endpoint.timeout)
        reader = self.wrapper.reader(request)
        finish, usage = "", None
        ending: threading.Timer | None = None
        try:
            for event in objects(self._chunks(response), self.endpoint):
                part = self.server.heard(event)
                if part.text:
                    yield from reader.hear(part.text)
                finish, usage = finish or part.finish, part.usage or usage
                if reader.full:
                    break
                if finish and ending is None:
                    ending = hang_up_after(GRACE, response)
        except TooLong:
            finish = "length"
        except Setback:
            if not finish:
                raise
        finally:
            if ending is not None:
                ending.cancel()
            response.close()
        if not (finish or reader.full):
            raise self.endpoint.broke("it did not come to its end")
        self._learn(completion.prompt, usage)
        return reader.answer(finish, usage)

    def _completion(self, request: Request) -> Completion:
        prompt = self.wrapper.prompt(request)
        room = self._room(prompt)
        most = min(request.max_tokens or self._max_tokens or MOST_WORDS, room)
        constraint = self.server.constraint if self._constrain and request.tools else ""
        return Completion(
            prompt, self.model, self.window, (*self.wrapper.stop, *self._stop), most, self._temperature,
            self.wrapper.grammar(request) if constraint == "gbnf" else "",
            self.wrapper.schema(request) if constraint == "schema" else None,
            self._sampling,
        )  # fmt: skip

    def _room(self, prompt: str) -> int:
        """How many tokens the window leaves for an answer; the server itself counts where that may be few."""
        tokens = int(estimate(prompt) * self._factor)
        if self.window - 2 * tokens < LEAST_ROOM:
            tokens = self.server.count(self.get, self.model, prompt) or tokens
        room = self.window - tokens
        if room < LEAST_ROOM:
            raise ContextOverflow(
                f"The prompt has {tokens} tokens, and the window of {self.model} {self.window}.",
                hint="Set the context window to what the model really has, or shorten its core memory.",
            )
        return room

    def _learn(self, prompt: str, usage: Usage | None) -> None:
        if usage and usage.prompt:
            self._factor = min(3.0, max(0.4, usage.prompt / max(1, estimate(prompt))))

    # Over the wire ---------------------------------------------------------------------------------------------------

    def _connected(self) -> httpx2.Client:
        with self._opening:
            if self._client is None:
                import httpx2

                headers = {"User-Agent": f"memagent/{__version__}"}
                if self.endpoint.login:
                    headers["Authorization"] = "Basic " + self.endpoint.login_as_sent
                elif self.endpoint.key:
                    headers["Authorization"] = f"Bearer {self.endpoint.key}"
                # What is said in confidence to one address is not sent on to another that this one names.
                self._client = httpx2.Client(
                    base_url=self.endpoint.url, headers=headers, follow_redirects=False,
                    verify=trusted() if self.endpoint.url.startswith("https") else False,
                )  # fmt: skip
            return self._client

    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> httpx2.Response:
        """The response, of which only the head has come; or a `Setback`."""
        client = self._connected()
        import httpx2

        limits = httpx2.Timeout(timeout, connect=self.endpoint.connect_timeout)
        try:
            request = client.build_request(method, path, json=body, timeout=limits)
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
