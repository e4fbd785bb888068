"""Asks a web address on a model's or a page's behalf without letting it reach this machine or the network around it.

What counts is the address that a name leads to at the moment of connecting: it is looked up once, checked, and exactly
the checked address is connected to, again at every redirect. So neither the spelling of a URL, nor a redirect, nor a
name that changes its mind gets anywhere else. Hosts that a person has allowed are free. Knows nothing of settings.
"""

from __future__ import annotations

import codecs
import ipaddress
import queue
import re
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ssl import SSLContext

import httpcore2
import httpx2

from memagent.errors import ToolError

__all__ = ["Answer", "NoAnswer", "is_public", "request"]

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
HARMLESS = ("GET", "HEAD", "OPTIONS")
REDIRECTS = 5

_ONLY = "Only http:// and https:// addresses on the public internet can be asked, or hosts that a person has allowed."
_FAILURES = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.DecodingError)

# What no version of Python, or not every one, takes out of "global": relays and translators into other networks,
# documentation, benchmarks, and the addresses where two clouds keep their metadata.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "168.63.129.16/32",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?P<last>[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_USER_PART = re.compile(r"(?:[^/?#]*:)?//[^/?#]*@")


class NoAnswer(ToolError):
    """Nothing came back, or not in time: another try may help."""


@dataclass(frozen=True)
class Answer:
    """What came back. `note` says what is missing from `text`, if anything; `url` is where the last redirect led.
    `body` is what `text` was made from.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    url: str
    note: str = ""
    body: bytes = b""


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    allowed_hosts: Iterable[str] = (),
    time_limit: float = 30.0,
    size_limit: int = 1_000_000,
) -> Answer:
    """Ask `url` and read its answer as text: at most `size_limit` bytes of it, in at most `time_limit` seconds.

    `allowed_hosts` are "host" or "host:port", spelled as in the URL. Raises `ToolError`, written for the model.
    """
    clock = _Clock(time.monotonic() + time_limit)
    hop = _Hop(_method(method), _parsed(url), dict(headers or {}), body)
    network = _GuardedNetwork(frozenset(host.strip().lower() for host in allowed_hosts), clock)
    with httpcore2.ConnectionPool(network_backend=network) as pool:
        via = ""
        try:
            for _ in range(REDIRECTS + 1):
                with pool.stream(hop.method, hop.target, headers=hop.sent(), content=hop.body) as raw:
                    response = httpx2.Response(raw.status, headers=raw.headers, stream=_Body(raw.iter_stream()))
                    if not response.has_redirect_location:
                        return _read(response, hop, clock, size_limit)
                    via = f"{hop.host} was asked and redirects: "
                    hop = hop.redirected(response.status_code, response.headers["location"])
        except _FAILURES as failure:
            raise _explained(failure, hop, via, time_limit) from failure
        except ToolError as refused:
            raise ToolError(via + refused.message, hint=refused.hint) from refused
    raise ToolError(f"{via}more than {REDIRECTS} times.", hint="Ask for the page that you want directly.")


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet: nobody's own machine, network, cloud metadata or tunnel."""
    ip = ipaddress.ip_address(address)
    if any(ip.version == network.version and ip in network for network in _NOT_PUBLIC):
        return False
    return ip in _GLOBAL_IPV6 if ip.version == 6 else ip.is_global and not ip.is_multicast


def _method(method: str) -> str:
    name = method.strip().upper()
    if name not in METHODS:
        raise ToolError(f"There is no method {method!r}.", hint=f"Use one of: {', '.join(METHODS)}.")
    return name


