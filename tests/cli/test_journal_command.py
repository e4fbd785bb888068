"""The journal as people meet it: written as they leave or come back, read by a command and in the chat."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import MEMAGENT, Memagent

pytest.importorskip("pty", reason="it needs a pseudo-terminal")
from terminal import CTRL_C, CTRL_D, Terminal

from memagent import config
from memagent.assemble import local_time, open_database
from memagent.facts import Cause, Fact
from memagent.facts.ledger import Ledger, keeper

Open = Callable[..., Terminal]
TOLD = "my sister Kate visits me on Friday with her two dogs"
ENTRY = {
    "entry": "The user told me that their sister Kate visits.", "highlights": ["Kate visits"], "quotes": [TOLD],
    "commitments": [], "action_items": [], "dates": [], "done": [],
}  # fmt: skip


def script(**entry: Any) -> str:
    form = {"when": {"forced": "write_entry"}, "call": "write_entry", "arguments": ENTRY, **entry}
    return json.dumps([form, {"when": {"kind": "login"}, "say": "Welcome!"}, {"when": {}, "say": "I see."}])


@pytest.fixture
def chat(home: Path, environment: dict[str, str]) -> Open:
    (home / "script.yaml").write_text(script())

    def opened(*words: str, **more: str) -> Terminal:
        return Terminal(["run", *words], {**environment, **more})

    return opened


def entries(memagent: Memagent) -> list[Any]:
    found: list[Any] = json.loads(memagent("journal", "--json").out)
    return found


def test_who_leaves_finds_the_conversation_in_the_journal(chat: Open, memagent: Memagent) -> None:
    with chat() as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        terminal.say("/journal")
        terminal.expect("There is no entry yet.")
        terminal.say("goodbye")
        assert terminal.ended() == 0
    (entry,) = entries(memagent)
    assert entry["text"] == ENTRY["entry"] and not entry["plain"] and entry["quotes"][0]["text"] == TOLD
    shown = memagent("journal", "companion", "show", str(entry["id"])).out
    for line in (ENTRY["entry"], "Highlights:", "- Kate visits", f'user: "{TOLD}"', f"User: {TOLD}", "I said: I see."):
        assert line in shown
    assert memagent("journal", "show", str(entry["id"])).out == shown, "the only agent need not be named"
    with chat() as terminal:
        terminal.expect("> ")
        terminal.say("/journal")
        terminal.expect("sister Kate visits.")
        terminal.say("/contextwindow")
        terminal.expect("waking")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    assert len(entries(memagent)) == 1


@pytest.mark.slow
def test_who_comes_back_a_week_later_is_greeted_with_what_was_told(chat: Open, home: Path, memagent: Memagent) -> None:
    knows = {"when": {"kind": "login", "system": r"(?s)<waking.*their sister (\w+) visits"}, "say": "How is {1}?"}
    (home / "script.yaml").write_text(json.dumps([knows, *json.loads(script())]))
    with chat() as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        terminal.say("bye")
        assert terminal.ended() == 0

    def opened() -> str:
        with chat() as terminal:
            terminal.expect("> ")
            terminal.say("/exit")
            assert terminal.ended() == 0
            return terminal.seen

    a_week_passes(home)
    assert "How is Kate?" in opened()
    assert "How is Kate?" not in opened()


def a_week_passes(home: Path) -> None:
    with sqlite3.connect(home / "memagent.db") as database:
        for number, created in database.execute("SELECT seq, created FROM messages").fetchall():
            earlier = datetime.fromisoformat(created) - timedelta(days=7)
            database.execute("UPDATE messages SET created = ? WHERE seq = ?", (earlier.isoformat(), number))
    database.close()


@pytest.mark.slow
def test_ctrl_c_leaves_at_once_and_the_entry_comes_later(chat: Open, home: Path, memagent: Memagent) -> None:
    (home / "script.yaml").write_text(script(delay=30))
    with chat() as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        terminal.say("bye")
        terminal.expect("Writing the journal; Ctrl-C leaves at once")
        terminal.send(CTRL_C)
        since = time.monotonic()
        terminal.expect("worded the next time")
        assert terminal.ended() == 0 and time.monotonic() - since < 5
        assert "Traceback" not in terminal.seen
    (entry,) = entries(memagent)
    assert entry["plain"] and TOLD in entry["text"]
    assert "plain: made without a model" in memagent("journal").out
    (home / "script.yaml").write_text(script())
    with chat() as terminal:
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    (better,) = entries(memagent)
    assert better["id"] == entry["id"] and better["text"] == ENTRY["entry"]


def test_what_a_killed_process_leaves_is_found_at_the_next_start(chat: Open, memagent: Memagent) -> None:
    with chat() as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        terminal.expect("> ")
        terminal.kill(9)
    assert entries(memagent) == []
    with chat() as terminal:
        terminal.expect("> ")
        terminal.say("/journal")
        terminal.expect(TOLD)
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    assert [entry["text"] for entry in entries(memagent)] == [ENTRY["entry"]]


@pytest.mark.slow
def test_silence_lets_the_entry_be_written_while_nobody_waits(chat: Open, memagent: Memagent) -> None:
    with chat(MEMAGENT_IDLE_MINUTES="0.02") as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        until = time.monotonic() + 20
        while not (found := [e for e in entries(memagent) if not e["plain"]]) and time.monotonic() < until:
            time.sleep(0.3)
        assert [entry["text"] for entry in found] == [ENTRY["entry"]]
        terminal.say("still there?")
        terminal.expect("I see.")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0


def test_it_can_be_turned_off(chat: Open, memagent: Memagent) -> None:
    with chat(MEMAGENT_JOURNAL="off") as terminal:
        terminal.expect("Welcome!")
        terminal.say(TOLD)
        terminal.expect("I see.")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    assert entries(memagent) == []


def test_it_is_written_when_asked_for(home: Path, memagent: Memagent) -> None:
    (home / "script.yaml").write_text(script())
    assert "There are none yet" in memagent("journal").err
    assert memagent("ask", TOLD).code == 0
    assert "memagent journal AGENT write" in memagent("journal").out
    assert ENTRY["entry"] in memagent("journal", "companion", "write").out
    assert memagent("journal", "write").out == "There is nothing to write.\n"
    assert memagent("journal", "companion", "--since", "2000-01-01", "--until", "2000-01-02", "--json").out == "[]\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("companion", "show"), "Which entry?"),
        (("companion", "show", "77"), "There is no journal entry 77."),
        (("companion", "burn"), "'burn' is nothing that can be done"),
        (("nobody",), "There is no agent 'nobody'"),
        (("companion", "--since", "yesterday"), "is not a day"),
        (("companion", "--since", "2026-02-02", "--until", "2026-01-01"), "is after"),
    ],
)
def test_what_is_wrong_is_told(memagent: Memagent, words: tuple[str, ...], says: str) -> None:
    memagent("ask", "hello")
    done = memagent("journal", *words)
    assert done.code == 2 and says in done.err


def test_a_chat_through_a_pipe_leaves_an_entry_too(home: Path, environment: dict[str, str], memagent: Memagent) -> None:
    (home / "script.yaml").write_text(script())
    done = subprocess.run(
        [*MEMAGENT, "run"],
        env=environment,
        cwd=home,
        input=f"{TOLD}\nexit\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert [entry["plain"] for entry in entries(memagent)] == [False]


# Tidying --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def untidy(home: Path, memagent: Memagent) -> None:
    """An agent that was told something, and facts that say the same or are over."""
    (home / "script.yaml").write_text(script())
    memagent("ask", TOLD)
    database = open_database(config.load({}))
    now = local_time()
    ledger = Ledger(database, keeper(database, "local", None, now))
    with database.write() as tx:
        for text, until in (("Likes tea.", None), ("likes tea", None), ("Is away.", "2020-01-01")):
            ledger.learn(tx, Fact(text, now, until=until, cause=Cause("talk")), now)
    database.close()


@pytest.mark.usefixtures("untidy")
def test_memory_is_tidied_and_all_of_it_taken_back(memagent: Memagent) -> None:
    looked = memagent("tidy", "--dry-run").out
    assert '"Is away." held until 2020-01-01, and is past.\n' in looked and "2 changes; nothing was changed." in looked
    refused = memagent("tidy")
    assert refused.code == 2 and "Give --yes" in refused.err
    done = memagent("tidy", "companion", "--yes").out
    assert "is merged with it" in done and "2 changes. memagent tidy --undo takes them back." in done
    assert memagent("tidy", "--yes").out == "There is nothing to tidy.\n"
    assert memagent("tidy", "--undo").out.count("Taken back: ") == 2
    assert memagent("tidy", "--undo").out == "There is no tidying left to take back.\n"
    steps = json.loads(memagent("tidy", "--json").out)
    assert [step["kind"] for step in steps] == ["expired facts", "duplicate facts"]
    assert "don't go together" in memagent("tidy", "--undo", "--dry-run").err


@pytest.mark.usefixtures("untidy")
def test_without_a_model_only_facts_are_tidied(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_PROVIDER", "openai")
    done = memagent("tidy", "--yes")
    assert "There is no model within reach" in done.err and "2 changes" in done.out


@pytest.mark.slow
@pytest.mark.usefixtures("untidy")
def test_silence_lets_memory_be_tidied_if_that_is_wanted(chat: Open, memagent: Memagent) -> None:
    with chat(MEMAGENT_IDLE_MINUTES="0.01", MEMAGENT_TIDY="on") as terminal:
        terminal.expect("> ")
        until = time.monotonic() + 20
        while memagent("tidy", "--dry-run").out != "There is nothing to tidy.\n" and time.monotonic() < until:
            time.sleep(0.3)
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
    assert memagent("tidy", "--undo").out.count("Taken back: ") == 2
