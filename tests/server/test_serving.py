"""The server lives, tells that it can work, and ends."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from serving import Serving, in_a_process

from memagent.server.serve import bound


def test_a_server_tells_that_it_lives_and_can_work(server: Serving) -> None:
    assert server.http().get("/v1/health/").json()["status"] == "ok"
    assert server.http().get("/health/ready").json() == {"status": "ready"}
    assert "memagent_requests_total" in server.http().get("/metrics").text


def test_a_server_whose_disk_is_full_says_that_it_can_not_work(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing could be stored: who sends requests here should send them elsewhere."""
    full = shutil.disk_usage(server.home)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    answer = server.http().get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "disk full"})


def test_what_is_not_served_is_told_by_its_name(server: Serving) -> None:
    for method, path, status in (("GET", "/v1/folders/", 404), ("DELETE", "/v1/models", 405)):
        answer = server.http().request(method, path)
        assert answer.status_code == status
        assert f"{method} {path} is not served here" in answer.json()["detail"] and "/docs" in answer.text


def test_a_server_in_a_process_of_its_own_is_the_same(home: Path) -> None:
    with in_a_process(home) as serving:
        assert serving.http().get("/v1/health/").json()["status"] == "ok"


def test_what_is_small_is_sent_at_once() -> None:
    """Otherwise every answer after the first waits 40 ms for the client's system to acknowledge the one before."""
    with bound("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # by this asyncio knows what it may set on connections
