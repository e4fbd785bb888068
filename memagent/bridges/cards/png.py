"""PNG and APNG: the texts in a picture, read and written; and a plain picture for a character that has none.

A picture is taken chunk by chunk and never decoded. What is compressed is unfolded up to a limit. Knows nothing of
what the texts say.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from memagent.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_TEXT = 60_000_000
MOST_CHUNKS = 100_000
_SIZE = 400, 600


class Chunk(NamedTuple):
    """A part of a picture, with its kind, such as IDAT."""

    kind: bytes
    data: bytes


def chunks(data: bytes, where: str) -> list[Chunk]:
    """The parts of a picture up to its end, each checked by its sum."""
    found: list[Chunk] = []
    at = len(SIGNATURE)
    while not found or found[-1].kind != b"IEND":
        if at + 12 > len(data):
            raise _damaged(where, "it is cut off")
        (size,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + size
        if end + 4 > len(data):
            raise _damaged(where, "it is cut off")
        if len(found) == MOST_CHUNKS:
            raise _damaged(where, f"it has more than {MOST_CHUNKS:,} parts")
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(memoryview(data)[at + 4 : end]):
            raise _damaged(where, f"the sum of a part of it ({kind.decode('latin-1')!r}) is wrong")
        found.append(Chunk(kind, data[at + 8 : end]))
        at = end + 4
    return found


def keyword(chunk: Chunk) -> str:
    """What a text of a picture is called; empty for what is no text."""
    if chunk.kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return ""
    name, mark, _ = chunk.data.partition(b"\0")
    if not mark:
        return ""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")


def text(chunk: Chunk, where: str) -> bytes:
    """The text itself, unfolded if it is compressed."""
    rest = chunk.data.partition(b"\0")[2]
    if chunk.kind == b"zTXt":
        return _unfolded(rest[1:], where)
    if chunk.kind == b"iTXt":
        compressed, body = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        return _unfolded(body, where) if compressed else body
    return rest


def _unfolded(data: bytes, where: str) -> bytes:
    unfolding = zlib.decompressobj()
    try:
        found = unfolding.decompress(data, LARGEST_TEXT + 1)
    except zlib.error as error:
        raise _damaged(where, f"a compressed text of it can't be read: {error}") from error
    if len(found) > LARGEST_TEXT:
        raise UserError(f"{where}: a text in it unfolds to more than {LARGEST_TEXT // 1_000_000} MB.")
    if not unfolding.eof:
        raise _damaged(where, "a compressed text of it is cut off")
    return found


def picture(parts: list[Chunk], texts: Mapping[str, bytes] | None = None) -> bytes:
    """A picture of these parts, with texts before its end."""
    added = [Chunk(b"tEXt", name.encode() + b"\0" + said) for name, said in (texts or {}).items()]
    return SIGNATURE + b"".join(map(_written, [*parts[:-1], *added, parts[-1]]))


def plain(name: str) -> bytes:
    """A picture for somebody without one: a calm colour, which is the name's own, from light to dark."""
    width, height = _SIZE
    seed = zlib.crc32(name.encode("utf-8", "replace"))
    colour = [90 + (seed >> shift) % 110 for shift in (0, 8, 16)]
    lines = (
        b"\0" + bytes(level * (2 * height - line) // (2 * height) for level in colour) * width for line in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(lines), 9)
    return picture([Chunk(b"IHDR", header), Chunk(b"IDAT", body), Chunk(b"IEND", b"")])


def without(parts: list[Chunk], named: Collection[str]) -> Iterator[Chunk]:
    """The parts of a picture but for texts of these names, in small letters."""
    return (part for part in parts if keyword(part).lower() not in named)


def _written(chunk: Chunk) -> bytes:
    body = chunk.kind + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))


def _damaged(where: str, problem: str) -> UserError:
    return UserError(f"{where} is damaged: {problem}.", hint="Get it again; programs that shrink pictures lose cards.")
