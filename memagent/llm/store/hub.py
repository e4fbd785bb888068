"""A model hub, asked over HTTP: which files a repository has, and the bytes of one of them from any point on.

Knows nothing of what is done when it can't be reached.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from memagent import __version__
from memagent.endpoints.address import trusted
from memagent.endpoints.failures import Endpoint
from memagent.endpoints.line import parsed
from memagent.errors import LLMError, NotFound, UserError
from memagent.llm import store
from memagent.llm.store import Hub, Model, named_at_hub
from memagent.llm.store.partial import Damaged, Partial

if TYPE_CHECKING:
    import httpx2

CONNECT, SILENCE = 5.0, 15.0
"""Seconds to wait for a connection, and for the next bytes."""
TRIES = 3
"""How often it may fail one after the other without a byte gained."""
MOST_BYTES = 20_000_000
_FILE = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*\.gguf", re.ASCII | re.IGNORECASE)
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Elsewhere(Exception):
    """It can't be had from this place; says why."""


class _Again(Exception):
    """It broke off, and may go on when it is asked again; says why."""


def fill(place: Hub, partial: Partial, seen: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
    """Fetch what is missing of the file. Raises `Elsewhere` where that can't be done."""
    _check_name(place.url)
    failed = damaged = 0
    with _client() as client:
        while not partial.full:
            before = partial.done
            try:
                _go_on(client, place.url, partial, seen)
                why = "it ended too early"
            except _Again as broken:
                why = str(broken)
            except Damaged:
                why, damaged = "it sends other bytes than it should", damaged + 1
            failed = failed + 1 if partial.done <= before else 0
            if max(failed, damaged) >= TRIES:
                raise Elsewhere(why)
            if not partial.full:
                sleep(failed)


def _check_name(url: str) -> None:
    """Where names can't be looked up, the system may think about that for half a minute."""
    host = urlsplit(url).hostname
    if not host or getproxies():  # then the proxy looks it up
        return
    looking = threading.Thread(target=_look_up, args=(host,), daemon=True)
    looking.start()
    looking.join(CONNECT)
    if looking.is_alive():
        raise Elsewhere(f"the name of {host} can't be found")


def _look_up(host: str) -> None:
    with suppress(OSError, UnicodeError):
        socket.getaddrinfo(host, 443)


def _go_on(client: httpx2.Client, url: str, partial: Partial, seen: Callable[[], None]) -> None:
    import httpx2

    begun = partial.done
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    try:
        with client.stream("GET", url, headers=headers) as response:
            skip = begun - _offset(response, begun, partial.total)
            for data in response.iter_raw():
                if skip >= len(data):
                    skip -= len(data)
                    continue
                if not partial.done and not data.startswith(b"GGUF"[: len(data)]):
                    raise Elsewhere("what it sends is not a model")
                if partial.write(data[skip:]) < len(data) - skip:
                    raise Elsewhere("it sends more than there should be")
                skip = 0
                seen()
    except (httpx2.ConnectError, httpx2.TimeoutException, httpx2.ProxyError, httpx2.UnsupportedProtocol) as failure:
        raise (_Again if partial.done > begun else Elsewhere)(_words(url, failure)) from None
    except (httpx2.RequestError, ssl.SSLError) as failure:
        raise _Again(_words(url, failure)) from None
    except (httpx2.InvalidURL, ValueError) as failure:
        raise Elsewhere(str(failure)) from None


def _offset(response: httpx2.Response, begun: int, total: int) -> int:
    """Which byte of the file comes first, where it is the file that comes."""
    status = response.status_code
    if status in PASSING:
        raise _Again(f"it answers {status}")
    if status not in (200, 206):
        raise Elsewhere(f"it answers {status}")
    if "html" in response.headers.get("content-type", "").lower():
        raise Elsewhere("it sends a web page instead")
    if status == 206:
        said = response.headers.get("content-range", "")
        if said.replace(" ", "") not in (f"bytes{begun}-{total - 1}/{total}", f"bytes{begun}-{total - 1}/*"):
            raise Elsewhere(f"it has another file there ({said[:60]!r})")
        return begun
    if response.headers.get("content-length", str(total)) != str(total):
        raise Elsewhere("it has a file of another size there")
    return 0


def model_at(home: Path, name: str) -> Model:
    """The model of that name at the hub, such as owner/repo:file.gguf or owner/repo:Q4_K_M, as the hub describes it."""
    named = named_at_hub(name)
    if named is None:
        return store.known_as(home, name)
    owner, repo, which = named
    address = store.hub_address(home)
    info = _asked(f"{address}/api/models/{owner}/{repo}?blobs=true", f"{owner}/{repo}")
    files = {Path(path).name: path for path in _files(info) if "-of-0" not in path and "mmproj" not in path}
    path = store.chosen([Path(file) for file in sorted(files)], which)
    if path is None:
        listed = ", ".join(sorted(files)[:12])
        hint = f"It has: {listed}." if listed else "Look for one whose name ends in GGUF."
        raise NotFound(f"{owner}/{repo} has no model file {which}".rstrip() + ".", hint=hint)
    size, checksum = _files(info)[files[path.name]]
    if not size or not checksum:
        raise LLMError(f"{address} does not tell size and checksum of {path.name}.", hint="Fetch it another way.")
    tags = [tag for tag in info.get("tags") or () if isinstance(tag, str) and tag.isprintable()]
    licence = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), "unknown")
    facts = info.get("gguf")
    window = facts.get("context_length") if isinstance(facts, dict) else 0
    return Model(
        f"{owner}--{repo}--{path.stem}", path.stem, licence, window if isinstance(window, int) else 0, size, checksum,
        (Hub(store.file_url(address, f"{owner}/{repo}", files[path.name])),),
    )  # fmt: skip


