"""Which pages a site names in its map, and when each was last changed. Knows nothing of what is in the pages."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from memagent.sources import Unreadable, xml

LARGEST = 60_000_000
"""A map has at most 50 MB, by its own standard."""
MOST_MAPS = 1_000
DEEPEST = 3


@dataclass(frozen=True)
class Named:
    """A page, or another map, that a map names. `broken` says why a map could not be read."""

    url: str
    changed: str = ""
    is_map: bool = False
    broken: str = ""


def pages(url: str, get: Callable[[str], bytes]) -> Iterator[Named]:
    """All pages of a map, and of those that it names, as far as they are on the same site."""
    host = urlsplit(url).netloc.lower()
    seen = {url}
    stack = [(url, 1)]
    while stack:
        each, depth = stack.pop(0)
        try:
            named = read(get(each))
        except Unreadable as error:
            yield Named(each, broken=error.message)
            continue
        for found in named:
            if urlsplit(found.url).netloc.lower() != host:
                continue
            if not found.is_map:
                yield found
            elif found.url not in seen and depth < DEEPEST and len(seen) < MOST_MAPS:
                seen.add(found.url)
                stack.append((found.url, depth + 1))


def read(data: bytes) -> list[Named]:
    """What a map names: XML, packed or not, or a list of addresses, one in each line."""
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data)
    if not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        lines = data.decode("utf-8", "replace").split()
        return [Named(line) for line in lines if line.startswith(("http://", "https://"))]
    found = _Map()
    xml.parse(data, found.start, found.end, found.text)
    if not found.is_map:
        raise Unreadable("is no map of a site")
    return found.named


def _unpacked(data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj(31)
        unpacked = unpacker.decompress(data, LARGEST + 1)
    except zlib.error as error:
        raise Unreadable(f"is broken: {error}") from error
    if len(unpacked) > LARGEST:
        raise Unreadable(f"unpacks to more than {LARGEST // 1_000_000} MB")
    if not unpacker.eof:
        raise Unreadable("is broken: it ends too early")
    return unpacked


class _Map:
    """Gathers what a map names, as its elements come."""

    def __init__(self) -> None:
        self.named: list[Named] = []
        self.is_map = False
        self._path: list[str] = []
        self._words: list[str] = []
        self._url = self._changed = ""

    def start(self, name: str, given: dict[str, str]) -> None:  # noqa: ARG002
        self.is_map = self.is_map or (not self._path and name in ("urlset", "sitemapindex"))
        self._path.append(name)
        self._words.clear()
        if name in ("url", "sitemap"):
            self._url = self._changed = ""

    def end(self, name: str) -> None:
        self._path.pop()
        words = "".join(self._words).strip()
        above = self._path[-1] if self._path else ""
        if name == "loc" and above in ("url", "sitemap"):
            self._url = words
        elif name == "lastmod":
            self._changed = words
        elif name in ("url", "sitemap") and self._url.startswith(("http://", "https://")):
            self.named.append(Named(self._url, self._changed, name == "sitemap"))

    def text(self, text: str) -> None:
        self._words.append(text)
