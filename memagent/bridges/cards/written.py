"""The JSON of a card, read with limits and written; and the base64 that it is packed in.

What is no number in JSON (NaN, infinity) becomes null. Knows nothing of what a card says.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from memagent.errors import UserError

LARGEST_JSON = 20_000_000
DEEPEST = 60


def parsed(data: bytes, where: str) -> Any:
    """What a document of JSON holds."""
    if len(data) > LARGEST_JSON:
        raise UserError(f"{where}: the card in it has more than {LARGEST_JSON // 1_000_000} MB of text.")
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} holds no card: what should be its JSON is none ({_short(error)}).") from error
    if _depth(found) > DEEPEST:
        raise UserError(f"{where}: the card in it is nested more than {DEEPEST} levels deep.")
    return found


def unpacked(data: bytes, where: str) -> bytes:
    """What stands in base64. A few programs leave the JSON as it is."""
    if data.lstrip()[:1] == b"{":
        return data
    try:
        found = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{where}: the card in it is damaged, it is not base64 ({_short(error)}).") from error
    if found.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        raise UserError(f"{where} holds no card: what is packed in it as one is no JSON.")
    return found


def packed(document: Any) -> bytes:
    """A document as base64."""
    return base64.b64encode(dumped(document).encode())


def dumped(document: Any, indent: int | None = None) -> str:
    """A document as JSON. Only ASCII, so that any text comes back as it was."""
    return json.dumps(document, indent=indent)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _depth(value: Any) -> int:
    """How deep lists and objects stand in each other, as far as it matters."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        depth += 1
    return depth


def _short(error: BaseException) -> str:
    return str(error).split("\n")[0][:120]