def _files(info: Any) -> dict[str, tuple[int, str]]:
    """Size and checksum of each model file of a repository, by its path."""
    found = {}
    for item in info.get("siblings") or ():
        lfs = item.get("lfs") if isinstance(item, dict) else None
        if isinstance(lfs, dict) and _FILE.fullmatch(name := str(item.get("rfilename"))):
            size = lfs.get("size")
            found[name] = (size if isinstance(size, int) else 0, str(lfs.get("sha256") or ""))
    return found


def _asked(url: str, what: str) -> dict[str, Any]:
    import httpx2

    where = urlsplit(url).netloc
    try:
        with _client() as client, client.stream("GET", url) as response:
            status, said = response.status_code, b""
            for data in response.iter_bytes():
                said += data
                if len(said) > MOST_BYTES:
                    break
    except httpx2.RequestError as failure:
        raise LLMError(f"The model hub can't be asked: {_words(url, failure)}.", hint=_OFFLINE) from None
    except (httpx2.InvalidURL, ValueError) as failure:
        raise UserError(f"{url} can't be asked: {failure}.", hint="Look at models.yaml in home.") from None
    if status in (401, 404):
        raise NotFound(f"{where} has no model {what}.", hint="Check its name; it must be public.")
    found = parsed(said)
    if status != 200 or not isinstance(found, dict):
        raise LLMError(f"{where} is no model hub, or can't answer now ({status}).", hint=_OFFLINE)
    return found


_OFFLINE = "Fetch the file another way, and give its path: memagent model use PATH.gguf"


def _client() -> httpx2.Client:
    import httpx2

    return httpx2.Client(
        headers={"User-Agent": f"memagent/{__version__}", "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(SILENCE, connect=CONNECT), follow_redirects=True, verify=trusted(),
    )  # fmt: skip


def _words(url: str, failure: Exception) -> str:
    """What went wrong, in a few words."""
    message = Endpoint(url, "", "", "", SILENCE, connect_timeout=CONNECT).unreachable(failure).error.message
    return message.rstrip(".")
