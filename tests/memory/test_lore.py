"""Lore comes to mind when it is called: by its keys, whatever else must hold, within its budget, and while its note is
there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.errors import StorageError
from memagent.memory.archival import ArchivalMemory
from memagent.memory.log import MessageLog
from memagent.memory.lore import HEADING, Lore, LoreBook, Trigger, keep, keys_that_cannot_match, trigger_of
from memagent.messages import Message, answer, estimate, user_message
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ROOM = 500

Reminded = Callable[..., list[str]]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


@pytest.fixture
def agent(db: SqliteDatabase) -> str:
    with db.write() as tx:
        return Roster(db, "me").make(tx, "ada", {}, "You are.", NOW)


def added(db: SqliteDatabase, agent: str, *pieces: Lore) -> list[int]:
    with db.write() as tx:
        return keep(tx, db, agent, pieces, "card Ada", NOW)


def talk(*said: str) -> list[Message]:
    """What a user and an agent said in turn."""
    return [
        replace(answer(text, (), text, NOW) if number % 2 else user_message(text, NOW), seq=number + 1)
        for number, text in enumerate(said)
    ]


@pytest.fixture
def reminded(db: SqliteDatabase, agent: str) -> Reminded:
    def remind(pieces: list[Lore], *said: str, room: int = ROOM) -> list[str]:
        added(db, agent, *pieces)
        found = LoreBook(db, agent).remind(talk(*said), room)
        assert found[:1] in ([], [HEADING])
        return list(found[1:])

    return remind


def lore(text: str, *keys: str, **given: Any) -> Lore:
    return Lore(text, Trigger(keys, **given))


ELDORIA = lore("Eldoria is a wood.", "Eldoria")


@pytest.mark.parametrize(
    ("key", "said", "called"),
    [
        ("dragon", "A DRAGON!", True),
        ("dragon", "Two dragons", True),
        ("dragon", "the dragon's tail", True),
        ("elf", "It hid itself.", False),
        ("elf", "an elf, tall", True),
        ("cat", "concatenate", False),
        ("magical forest", "a magical forest glade", True),
        ("C++", "I write C++ now", True),
        ("東京", "昨日東京へ行った", True),
        ("용", "용은 크다", True),
        ("straße", "Die STRASSE", True),
        ("", "anything", False),
        ("  ", "any  thing", False),
        ("/dra[gk]on/", "a drakon", True),
        ("(.*)", "a smile (.*) indeed", True),
    ],
)
def test_a_key_is_a_whole_word(reminded: Reminded, key: str, said: str, called: bool) -> None:
    assert bool(reminded([lore("Text.", key)], said)) is called


def test_only_what_was_said_last_is_looked_through(reminded: Reminded) -> None:
    said = ["Eldoria?", "Yes.", "And now?", "Well.", "So."]
    assert not reminded([ELDORIA, lore("Deep.", "Eldoria", depth=0)], *said)
    assert reminded([lore("Near.", "Eldoria", depth=5)], *said) == ["Near."]


def test_what_else_must_hold(reminded: Reminded) -> None:
    pieces = [
        lore("any", "wolf", secondary=("moon", "night")),
        lore("all", "wolf", secondary=("moon", "night"), logic="all"),
        lore("not any", "wolf", secondary=("moon", "night"), logic="not any"),
        lore("not all", "wolf", secondary=("moon", "night"), logic="not all"),
        lore("also", "wolf", also=(("moon", "sun"), ("wolf",))),
        lore("never", "wolf", never=("moon",)),
        lore("exact", "Wolf", case_sensitive=True),
        lore("anywhere", "wol", whole=False),
        lore("as text", "/wolf/", regex=False),
        lore("always", constant=True),
        lore("late", "wolf", after=1),
        lore("by chance", "wolf", chance=0),
    ]
    assert reminded(pieces, "a wolf") == ["not any", "not all", "never", "anywhere", "always"]
    assert reminded([], "a wolf and the moon") == ["any", "not all", "also", "anywhere", "always"]


def test_it_counts_how_often_the_agent_spoke(db: SqliteDatabase, agent: str, reminded: Reminded) -> None:
    pieces = [lore("after two", constant=True, after=2), lore("every second", constant=True, every=2)]
    assert reminded(pieces, "hello") == ["every second"]
    with db.write() as tx:
        MessageLog(db, agent).append(tx, talk("a", "b", "c", "d"), 1)
    assert reminded([], "hello") == ["after two", "every second"]


def test_one_piece_brings_another_if_its_book_wants_that(reminded: Reminded) -> None:
    chain = [
        lore("Eldoria has a lake.", "Eldoria", recursive=True, hidden="Shadowfang"),
        lore("The lake is bitter, ask Nim.", "lake", recursive=True),
        lore("Nim is old.", "Nim"),
        lore("They are wolves.", "Shadowfang"),
        lore("It is far.", "far"),
    ]
    assert reminded(chain, "Eldoria?") == [piece.text for piece in chain[:4]]
    assert reminded([replace(ELDORIA, text="A lake too.")], "Where is the lake") == [chain[1].text, chain[2].text]


def test_a_circle_comes_to_an_end(reminded: Reminded) -> None:
    circle = [lore("b", "a", recursive=True), lore("a", "b", recursive=True)]
    assert reminded(circle, "a") == ["b", "a"]


def test_the_budget_keeps_what_matters_in_the_order_of_the_book(reminded: Reminded) -> None:
    pieces = [
        lore("low " * 40, "x", priority=1, order=3),
        lore("high " * 40, "x", priority=9, order=2),
        lore("middle " * 20, "x", priority=5, order=1),
        lore("always", constant=True, order=4),
    ]
    told = reminded(pieces, "x", room=110)
    assert [text.split()[0] for text in told] == ["middle", "high", "always"]


def test_a_book_has_a_budget_of_its_own(reminded: Reminded) -> None:
    pieces = [lore("word " * 20, "x", budget=30, order=1), lore("wort " * 20, "x", budget=30, order=2)]
    assert len(reminded(pieces, "x")) == 1


@given(st.lists(st.text(max_size=200), max_size=6), st.integers(0, 100))
def test_it_never_says_more_than_there_is_room_for(texts: list[str], room: int) -> None:
    from memagent.memory.lore import _within

    told = _within([Lore(text, Trigger(constant=True), n) for n, text in enumerate(texts)], room)
    assert sum(estimate(piece.text) + 1 for piece in told) <= room


def test_it_is_a_note_with_its_source_and_goes_with_it(db: SqliteDatabase, agent: str) -> None:
    (note,) = added(db, agent, replace(ELDORIA, trigger=Trigger(("Eldoria", "x" * 90, "Eldoria"))))
    archival = ArchivalMemory(db, agent, None)
    (found,) = archival.search("wood").results
    assert (found.source, found.id, found.tags[:2]) == ("card Ada", note, ("lore", "Eldoria"))
    assert LoreBook(db, agent).remind(talk("Eldoria?"), ROOM)
    with db.write() as tx:
        archival.delete(tx, note)
    assert not LoreBook(db, agent).remind(talk("Eldoria?"), ROOM)


def test_nobody_else_has_it_and_it_goes_with_its_agent(db: SqliteDatabase, agent: str) -> None:
    added(db, agent, ELDORIA)
    with db.write() as tx:
        other = Roster(db, "me").make(tx, "bo", {}, "", NOW)
    assert not LoreBook(db, other).remind(talk("Eldoria?"), ROOM)
    Roster(db, "me").delete("ada")
    assert db.rows("SELECT * FROM lore") == []


def test_damage_in_the_database_is_named(db: SqliteDatabase, agent: str) -> None:
    added(db, agent, ELDORIA)
    with db.write() as tx:
        tx.run("UPDATE lore SET called_by = ?", json.dumps({"keys": 3}))
    with pytest.raises(StorageError, match="Lore is damaged"):
        LoreBook(db, agent).remind(talk("Eldoria?"), ROOM)


def test_keys_that_no_pattern_can_be_are_told() -> None:
    pieces = [lore("a", "/(?=x)/", "(", "/ok/"), lore("b", "(", regex=True), lore("c", "(", "/(/", regex=False)]
    assert list(keys_that_cannot_match(pieces)) == ["/(?=x)/", "("]


@given(st.builds(Trigger, keys=st.tuples(st.text()), also=st.tuples(st.tuples(st.text())), hidden=st.text()))
def test_a_trigger_comes_back_as_it_was(trigger: Trigger) -> None:
    from dataclasses import asdict

    assert trigger_of(json.dumps(asdict(trigger))) == trigger
