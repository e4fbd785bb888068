"""Conversations with other programs in an agent's recall memory: there once, found, and in nobody's way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from loads import NOW, OWNER, Letters

from memagent import transfer
from memagent.errors import AgentBusy
from memagent.loading import CatchingUp, Tally
from memagent.loading.conversations import bring_in
from memagent.memory.core import Block, CoreMemory
from memagent.messages import answer, boot_messages, user_message
from memagent.persistence import PersistenceManager
from memagent.roster import Roster
from memagent.sources import Conversation, Said, Unreadable
from memagent.storage.sqlite import SqliteDatabase

THEN = datetime(2025, 3, 1, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Item:
    conversation: Conversation | str
    place: str = "an item"
    stamp: str = ""
    size: int = 0

    def read(self) -> Conversation:
        if isinstance(self.conversation, str):
            raise Unreadable(self.conversation)
        return self.conversation


@dataclass
class Export:
    conversations_: Sequence[Conversation | str]
    kind: str = "export"
    about: str = "a file"

    def conversations(self):
        return iter([Item(each) for each in self.conversations_])

    def close(self):
        pass


def talk(*texts: str, number: str = "1", title: str = "Lisbon", begin: datetime | None = THEN) -> Conversation:
    """What two say in turn, a minute apart."""
    said = [
        Said("assistant" if n % 2 else "user", text, when=begin + timedelta(minutes=n) if begin else None)
        for n, text in enumerate(texts)
    ]
    return Conversation(number, title, tuple(said))


@pytest.fixture
def database(tmp_path):
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


@pytest.fixture
def state(database):
    return opened(database, "Ada")


def opened(database, name, embedder=None):
    roster = Roster(database, OWNER)
    if not roster.exists(name):
        with database.write() as tx:
            agent = roster.make(tx, name, {}, "", NOW)
            CoreMemory(database, agent).create(tx, [Block("human", "x", 100)], "preset", NOW)
    return PersistenceManager(
        database, roster.find(name), embedder=embedder, clock=lambda: NOW, files=database.path.parent
    )


def load(state, *conversations):
    tally = Tally()
    for event in bring_in(state, Export(conversations), "ChatGPT"):
        tally.take(event)
    return {outcome: count for outcome, count in tally.outcomes.items() if count}, tally.passages


def said(state):
    rows = state.database.rows(
        "SELECT seq, said, place FROM messages WHERE agent = ? AND undone IS NULL AND said <> '' ORDER BY seq",
        state.entry.id,
    )
    numbers = state.database.rows("SELECT seq FROM messages WHERE agent = ? ORDER BY seq", state.entry.id)
    assert [row[0] for row in numbers] == list(range(1, len(numbers) + 1)), "numbers have no gap"
    return [(text, place) for _, text, place in rows]


def test_what_was_said_elsewhere_is_found_with_its_time_and_place(state):
    assert load(state, talk("Where is Graça?", "In Lisbon.")) == ({"new": 1}, 2)
    (found,) = state.recall.search("Graça").results
    assert (found.text, found.when, found.place, found.source) == ("Where is Graça?", THEN, "ChatGPT › Lisbon", "user")
    assert state.recall.search("Lisbon").results[0].source == "you"
    assert state.recall.search_dates(THEN.date(), THEN.date()).total == 2


def test_the_same_export_twice_is_there_once_and_a_longer_one_adds_what_is_new(state):
    both = [talk("a", "b"), talk("x", "y", number="2", title="Soup")]
    assert load(state, *both) == ({"new": 2}, 4)
    before = said(state)
    assert load(state, *both) == ({"unchanged": 2}, 0)
    assert said(state) == before
    assert load(state, talk("a", "b", "c", "d"), both[1]) == ({"changed": 1, "unchanged": 1}, 2)
    assert [text for text, _ in said(state)] == ["a", "b", "x", "y", "c", "d"]


def test_the_same_words_again_are_not_the_same_message(state):
    load(state, talk("yes", "ok", "yes"))
    assert load(state, talk("yes", "ok", "yes", "ok", "yes")) == ({"changed": 1}, 2)
    assert load(state, talk("yes", "ok", "yes", "ok", "yes")) == ({"unchanged": 1}, 0)


def test_an_answer_that_was_made_again_is_added(state):
    load(state, talk("Where?", "Here.", "Sure?", "Yes."))
    assert load(state, talk("Where?", "Here.", "Sure?", "No, there.")) == ({"changed": 1}, 1)


def test_conversations_of_one_title_are_told_apart(state):
    load(state, talk("hi", "hello", title="New chat"))
    later = THEN + timedelta(days=1)
    other = talk("hi", "hey", title="New chat", number="2", begin=later)
    assert load(state, other) == ({"new": 1}, 2)
    assert [place for _, place in said(state)][-1] == "ChatGPT › New chat (2)"
    assert load(state, other, talk("hi", "hello", "bye", title="New chat")) == ({"unchanged": 1, "changed": 1}, 1)
    assert said(state)[-1] == ("bye", "ChatGPT › New chat")


def test_what_has_no_time_was_said_around_what_has_one(state):
    undated = Conversation("1", "", (Said("user", "a"), Said("assistant", "b", when=THEN), Said("user", "c")))
    load(state, undated, talk("d", begin=None, title="x"))
    times = [row[0] for row in state.database.rows("SELECT created FROM messages ORDER BY seq")]
    assert times == [THEN.isoformat()] * 3 + [NOW.isoformat()]
    assert load(state, undated, talk("d", begin=None, title="x")) == ({"unchanged": 2}, 0)
    assert said(state)[0][1] == "ChatGPT › without a title"


def test_what_is_empty_or_no_text_and_what_no_database_takes(state):
    odd = Conversation("1", "A\0\n title" + "x" * 500, (Said("user", " \n"), Said("user", "\0one\udfff", "Zoë\0")))
    assert load(state, odd, "is broken", Conversation("2", "empty", ())) == (
        {"new": 1, "unreadable": 1, "unchanged": 1}, 1,
    )  # fmt: skip
    ((text, place),) = said(state)
    assert text == "\ufffdone\ufffd" and place.startswith("ChatGPT › A\ufffd titlexx") and len(place) < 150
    assert load(state, odd)[0] == {"unchanged": 1}


def test_the_window_the_chat_and_the_counts_are_as_before(state, database):
    state.begin([_message("hello")])
    state.answer(_answer("hi"), None)
    state.end("done")
    before = (list(state.window), state.log.last(20), Roster(database, OWNER).all()[0].last_talked)
    load(state, talk("Where is Graça?", "In Lisbon.", begin=NOW + timedelta(days=1)))
    assert (list(state.window), state.log.last(20), Roster(database, OWNER).all()[0].last_talked) == before
    assert Roster(database, OWNER).all()[0].messages == 4 == state.recall.total()
    fresh = opened(database, "Ada")
    assert fresh.window == before[0]
    assert fresh.undo_turn()[0] == "hello", "what was brought in after it stays"
    assert [text for text, _ in said(state)] == ["Where is Graça?", "In Lisbon."]
    assert load(state, talk("Where is Graça?", "In Lisbon."))[0] == {"new": 1}, "another time: another conversation"


def test_the_very_first_answer_is_still_due(state):
    """What an agent said elsewhere does not count as its first words here."""
    load(state, talk("a", "b"))
    assert not any(m.kind == "answer" for m in state.window)
    with state.database.write() as tx:
        state.log.append(tx, boot_messages(NOW, "More human than human.", "Thinking."), 0)
    assert [m.kind for m in opened(state.database, "Ada").window] == ["boot"] * 3


def test_while_a_turn_runs_nothing_is_brought_in(state, database):
    other = opened(database, "Ada")
    other.begin([_message("hello")])
    with pytest.raises(AgentBusy):
        load(state, talk("a", "b"))
    other.end("done")
    assert load(state, talk("a", "b"))[0] == {"new": 1}


def test_it_goes_where_the_agent_goes_and_with_it(state, database, tmp_path):
    load(state, talk("a", "b"))
    text = transfer.export(database, Roster(database, OWNER), "Ada")
    assert json.loads(text)["messages"][0]["place"] == "ChatGPT › Lisbon"
    elsewhere = SqliteDatabase(tmp_path / "other.db")
    transfer.read_in(elsewhere, OWNER, text)
    there = opened(elsewhere, "Ada")
    assert load(there, talk("a", "b", "c")) == ({"changed": 1}, 1), "it is known there too"
    elsewhere.close()
    Roster(database, OWNER).delete("Ada")
    assert database.rows("SELECT count(*) FROM messages") == [(0,)]


def test_what_was_said_is_embedded_at_once_or_later(database):
    embedder = Letters(away_at="a")
    state = opened(database, "Ada", embedder)
    tally = Tally()
    for event in bring_in(state, Export([talk("aaa", "eee")]), "ChatGPT"):
        tally.take(event)
    assert tally.outcomes["new"] == 1 and "memagent reindex" in tally.told[0]
    embedder.away_at = ""
    events = list(bring_in(opened(database, "Ada", embedder), Export([talk("aaa", "eee", "ooo")]), "ChatGPT"))
    assert [e for e in events if isinstance(e, CatchingUp)] == [CatchingUp(3, earlier=2)]
    assert sorted(embedder.asked) == ["aaa", "eee", "ooo"]
    assert database.rows("SELECT count(*) FROM messages_vectors") == [(3,)]


def test_agents_do_not_see_each_others(state, database):
    load(state, talk("a secret", "b"))
    other = opened(database, "Bob")
    assert other.recall.search("secret").total == 0
    assert load(other, talk("a secret", "b"))[0] == {"new": 1}


def test_a_long_export_is_stored_in_portions_that_stay(state, monkeypatch):
    many = [talk(*(f"{n} {m}" for m in range(30)), number=str(n), title=f"T{n}") for n in range(100)]
    events = bring_in(state, Export(many), "Claude")
    told = [next(events) for _ in range(34)]
    assert len(told) == 34
    events.close()
    assert 1000 <= len(said(state)) < 3000
    left, messages = load_as(state, many, "Claude")
    assert left["unchanged"] + left["new"] == 100 and len(said(state)) == 3000 and messages < 2001


def load_as(state, conversations, program):
    tally = Tally()
    for event in bring_in(state, Export(conversations), program):
        tally.take(event)
    return tally.outcomes, tally.passages


def _message(text):
    return user_message(text, NOW)


def _answer(text):
    return answer("", (), text, NOW)
