"""Why an endpoint said no, read from the words in which many different servers say it.

Knows those words; knows nothing of how the endpoint was asked, or of what is done about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Why = Literal["overflow", "credit", "key", "forbidden", "tools", "model", "path", "busy", "failed", "refused", "midway"]

_OVERFLOW = re.compile(
    r"context[ _](length|window)[ _]exceeded|exceed_context_size|model_context_window_exceeded"
    r"|max(imum|_)?[ _](context|model|prompt)[ _]length|context (size|length|window)( has been| is|) exceeded"
    r"|exceed\w* (the |this )?(model'?s? )?((available|maximum|configured|max|model) )*(context|token limit)"
    r"|(longer|greater|larger) than the (model'?s? )?(context|maximum model)|context (the )?overflow"
    r"|context length of only|context window exceeds|prompt (is )?too long|prompt exceeds the length|input is too long"
    r"|too many tokens:|exceeds? the (maximum number of|configured limit of)( input)? tokens"
    r"|input token\w* (count )?.{0,40}exceeds?|reduce the length of (the |your )?(messages|prompt|input)"
    r"|too large for model with|request too large for|`?inputs`? (tokens \+|must have less than)"
    r"|greater than max_seq_len|range of input length should be|prompt has [\d,]+ tokens?, but"
    r"|too large to process|n_keep.{0,20}>= ?n_ctx|reached context length of",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"model_?not_?found|DeploymentNotFound|(model|deployment)\b.{0,120}(not found|not exist|not a valid)"
    r"|invalid model|unknown model|not a valid model|no such model|no models? loaded",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"not support (the )?(tool|function)s?( call|s|\b(?!_))|requires --jinja|--enable-auto-tool-choice"
    r"|tools? (is|are) not supported",
    re.IGNORECASE,
)
_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"})
_PASSING = frozenset({408, 409, 425, 429})


@dataclass(frozen=True)
class Refusal:
    """A no: its HTTP status (0 if it came within an answer), its codes and words, and the headers it came with."""

    status: int
    codes: frozenset[str]
    words: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def names(self, word: str) -> bool:
        """Whether it complains about `word`."""
        return word in self.codes or word in self.words

    @property
    def why(self) -> Why:
        """What it comes down to."""
        text = " ".join([*sorted(self.codes), self.words])
        if self._overflows(text):
            return "overflow"
        if self.status == 402 or self.codes & _CREDIT:
            return "credit"
        if self.status in (401, 403):
            return "key" if self.status == 401 else "forbidden"
        if _TOOLS.search(self.words):
            return "tools"
        if self.status in (400, 404, 422) and _MODEL.search(text):
            return "model"
        if self.status in (404, 405):
            return "path"
        return self._otherwise()

    def _overflows(self, text: str) -> bool:
        if self.status == 429:  # speaks of too many tokens too, per minute; unless no waiting will mend it
            return "request too large for" in text.lower()
        return self.status == 413 or bool(_OVERFLOW.search(text))

    def _otherwise(self) -> Why:
        if not self.status:
            return "midway"
        if self.status >= 500 and self.status != 501:
            return "failed"
        return "busy" if self.status in _PASSING else "refused"


def read(status: int, body: object, headers: Mapping[str, str] | None = None) -> Refusal:
    """The refusal in a body of any of the shapes in which they come."""
    error: Any = _first(body)
    if isinstance(error, dict):
        error = _first(error.get("error") or error.get("detail") or error)
    if not isinstance(error, dict):
        words = error if isinstance(error, str) and not error.lstrip().startswith("<") else ""
        return Refusal(status, frozenset(), words, headers or {})
    words = next((error[key] for key in ("message", "msg", "error", "detail") if isinstance(error.get(key), str)), "")
    metadata = error.get("metadata")  # here a router tells what the provider behind it said
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        words = f"{words}: {metadata['raw']}"
    if isinstance(error.get("loc"), list):
        words = f"{'.'.join(map(str, error['loc']))}: {words}"
    code = error.get("code")
    if not status and isinstance(code, int) and 400 <= code < 600:
        status = code
    codes = frozenset(text for key in ("code", "type", "param") if isinstance(text := error.get(key), str))
    return Refusal(status, codes, words, headers or {})


def _first(body: object) -> object:
    return (body[0] if body else None) if isinstance(body, list) else body
