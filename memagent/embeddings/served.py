"""Embedding models behind an address: texts go there as JSON, and vectors come back as numbers or as base64.

What exactly is sent, and where in an answer the vectors stand, is told by each kind of server. Knows nothing of that.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memagent.embeddings import packed
from memagent.embeddings.asked import AskedEmbedder, Manner, Unfit
from memagent.embeddings.rest import rest_of
from memagent.endpoints import refusals
from memagent.endpoints.address import address, checked_key, root
from memagent.endpoints.failures import Endpoint, Setback
from memagent.endpoints.line import Line, parsed
from memagent.errors import ConfigError, EmbeddingError, NotFound

if TYPE_CHECKING:
    import httpx2

    from memagent.config import Settings

LONGEST_BODY = 256_000_000
KEY_NAME = "MEMAGENT_EMBEDDING_API_KEY"


class ServedEmbedder(AskedEmbedder):
    """An embedding model behind an address."""

    title = "the endpoint"
    path = "/embeddings"
    key_header = ""
    fetch = "Choose another one: memagent configure --set embedding_model=NAME"
    """What to do when the model is not there."""

    def __init__(self, endpoint: Endpoint, manner: Manner, **amounts: Any) -> None:
        rest = rest_of(endpoint.url, endpoint.model, endpoint.key)
        # A processor at home gains nothing by doing much at once, and takes its time.
        much = {"count": 16, "tokens": 8_000} if endpoint.local else {"parallel": 4}
        super().__init__(endpoint, rest, manner, **much | amounts)
        self.line = Line(endpoint, self.key_header)
        self._without: set[str] = set()

    def _body(self, texts: Sequence[str], /) -> dict[str, Any]:
        """What is sent."""
        raise NotImplementedError

    def _found(self, answer: Mapping[str, Any], /) -> list[Any] | None:
        """The vectors in an answer, in the order of the texts; None where it has another form."""
        raise NotImplementedError

    def _vectors(self, texts: Sequence[str], /) -> list[bytes]:
        try:
            answer = self._answer(self._body(texts))
        except Setback as setback:
            if isinstance(setback.error, NotFound):
                setback.error.hint = self.fetch.format(model=self.model)
            raise
        found = self._found(answer)
        if found is None:
            raise self.endpoint.not_compatible("its answer has no embeddings")
        if len(found) != len(texts):
            raise Unfit(self._wrong(f"was given {len(texts)} texts and returned {len(found)} vectors"), again=True)
        vectors = [self._vector(item) for item in found]
        self._check_dimension(len(vectors[0]) // 4)
        for vector in vectors:
            if len(vector) != 4 * self._dimension:
                sizes = f"{self._dimension} and {len(vector) // 4}"
                raise Unfit(self._wrong(f"returned vectors of dimensions {sizes} at once"))
        return vectors

    def _answer(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        response = self.line.send("POST", self.path, body, self._manner.timeout)
        try:
            answer = parsed(self._whole(response))
        finally:
            response.close()
        if not isinstance(answer, dict):
            raise self.endpoint.not_compatible("it sent something that is not JSON")
        if answer.get("error"):
            raise self.endpoint.refused(refusals.read(0, answer))
        return answer

    def _whole(self, response: httpx2.Response) -> bytes:
        """The bytes of an answer, as long as it is neither too long nor too slow."""
        import httpx2

        body, slow = bytearray(), 4 * self._manner.timeout
        deadline = time.monotonic() + slow
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > LONGEST_BODY:
                    raise self.endpoint.not_compatible(f"it sent more than {LONGEST_BODY // 1_000_000} MB")
                if time.monotonic() > deadline:
                    raise self.endpoint.too_slow(slow)
        except httpx2.TimeoutException:
            raise self.endpoint.broke(f"nothing came for {self._manner.timeout:g} s") from None
        except (httpx2.RequestError, ssl.SSLError):
            raise self.endpoint.broke("the connection was cut") from None
        return bytes(body)

    def _vector(self, item: Any) -> bytes:
        """A vector as it came, of length 1."""
        try:
            if isinstance(item, str):
                raw = base64.b64decode(item, validate=True)
                numbers: Sequence[float] = struct.unpack(f"<{len(raw) // 4}f", raw)
            elif isinstance(item, list):
                numbers = [float(number) for number in item]
            else:
                raise TypeError
            if not numbers or not any(numbers):
                raise ValueError
            return packed(numbers)
        except (binascii.Error, struct.error, TypeError, ValueError, OverflowError):
            raise Unfit(self._wrong("returned something that is not a vector")) from None
        except EmbeddingError:
            raise Unfit(self._wrong("returned NaN or infinite numbers")) from None

    def _check_dimension(self, given: int) -> None:
        """What comes first is what it has, unless another one was asked for, or is known from earlier."""
        if not self._dimension:
            self._dimension = given
        if given == self._dimension:
            return
        asked = self._asked_dimension
        message = f"should give vectors of dimension {self._dimension}, but gives them of dimension {given}"
        hint = f"Set embedding_dimension to {given}, or to 0." if asked else ""
        hint = hint or "If another model is behind that name now, then: memagent reindex"
        raise Setback(self._wrong(message, hint))

    def _wrong(self, what: str, hint: str = "Check the embedding model in the settings.") -> EmbeddingError:
        where = f"The embedding model {self.model!r} at {self.endpoint.where}"
        return EmbeddingError(f"{where} {what}.", hint=hint)


def endpoint_of(
    settings: Settings, manner: Manner, kind: str, usual: str, *, bare: bool = False, title: str = "",
    start: str = "",
) -> Endpoint:  # fmt: skip
    """Where an embedder of this kind is asked: where it was set, else where the chat's model of the same kind is, else
    at the usual place. The chat's key goes nowhere but to the chat's own address. `bare`: without a path.
    """
    if not settings.embedding_model:
        hint = "Choose one: memagent configure --set embedding_model=NAME"
        raise ConfigError("No embedding model is chosen.", hint=hint)
    chat = (settings.endpoint or usual) if settings.provider == kind else settings.endpoint
    own = chat if settings.provider == kind else usual
    url, login = address(settings.embedding_endpoint or own)
    key = settings.embedding_api_key or (settings.api_key if chat and _host(url) == _host(address(chat)[0]) else "")
    endpoint = Endpoint(
        root(url) if bare else url, settings.embedding_model, checked_key(key, KEY_NAME), KEY_NAME, manner.timeout,
        login=login,
    )  # fmt: skip
    if not title:
        return endpoint
    return replace(endpoint, title=title, start=start, kind=f"a server of {title}'s kind")


def _host(url: str) -> tuple[str, str]:
    found = urlsplit(url)
    return found.scheme, found.netloc
