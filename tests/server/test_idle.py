"""What the server does while nobody talks: the journal is written and facts are read, and whoever talks comes first."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from serving import Serving, make_home, served, until

TOLD = "My sister Kate visits me on Friday with her two dogs."
SCRIPT = """
- when: {forced: write_entry}
  call: write_entry
  delay: DELAY
  arguments:
    {entry: "The user told me that Kate visits on Friday.", highlights: [], quotes: [], commitments: [],
     action_items: [], dates: []}
- when: {}
  say: "I see."
"""


def home_with(folder: Path, delay: float = 0) -> Path:
    return make_home(folder, SCRIPT.replace("DELAY", str(delay)))


def talk(server: Serving, agent: str, *texts: str) -> None:
    for text in texts:
        server.heard(server.start(agent, text))


def journal(server: Serving) -> list[str]:
    return [row[0] for row in server.rows("SELECT entry FROM journal WHERE undone IS NULL ORDER BY id")]


def test_a_conversation_that_is_over_goes_into_the_journal_in_the_models_words(home: Path) -> None:
    home_with(home)
    with served(home, idle_minutes=0.01) as server:
        talk(server, server.agent(), TOLD)
        until(lambda: journal(server) == ["The user told me that Kate visits on Friday."])


@pytest.mark.slow
def test_one_who_talks_does_not_wait_for_it_and_it_is_done_later(home: Path) -> None:
    home_with(home, delay=1.2)
    with served(home, idle_minutes=0.01) as server:
        agent = server.agent()
        talk(server, agent, TOLD)
        until(lambda: len(journal(server)) == 1)  # a plain one, until the model has worded it
        begun = time.monotonic()
        talk(server, agent, "And I need a lamp, which must be here by Thursday.")
        assert time.monotonic() - begun < 1
        until(lambda: "The user told me that Kate visits on Friday." in journal(server))


@pytest.mark.slow
def test_what_a_server_has_left_undone_the_next_one_does(home: Path) -> None:
    home_with(home)
    with served(home) as server:
        talk(server, server.agent(), TOLD)
    time.sleep(0.7)
    with served(home, idle_minutes=0.01) as server:
        until(lambda: journal(server) == ["The user told me that Kate visits on Friday."])


def test_facts_are_read_after_a_turn_by_a_plain_reader(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_with(home)
    monkeypatch.setenv("MEMAGENT_FACTS", "on")
    with served(home, facts_provider="plain") as server:
        talk(server, server.agent(), "My name is Kate Miller.", "My favourite colour is green.")
        until(lambda: len(server.rows("SELECT 1 FROM facts")) > 0)


def test_reading_facts_by_the_model_that_talks_hangs_up_on_nobody_else(home: Path) -> None:
    script = """
- when: {kind: facts}
  delay: 0.2
  facts: []
- when: {}
  say: "one two three four five six seven eight"
  pace: 0.05
"""
    make_home(home, script)
    with served(home, facts="on") as server:
        agents = [server.agent(f"agent {number}") for number in range(4)]
        for _ in range(3):
            runs = [server.start(agent, "hello") for agent in agents]
            assert [server.heard(run)[-1].ending for run in runs] == ["done"] * 4
            time.sleep(0.05)


def test_an_agent_that_is_deleted_while_it_rests_disturbs_nothing(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    home_with(home)
    with served(home, idle_minutes=0.01) as server:
        gone, there = server.agent("gone"), server.agent("there")
        talk(server, gone, TOLD)
        with server.database.write() as tx:
            tx.run("DELETE FROM agents WHERE id = ?", gone)
        talk(server, there, TOLD)
        until(lambda: journal(server) == ["The user told me that Kate visits on Friday."])
    assert "Traceback" not in caplog.text
