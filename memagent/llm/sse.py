"""Server-sent events out of the pieces in which they arrive, in linear time and with a limit on the length of one.

The `openai` package has a reader too; it takes an event of any length, and a server gone mad could fill all memory.
Knows nothing of what the events mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class TooLong(Exception):
    """One event is longer than the limit."""


def events(chunks: Iterable[bytes], longest: int) -> Iterator[tuple[str, str]]:
    """Name and data of each event. One that the end of the stream cuts off is left out, as the standard says."""
    data: list[str] = []
    name, held = "", 0
    for line in lines(chunks, longest):
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data, held = "", [], 0
            continue
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"data":
            held += len(value)
            if held > longest:
                raise TooLong
            data.append(text)
        elif field == b"event":
            name = text


def lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """The whole lines of what arrives, without their ends."""
    rest = bytearray()
    for chunk in chunks:
        cut = chunk.rfind(b"\n")
        if cut >= 0:
            rest += chunk[:cut]
            for line in rest.split(b"\n"):
                yield bytes(line.removesuffix(b"\r"))
            rest = bytearray(chunk[cut + 1 :])
        else:
            rest += chunk
        if len(rest) > longest:
            raise TooLong
