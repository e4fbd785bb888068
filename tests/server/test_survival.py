"""What other servers did not survive: one that stood still, functions that run wild, a model that crawls, a block that
is too long, and a call that nobody answers.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from serving import SCRIPT, Serving, in_a_process, make_home, served, until
from test_process import ask, in_the_background, posix, states

from memagent.events import Failed
from memagent.llm.script_file import read_script
from memagent.llm.script_server import serve
from memagent.storage.sqlite import SqliteDatabase

WILD = Path(__file__).parents[2] / "bench" / "functions" / "wild.py"
PRESET = "{system: chat, functions: [base, wild.go_wild]}"
GO_WILD = """
- when: {said: '^wild (.+)', after_calls: 0}
  call: go_wild
  arguments: {how: "{1}", word: well}
  heartbeat: true
- when: '^wild'
  say: "{result}"
"""
TOO_LONG = "x" * 200_001


def wild_home(folder: Path) -> Path:
    """A home with a function that goes wrong in any way that is asked for."""
    make_home(folder, GO_WILD + SCRIPT)
    for name in ("functions", "presets"):
        (folder / name).mkdir()
    shutil.copy(WILD, folder / "functions")
    (folder / "presets" / "wild.yaml").write_text(PRESET)
    return folder


def said(server: Serving) -> list[str]:
    return [row[0] for row in server.rows("SELECT said FROM messages WHERE said <> '' AND turn > 0 ORDER BY seq")]


@posix
@pytest.mark.slow
def test_a_server_that_stood_still_changes_nothing_that_another_one_took_over(home: Path) -> None:
    with in_a_process(home) as frozen:
        frozen.agent()
        thread = in_the_background(frozen, "ada", "silent")
        until(lambda: states(frozen)["running"] == 1)
        assert frozen.process
        frozen.process.send_signal(signal.SIGSTOP)
        with frozen.database.write() as tx:
            tx.run("UPDATE agents SET lease_until = 1")  # it stands still for that long
        with in_a_process(home) as other:
            assert ask(other, "ada", "note tea").status_code == 200
            taken = said(other)
            frozen.process.send_signal(signal.SIGCONT)
            thread.join()
            assert states(other) == {"interrupted": 1, "done": 1} and said(other) == taken
            assert ask(frozen, "ada", "again").status_code == ask(other, "ada", "more").status_code == 200
            assert said(other) == ["silent", "note tea", "Noted: tea", "again", "echo again", "more", "echo more"]
            assert isinstance(other.database, SqliteDatabase) and other.database.check() == []
            assert other.end() == frozen.end() == 0


def test_what_a_server_on_another_host_has_left_is_taken_over_when_it_is_silent_for_long(server: Serving) -> None:
    server.agent()
    ledger, entry = server.house.runs.ledger, server.entry()
    run, _ = ledger.add(entry, "", "say", {"text": "left behind"})
    with server.database.write() as tx:
        tx.run("UPDATE runs SET holder = 'elsewhere/1/1/1'")
    assert server.house.runs.take_up() == 0, "it may be at work"
    assert not ledger.end(run.id, "failed", "not ours"), "what another one sees to is no business of ours"
    with server.database.write() as tx:
        tx.run("UPDATE runs SET created = '2026-01-01T00:00:00+00:00'")
    told: list[str] = []
    follow = threading.Thread(target=lambda: told.append(server.http().post(f"/v1/runs/{run.id}/stream").text))
    follow.start()
    time.sleep(0.1)
    assert server.house.runs.take_up() == 1
    follow.join()
    assert "echo left behind" in told[0] and "end_turn" in told[0], "who asked for it is told when it is over"
    assert states(server) == {"done": 1} and said(server) == ["left behind", "echo left behind"]


def test_what_another_server_has_taken_over_is_not_done_here_too(server: Serving) -> None:
    agent = server.agent()
    server.start(agent, "slow 1")
    taken = server.start(agent, "two")
    with server.database.write() as tx:
        tx.run("UPDATE runs SET holder = 'elsewhere/1/1/1' WHERE id = ?", taken.id)
    told = server.heard(taken)
    assert isinstance(told[0], Failed) and "another server has taken" in told[0].message.lower()
    assert said(server) == ["slow 1", "slow 1"] and states(server) == {"done": 1, "queued": 1}


@posix
@pytest.mark.slow
def test_functions_that_run_wild_cost_one_call(tmp_path: Path) -> None:
    with in_a_process(wild_home(tmp_path / "home")) as server:
        server.agent(preset="wild")
        process = server.process
        assert process

        def went(how: str) -> str:
            return str(ask(server, "ada", f"wild {how}").json()["choices"][0]["message"]["content"])

        assert "crashed" in went("crash")
        assert "MemoryError" in went("burn") or "memory" in went("burn")
        assert "ended its process" in went("leave")
        assert "did not finish" in went("hang")
        assert "did not finish" in went("fork")
        assert len(went("fill")) < 20_000
        assert "well" in went("well")
        assert process.poll() is None
        assert children(process.pid) == []
        assert server.end() == 0


@posix
@pytest.mark.slow
def test_two_ctrl_c_in_the_middle_of_a_function_end_it_too_and_nobody_calls_it_again_unasked(tmp_path: Path) -> None:
    home = wild_home(tmp_path / "home")
    wild = home / "functions" / "wild.py"
    wild.write_text(wild.read_text().replace(', after_cut="retry"', "").replace("time_limit=3", "time_limit=60"))
    with in_a_process(home) as server:
        server.agent(preset="wild")
        assert server.process
        thread = in_the_background(server, "ada", "wild hang")
        until(lambda: bool(server.rows("SELECT 1 FROM calls WHERE state = 'started'")))
        until(lambda: children(server.process.pid if server.process else 0) != [])
        left = children(server.process.pid)
        begun = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert server.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 5
        thread.join()
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in left))
    with in_a_process(home) as server:
        until(lambda: states(server) == {"done": 1})
        assert "not known whether this happened" in said(server)[-1]


def children(process: int) -> list[int]:
    """The processes that one has started, and that have not ended."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, *_ = file.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == process and state != "Z":
            found.append(int(file.parent.name))
    return found


