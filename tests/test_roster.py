"""The roster: agents by name, each in one spelling, each with its owner, and nothing that a name can break."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from memagent.errors import NotFound, StorageError, UserError
from memagent.memory.core import Block, CoreMemory
from memagent.memory.log import MessageLog
from memagent.messages import user_message
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


@pytest.fixture
def roster(db: SqliteDatabase) -> Roster:
    return Roster(db, "me")


def make(db: SqliteDatabase, roster: Roster, name: str) -> str:
    with db.write() as tx:
        return roster.make(tx, name, {"preset": "chat", "n": [1, "é"]}, "You are.", NOW)


def test_what_was_made_is_found_as_it_was(db: SqliteDatabase, roster: Roster) -> None:
    agent = make(db, roster, "Ada")
    entry = roster.find("Ada")
    assert (entry.id, entry.owner, entry.name, entry.created) == (agent, "me", "Ada", NOW)
    assert (entry.settings, entry.system, entry.last_login) == ({"preset": "chat", "n": [1, "é"]}, "You are.", None)
    with db.write() as tx:
        roster.change(tx, agent, {"preset": "other"})
        MessageLog(db, agent).append(tx, [user_message("hello", NOW)] * 3, 1)
    assert roster.find("Ada").settings == {"preset": "other"}
    assert [(e.name, e.messages) for e in roster.all()] == [("Ada", 3)]


def test_the_list_is_by_name(db: SqliteDatabase, roster: Roster) -> None:
    for name in ("Carl", "Ada", "Bob"):
        make(db, roster, name)
    assert [entry.name for entry in roster.all()] == ["Ada", "Bob", "Carl"]


def test_a_name_that_is_not_there_is_helped_with(db: SqliteDatabase, roster: Roster) -> None:
    with pytest.raises(NotFound, match="no agent 'Ada'") as caught:
        roster.find("Ada")
    assert "memagent run" in caught.value.hint
    make(db, roster, "Alexandra")
    make(db, roster, "Bob")
    with pytest.raises(NotFound) as caught:
        roster.find("Alexandar")
    assert caught.value.hint == "Did you mean 'Alexandra'? There are: Alexandra, Bob."
    with pytest.raises(NotFound) as caught:
        roster.find("Q" * 10_000)
    assert len(str(caught.value)) < 300


def test_two_of_one_name_are_refused(db: SqliteDatabase, roster: Roster) -> None:
    make(db, roster, "Ada")
    make(db, roster, "Bob")
    with pytest.raises(UserError, match="'Ada' already"):
        make(db, roster, "Ada")
    with pytest.raises(UserError, match="'Ada' already"):
        roster.rename("Bob", "Ada")
    assert [entry.name for entry in roster.all()] == ["Ada", "Bob"]


def test_one_name_has_one_spelling(db: SqliteDatabase, roster: Roster) -> None:
    composed, apart = (unicodedata.normalize(form, "Zoé") for form in ("NFC", "NFD"))
    assert composed != apart
    make(db, roster, apart)
    assert roster.find(composed).name == composed
    assert roster.exists(apart)
    with pytest.raises(UserError, match="already"):
        make(db, roster, composed)
    make(db, roster, "Bob")
    with pytest.raises(UserError, match="already"):
        roster.rename("Bob", apart)


def test_another_name(db: SqliteDatabase, roster: Roster) -> None:
    agent = make(db, roster, "Ada")
    roster.rename("Ada", "Ada Lovelace")
    assert roster.find("Ada Lovelace").id == agent
    assert not roster.exists("Ada")
    with pytest.raises(NotFound):
        roster.rename("Ada", "Bob")


def test_owners_do_not_see_each_other(db: SqliteDatabase, roster: Roster) -> None:
    other = Roster(db, "you")
    mine, yours = make(db, roster, "Ada"), make(db, other, "Ada")
    assert mine != yours
    make(db, other, "Bob")
    assert [entry.id for entry in roster.all()] == [mine]
    assert not roster.exists("Bob")
    for action in (roster.find, roster.delete, lambda name: roster.rename(name, "X")):
        with pytest.raises(NotFound) as caught:
            action("Bob")
        assert "Did you mean" not in caught.value.hint
    with db.write() as tx:
        roster.change(tx, yours, {"stolen": True})
    assert other.find("Ada").settings == {"preset": "chat", "n": [1, "é"]}
    roster.delete("Ada")
    assert other.find("Ada").id == yours


def test_deleting_takes_everything_along(db: SqliteDatabase, roster: Roster) -> None:
    kept = make(db, roster, "Bob")
    agent = make(db, roster, "Ada")
    with db.write() as tx:
        for one in (kept, agent):
            CoreMemory(db, one).create(tx, [Block("human", "x")], "preset", NOW)
            MessageLog(db, one).append(tx, [user_message("a word", NOW)], 1)
            tx.run("INSERT INTO turns (agent, turn, state, started) VALUES (?, 1, 'done', '')", one)
            tx.run("INSERT INTO calls VALUES (?, 'c', 'started', '', '', '')", one)
            number = tx.add(
                "INSERT INTO passages (shelf, note, part, text, created) VALUES (?, 1, 1, 'a word', '')", one
            )
            for table, item in (("passages", number), ("messages", tx.rows("SELECT max(id) FROM messages")[0][0])):
                values = "VALUES (?, ?, 'm', x'00')"
                tx.run(f"INSERT INTO {table}_vectors (item, shelf, model, vector) {values}", item, one)
    roster.delete("Ada")
    tables = ("turns", "messages", "calls", "blocks", "block_edits")
    owned = {f"SELECT agent FROM {table}" for table in tables}
    owned |= {f"SELECT shelf FROM {table}" for table in ("passages", "passages_vectors", "messages_vectors")}
    assert {rows: db.rows(rows) for rows in owned} == {rows: [(kept,)] for rows in owned}
    for words in ("messages_words", "passages_words"):
        assert db.rows(f"SELECT count(*) FROM {words} WHERE {words} MATCH 'word'") == [(1,)]
    assert db.check() == []


HOSTILE = [
    "", " ", "../../etc/passwd", "a/b", "a\\b", "CON", "nul.txt", "x" * 10_000, "a\nb", "a\0b", "\x1b[31mred", "🐉",
    "%2e%2e", "x'; DROP TABLE agents; --", '" OR 1=1', "NEAR(a b)", "%", "_", "*", "\udcff", "\ud83d", "\u202egpj.exe",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_break_nothing(db: SqliteDatabase, roster: Roster, name: str) -> None:
    make(db, roster, "Ada")
    with pytest.raises(NotFound):
        roster.find(name)
    assert not roster.exists(name)
    for action in (lambda: make(db, roster, name), lambda: roster.rename("Ada", name)):
        with pytest.raises(UserError) as caught:
            action()
        assert caught.value.hint
    with pytest.raises(NotFound):
        roster.delete(name)
    assert [entry.name for entry in roster.all()] == ["Ada"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30))
def test_every_name_is_refused_or_found_again(db: SqliteDatabase, roster: Roster, name: str) -> None:
    assume(not roster.exists(name))
    try:
        agent = make(db, roster, name)
    except UserError:
        assert not roster.exists(name)
        return
    assert roster.find(name).id == agent
    assert roster.find(roster.find(name).name).id == agent
    roster.rename(name, "Somebody Else")
    assert not roster.exists(name)
    roster.delete("Somebody Else")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("settings", b"\x80\x04\x95.\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."),
        ("settings", "[]"),
        ("settings", "null"),
        ("settings", "cut off {"),
        ("settings", '"text"'),
        ("system", b"\x80"),
        ("created", "one day"),
        ("created", b"\x80"),
        ("last_login", "never"),
    ],
)
def test_a_row_that_is_not_ours_is_refused(db: SqliteDatabase, roster: Roster, column: str, value: object) -> None:
    make(db, roster, "Ada")
    with db.write() as tx:
        tx.run(f"UPDATE agents SET {column} = ?", value)
    for read in (lambda: roster.find("Ada"), roster.all):
        with pytest.raises(StorageError, match="The agent 'Ada' is damaged") as caught:
            read()
        assert caught.value.hint
    roster.delete("Ada")
    assert roster.all() == []
