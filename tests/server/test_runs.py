"""Turns of the server: their order, how they are followed and found again, and how they are ended."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from serving import Serving, served, until

from memagent.errors import AgentBusy, NotFound
from memagent.events import Delta, Failed, Reply, TurnEnded, TurnStarted
from memagent.server import channel, runs
from memagent.server.problems import Refused


def said(server: Serving, agent: str) -> list[str]:
    """What is stored of a conversation, in its order."""
    rows = server.rows("SELECT said FROM messages WHERE agent = ? AND turn > 0 AND said <> '' ORDER BY seq", agent)
    return [row[0] for row in rows]


def states(server: Serving, agent: str) -> list[str]:
    return [row[0] for row in server.rows("SELECT state FROM runs WHERE agent = ? ORDER BY created", agent)]


def test_a_run_is_told_as_it_happens_and_again_when_it_is_over(server: Serving) -> None:
    run = server.start(server.agent(), "note likes tea")
    live = server.heard(run)
    run.over.wait(5)
    later = server.heard(server.house.runs.find("local", run.id))
    assert isinstance(live[0], TurnStarted) and isinstance(live[-1], TurnEnded)
    assert live[-1].ending == "done" and live[-1].steps == 2
    assert [event for event in live if not isinstance(event, Delta)] == later


def test_runs_of_one_agent_keep_their_order_and_wait_for_each_other(server: Serving) -> None:
    agent = server.agent()
    begun = [server.start(agent, f"slow {number}") for number in range(4)]
    assert [server.heard(run)[-1].ending for run in reversed(begun)] == ["done"] * 4
    expected = [line for number in range(4) for line in (f"slow {number}", f"slow {number}")]
    assert said(server, agent) == expected


def test_many_agents_talk_at_once_each_in_its_own_order(server: Serving) -> None:
    agents = [server.agent(f"agent {number}") for number in range(8)]
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        lists = pool.map(lambda agent: [server.start(agent, f"slow {n}") for n in range(3)], agents)
        all_runs = [run for each in lists for run in each]
    for run in all_runs:
        run.over.wait(20)
    assert time.monotonic() - begun < 8 * 3 * 0.3, "they waited for each other"
    for agent in agents:
        assert said(server, agent)[::2] == ["slow 0", "slow 1", "slow 2"]
        assert states(server, agent) == ["done"] * 3


def test_one_that_does_not_wait_is_told_that_the_agent_is_busy(server: Serving) -> None:
    agent = server.agent()
    first = server.start(agent, "slow 1")
    with ThreadPoolExecutor(4) as pool:
        tried = [pool.submit(server.start, agent, "me too", waits=False) for _ in range(4)]
        for each in tried:
            with pytest.raises(AgentBusy):
                each.result()
    server.heard(first)
    assert server.heard(server.start(agent, "now", waits=False))[-1].ending == "done"


def test_only_one_of_many_that_do_not_wait_gets_in(server: Serving) -> None:
    agent = server.agent()
    with ThreadPoolExecutor(8) as pool:
        tried = [pool.submit(server.start, agent, f"slow {n}", waits=False) for n in range(8)]
    failures = [each.exception() for each in tried]
    assert sum(failure is None for failure in failures) == 1
    assert len(states(server, agent)) == 1


def test_so_many_wait_and_no_more(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_WAITING", 3)
    agent = server.agent()
    for number in range(4):
        server.start(agent, f"slow {number}")
    with pytest.raises(AgentBusy):
        server.start(agent, "one too many")


def test_the_same_otid_is_the_same_run_also_while_it_is_busy_and_when_it_is_over(server: Serving) -> None:
    agent = server.agent()
    first = server.start(agent, "slow 1", otid="a")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: server.start(agent, "slow 1", otid="a", waits=False), range(4)))
    assert all(run is first for run in again)
    events = server.heard(first)
    later = server.start(agent, "slow 1", otid="a")
    assert later.id == first.id and server.heard(later)[-1] == events[-1]
    assert server.start(server.agent("bob"), "slow 1", otid="a").id != first.id, "another agent's is another run"
    assert said(server, agent) == ["slow 1", "slow 1"]
    runs = [server.start(agent, "long", otid="a" * length) for length in (300, 301)]
    assert runs[0].id != runs[1].id, "two that begin alike are two"
    server.heard(runs[1])


def test_one_who_looks_on_and_leaves_stops_nothing(server: Serving) -> None:
    agent = server.agent()
    with server.http().stream(
        "POST", "/v1/chat/completions",
        json={"model": "ada", "stream": True, "messages": [{"role": "user", "content": "words"}]},
    ) as response:  # fmt: skip
        run = response.headers["x-memagent-run"]
        next(response.iter_lines())
    until(lambda: server.house.runs.find("local", run).over.is_set())
    assert said(server, agent)[-1].startswith("one two three")


def test_a_run_is_found_by_its_id_by_nobody_but_its_owner(server: Serving) -> None:
    run = server.start(server.agent(), "slow 1")
    assert server.house.runs.find("local", run.id) is run
    for owner, id_ in (("other", run.id), ("local", "run-none"), ("local", "\udcff")):
        with pytest.raises(NotFound):
            server.house.runs.find(owner, id_)
    server.heard(run)
    assert server.heard(server.house.runs.find("local", run.id))[-1].ending == "done"


def test_one_who_comes_back_too_late_for_the_line_is_told_from_storage(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel.Channel.__init__, "__defaults__", (3,))  # so few events stay
    run = server.start(server.agent(), "words")
    time.sleep(0.1)
    heard = server.heard(run)
    assert [event.text for event in heard if isinstance(event, Reply)] == ["one two three four five six seven eight"]
    assert heard[-1].ending == "done"


def test_a_turn_of_long_ago_is_told_however_much_was_said_since(server: Serving) -> None:
    run = server.start(agent := server.agent(), "note likes tea")
    before = [event for event in server.heard(run) if not isinstance(event, Delta)]
    with server.database.write() as tx:
        tx.put_many(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(agent, 1000 + n, 99, "user", "user", "{}", "2026-01-01T00:00:00+00:00") for n in range(2500)],
        )
    assert server.heard(server.house.runs.find("local", run.id)) == before
    [plan] = server.rows("EXPLAIN QUERY PLAN SELECT content FROM messages WHERE agent = ? AND turn = ?", agent, 1)
    assert "messages_turn" in plan[-1]


def test_a_run_of_another_server_goes_on_and_is_told_when_it_is_over(home: Path, server: Serving) -> None:
    agent = server.agent()
    with served(home) as other:
        run = other.start(agent, "silent please", otid="a")
        until(lambda: states(server, agent) == ["running"])
        found = server.start(agent, "silent please", otid="a")
        assert found.id == run.id and not found.over.is_set()
        with pytest.raises(AgentBusy, match="Another server"):
            server.house.runs.cancel(found)
        place, named = f"/v1/agents/agent-{agent}/messages/cancel", {"run_ids": [run.id]}
        assert server.http().post(place, json=named).status_code == 409
        heard = server.heard(found)
        assert [event.text for event in heard if isinstance(event, Reply)] == ["At last."]
        assert heard[-1].ending == "done"


def test_after_a_restart_a_run_is_found_and_numbers_go_on(home: Path) -> None:
    with served(home) as server:
        agent = server.agent()
        run = server.start(agent, "note likes tea")
        before = [event for event in server.heard(run) if not isinstance(event, Delta)]
        number = server.house.runs.channel(agent).last
    with served(home) as server:
        assert server.heard(server.house.runs.find("local", run.id)) == before
        assert server.house.runs.channel(agent).last > number


@pytest.mark.slow
def test_a_turn_that_waits_for_a_silent_model_is_cancelled_at_once_and_stores_nothing_later(server: Serving) -> None:
    agent = server.agent()
    run = server.start(agent, "silent please")
    until(lambda: states(server, agent) == ["running"])
    begun = time.monotonic()
    events = server.heard(run, after=lambda: server.house.runs.cancel(run))
    assert time.monotonic() - begun < 1
    assert isinstance(events[-2], Failed) and events[-1].ending == "interrupted"
    assert server.heard(server.start(agent, "hello"))[-1].ending == "done"
    time.sleep(1.5)  # the model speaks at last
    assert said(server, agent) == ["silent please", "hello", "echo hello"]
    assert states(server, agent) == ["interrupted", "done"]
    assert [event for event in server.heard(server.house.runs.find("local", run.id)) if isinstance(event, Failed)]


def test_a_run_that_waits_is_cancelled_without_ever_beginning(server: Serving) -> None:
    agent = server.agent()
    first, second = server.start(agent, "slow 1"), server.start(agent, "never")
    server.house.runs.cancel(second)
    assert server.heard(second)[-1].ending == "interrupted"
    assert server.heard(first)[-1].ending == "done"
    assert "never" not in said(server, agent) and states(server, agent) == ["done", "interrupted"]


def test_a_turn_that_streams_is_cancelled_and_what_was_finished_is_kept(server: Serving) -> None:
    agent = server.agent()
    run = server.start(agent, "words")
    events = server.heard(run, after=lambda: server.house.runs.cancel(run))
    assert events[-1].ending == "interrupted" and said(server, agent) == ["words"]
    assert server.house.residents.agent(server.entry()).state.unfinished() == ""


def test_what_went_wrong_is_told_later_too(server: Serving) -> None:
    run = server.start(server.agent(), "fail")
    live = server.heard(run)
    run.over.wait(5)
    later = server.heard(server.house.runs.find("local", run.id))
    assert [e.message for e in live if isinstance(e, Failed)] and live[-1].ending == later[-1].ending == "failed"
    assert "no way" in next(e.message for e in later if isinstance(e, Failed))


def test_an_agent_that_is_deleted_fails_its_runs_and_nothing_else(server: Serving) -> None:
    agent = server.agent()
    server.start(agent, "slow 1")
    waiting = server.start(agent, "slow 2")
    with server.database.write() as tx:
        tx.run("DELETE FROM agents WHERE id = ?", agent)
    assert waiting.over.wait(5)
    assert server.heard(server.start(server.agent("bob"), "hello"))[-1].ending == "done"


def test_a_server_that_stops_lets_turns_end_and_begins_none(home: Path) -> None:
    with served(home) as server:
        agent = server.agent()
        both = [server.start(agent, f"slow {n}") for n in range(2)]
        until(lambda: states(server, agent)[0] == "running")
        house = server.house
        entry = server.entry()
    assert [run.over.is_set() for run in both] == [True, False]
    with pytest.raises(Refused) as refused:
        house.runs.start(entry, "say", {"text": "too late"})
    assert refused.value.status == 503
    with served(home) as server:
        assert states(server, agent)[0] == "done"
        until(lambda: states(server, agent) == ["done", "done"])
        assert said(server, agent) == ["slow 0", "slow 0", "slow 1", "slow 1"]


@pytest.mark.slow
def test_a_turn_that_a_stop_cuts_goes_on_at_the_next_start(home: Path) -> None:
    with served(home, stop_seconds=0.1) as server:
        agent = server.agent()
        run = server.start(agent, "silent please")
        until(lambda: states(server, agent) == ["running"])
    with served(home) as server:
        until(lambda: states(server, agent) == ["done"])
        assert server.heard(server.house.runs.find("local", run.id))[-1].ending == "done"
        assert said(server, agent) == ["silent please", "At last."]


def test_what_is_over_leaves_the_line_after_a_while_whoever_looks(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "REMEMBERED", 0.1)
    line = server.house.runs.channel(server.agent())
    line.lookers += 1
    run = server.start(server.entry().id, "hello")
    assert server.heard(run)[-1].ending == "done"

    def gone() -> bool:
        with suppress(channel.Gone):
            return not line.since(run.first)
        return True

    until(gone)
    assert line.since(line.last) == [] and server.heard(run)[-1].ending == "done"


@pytest.mark.slow
def test_turns_that_a_stop_cuts_in_the_middle_of_a_word_go_on_too(home: Path) -> None:
    with served(home, stop_seconds=0.0) as server:
        agents = [server.agent(f"agent {number}") for number in range(8)]
        for agent in agents:
            server.start(agent, "words")
        until(lambda: all(states(server, agent) == ["running"] for agent in agents))
    with served(home) as server:
        until(lambda: all(states(server, agent) == ["done"] for agent in agents))
