"""The log of messages: nothing in it is rewritten, its numbers have no gap, the window shows its right end."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent import messages
from memagent.errors import StorageError
from memagent.memory.log import MessageLog
from memagent.messages import Message, ToolCall
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


def make(db: SqliteDatabase, name: str = "Ada") -> MessageLog:
    with db.write() as tx:
        return MessageLog(db, Roster(db, "me").make(tx, name, {}, "", NOW))


@pytest.fixture
def log(db: SqliteDatabase) -> MessageLog:
    return make(db)


def append(db: SqliteDatabase, log: MessageLog, *new: Message, turn: int = 1) -> list[Message]:
    with db.write() as tx:
        return log.append(tx, new, turn)


def user(text: str) -> Message:
    return messages.user_message(text, NOW)


def numbers(found: list[Message]) -> list[int]:
    return [message.seq for message in found]


def test_what_comes_back_is_what_was_stored(db: SqliteDatabase, log: MessageLog) -> None:
    call = ToolCall("00000abc1", "send_message", '{"message": "Hé \\"you\\"\\n"}')
    new = [
        user("Hello\nthere 🐉"),
        messages.login(NOW, None),
        messages.answer("a thought", (call, ToolCall("2", "other", "{}")), "", NOW),
        messages.result(call, True, "Sent.", NOW, said="Hé you"),
        messages.heartbeat("go on", NOW),
        messages.alert("full", NOW),
        messages.summary("so far", 3, 4, NOW),
    ]
    stored = append(db, log, *new, turn=5)
    assert log.all() == stored == [
        Message(**{**{k: v for k, v in vars(m).items() if k != "tokens"}, "seq": i, "turn": 5})
        for i, m in enumerate(new, 1)
    ]  # fmt: skip
    assert log.all()[0].created == NOW
    assert log.all()[0].created.utcoffset() == NOW.utcoffset()
    assert log.size() == 7


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text(min_size=1), st.text(min_size=1))
def test_every_text_can_be_stored(
    db: SqliteDatabase, log: MessageLog, content: str, said: str, name: str, value: str
) -> None:
    arguments = json.dumps({name: value}, ensure_ascii=False)
    new = Message("assistant", "answer", content, NOW, said, (ToolCall("1", name, arguments),), "1", name)
    stored = append(db, log, new)
    assert log.last(1) == stored
    if content.isprintable():
        assert stored[0].content == content


@pytest.mark.parametrize("bad", ["\0", "\ud800", "a\udfffb", "\ud83d \udc09"])
def test_what_no_database_takes_is_replaced_wherever_it_stands(db: SqliteDatabase, log: MessageLog, bad: str) -> None:
    new = Message("tool", "result", bad, NOW, bad, (ToolCall("1", bad, f'{{"x": "{bad}"}}'),), "1", bad)
    [stored] = append(db, log, new)
    assert log.all() == [stored]
    for text in (stored.content, stored.said, stored.name or "", stored.calls[0].name, stored.calls[0].arguments):
        assert "\ufffd" in text
        assert text.encode()


def test_numbers_go_on_for_each_agent_alone(db: SqliteDatabase, log: MessageLog) -> None:
    other = make(db, "Eve")
    append(db, log, user("1"), user("2"))
    append(db, other, user("1"))
    append(db, log, user("3"), turn=2)
    assert numbers(log.all()) == [1, 2, 3]
    assert numbers(other.all()) == [1]
    with db.write() as tx:
        assert log.undo(tx, 1, NOW) == 3
    assert numbers(other.window()) == [1]


def test_what_was_taken_back_stays_and_its_numbers_are_not_used_again(db: SqliteDatabase, log: MessageLog) -> None:
    append(db, log, user("1"), user("2"), user("3"))
    with db.write() as tx:
        assert log.undo(tx, 2, NOW) == 2
        assert log.undo(tx, 1, NOW) == 1, "what was taken back already is not taken back again"
    append(db, log, user("4"))
    assert numbers(log.all()) == numbers(log.window()) == numbers(log.last(9)) == numbers(log.of_turn(1)) == [4]
    assert [m.said for m in log.all(undone=True)] == ["1", "2", "3", "4"]
    assert log.size() == 4


def test_a_transaction_that_fails_uses_no_numbers(db: SqliteDatabase, log: MessageLog) -> None:
    append(db, log, user("1"))
    with pytest.raises(ValueError), db.write() as tx:
        log.append(tx, [user("2"), user("3")], 1)
        raise ValueError
    assert numbers(append(db, log, user("4"))) == [2]


def test_the_window_begins_with_the_newest_summary(db: SqliteDatabase, log: MessageLog) -> None:
    assert log.window() == []
    append(db, log, *[user(str(i)) for i in range(1, 6)])
    assert numbers(log.window()) == [1, 2, 3, 4, 5]
    append(db, log, messages.summary("a", 3, 4, NOW), user("7"), turn=2)
    assert numbers(log.window()) == [6, 4, 5, 7]
    append(db, log, messages.summary("b", 4, 7, NOW), user("9"), turn=3)
    assert numbers(log.window()) == [8, 7, 9]
    with db.write() as tx:
        log.undo(tx, 8, NOW)
    assert numbers(log.window()) == [6, 4, 5, 7], "with a summary taken back, the one before holds again"
    with db.write() as tx:
        log.undo(tx, 6, NOW)
    assert numbers(log.window()) == [1, 2, 3, 4, 5]


def test_parts_of_the_log(db: SqliteDatabase, log: MessageLog) -> None:
    append(db, log, user("1"), turn=0)
    append(db, log, user("2"), user("3"), turn=1)
    append(db, log, user("4"), turn=2)
    assert numbers(log.last(2)) == [3, 4]
    assert log.last(0) == []
    assert numbers(log.of_turn(1)) == [2, 3]
    assert log.of_turn(7) == []
    assert make(db, "Eve").of_turn(1) == []


@pytest.mark.parametrize("order", ["forward", "back"])
def test_order_is_by_number_and_not_by_the_clock(db: SqliteDatabase, log: MessageLog, order: str) -> None:
    step = timedelta(days=1) if order == "forward" else timedelta(hours=-1)
    for number in range(1, 6):
        append(db, log, messages.user_message(str(number), NOW + step * number))
    assert [m.said for m in log.window()] == [m.said for m in log.last(5)] == list("12345")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("content", b"\x80\x04\x95.\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."),
        ("said", b"\x80\x04."),
        ("calls", b"\x80\x04."),
        ("calls", '{"no": "list"}'),
        ("calls", "[[1, 2, 3]]"),
        ("calls", '[["id", "name"]]'),
        ("calls", "cut off ["),
        ("created", "long ago"),
        ("created", b"\x80"),
    ],
)
def test_a_row_that_is_not_ours_is_refused(db: SqliteDatabase, log: MessageLog, column: str, value: object) -> None:
    append(db, log, user("1"), user("2"))
    with db.write() as tx:
        tx.run(f"UPDATE messages SET {column} = ? WHERE seq = 2", value)
    for read in (log.window, log.all, lambda: log.last(5), lambda: log.of_turn(1)):
        with pytest.raises(StorageError, match="Message 2 of the log is damaged") as caught:
            read()
        assert caught.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"first_visible": "soon"}', '{"first_visible": null}'])
def test_a_damaged_summary_is_refused(db: SqliteDatabase, log: MessageLog, content: str) -> None:
    append(db, log, user("1"), Message("user", "summary", content, NOW))
    with pytest.raises(StorageError, match="Message 2 of the log is damaged"):
        log.window()


def test_the_cost_of_the_end_does_not_grow_with_the_log(db: SqliteDatabase, log: MessageLog) -> None:
    """Told by what the database says it will do, not by the clock: no part of the log is read that is not asked for."""
    append(db, log, *[user(str(i)) for i in range(50)])
    plans = []
    real = db.rows

    def explained(sql: str, *values: object) -> list:  # type: ignore[type-arg]
        plans.extend(row[3] for row in real(f"EXPLAIN QUERY PLAN {sql}", *values))
        return list(real(sql, *values))

    db.rows = explained  # type: ignore[method-assign]
    log.window(), log.last(3), log.of_turn(1), log.size()
    assert plans
    assert [plan for plan in plans if plan.startswith("SCAN messages") or "TEMP B-TREE" in plan] == []


def test_a_conversation_elsewhere_is_deleted_with_its_words_but_not_its_numbers(db: SqliteDatabase) -> None:
    ada, bob = make(db), make(db, "Bob")
    for log in (ada, bob):
        with db.write() as tx:
            log.bring_in(tx, [user("tram"), user("hill")], "Lisbon")
            log.bring_in(tx, [user("leeks")], "Soup")
        append(db, log, user("hello"))
    assert [(each.place, each.messages, each.first) for each in ada.elsewhere()] == [
        ("Lisbon", 2, NOW),
        ("Soup", 1, NOW),
    ]
    with db.write() as tx:
        ada.delete_elsewhere(tx, "Lisbon", NOW)
    assert [each.place for each in ada.elsewhere()] == ["Soup"] and len(bob.elsewhere()) == 2
    assert numbers(ada.all(undone=True)) == [1, 2, 3, 4] and numbers(ada.all()) == [3, 4]
    assert [m.said for m in ada.all(undone=True)] == ["", "", "leeks", "hello"]
    assert [m.said for m in ada.window()] == ["hello"]
    assert db.check() == []
    with db.write() as tx:
        ada.delete_elsewhere(tx, "", NOW)
        ada.bring_in(tx, [user("tram")], "Lisbon")
    assert numbers(ada.brought_in(db, "Lisbon")) == [5] and [m.said for m in ada.window()] == ["hello"]
