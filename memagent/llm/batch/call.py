"""One request of a batch, and what came of it.

Knows which requests there are, chat completions and embeddings, and nothing of how they are sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memagent.messages import estimate

CHAT, EMBEDDINGS = "/chat/completions", "/embeddings"
HOLDS = {CHAT: ("messages", "choices"), EMBEDDINGS: ("input", "data")}
"""What is asked where, by the field that makes it one; and the field that its answer has."""

UNSAID = 256
"""Tokens that an answer is taken to have, where the request does not limit it."""
DATA_URL = 800
"""Tokens that a picture or a recording is taken to be: its letters are no words."""


class UnfitCall(ValueError):
    """This can't be asked; the words say why."""


@dataclass(frozen=True)
class Call:
    """A request: its body as it is sent, and about how many tokens it will cost, the answer included.

    `tag` is the caller's own and comes back with the outcome. A call with a `problem` is not sent: that is its outcome.
    """

    path: str
    model: str
    body: bytes
    tokens: int
    tag: Any = None
    problem: str = ""


@dataclass(frozen=True)
class Failure:
    """Why there is no answer. `status` is that of HTTP, if the endpoint said one; `tries` how often it was asked."""

    type: str
    message: str
    status: int | None = None
    tries: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a call: the `answer`, also `raw` as it was sent, or the `failure`."""

    call: Call
    answer: Mapping[str, Any] | None = None
    raw: bytes = b""
    failure: Failure | None = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The tokens, as the endpoint counted them."""
        usage = (self.answer or {}).get("usage")
        return usage if isinstance(usage, dict) else None

    @property
    def tokens(self) -> int | None:
        """All tokens of it, as the endpoint counted them."""
        total = (self.usage or {}).get("total_tokens")
        return total if isinstance(total, int) and total >= 0 else None


def call_from(body: Mapping[str, Any], tag: Any = None, *, model: str = "", as_sent: bytes | None = None) -> Call:
    """The call with this body, which goes to where its fields belong. Raises `UnfitCall`.

    `model` is taken where the body names none. `as_sent` are the bytes of this very body, if they are at hand.
    """
    path = next((path for path, (field, _) in HOLDS.items() if field in body), None)
    if path is None:
        raise UnfitCall('it has neither "messages", for a chat, nor "input", for embeddings')
    if body.get("stream"):
        raise UnfitCall('its answer can\'t be streamed here; take "stream" out')
    named = body.get("model") or model
    if not isinstance(named, str) or not named:
        raise UnfitCall("it names no model, and none is set; give --model or set MEMAGENT_MODEL")
    if named != body.get("model"):
        body, as_sent = {"model": named, **{key: value for key, value in body.items() if key != "model"}}, None
    if as_sent is None:
        try:
            as_sent = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise UnfitCall("it is not JSON") from None
    return Call(path, named, as_sent, _cost(path, body), tag)


def _cost(path: str, body: Mapping[str, Any]) -> int:
    """About how many tokens this will be counted as."""
    if path == EMBEDDINGS:
        return _tokens(body["input"])
    asked = _tokens(body["messages"]) + _tokens(body.get("tools"))
    longest = body.get("max_completion_tokens") or body.get("max_tokens")
    answers = body.get("n")
    return asked + (_count(longest) or UNSAID) * (_count(answers) or 1)


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _tokens(value: object) -> int:
    """Tokens of all texts in it, however deep; numbers are tokens already."""
    total, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            total += DATA_URL if item.startswith("data:") else estimate(item)
        elif isinstance(item, dict):
            total += 2
            left += item.values()
        elif isinstance(item, list):
            left += item
        elif item is not None:
            total += 1
    return total
