"""Files that are sent become sources: loaded in a process of its own, refused in words, never anybody else's."""

from __future__ import annotations

import io
import json
import signal
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Serving, in_a_process, until

from memagent.server.loads import incoming
from memagent.server.loads.carrying import Loads

TRAM = b"# Lisbon\n\nThe tram 28 climbs to Gra\xc3\xa7a.\n"


class Sending:
    """What the page does when somebody drops files on it."""

    def __init__(self, server: Serving, key: str = "") -> None:
        self.http, self.server = server.http(key), server

    def send(self, agent: str, source: str, name: str, data: bytes, **headers: str) -> httpx2.Response:
        path = f"/api/agents/{agent}/sources/{source}/files/{name}"
        return self.http.put(path, content=data, headers={"content-type": "application/octet-stream", **headers})

    def loads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/api/loads").raise_for_status().json()
        return found

    def loaded(self, state: str = "done") -> dict[str, Any]:
        until(lambda: self.loads()[0]["state"] == state, 40)
        return self.loads()[0]

    def sources(self, agent: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(f"/api/agents/{agent}/sources").raise_for_status().json()
        return found

    def found(self, agent: str, words: str) -> str:
        query = {"query": words, "where": "archival"}
        return self.http.get(f"/api/agents/{agent}/search", params=query).raise_for_status().text


@pytest.fixture
def sending(server: Serving) -> Sending:
    return Sending(server)


@pytest.mark.slow
def test_a_file_that_is_sent_is_loaded_attached_found_and_deleted_again(sending: Sending) -> None:
    agent = sending.server.agent()
    assert sending.send(agent, "trips", "lisbon.md", TRAM).status_code == 200
    assert sending.send(agent, "trips", "broken.pdf", b"%PDF-1.7 nonsense").status_code == 200
    load = sending.loaded()
    came = {file["name"]: file for file in load["files"]}
    assert came["lisbon.md"]["outcome"] == "new" and came["lisbon.md"]["passages"] == 1
    assert came["broken.pdf"]["outcome"] == "unreadable" and came["broken.pdf"]["reason"]
    [source] = sending.sources(agent)
    assert (source["name"], source["documents"], source["passages"], source["attached"]) == ("trips", 1, 1, True)
    assert "tram 28" in sending.found(agent, "tram")
    assert [each["place"] for each in sending.http.get("/api/sources/trips").json()["listed"]] == ["lisbon.md"]
    assert not list((sending.server.home / "incoming").iterdir()), "a file is not kept when it is loaded"
    stranger = Sending(sending.server, sending.server.key("theirs", user="eve"))
    assert stranger.loads() == [] and stranger.http.get("/api/sources/trips").status_code == 404
    assert stranger.http.delete("/api/loads/trips").status_code == 404
    assert stranger.http.delete("/api/sources/trips").status_code == 404
    assert stranger.send(agent, "trips", "a.txt", b"x").status_code == 404
    mine = Sending(sending.server, sending.server.key("mine"))
    assert mine.http.delete("/api/loads/trips").status_code == 200 and mine.loads() == []
    assert mine.http.delete("/api/sources/trips").status_code == 200 and mine.sources(agent) == []


def test_what_can_not_be_read_or_kept_is_refused_in_words_and_leaves_nothing(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, send = sending.server.agent(), sending.send
    picture = send(agent, "a", "photo.png", b"\x89PNG")
    assert picture.status_code == 400 and picture.json()["detail"] == "photo.png is an image."
    assert "is empty" in send(agent, "a", "empty.txt", b"").json()["detail"]
    monkeypatch.setattr(incoming, "LARGEST", 1_000_000)
    large = send(agent, "a", "large.txt", b"x" * 1_100_000)
    assert large.status_code == 413 and "at most 1 MB" in large.json()["detail"]
    for name in ("..", "%00.txt", "a%5Cb.txt", "x" * 300):
        assert send(agent, "a", name, b"x").status_code in (400, 404), name
    assert send(agent, "%2e%2e", "a.txt", b"x").status_code == 400
    assert send(agent, "a", "a.txt", b"x", **{"content-type": "application/json"}).status_code == 415
    chunked = sending.http.put(
        f"/api/agents/{agent}/sources/a/files/a.txt", content=iter([b"x"]),
        headers={"content-type": "application/octet-stream"},
    )  # fmt: skip
    assert chunked.status_code == 411
    monkeypatch.setattr(incoming, "FREE", 1 << 60)
    full = send(agent, "a", "a.txt", b"x")
    assert full.status_code == 507 and "disk is full" in full.json()["detail"]
    monkeypatch.setattr(incoming, "MOST_BYTES", 10)
    assert send(agent, "a", "a.txt", b"x" * 11).status_code == 429
    assert sending.loads() == [] and not list((sending.server.home / "incoming").iterdir())


def test_a_load_that_waits_is_ended_and_nothing_is_left_of_it(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loads, "_lines", lambda *_: iter([{"busy": True}]))  # somebody else loads into it
    agent = sending.server.agent()
    sending.send(agent, "trips", "lisbon.md", TRAM)
    assert sending.loads()[0]["state"] in ("waiting", "loading")
    assert sending.http.delete("/api/loads/trips").status_code == 200
    assert sending.loads() == [] and sending.sources(agent) == []
    assert not list((sending.server.home / "incoming").iterdir())


class Slow:
    """A file of which the last byte is still to come."""

    def __init__(self, sending: Sending, agent: str, name: str, data: bytes) -> None:
        self.last = data[-1:]
        self.socket = socket.create_connection(("127.0.0.1", sending.server.port))
        self.socket.settimeout(10)
        head = f"PUT /api/agents/{agent}/sources/trips/files/{name} HTTP/1.1\r\nHost: localhost\r\n"
        head += "Connection: close\r\n"
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(data)}\r\n\r\n"
        coming = sending.server.home / "incoming"
        before = len([*coming.glob("*/coming/*")])
        self.socket.sendall(head.encode() + data[:-1])
        until(lambda: len([*coming.glob("*/coming/*")]) > before, 10)

    def end(self) -> int:
        """Send the last byte; returns the status of the answer."""
        with self.socket:
            self.socket.sendall(self.last)
            return int(self.socket.makefile("rb").readline().split()[1])


def _loaded_in_a_moment(*_: Any) -> Iterator[Any]:
    time.sleep(0.2)
    yield from ()


def test_a_file_that_comes_slowly_is_kept_while_others_are_loaded(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loads, "_lines", _loaded_in_a_moment)
    agent = sending.server.agent()
    slow = Slow(sending, agent, "slow.md", TRAM)
    sending.send(agent, "trips", "lisbon.md", TRAM)
    sending.loaded()
    assert slow.end() == 200
    until(lambda: not list((sending.server.home / "incoming").iterdir()), 10)


def test_files_for_one_source_that_come_side_by_side_are_for_all_whom_they_were_sent_for(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loads, "_lines", lambda *_: iter([{"busy": True}]))
    agents = [sending.server.agent("ada"), sending.server.agent("ben")]
    slow = [Slow(sending, agent, f"{agent}.md", TRAM) for agent in agents]
    assert [each.end() for each in reversed(slow)] == [200, 200]
    assert sending.server.house.loads.of("local")[0].incoming.agents == agents
    sending.http.delete("/api/loads/trips")


def test_what_is_still_to_come_of_files_counts_as_if_it_were_there(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MOST_BYTES", len(TRAM) + 10)
    agent = sending.server.agent()
    slow = Slow(sending, agent, "slow.md", TRAM)
    assert sending.send(agent, "trips", "more.md", b"x" * 11).status_code == 429
    slow.socket.close()


def test_no_half_of_a_file_is_kept_when_it_was_let_go_while_it_came(
    sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loads, "_lines", lambda *_: iter([{"busy": True}]))
    agent = sending.server.agent()
    slow = Slow(sending, agent, "slow.md", b"x" * 1_500_000)
    until(lambda: any(each.stat().st_blocks for each in (sending.server.home / "incoming").glob("*/coming/*")), 10)
    sending.send(agent, "trips", "lisbon.md", TRAM)
    sending.http.delete("/api/loads/trips")
    sending.send(agent, "trips", "porto.md", TRAM)
    assert slow.end() == 409
    assert [file["name"] for file in sending.loads()[0]["files"]] == ["porto.md"]
    sending.http.delete("/api/loads/trips")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_ends_goes_on_with_loading_when_it_is_there_again(home: Path, number: int) -> None:
    text = b"".join(b"Line %d tells of the tram.\n\n" % line for line in range(40_000))
    with in_a_process(home) as server:
        agent, sending = server.agent(), Sending(server)
        for name in ("one.txt", "two.txt"):
            sending.send(agent, "trips", name, text).raise_for_status()
        until(lambda: sending.loads()[0]["state"] == "loading")
        server.end(number) if number == signal.SIGTERM else server.kill()
    with in_a_process(home) as server:
        sending = Sending(server)
        load = sending.loaded()
        assert all(file["outcome"] in ("new", "copy", "unchanged") for file in load["files"])
        [source] = sending.sources(agent)
        assert source["attached"] and source["documents"] == 2
        assert not list((home / "incoming").iterdir())


def zip_bomb() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"<w:document>" + b"<w:p/>" * 40_000_000)
    return made.getvalue()


@pytest.mark.slow
def test_hostile_files_hurt_neither_the_server_nor_the_others(sending: Sending) -> None:
    agent = sending.server.agent()
    nested = b"[" * 5_000_000
    hostile = {"bomb.docx": zip_bomb(), "deep.json": nested}
    for name, data in {**hostile, "lisbon.md": TRAM}.items():
        assert sending.send(agent, "mixed", name, data).status_code == 200, name
    until(lambda: sending.loads()[0]["state"] != "waiting")
    while sending.loads()[0]["state"] == "loading":
        assert sending.http.get("/v1/health/").elapsed.total_seconds() < 2
    came = {file["name"]: file for file in sending.loaded()["files"]}
    assert came["lisbon.md"]["outcome"] == "new" and came["bomb.docx"]["outcome"] == "unreadable"
    assert "100 MB" in came["bomb.docx"]["reason"] and came["deep.json"]["outcome"] == "unreadable", json.dumps(came)
    assert "tram 28" in sending.found(agent, "tram")
