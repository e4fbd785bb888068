"""A real web server on this machine, and an internet that leads nowhere but to it: for tests of what asks the web."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

Page = tuple[int, dict[str, str], bytes] | Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it, header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Web:
    """`pages` by path; what was asked, in order, in `asked`. `gone` is set when a client hung up on a page."""

    pages: dict[str, Page]
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def serving(pages: dict[str, Page], tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve pages on a free port of 127.0.0.1 until the block ends."""
    web = Web(pages)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            web.asked.append(Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            page = web.pages.get(self.path.partition("?")[0], (404, {}, b"no such page"))
            try:
                if callable(page):
                    page(self)
                    return
                status, headers, content = page
                self.send_response(status)
                for name, value in {"content-length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
            except OSError:
                web.gone.set()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

        def log_message(self, format: str, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: object, client_address: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Internet:
    """What names lead to (answers in order, the last one for ever) and which addresses lead to a port of this machine.

    Everything dialled is written down; an address without a route is unreachable, so nothing leaves the machine.
    """

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)


@contextmanager
def fake_internet() -> Iterator[Internet]:
    """Put an `Internet` under Python's own sockets until the block ends."""
    net = Internet()
    real_lookup, real_connect = socket.getaddrinfo, socket.socket.connect

    def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
        try:
            return real_lookup(host, port, family, type, proto, socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            pass
        net.looked_up.append(host)
        answers = net.names.get(host) or net.names.get("*")
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [row for ip in found for row in real_lookup(ip, port, family, type, proto, socket.AI_NUMERICHOST)]

    def connect(self, address):
        net.dialled.append(address[0])
        if address[0] in net.routes:
            return real_connect(self, ("127.0.0.1", net.routes[address[0]]))
        if address[0] == "127.0.0.1":
            return real_connect(self, address)
        raise OSError(errno.ENETUNREACH, "no way there")

    with mock.patch("socket.getaddrinfo", getaddrinfo), mock.patch("socket.socket.connect", connect):
        yield net