def _parsed(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    """A URL, if it has one plain reading only. The same parsed URL is used for checking and for connecting."""
    if "\\" in text or not text.isprintable() or " " in text:
        raise ToolError("The URL has a backslash, blank or hidden character in it.", hint="Write it as %5C, %20 …")
    if _USER_PART.match(text):
        raise ToolError("The URL has a user name before its host (user@host).", hint="Leave it out.")
    try:
        url = base.join(text) if base else httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as failure:
        raise ToolError(f"That is not a URL: {failure}", hint=_ONLY) from failure
    if url.scheme not in ("http", "https"):
        raise ToolError(f"The URL must begin with http:// or https://, not {url.scheme or text[:20]!r}.", hint=_ONLY)
    if url.port is not None and not 0 < url.port < 65536:
        raise ToolError(f"There is no port {url.port}.", hint=_ONLY)
    _check_host(url.raw_host.decode("ascii"))
    return url


def _check_host(host: str) -> None:
    """A host is a plain name or a plain IP address: `0x7f.1`, `2130706433`, `127.1` and `fe80::1%eth0` are neither."""
    name = _NAME.fullmatch(host) if len(host) <= 253 else None
    if name and not _NUMBER.fullmatch(name["last"]):
        return
    try:
        if "%" not in host:
            ipaddress.ip_address(host)
            return
    except ValueError:
        pass
    raise ToolError(f"{host[:80]!r} is not a host name or a plain IP address.", hint=_ONLY)


@dataclass(frozen=True)
class _Hop:
    """One request of the chain that redirects make. `headers` are the caller's, for the host they were meant for."""

    method: str
    url: httpx2.URL
    headers: Mapping[str, str]
    body: bytes | None

    @property
    def host(self) -> str:
        return self.url.netloc.decode("ascii")

    @property
    def target(self) -> httpcore2.URL:
        url = self.url
        return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)

    def sent(self) -> list[tuple[str, str]]:
        fixed = {"Host": self.host, "User-Agent": "memagent", "Accept": "*/*", "Accept-Encoding": "gzip"}
        own = {name.lower() for name in self.headers}
        return [*((name, value) for name, value in fixed.items() if name.lower() not in own), *self.headers.items()]

    def redirected(self, status: int, location: str) -> _Hop:
        """The next request, as browsers make it, but that no header of the caller's goes to another host."""
        hop = replace(self, url=_parsed(location, self.url))
        if hop.url.origin != self.url.origin:
            hop = replace(hop, headers={k: v for k, v in hop.headers.items() if k.lower() == "content-type"})
        if (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST"):
            hop = replace(hop, method="GET", body=None)
        return hop


@dataclass(frozen=True)
class _Clock:
    """When the whole request, with all redirects, must be over."""

    end: float

    def left(self) -> float:
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise httpcore2.ReadTimeout()
        return seconds


@dataclass(frozen=True)
class _GuardedNetwork(httpcore2.NetworkBackend):
    """Connects to public addresses and allowed hosts, to nothing else."""

    allowed: frozenset[str]
    clock: _Clock
    real: httpcore2.NetworkBackend = field(default_factory=httpcore2.SyncBackend)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 -- the clock holds the one limit there is, here and below
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        free = self._is_allowed(host, port)
        addresses = [address for address in _look_up(host, port, self.clock.left()) if free or is_public(address)]
        if not addresses:
            raise _inside(host)
        failure: httpcore2.NetworkError | httpcore2.TimeoutException | None = None
        for number, address in enumerate(addresses):
            try:
                # Each address gets its share of the time, so that a dead one leaves some for the next.
                stream = self.real.connect_tcp(address, port, self.clock.left() / (len(addresses) - number))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as refused:
                failure = refused
                continue
            if not free and stream.get_extra_info("client_addr")[0] == address:
                stream.close()  # a public address, but this machine's own: behind its firewall, we are inside
                raise _inside(host)
            return _TimedStream(stream, self.clock)
        raise failure or httpcore2.ConnectError("no address")

    def _is_allowed(self, host: str, port: int) -> bool:
        shown = f"[{host}]" if ":" in host else host
        return not self.allowed.isdisjoint((host, shown, f"{shown}:{port}"))


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """The IP addresses of a host. In a thread, since a look-up can't be given a time limit."""
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except (OSError, UnicodeError) as failure:
            found.put(failure)

    threading.Thread(target=look, daemon=True).start()
    try:
        addresses = found.get(timeout=seconds)
    except queue.Empty:
        raise httpcore2.ConnectTimeout() from None
    if isinstance(addresses, Exception):
        raise ToolError(f"There is no host {host!r}, or its name can't be looked up now.") from addresses
    return addresses


def _inside(host: str) -> ToolError:
    return ToolError(f"{host!r} is not on the public internet, so it was not asked.", hint=_ONLY)


@dataclass(frozen=True)
class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every wait ends when the time for the whole request is over."""

    real: httpcore2.NetworkStream
    clock: _Clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self.real.read(max_bytes, self.clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for start in range(0, len(buffer), 65536):
            self.real.write(buffer[start : start + 65536], self.clock.left())

    def close(self) -> None:
        self.real.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        return _TimedStream(self.real.start_tls(ssl_context, server_hostname, self.clock.left()), self.clock)

    def get_extra_info(self, info: str) -> object:
        return self.real.get_extra_info(info)


@dataclass(frozen=True)
class _Body(httpx2.SyncByteStream):
    chunks: Iterator[bytes]

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks


def _read(response: httpx2.Response, hop: _Hop, clock: _Clock, size_limit: int) -> Answer:
    """The answer as text. Its note says what can't be shown: a request that was made must not seem to have failed."""
    answer = Answer(response.status_code, dict(response.headers), "", str(hop.url))
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith(("image/", "audio/", "video/", "font/")):
        return replace(answer, note=f"not shown: {kind} is not text")
    if response.headers.get("content-encoding", "").strip().lower() not in ("", "identity", "gzip", "deflate"):
        # Also several layers of compression, which could unpack to nothing for hours.
        return replace(answer, note="not shown: it is compressed in a way that can't be read")
    body, note = bytearray(), ""
    try:
        for chunk in response.iter_bytes():
            body += chunk
            clock.left()
            if len(body) > size_limit:
                del body[size_limit:]
                note = f"cut after {size_limit} bytes"
                break
    except _FAILURES as failure:
        late = isinstance(failure, httpcore2.TimeoutException)
        note = "incomplete: it took too long" if late else "incomplete: broken off"
    answer = replace(answer, body=bytes(body))
    text = _text(answer.body, kind, response.charset_encoding, whole=not note)
    return replace(answer, note="not shown: it is not text") if text is None else replace(answer, text=text, note=note)


def _text(body: bytes, kind: str, charset: str | None, *, whole: bool) -> str | None:
    """Bytes as text, or None if they are none. What does not say that it is text has to prove it by being UTF-8."""
    try:
        codec = codecs.lookup(charset or "utf-8").name
        # A page names its charset, and these would take minutes or fail on what is not a host name.
        text = body.decode("utf-8" if codec in ("punycode", "idna") else codec, "replace")
    except (LookupError, UnicodeError):
        text = body.decode("utf-8", "replace")
    sound = text if whole else text.rstrip("\ufffd")
    if "\0" in sound or ("\ufffd" in sound and not charset and not kind.startswith("text/")):
        return None
    return sound.removeprefix("\ufeff")


def _explained(failure: Exception, hop: _Hop, via: str, time_limit: float) -> NoAnswer:
    # A connection that was never made has carried nothing; after that, nobody knows what arrived.
    unsent = isinstance(failure, (httpcore2.ConnectError, httpcore2.ConnectTimeout))
    hint = "" if unsent or hop.method in HARMLESS else "It may have arrived all the same: find out before repeating it."
    if isinstance(failure, httpcore2.TimeoutException):
        what = f"{hop.host} did not answer within {time_limit:g} seconds."
    elif unsent:
        what = f"No connection to {hop.host}: {failure}."
    else:
        what = f"{hop.host} broke off, or does not speak HTTP: {failure}."
    return NoAnswer(via + what, hint=hint)