@pytest.mark.slow
def test_a_model_that_crawls_is_cancelled_at_once_and_can_not_hold_a_turn_for_ever(home: Path) -> None:
    crawls = [
        {"when": "^crawl", "say": "one two three", "pace": 10},
        {"when": "^slowly", "say": "one two three four five six seven eight", "pace": 0.4},
        {"when": {}, "say": "quick"},
    ]
    model = serve(read_script(crawls))
    with model, served(home, provider="openai", endpoint=model.url, model="scripted", turn_limit=1.0) as server:
        server.agent()
        agent = f"/v1/agents/{server.entry().id}/messages"
        for words in ("crawl", "crawl on"):
            thread = in_the_background(server, "ada", words)
            until(lambda: states(server)["running"] == 1)
            time.sleep(0.5)  # the model is asked
            begun = time.monotonic()
            assert list(server.http().post(f"{agent}/cancel", json={}).json().values()) == ["cancelled"]
            thread.join()
            assert time.monotonic() - begun < 1.5
        late = ask(server, "ada", "slowly")
        assert late.status_code == 502 and "took more than 1 seconds" in late.json()["detail"]
        assert ask(server, "ada", "hello").json()["choices"][0]["message"]["content"] == "quick"
        assert states(server) == {"interrupted": 2, "failed": 1, "done": 1}


def test_a_block_has_its_limit_at_every_door_and_one_that_is_over_it_can_be_read(server: Serving) -> None:
    agent, http = server.agent(), server.http()
    page, rest = f"/api/agents/{agent}", f"/v1/agents/agent-{agent}"
    human = f"{rest}/core-memory/blocks/human"
    shared = http.post("/v1/blocks/", json={"label": "shared", "value": "short", "limit": 100}).json()["id"]
    refused: list[tuple[str, str, Any]] = [
        ("PATCH", human, {"value": TOO_LONG}),
        ("PATCH", f"/v1/blocks/{shared}", {"value": TOO_LONG}),
        ("POST", "/v1/blocks/", {"label": "long", "value": TOO_LONG, "limit": 4000}),
        ("POST", "/v1/agents/", {"name": "long", "memory_blocks": [{"label": "human", "value": TOO_LONG}]}),
        ("POST", "/api/agents", {"name": "long", "words": {"human": TOO_LONG}}),
        ("PUT", f"{page}/blocks/human", {"value": TOO_LONG, "version": 1}),
    ]  # fmt: skip
    for method, path, body in refused:
        answer = http.request(method, path, json=body)
        assert answer.status_code in (400, 422) and "characters" in answer.json()["detail"], (path, answer.text)
    assert ask(server, "ada", f"note {TOO_LONG}").status_code in (200, 502)  # the agent is told, and can't either
    assert server.rows("SELECT max(length(value)) FROM blocks")[0][0] <= 2000
    assert server.rows("SELECT count(*) FROM agents") == [(1,)]
    with server.database.write() as tx:
        tx.run("UPDATE blocks SET value = ? WHERE label = 'human'", TOO_LONG)
        tx.run("UPDATE shared_blocks SET value = ?", TOO_LONG)
    for path in (f"{page}/blocks", f"{page}/edits", f"{page}/window", rest, human, f"{rest}/context", "/v1/blocks/",
                 f"/v1/blocks/{shared}", f"{rest}/export", f"{page}/export", "/v1/agents/"):  # fmt: skip
        assert http.get(path).status_code == 200, path
    assert ask(server, "ada", "hello").status_code in (200, 502)
    assert http.patch(human, json={"value": "short again"}).json()["value"] == "short again"


@posix
@pytest.mark.slow
def test_a_call_that_nobody_answers_is_listed_everywhere_and_keeps_nobody_from_talking(home: Path) -> None:
    with in_a_process(home) as server:
        server.agent(preset="extras")
        assert "May I call http_request" in ask(server, "ada", "fetch").text
        server.kill()
    with in_a_process(home) as server:
        http, agent = server.http(), server.entry().id
        rest = f"/v1/agents/agent-{agent}"
        [waiting] = http.get(f"/api/agents/{agent}").json()["waiting"]
        assert waiting["name"] == "http_request" and states(server) == {"waiting": 1}
        newest = http.get(f"{rest}/messages", params={"limit": 1}).json()[0]
        assert newest["message_type"] == "approval_request_message"
        assert ask(server, "ada", "never mind").json()["choices"][0]["message"]["content"] == "echo never mind"
        assert http.get(f"/api/agents/{agent}").json()["waiting"] == []
        late = {"call_id": waiting["call_id"], "digest": waiting["digest"], "approve": True}
        http.post(f"/api/agents/{agent}/decide", json=late)  # too late: it is told so, and calls nothing
        until(lambda: states(server)["failed"] == 1)
        assert ask(server, "ada", "fetch").status_code == 200
        [waiting] = http.get(f"/api/agents/{agent}").json()["waiting"]
        answer = {"call_id": waiting["call_id"], "digest": waiting["digest"], "approve": False}
        http.post(f"/api/agents/{agent}/decide", json=answer)
        until(lambda: "did not allow" in said(server)[-1])
        assert server.rows("SELECT count(*) FROM calls") == [(0,)]
