"""How much a key and an agent may ask for, what is counted, and the record of what was done with keys."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from serving import Serving, environment, make_home, served
from websockets.sync.client import connect

from memagent.cli.app import program
from memagent.cli.server import log

COSTLY = "- {when: {}, say: 'That was dear.', usage: {prompt: 900, completion: 200}}"


def ask(client: httpx2.Client, text: str = "hello", agent: str = "ada") -> httpx2.Response:
    message = {"model": agent, "messages": [{"role": "user", "content": text}]}
    return client.post("/v1/chat/completions", json=message)


def test_a_key_may_ask_so_often_in_a_minute_and_another_one_is_not_touched_by_it(server: Serving) -> None:
    server.agent()
    few, many = server.http(server.key("few", requests=3)), server.http(server.key("many"))
    assert [few.get("/v1/models").status_code for _ in range(5)] == [200] * 3 + [429] * 2
    assert 0 < int(few.get("/v1/models").headers["retry-after"]) <= 60
    assert [many.get("/v1/models").status_code for _ in range(5)] == [200] * 5


def test_what_is_asked_over_a_websocket_counts_as_well(server: Serving) -> None:
    server.agent()
    key = {"authorization": f"Bearer {server.key(requests=2)}"}
    with connect(server.address.replace("http", "ws") + "/ws", additional_headers=key, proxy=None) as socket:
        told = []
        for _ in range(2):  # to connect was the first
            socket.send('{"type": "command", "command": "load_agent", "name": "ada"}')
            told.append(str(socket.recv(5)))
    assert "OK" in told[0] and "2 times in a minute" in told[1]


def test_a_key_may_spend_so_many_tokens_in_a_day_and_still_look(home: Path) -> None:
    make_home(home, COSTLY)
    with served(home) as server:
        server.agent()
        client = server.http(server.key("spender", tokens=1000))
        assert ask(client).status_code == 200
        refused = ask(client)
        assert refused.status_code == 429 and refused.headers["x-should-retry"] == "false"
        assert client.get("/v1/models").status_code == 200
        assert ask(server.http(server.key("other"))).status_code == 200
        assert client.post(f"/api/agents/{server.entry().id}/retry").status_code == 429
        assert server.rows("SELECT count(*) FROM messages WHERE undone IS NOT NULL") == [(0,)], "nothing is taken back"
        yesterday = "2020-01-01T00:00:00+00:00"
        with server.database.write() as tx:
            tx.run("UPDATE runs SET created = ?", yesterday)
        assert ask(client).status_code == 200


def test_an_agents_own_limits_hold_for_all_who_ask_it(home: Path) -> None:
    make_home(home, COSTLY)
    with served(home) as server:
        for name, own in (("rare", {"turns_a_minute": 2}), ("poor", {"tokens_a_day": 1000}), ("free", {})):
            server.agent(name)
            settings = json.loads(server.rows("SELECT settings FROM agents WHERE name = ?", name)[0][0])
            settings["settings"] |= own
            with server.database.write() as tx:
                tx.run("UPDATE agents SET settings = ? WHERE name = ?", json.dumps(settings), name)
        keys = [server.http(server.key(name)) for name in "abcd"]
        assert [ask(key, agent="rare").status_code for key in keys] == [200, 200, 429, 429]
        assert [ask(key, agent="poor").status_code for key in keys] == [200, 429, 429, 429]
        assert [ask(key, agent="free").status_code for key in keys] == [200] * 4


def test_turns_and_tokens_are_counted_for_prometheus(home: Path) -> None:
    make_home(home, COSTLY)
    with served(home) as server:
        server.agent()
        ask(server.http())
        for method in ("BREW", "WHEN"):
            server.http().request(method, "/nowhere")
        text = server.http().get("/metrics").text
    assert 'memagent_turns_total{ending="done"} 1.0' in text
    assert 'memagent_tokens_total{kind="prompt"} 900.0' in text
    assert 'memagent_requests_total{method="other",route="none",status="404"} 2.0' in text and "BREW" not in text
    assert 'memagent_tokens_total{kind="completion"} 200.0' in text
    assert 'route="/v1/chat/completions",status="200"} 1.0' in text


def memagent(home: Path, *words: str) -> str:
    command = [sys.executable, "-c", f"from {program.__module__} import program; program()", *words]
    done = subprocess.run(command, cwd=home, env=environment(home), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_done_with_keys_is_kept_and_shown(home: Path) -> None:
    assert "Nothing" in memagent(home, "keys", "log")
    secret = memagent(home, "keys", "add", "phone", "--scope", "chat", "--requests", "5").strip()
    memagent(home, "keys", "revoke", "phone")
    log, lines = memagent(home, "keys", "log"), json.loads(memagent(home, "keys", "log", "--json"))
    assert [line["what"] for line in lines] == ["key revoked", "key added"]
    assert "phone" in log and secret.rpartition("-")[2] not in log + str(lines)
    assert len(memagent(home, "keys", "log", "--most", "1").splitlines()) == 1
    assert "Nothing" in memagent(home, "keys", "log", "--user", "other")


def test_whoever_did_it_is_named_by_name_and_number_whichever_door_it_came_through(
    server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    agent, http = server.agent(), server.http(server.key("phone"))
    http.patch(f"/v1/agents/{http.get('/v1/agents/').json()[0]['id']}", json={"description": "x"}).raise_for_status()
    http.patch(f"/api/agents/{agent}", json={"name": "eva"}).raise_for_status()
    log(most=10, user="", json=False)
    number = server.rows("SELECT id FROM keys")[0][0]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(f"by phone ({number}) from 127.0.0.1" in line for line in lines), lines
