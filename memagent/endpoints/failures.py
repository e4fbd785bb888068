"""What can go wrong between us and a model's endpoint, told so that a person knows what to do.

No key ever gets into what is told. Knows nothing of how the endpoint is asked.
"""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from memagent.endpoints.refusals import Refusal, Why
from memagent.errors import (
    ConfigError,
    ContextOverflow,
    LLMConnectionError,
    LLMError,
    LocalLLMError,
    MemagentError,
    NotFound,
)

_KEY = re.compile(r"\b(?:sk|pk|gsk|xai|key|api)[-_][\w*.-]{8,}")
_LONGEST = 300
_NO_TLS = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")

_REFUSED: dict[Why, tuple[type[MemagentError], str, str]] = {
    "overflow": (
        ContextOverflow,
        "The prompt does not fit into the window of {model}{told}",
        "Set the context window to what the model really has, or shorten its core memory.",
    ),
    "credit": (
        LLMError,
        "The account at {where} has no credit left{told}",
        "Look at its plan and billing; waiting does not help.",
    ),
    "key": (
        ConfigError,
        "{where} refused the API key.",
        "Put a valid one into {key_name}, or run `memagent configure`.",
    ),
    "forbidden": (
        ConfigError,
        "{where} does not allow this with the API key it was given{told}",
        "Put another one into {key_name}, or run `memagent configure`.",
    ),
    "tools": (
        LLMError,
        "{model} at {where} can't call functions as it is set up{told}",
        "Choose a model that can, or start its server with function calling switched on.",
    ),
    "model": (NotFound, "{where} has no model named {model!r}.", "Choose another one with `memagent configure`."),
    "busy": (LLMError, "{where} can't answer now ({status}){told}", "Try again later."),
    "failed": (LLMError, "{where} failed ({status}){told}", "Try again later; it is not your fault."),
    "refused": (LLMError, "{where} refused the request ({status}){told}", ""),
    "midway": (LLMConnectionError, "{where} broke off its answer{told}", "Try again later."),
}
_PASSING: frozenset[Why] = frozenset({"busy", "failed", "midway"})


