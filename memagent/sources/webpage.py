"""Web pages: addresses, files of addresses, and the maps of sites. Each page is a document, of its readable text only.

No page is asked for that is not on the public internet, unless its host is allowed, and none that its site does not
want to be read by programs. Knows nothing of how pages are asked for (see polite.py) or read (see formats/html.py).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urldefrag

from memagent.errors import NotFound, UserError
from memagent.guard import Answer
from memagent.messages import storable
from memagent.sources import Document, Unreadable, sitemap
from memagent.sources.apart import Apart
from memagent.sources.decode import encoding_named, text_of
from memagent.sources.polite import Guest

MOST_PAGES = 100_000
LARGEST_LIST = 20_000_000

_KINDS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/markdown": "markdown",
    "application/json": "json",
    "application/pdf": "pdf",
    "": "html",
}


class WebPages:
    """Reads pages. `files` have an address in each line; `known` are the stamps that pages had before, by their place:
    a page that has not changed is not sent again.
    """

    kind = "webpage"

    def __init__(
        self,
        addresses: Sequence[str] = (),
        *,
        files: Sequence[Path | str] = (),
        sitemaps: Sequence[str] = (),
        known: Mapping[str, str] | None = None,
        allowed_hosts: Sequence[str] = (),
        delay: float = 1.0,
        robots: bool = True,
    ) -> None:
        self._addresses = [
            *map(_address, addresses),
            *(_address(line) for file in files for line in _lines(Path(file))),
        ]
        self._maps = [_address(url) for url in sitemaps]
        if not self._addresses and not self._maps:
            raise UserError("No web page is named.", hint="Give addresses, a file of addresses, or a site's map.")
        self._known = known or {}
        self._guest = Guest(allowed_hosts, delay, robots=robots)
        self._apart = Apart()
        first, *more = self._addresses + self._maps
        self.about = first.partition("?")[0] + (f" and {len(more)} more" if more else "")

    def items(self) -> Iterator[Page]:
        """All pages, each once. A page is asked for when its stamp or its text is."""
        seen: set[str] = set()
        for named in self._named():
            url = named.url
            if url in seen:
                continue
            if len(seen) >= MOST_PAGES:
                yield Page(url, broken=f"was left out: there are more than {MOST_PAGES:,} pages")
                return
            seen.add(url)
            if named.broken:
                yield Page(url, broken=named.broken)
            else:
                yield Page(url, named.changed and f"changed {named.changed}", self._known.get(url, ""), self)

    def close(self) -> None:
        """End the process that reads the pages, if there is one."""
        self._apart.close()

    def ask(self, url: str, known: str) -> Answer:
        """A page, or an answer without text if it still has this stamp."""
        name, _, value = known.partition(" ")
        condition = {"etag": "If-None-Match", "modified": "If-Modified-Since"}.get(name)
        return self._guest.get(url, {condition: value} if condition else None)

    def document(self, answer: Answer) -> Document:
        """The text of a page."""
        kind, _, rest = answer.headers.get("content-type", "").partition(";")
        kind = kind.strip().lower()
        form = _KINDS.get(kind) or ("text" if kind.startswith("text/") else "")
        if not form:
            raise Unreadable(f"is not text, but {kind[:80]}")
        data = _marked(answer.body, rest) if form in ("html", "text", "markdown") else answer.body
        return self._apart.read(form, data, answer.url)

    def _named(self) -> Iterator[sitemap.Named]:
        for url in self._addresses:
            yield sitemap.Named(url)
        for url in self._maps:
            for named in sitemap.pages(url, lambda each: self._guest.get(each).body):
                yield sitemap.Named(urldefrag(named.url).url, named.changed, broken=named.broken)


@dataclass
class Page:
    """One page. It is asked for once, whether its stamp or its text is wanted; `changed` is when it was changed by its
    site's map, `known` the stamp that it had before.
    """

    place: str
    changed: str = ""
    known: str = ""
    source: WebPages | None = None
    broken: str = ""
    size: int = 0
    _answer: Answer | Unreadable | None = field(default=None, init=False, repr=False)

    @property
    def stamp(self) -> str:
        """When the site's map says that it was changed; else the mark or the time that its server gives it."""
        if self.changed or self.broken:
            return self.changed
        answer = self._asked()
        if isinstance(answer, Unreadable):
            return ""
        return self.known if answer.status == 304 else _stamp(answer)

    def read(self) -> Document:
        """The document that the page is."""
        if self.broken or not self.source:
            raise Unreadable(self.broken)
        answer = self._asked()
        if not isinstance(answer, Unreadable) and answer.status == 304:  # not changed, but wanted all the same
            self.known, self._answer = "", None
            answer = self._asked()
        self._answer = None  # a page is read once, and many are waiting
        if isinstance(answer, Unreadable):
            raise answer
        return self.source.document(answer)

    def _asked(self) -> Answer | Unreadable:
        assert self.source
        if self._answer is None:
            try:
                self._answer = self.source.ask(self.place, self.known)
                self.size = len(self._answer.body)
            except Unreadable as error:
                self._answer = error
        return self._answer


def _stamp(answer: Answer) -> str:
    if etag := answer.headers.get("etag", ""):
        return f"etag {etag}"
    modified = answer.headers.get("last-modified", "")
    return f"modified {modified}" if modified else ""


def _address(text: str) -> str:
    """An address as it is asked for: without its fragment, https if it does not say."""
    url = urldefrag(storable(text.strip())).url
    return url if "://" in url else f"https://{url}"


def _lines(file: Path) -> list[str]:
    try:
        with file.expanduser().open("rb") as opened:
            text = text_of(opened.read(LARGEST_LIST))
    except OSError as error:
        raise NotFound(f"The file of addresses {str(file)!r} can't be opened: {error.strerror}.") from error
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _marked(data: bytes, rest: str) -> bytes:
    """The page with a mark of how it is encoded, if the server says so: that has the last word."""
    named = (part.partition("=")[2] for part in rest.split(";") if part.strip().lower().startswith("charset="))
    encoding = encoding_named(next(named, "").strip().strip("\"'"))
    return codecs.BOM_UTF8 + data.decode(encoding, "replace").encode("utf-8", "replace") if encoding else data
