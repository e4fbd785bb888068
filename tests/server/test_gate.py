"""What stands before every route: requests that are meant for others, come from foreign pages, or are too much."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from serving import Serving, served
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from memagent.server import gate
from memagent.server.gate import LARGEST, LARGEST_FILE

POST = "/v1/chat/completions"
BODY = json.dumps({"model": "ada", "messages": [{"role": "user", "content": "hello"}]}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(server: Serving) -> httpx2.Client:
    server.agent()
    return server.http()


def nothing_was_said(server: Serving) -> bool:
    return server.rows("SELECT count(*) FROM runs") == [(0,)]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8283", "127.0.0.1.evil.example", "", "[::2]", "a@b"])
def test_a_name_that_the_server_does_not_go_by_is_refused(client: httpx2.Client, server: Serving, host: str) -> None:
    assert client.get("/v1/health/", headers={"host": host}).status_code in (400, 421)
    assert client.post(POST, content=BODY, headers={**JSON, "host": host}).status_code in (400, 421)
    assert nothing_was_said(server)


def test_the_names_that_it_goes_by_are_taken_with_any_port(home: Path) -> None:
    with served(home, hosts=("127.0.0.1", "::1", "My.Net")) as server:
        for host in ("127.0.0.1:1", "[::1]:8283", "my.net", "MY.NET:443"):
            assert server.http().get("/v1/health/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "file://", "http://[", ""]
)
def test_a_foreign_page_gets_nothing_and_does_nothing(client: httpx2.Client, server: Serving, origin: str) -> None:
    assert client.get("/v1/models", headers={"origin": origin}).status_code == 403
    assert client.post(POST, content=BODY, headers={**JSON, "origin": origin}).status_code == 403
    assert client.options(POST, headers={"origin": origin, "access-control-request-method": "POST"}).status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        connect(server.address.replace("http", "ws") + "/ws", additional_headers={"origin": origin}, proxy=None)
    assert refused.value.response.status_code == 403
    assert nothing_was_said(server)


def test_a_page_of_its_own_may_ask(client: httpx2.Client, server: Serving) -> None:
    own = {"origin": server.address, "sec-fetch-site": "same-origin"}
    assert client.post(POST, content=BODY, headers={**JSON, **own}).status_code == 200
    assert client.post(POST, content=BODY, headers={**JSON, "sec-fetch-site": "cross-site"}).status_code == 403
    with connect(server.address.replace("http", "ws") + "/ws", origin=server.address, proxy=None):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "text/plain; application/json", "", "application/jsonx"],
)
def test_what_a_form_of_a_foreign_page_could_send_is_not_read(
    client: httpx2.Client, server: Serving, kind: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    assert client.post(POST, content=BODY, headers=headers).status_code == 415
    assert nothing_was_said(server)


def test_asking_for_something_changes_nothing(client: httpx2.Client, server: Serving) -> None:
    for method in ("GET", "HEAD"):
        assert client.request(method, POST, params={"model": "ada", "messages": "hello"}).status_code == 405
    assert nothing_was_said(server)


def test_nothing_packed_is_unpacked(client: httpx2.Client, server: Serving) -> None:
    bomb = gzip.compress(b" " * 10_000_000 + BODY)
    for packing in ("gzip", "deflate", "br"):
        assert client.post(POST, content=bomb, headers={**JSON, "content-encoding": packing}).status_code == 415
    assert nothing_was_said(server)


def test_a_body_that_is_too_large_is_not_read_to_its_end(client: httpx2.Client, server: Serving) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b" " * 1_000_000

    head = f"POST {POST} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    assert raw(server, f"{head}content-length: 50000000\r\n\r\n").startswith(b"HTTP/1.1 413")
    try:
        assert client.post(POST, headers=JSON, content=pieces()).status_code == 413
    except httpx2.TransportError:  # it was hung up on
        assert sent < 50
    for length in ("-1", "1e3", "٣", "1, 2"):
        assert raw(server, f"{head}content-length: {length}\r\n\r\n").startswith(b"HTTP/1.1 4")
    assert nothing_was_said(server) and LARGEST < 50_000_000 <= LARGEST_FILE


def test_a_file_may_be_larger(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LARGEST_FILE", 1000)
    assert client.post(POST, files={"file": b"x" * 2000}).status_code == 413


def raw(server: Serving, *pieces: str, pause: float = 0.0) -> bytes:
    """What comes back for these bytes, until the end or until nothing comes for a while."""
    heard = b""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(3)
        try:
            for piece in pieces:
                connection.sendall(piece.encode())
                time.sleep(pause)
            while piece := connection.recv(65536):  # type: ignore[assignment]
                heard += piece  # type: ignore[operator]
                if b"\r\n\r\n" in heard:
                    break
        except OSError:
            pass
    return heard


def test_headers_without_an_end_are_cut_off(server: Serving) -> None:
    flood = [f"x-{number}: {'y' * 1000}\r\n" for number in range(200)]
    begun = time.monotonic()
    heard = raw(server, "GET / HTTP/1.1\r\nhost: localhost\r\n", *flood)
    assert time.monotonic() - begun < 2, "it would have read on"
    assert heard.startswith(b"HTTP/1.1 4") or not heard  # it may hang up before that is heard
    assert server.http().get("/v1/health/").status_code == 200


def test_every_answer_carries_what_keeps_browsers_safe(client: httpx2.Client) -> None:
    for response in (
        client.get("/v1/models"),
        client.get("/nothing"),
        client.post(POST, content=b"{", headers=JSON),
        client.get("/", headers={"host": "evil.example"}),
    ):
        assert "default-src 'self'" in response.headers["content-security-policy"]
        assert "unsafe-inline" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-frame-options"] == "DENY"
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers and "access-control-allow-origin" not in response.headers


def test_what_is_no_question_is_a_mistake_of_who_asks(client: httpx2.Client) -> None:
    for body in (b"{", b"[]", b"null", b'"x"', b"\xff", b'{"model": 1}', b"[" * 100_000, b""):
        refused = client.post(POST, content=body, headers=JSON)
        assert 400 <= refused.status_code < 500 and refused.json()["detail"], body[:20]
