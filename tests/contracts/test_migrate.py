"""Everything can be carried from any kind of storage to any other: nothing is lost, and nothing is mixed up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from storages import DIMENSION, NOW, Place, Topics, axis, keep, new_agent, new_place, new_source, say

from memagent.errors import StorageError, UserError
from memagent.facts import Cause, Fact
from memagent.facts.finding import FactFinder
from memagent.facts.ledger import Ledger, keeper
from memagent.memory.passages import PassageStore
from memagent.memory.recall import RecallMemory
from memagent.memory.sources import Sources, attached
from memagent.storage import Database, migrate
from memagent.storage.migrate import copy
from memagent.storage.mirrored import MirroredDatabase
from memagent.storage.tables import TABLES

LATER = datetime(2027, 1, 1, tzinfo=UTC)


@contextmanager
def both(one: Place, other: Place) -> Iterator[tuple[Database, Database]]:
    with one.opened() as source, other.opened() as target:
        yield source, target


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """Two SQLite files: the first one has something in every table."""
    with both(new_place("sqlite", tmp_path / "one"), new_place("sqlite", tmp_path / "other")) as databases:
        furnish(databases[0])
        yield databases


def quiet(_: str, __: int, ___: int) -> None:
    """Nobody listens."""


def furnish(db: Database) -> None:
    """Two owners with agents and sources, and something in every table."""
    for owner in ("me", "it's you"):
        agent, source = new_agent(db, owner, "ada"), new_source(db, owner, "papers 100%")
        keep(PassageStore(db, agent, Topics()), "a walk", "a song 東京 👩‍🔬", "gone", tags=("ü",), turn=1)
        keep(PassageStore(db, source, Topics()), *(f"page {n}" for n in range(30)), place="a.md")
        say(db, agent, "hello", "it's 100% 'me' \"there\"", "")
        with db.write() as tx:
            PassageStore(db, agent, None).delete(tx, 3)
            PassageStore(db, agent, None).undo_turn(tx, 1, NOW)
            Sources(db, owner).attach(tx, source, agent, NOW)
            numbers = tx.rows("SELECT min(id) FROM messages WHERE agent = ?", agent)[0]
            tx.add_many(
                "INSERT INTO messages_vectors (item, shelf, model, vector) VALUES (?, ?, 'topics', ?)",
                [(numbers[0], agent, axis(1.0))],
            )
            now = NOW.isoformat()
            for sql, *values in (
                ("INSERT INTO turns (agent, turn, state, started) VALUES (?, 1, 'done', ?)", agent, now),
                ("INSERT INTO calls (agent, call_id, state, idempotency_key, digest, created) VALUES (?, 'c', 's', "
                 "'k', 'd', ?)", agent, now),
                ("INSERT INTO blocks (agent, label, position, value, size_limit, description, read_only, version) "
                 "VALUES (?, 'human', 0, 'v', 10, '', 0, 1)", agent),
                ("INSERT INTO block_edits (agent, label, version, before, after, cause, created) "
                 "VALUES (?, 'human', 1, '', 'v', 'x', ?)", agent, now),
                ("INSERT INTO recipes (source, kind, about, options, tokens) VALUES (?, 'd', '/', '{}', 1)", source),
                ("INSERT INTO documents (source, place, stamp, digest, title, passages, loaded, recipe) "
                 "SELECT source, 'a.md', 's', 'd', 't', 30, ?, id FROM recipes WHERE source = ?", now, source),
            ):  # fmt: skip
                tx.run(sql, *values)
        ledger = Ledger(db, keeper(db, owner, None, NOW))
        with db.write() as tx:
            _, coffee = (ledger.learn(tx, Fact(f"The user likes {each}.", NOW), NOW) for each in ("tea", "coffee"))
            ledger.end(tx, coffee, "ended", Cause("user"), NOW)
            tx.run("INSERT INTO fact_readers (agent, seq, tries, changed) VALUES (?, 1, 2, ?)", agent, now)
        FactFinder(ledger, Topics()).catch_up()


def contents(db: Database) -> dict[str, Any]:
    """Everything in all tables."""
    return {
        table.name: [list(row) for row in db.rows(f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY 1, 2")]
        for table in TABLES
    }


def check_alive(db: Database) -> None:
    """What was copied is found, is linked, and goes on to grow."""
    [agent] = [row[0] for row in db.rows("SELECT id FROM agents WHERE owner = 'me'")]
    store = PassageStore(db, agent, Topics())
    assert RecallMemory(db, agent).search("hello").total == 1
    [(source, name)] = attached(db, agent).items()
    shelf = PassageStore(db, source, Topics())
    facts = FactFinder(Ledger(db, keeper(db, "me", None, NOW)), Topics())
    assert [match.fact.text for match in facts.find("tea").matches] == ["The user likes tea."]
    assert facts.find("coffee", states=("past",)).total == 1
    assert name == "papers 100%" and shelf.size() == 30
    assert "page 7" in [found.text for found in shelf.query(vector=shelf.vectors_of(["page 7"])[0], count=5)]
    before = db.last_numbers(["passages", "passages_vectors"])
    [number] = keep(store, "one more", first=9)
    assert number == before["passages"] + 1, "and no number comes back"
    with db.write() as tx:
        Sources(db, "me").delete(tx, source)
    assert shelf.size() == 0 and store.size() == 1


def test_every_table_and_column_is_copied(place: Place, db: Database) -> None:
    """A column or table that is added must be added to what is copied, or be kept for speed alone."""
    if place.storage == "postgres":
        rows = db.rows(
            "SELECT table_name::text, column_name::text FROM information_schema.columns "
            "WHERE table_schema = 'memagent' AND is_generated = 'NEVER' AND table_name <> 'format'"
        )
    else:
        rows = db.rows(
            "SELECT t.name, c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' "
            "AND t.name NOT LIKE '%!_words%' ESCAPE '!' AND t.name NOT LIKE 'sqlite%' "
            "AND (t.name = 'fact_changes' OR t.name NOT LIKE '%!_changes' ESCAPE '!')"
        )
    assert {(table.name, column) for table in TABLES for column in table.columns} == {tuple(row) for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_everything_arrives_and_lives_on(place: Place, back: bool, tmp_path: Path) -> None:
    here, there = new_place("sqlite", tmp_path / "sqlite"), new_place(place.storage, tmp_path / "other")
    with both(*((there, here) if back else (here, there))) as (source, target):
        furnish(source)
        before, given = contents(source), source.last_numbers(["passages", "messages", "block_edits"])
        assert copy(source, target, quiet) == sum(map(len, before.values())) > 100
        assert contents(source) == contents(target) == before
        assert target.last_numbers(["passages", "messages", "block_edits"]) == given
        if isinstance(target, MirroredDatabase):
            assert target.fill(lambda *_: None) == 60
        check_alive(target)
        assert target.check() == []


def test_progress_is_told_to_the_end(files: tuple[Database, Database]) -> None:
    told = []
    copy(*files, lambda *step: told.append(step))
    done = [step[1] for step in told]
    assert done == sorted(done) and done[-1] == told[-1][2]
    assert {step[0].split()[0] for step in told} == {"copying", "comparing"}


def test_a_target_with_something_in_it_is_refused(files: tuple[Database, Database]) -> None:
    source, target = files
    say(target, new_agent(target), "hello")
    before = contents(target)
    with pytest.raises(UserError, match="holds something already"):
        copy(source, target, quiet)
    assert contents(target) == before


def test_a_copy_that_was_stopped_goes_on(files: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = files
    monkeypatch.setattr(migrate, "BATCH", 10)
    written = 0
    for most in range(1, 100):  # each time it is let go on a little further
        steps: list[str] = []

        def stop(what: str, *_: int, steps: list[str] = steps, most: int = most) -> None:
            steps.append(what)
            if len(steps) == most:
                raise KeyboardInterrupt

        try:
            copy(source, target, stop)
            break
        except KeyboardInterrupt:
            there = sum(map(len, contents(target).values()))
            assert there >= written, "what was copied stays"
            written = there
    assert most > 20 and contents(source) == contents(target)
    check_alive(target)


def test_another_copy_is_not_mixed_with_one_that_was_stopped(files: tuple[Database, Database], tmp_path: Path) -> None:
    source, target = files

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, stop)
    with new_place("sqlite", tmp_path / "third").opened() as third:
        furnish(third)
        with pytest.raises(UserError, match="part of a copy"):
            copy(third, target, quiet)
    copy(source, target, quiet)
    assert contents(source) == contents(target)


def test_a_source_that_went_on_since_is_copied_anew(
    files: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = files
    monkeypatch.setattr(migrate, "BATCH", 10)

    def stop(what: str, *_: Any) -> None:
        if what == "copying passages":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, stop)
    new_agent(source, name="a")
    with source.write() as tx:
        tx.run("DELETE FROM agents WHERE owner = 'it''s you'")
    copy(source, target, quiet)
    assert contents(source) == contents(target)


def test_what_was_changed_unnoticed_is_found_by_comparing(files: tuple[Database, Database]) -> None:
    source, target = files

    def stop(what: str, *_: Any) -> None:
        if what.startswith("comparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, stop)
    with source.write() as tx:
        tx.run("UPDATE passages SET text = 'changed by hand' WHERE note = 1")
    copy(source, target, quiet)
    assert contents(source) == contents(target)


def test_a_source_that_is_written_to_meanwhile_is_told(files: tuple[Database, Database], tmp_path: Path) -> None:
    source, target = files
    other = new_place("sqlite", tmp_path / "one").open()

    def write(what: str, *_: Any) -> None:
        if what == "copying passages":
            keep(
                PassageStore(other, "a shelf", Topics()),
                "late",
                first=int(other.rows("SELECT count(*) FROM passages")[0][0]),
            )

    with pytest.raises(UserError, match="written to while it was copied"):
        copy(source, target, write)
    other.close()
    copy(source, target, quiet)
    assert contents(source) == contents(target)


def test_a_copy_that_came_out_differently_is_told(files: tuple[Database, Database]) -> None:
    source, target = files
    other = [False]

    def spoil(what: str, *_: Any) -> None:
        if what.startswith("comparing") and not other[0]:
            other[0] = True
            with target.write() as tx:
                tx.run("UPDATE messages SET content = 'spoilt' WHERE seq = 1")

    with pytest.raises(StorageError, match=r"not the same.*messages"):
        copy(source, target, spoil)
    copy(source, target, quiet)
    assert contents(source) == contents(target)


@pytest.mark.slow
def test_large_tables_go_in_batches(tmp_path: Path) -> None:
    with both(new_place("sqlite", tmp_path / "a"), new_place("sqlite", tmp_path / "b")) as (source, target):
        store = PassageStore(source, new_source(source), Topics())
        for first in range(0, 5000, 1000):
            passages = [f"page {n}" for n in range(first, first + 1000)]
            keep(store, *passages, first=first)
        assert copy(source, target, quiet) == 10_001
        assert PassageStore(target, store.shelf, Topics()).size() == 5000
        assert target.vectors("passages", "topics", DIMENSION).any([store.shelf])