class Setback(Exception):
    """Asking went wrong: `error` is what to tell once it is given up, `again` whether asking again may help.

    `midway` if something may have been heard already. `refusal` if it was the endpoint's own word.
    """

    def __init__(
        self, error: MemagentError, *, again: bool = False, midway: bool = False, refusal: Refusal | None = None
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.midway = midway
        self.refusal = refusal

    @property
    def reason(self) -> str:
        """What went wrong, to be told while it is tried again."""
        return self.error.message.rstrip(".")

    def after(self, tries: int) -> MemagentError:
        """The error to raise, having asked so many times."""
        if tries < 2:
            return self.error
        return type(self.error)(f"{self.error.message} It was asked {tries} times.", hint=self.error.hint)


@dataclass(frozen=True)
class Endpoint:
    """Where a model is asked. `key_name` is where the user keeps the key, as the messages call it.

    `login` is the name and password that came with the URL; the URL itself is fit to be shown. `title` and `start` are
    what the server is called and how it is started, where that is known.
    """

    url: str
    model: str
    key: str = field(repr=False)
    key_name: str
    timeout: float
    connect_timeout: float = 10.0
    login: str = field(default="", repr=False)
    kind: str = "an OpenAI-compatible endpoint"
    title: str = "the server"
    start: str = ""

    @property
    def where(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc

    @property
    def local(self) -> bool:
        """Whether it is on this machine."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1", "0.0.0.0", "host.docker.internal") or host.startswith("127.")  # noqa: S104

    @property
    def login_as_sent(self) -> str:
        """Name and password as they go over the wire."""
        return b64encode(self.login.encode()).decode()

    def masked(self, text: str) -> str:
        """A foreign text, fit to be shown: short, on one line, without the key."""
        for secret in (self.key, self.login.partition(":")[2], self.login_as_sent):
            if secret:
                text = text.replace(secret, "[key]")
        text = _KEY.sub("[key]", text[: 4 * _LONGEST])
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"

    def refused(self, said: Refusal, *, midway: bool = False) -> Setback:
        """The setback that a refusal is; `midway` if it came instead of an answer, or within it."""
        why = said.why
        if 300 <= said.status < 400:
            return self.not_compatible(f"it redirects to another address, {said.status}")
        if why == "path":
            return Setback(self.not_compatible(f"it answered {said.status}").error, refusal=said)
        kind, message, hint = _REFUSED[why]
        if why in ("key", "forbidden") and not self.key:
            message = "{where} wants an API key, and none is set."
        if why == "failed" and self.local:
            kind, hint = LocalLLMError, "Look at what the server printed."
        words = self.masked(said.words).rstrip(".")
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == said.status), "")
        facts = {
            "where": self.where,
            "model": self.model,
            "key_name": self.key_name,
            "status": f"{said.status}{phrase}",
            "told": f": {words}." if words else ".",
        }
        error = kind(message.format(**facts), hint=hint.format(**facts))
        again = why in _PASSING
        return Setback(error, again=again, midway=midway and again, refusal=said)

    def not_compatible(self, why: str) -> Setback:
        """Something answers there, and it is not what we are looking for."""
        bare = not urlsplit(self.url).path.rstrip("/") and self.kind == Endpoint.kind
        forgotten = " Did you forget /v1 at its end?" if bare else ""
        message = f"This is not {self.kind}: {self.url} ({why})."
        return Setback(LLMError(message, hint=f"Check the address.{forgotten}"))

    def silent(self) -> Setback:
        """An answer without a single byte in it: once may be an accident."""
        return Setback(self.not_compatible("it sent nothing").error, again=True, midway=True)

    def broke(self, why: str) -> Setback:
        """An answer that stopped before its end."""
        hint = "Look at what the server printed." if self.local else "Try again later."
        error = LLMConnectionError(f"The answer of {self.where} broke off: {why}.", hint=hint)
        return Setback(error, again=True, midway=True)

    def too_slow(self, seconds: float) -> Setback:
        """An answer that would not come to its end."""
        message = f"{self.model} at {self.where} was still not done after {seconds:.0f} s."
        return Setback(LLMConnectionError(message, hint="If it is just slow, allow it more time for one answer."))

    def unreachable(self, failure: BaseException) -> Setback:
        """No answer at all, for one of the many reasons that there are."""
        causes = list(_causes(failure))
        message, hint, again = self._unnamed(causes) or self._untrusted(causes) or self._unanswered(causes)
        return Setback(LLMConnectionError(message, hint=hint), again=again)

    def _unnamed(self, causes: list[BaseException]) -> tuple[str, str, bool] | None:
        unknown = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
        if unknown is None:
            return None
        again = unknown.errno == socket.EAI_AGAIN
        return f"The name of {self.where} can't be found.", "Check the network, and the address for a typo.", again

    def _untrusted(self, causes: list[BaseException]) -> tuple[str, str, bool] | None:
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                message = f"The certificate of {self.where} is not trusted: {self.masked(cause.verify_message)}."
                return message, "If it is your own, name the file of its authority in SSL_CERT_FILE.", False
            if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
                return f"{self.where} does not speak TLS.", "Should its address begin with http:// instead?", False
        return None

    def _unanswered(self, causes: list[BaseException]) -> tuple[str, str, bool]:
        names = {type(cause).__name__ for cause in causes}
        hint = "Check the network and the address; `memagent configure` changes it."
        if self.local:
            start = f"Start it with `{self.start}`" if self.start else "Start it"
            hint = f"Is {self.title} running? {start}, or choose another endpoint with `memagent configure`."
        if "ConnectTimeout" in names:
            return f"{self.where} did not answer within {self.connect_timeout:g} s.", hint, True
        if names & {"ReadTimeout", "WriteTimeout", "PoolTimeout"}:
            message = f"{self.where} sent nothing for {self.timeout:g} s."
            return message, "If the model is just slow, set a longer time-out.", True
        if "ProxyError" in names:
            return f"The proxy does not lead to {self.where}.", "Check HTTPS_PROXY and NO_PROXY.", True
        if "RemoteProtocolError" in names:
            return f"{self.where} hung up without an answer.", hint, True
        words = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), "")
        return f"Nothing answers at {self.where}{words and f' ({words})'}.", hint, True


def _causes(failure: BaseException | None) -> Iterator[BaseException]:
    while failure is not None:
        yield failure
        failure = failure.__cause__ or failure.__context__
