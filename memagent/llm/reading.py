"""What an endpoint sends back, taken apart: a stream of events or lines, or one JSON object from a server that does not
stream.

Knows what is no answer at all (a web page, nothing, an error in the middle), and nothing of what an answer means.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import chain
from typing import Any

from memagent.endpoints import refusals
from memagent.endpoints.failures import Endpoint
from memagent.endpoints.line import parsed
from memagent.llm import sse

LONGEST_EVENT = 8_000_000
_FRAMING = re.compile(rb"(event|id|retry)?:")
"""What stands around the data of events: names, numbers, and comments that keep the connection open."""

Part = dict[str, Any] | None
"""A JSON object, or None where the endpoint says that this was all."""


def parts(chunks: Iterator[bytes], kind: str, endpoint: Endpoint) -> Iterator[Part]:
    """The parts of an answer as they arrive. `kind` is its content type; it is not always true."""
    head = b""
    for chunk in chunks:
        head = (head + chunk).removeprefix(BOM_UTF8).lstrip()
        if head and not BOM_UTF8.startswith(head):
            break
    if head.startswith(b"{"):
        yield from _whole(head + b"".join(chunks), endpoint)
    elif head.startswith(b"<") or "html" in kind:
        raise endpoint.not_compatible("it sent a web page")
    elif head or "event-stream" in kind:
        yield from _streamed(chain([head], chunks), kind, endpoint)
    else:
        raise endpoint.silent()


def objects(chunks: Iterator[bytes], endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    """The JSON objects of an answer as they arrive, however it is sent: as events, one a line, or a single one."""
    held = b""
    any_object = False
    for line in sse.lines(chain(chunks, [b"\n"]), LONGEST_EVENT):
        text = line.removeprefix(BOM_UTF8).strip() if not any_object else line.strip()
        if text.startswith(b"<") and not any_object and not held:
            raise endpoint.not_compatible("it sent a web page")
        text = text.removeprefix(b"data:").lstrip()
        if not text or text == b"[DONE]" or (not held and _FRAMING.match(text)):
            continue
        if not held and not text.startswith(b"{") and not any_object:
            raise endpoint.not_compatible("it sent something that is not JSON")
        held += text
        if (part := parsed(held)) is None and len(held) < LONGEST_EVENT:
            continue  # a single object may be written on many lines
        held = b""
        if not isinstance(part, dict):
            raise endpoint.broke("it sent something that is not JSON")
        if part.get("error"):
            raise endpoint.refused(refusals.read(0, part), midway=True)
        any_object = True
        yield part
    if held:
        raise endpoint.broke("it sent something that is not JSON")
    if not any_object:
        raise endpoint.silent()


def _whole(body: bytes, endpoint: Endpoint) -> Iterator[Part]:
    answer = parsed(body)
    if not isinstance(answer, dict):
        raise endpoint.not_compatible("it sent something that is not JSON")
    if answer.get("error"):
        raise endpoint.refused(refusals.read(0, answer), midway=True)
    if "choices" not in answer:
        raise endpoint.not_compatible("its answer has no choices")
    yield answer
    yield None


def _streamed(chunks: Iterator[bytes], kind: str, endpoint: Endpoint) -> Iterator[Part]:
    any_event = False
    for name, data in sse.events(chunks, LONGEST_EVENT):
        any_event = True
        if data.startswith("[DONE]"):
            yield None
            continue
        part = parsed(data)
        if isinstance(part, dict) and (part.get("error") or name == "error"):
            raise endpoint.refused(refusals.read(0, part), midway=True)
        if not isinstance(part, dict):
            raise endpoint.broke("it sent something that is not JSON")
        yield part
    if not any_event and "event-stream" not in kind:
        raise endpoint.not_compatible("it sent neither JSON nor a stream of events")
