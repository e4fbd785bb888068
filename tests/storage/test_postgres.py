"""PostgreSQL as a storage: who waits for whom, what a lost connection costs, and what a person is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import postgres_server
import pytest

psycopg = pytest.importorskip("psycopg")

from memagent import config  # noqa: E402
from memagent.embeddings import packed  # noqa: E402
from memagent.errors import ConfigError, MemagentError, StorageError  # noqa: E402
from memagent.memory.passages import Passage, PassageStore  # noqa: E402
from memagent.memory.recall import RecallMemory  # noqa: E402
from memagent.roster import Roster  # noqa: E402
from memagent.storage import postgres_migrations, postgres_vectors  # noqa: E402
from memagent.storage.opening import opened  # noqa: E402
from memagent.storage.postgres import PostgresDatabase  # noqa: E402
from memagent.storage.postgres_connections import KEPT, marked  # noqa: E402
from memagent.storage.sqlite import SqliteDatabase  # noqa: E402
from memagent.transfer import export, read_in  # noqa: E402

NOW = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)
PASSWORD = "c@nary/w0rd"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def db(url: str) -> Iterator[PostgresDatabase]:
    with closing(PostgresDatabase(url)) as database:
        yield database


@pytest.fixture
def fresh() -> Iterator[str]:
    """A database that has nothing yet."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def agent(db: PostgresDatabase, request: pytest.FixtureRequest) -> str:
    return new_agent(db, request.node.name[:40])


def new_agent(db: Any, name: str) -> str:
    with db.write() as tx:
        return Roster(db, "me").make(tx, name, {}, "", NOW)


def names(db: Any) -> set[str]:
    return {entry.name for entry in Roster(db, "me").all()}


def rename(agent: str) -> tuple[str, str, str]:
    return "UPDATE agents SET name = ? WHERE id = ?", f"new {agent}", agent


# Who waits for whom ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first, second, waits",
    [("a", "a", True), ("a", "b", False), ("", "a", True), ("a", "", True), ("", "", True)],
)
def test_writers_wait_for_those_who_write_about_the_same(url: str, first: str, second: str, waits: bool) -> None:
    with closing(PostgresDatabase(url)) as one, closing(PostgresDatabase(url, busy_seconds=0.2)) as two:
        with one.write(first):
            if waits:
                with pytest.raises(StorageError, match="in use by another program"), two.write(second):
                    pass
            else:
                with two.write(second) as tx:
                    assert tx.rows("SELECT 1") == [(1,)]
        with two.write(second):
            pass


def test_who_has_waited_sees_what_the_other_has_written(db: PostgresDatabase, agent: str) -> None:
    """Each reads, and writes what it makes of it: none of that is lost."""

    def grow() -> None:
        for _ in range(20):
            with db.write(agent) as tx:
                fence = tx.rows("SELECT fence FROM agents WHERE id = ?", agent)[0][0]
                tx.run("UPDATE agents SET fence = ? WHERE id = ?", fence + 1, agent)

    threads = [threading.Thread(target=grow) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.rows("SELECT fence FROM agents WHERE id = ?", agent) == [(120,)]
    assert len(db._connections._idle) <= KEPT


def test_a_snapshot_is_of_one_moment(db: PostgresDatabase, url: str, agent: str) -> None:
    with closing(PostgresDatabase(url)) as other, db.snapshot():
        before = names(db)
        with other.write() as tx:
            tx.run(*rename(agent))
        assert names(db) == before != names(other)
    assert names(db) != before


def test_what_is_written_is_seen_inside_and_not_outside(db: PostgresDatabase, url: str, agent: str) -> None:
    with closing(PostgresDatabase(url)) as other, pytest.raises(ZeroDivisionError), db.write(agent) as tx:
        tx.run(*rename(agent))
        assert f"new {agent}" in names(db) and f"new {agent}" not in names(other)
        raise ZeroDivisionError
    assert f"new {agent}" not in names(db)


def test_no_transaction_inside_another(db: PostgresDatabase) -> None:
    for outer in (db.write, db.snapshot):
        with outer(), pytest.raises(StorageError, match="inside another"), db.write():
            pass
    with db.write() as tx:
        assert tx.rows("SELECT 1")


def test_an_error_that_is_passed_over_keeps_nothing(db: PostgresDatabase, agent: str) -> None:
    with pytest.raises(StorageError, match="went on after an error"), db.write(agent) as tx:
        tx.run(*rename(agent))
        with pytest.raises(psycopg.Error):
            tx.run("SELECT 1/0")
    assert f"new {agent}" not in names(db)


# A connection that is lost --------------------------------------------------------------------------------------------


def cut(url: str) -> None:
    """End all connections to a database, as a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_the_next_after_a_cut_connects_again(fresh: str) -> None:
    with closing(PostgresDatabase(fresh)) as db:
        agent = new_agent(db, "ada")
        cut(fresh)
        assert names(db) == {"ada"}
        cut(fresh)
        with db.write(agent) as tx:
            tx.run(*rename(agent))
        cut(fresh)
        with db.snapshot():
            assert names(db) == {f"new {agent}"}


def test_a_cut_in_the_middle_is_told_and_nothing_of_it_is_kept(fresh: str) -> None:
    with closing(PostgresDatabase(fresh)) as db:
        agent = new_agent(db, "ada")
        lost = "was lost; nothing of what was being written is kept"
        with pytest.raises(StorageError, match=lost), db.write(agent) as tx:
            tx.run(*rename(agent))
            cut(fresh)
            tx.run(*rename(agent))
        assert names(db) == {"ada"}
        lost = "was lost at the last moment: what was being written is kept, or not"
        with pytest.raises(StorageError, match=lost), db.write(agent) as tx:
            tx.run(*rename(agent))
            cut(fresh)
        assert names(db) == {"ada"}
        with pytest.raises(StorageError, match="was lost"), db.snapshot():
            cut(fresh)
            names(db)
        assert names(db) == {"ada"}


# What a person is told ------------------------------------------------------------------------------------------------


def refused(url: str) -> MemagentError:
    with pytest.raises(MemagentError) as caught:
        PostgresDatabase(url)
    said = str(caught.value) + repr(caught.value.__cause__)
    assert not any(part in said for part in (PASSWORD, quote(PASSWORD, safe=""), "c@", "nary", "w0rd"))
    return caught.value


def locked(url: str, user: str, password: str) -> str:
    """The same database, for a user who needs a password."""
    return url.replace(f"{postgres_server.OWNER}@", f"{user}:{quote(password, safe='')}@")


def test_a_server_that_is_not_there() -> None:
    error = refused(f"postgresql://ada:{quote(PASSWORD, safe='')}@127.0.0.1:9/memagent")
    assert "postgresql://ada@127.0.0.1:9/memagent can't be reached: Connection refused" in error.message
    assert "Start the server" in error.hint


def test_a_host_that_is_not_there() -> None:
    assert "can't be reached" in refused("postgresql://ada@nowhere.invalid/memagent").message


def test_a_database_that_is_not_there(url: str) -> None:
    error = refused(postgres_server.address("memagent_test_none"))
    assert error.message.startswith("There is no database 'memagent_test_none' at postgresql://")
    assert error.hint == "Make it with: createdb memagent_test_none"


@pytest.mark.parametrize(
    "bad",
    [
        f"postgresql://ada:{PASSWORD}@[::1",
        f"postgresql://ada:{PASSWORD}@h/x",
        "postgresql://h/x?what=1",
        "postgresql://ada:12/c@nary/w0rd",
        "postgresql://c@nary/w0rd:1@h/x",
    ],
)
def test_an_address_that_can_not_be_read(bad: str) -> None:
    error = refused(bad)
    assert isinstance(error, ConfigError) and "%40 for an @" in error.hint


@pytest.mark.skipif(bool(postgres_server.GIVEN), reason="it is not known whom that server lets in")
def test_a_wrong_password_and_rights_that_are_missing(fresh: str) -> None:
    user = postgres_server.new_user(PASSWORD)
    try:
        error = refused(locked(fresh, user, "wrong"))
        assert "does not let you in: password authentication failed" in error.message
        assert ".pgpass" in error.hint
        assert "does not let you in" in refused(locked(fresh, user, "").replace(":@", "@")).message
        error = refused(locked(fresh, user, PASSWORD))
        assert "has no pgvector" in error.message and "CREATE EXTENSION vector;" in error.hint
        with psycopg.connect(fresh) as connection:
            connection.execute("CREATE EXTENSION vector")
        error = refused(locked(fresh, user, PASSWORD))
        assert error.message.startswith("You may not do that") and "GRANT CREATE ON DATABASE" in error.hint
        with psycopg.connect(fresh) as connection:
            connection.execute(f"GRANT CREATE ON DATABASE {fresh.split('/')[3].split('?')[0]} TO {user}")
        with closing(PostgresDatabase(locked(fresh, user, PASSWORD))) as db:
            new_agent(db, "ada")
            assert PASSWORD not in db.place and user in db.place
    finally:
        postgres_server.drop(fresh)
        postgres_server.drop_user(user)
        postgres_server._made.append(fresh.split("?")[0].rpartition("/")[2])  # for the fixture


def test_pgvector_that_is_not_installed_in_the_server(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = psycopg.Connection.execute

    def without(self: Any, query: Any, *values: Any, **more: Any) -> Any:
        query = b"CREATE EXTENSION nothing_of_that_name" if "CREATE EXTENSION" in str(query) else query
        return execute(self, query, *values, **more)

    monkeypatch.setattr(psycopg.Connection, "execute", without)
    error = refused(fresh)
    assert "has no pgvector, which searches by meaning" in error.message and "github.com/pgvector" in error.hint


def test_a_database_of_another_encoding(url: str) -> None:
    postgres_server._say("CREATE DATABASE memagent_test_latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        error = refused(postgres_server.address("memagent_test_latin"))
        assert "LATIN1" in error.message and "createdb --encoding UTF8" in error.hint
    finally:
        postgres_server._say("DROP DATABASE memagent_test_latin WITH (FORCE)")


def test_a_newer_format(fresh: str) -> None:
    with closing(PostgresDatabase(fresh)) as db, db.write() as tx:
        tx.run("INSERT INTO format (version, since) VALUES (99, now())")
    error = refused(fresh)
    assert "newer memagent (its format is 99" in error.message and "pip install -U" in error.hint


def test_what_may_only_be_read(db: PostgresDatabase) -> None:
    with pytest.raises(StorageError, match="can't be written to"), db.snapshot():
        db.rows("DELETE FROM agents RETURNING id")


def test_storage_postgres_needs_an_address(tmp_path: Path) -> None:
    settings = config.load({}, environ={"MEMAGENT_HOME": str(tmp_path), "MEMAGENT_STORAGE": "postgres"}, cwd=tmp_path)
    with pytest.raises(ConfigError, match="needs the address") as caught:
        opened(settings)
    assert "configure --set database=postgresql://" in caught.value.hint


# Formats --------------------------------------------------------------------------------------------------------------


def test_tables_of_an_older_format_are_brought_up_to_date(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(PostgresDatabase(fresh)) as db:
        new_agent(db, "ada")
    steps = (*postgres_migrations.MIGRATIONS, "ALTER TABLE memagent.agents ADD COLUMN mood text DEFAULT 'calm';")
    monkeypatch.setattr("memagent.storage.postgres.MIGRATIONS", steps)
    monkeypatch.setattr("memagent.storage.postgres.VERSION", len(steps))
    for _ in range(2):
        with closing(PostgresDatabase(fresh)) as db:
            assert db.rows("SELECT name, mood FROM agents") == [("ada", "calm")]
            assert db.rows("SELECT version FROM format ORDER BY version") == [(n + 1,) for n in range(len(steps))]


def test_many_make_the_same_tables_at_once(fresh: str) -> None:
    errors: list[BaseException] = []

    def make(number: int) -> None:
        try:
            with closing(PostgresDatabase(fresh)) as db:
                new_agent(db, f"agent {number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with closing(PostgresDatabase(fresh)) as db:
        assert names(db) == {f"agent {number}" for number in range(6)}


def test_other_tables_in_the_same_database_are_left_alone(fresh: str) -> None:
    with psycopg.connect(fresh) as connection:
        connection.execute("CREATE TABLE agents (licence text); CREATE TABLE messages (n int)")
        connection.execute("INSERT INTO agents VALUES ('to act')")
    with closing(PostgresDatabase(fresh)) as db:
        new_agent(db, "ada")
        assert names(db) == {"ada"}
    with psycopg.connect(fresh) as connection:
        assert connection.execute("SELECT * FROM public.agents").fetchall() == [("to act",)]


def test_the_tables_are_those_of_sqlite(db: PostgresDatabase, tmp_path: Path) -> None:
    """One text of SQL is for both."""
    with closing(SqliteDatabase(tmp_path / "memagent.db")) as file:
        theirs = {
            (table, column)
            for (table,) in file.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            if "_words" not in table
            for (column,) in file.rows("SELECT name FROM pragma_table_info(?)", table)
        }
        unique = {
            (table, *columns)
            for table in {table for table, _ in theirs}
            for (index,) in file.rows('SELECT name FROM pragma_index_list(?) WHERE "unique"', table)
            for columns in [[row[0] for row in file.rows("SELECT name FROM pragma_index_info(?)", index)]]
        }
    ours = db.rows(
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'memagent'"
    )
    assert {row for row in ours if row[0] != "format" and row[1] != "words"} == theirs
    kept = db.rows(
        "SELECT i.indrelid::regclass::text, (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(i.indkey) "
        "WITH ORDINALITY AS k (number, n) JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number) "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE i.indisunique "
        "AND c.relnamespace = 'memagent'::regnamespace"
    )
    assert {(table, *columns) for table, columns in kept if table != "format" and columns != ["id"]} >= {
        key for key in unique if key[1:] != ("id",)
    }


def test_an_agent_goes_to_postgres_and_back_equal_to_the_byte(db: PostgresDatabase, tmp_path: Path) -> None:
    with closing(SqliteDatabase(tmp_path / "memagent.db")) as file:
        agent = new_agent(file, "ada")
        store = PassageStore(file, agent, None)
        with file.write(agent) as tx:
            tx.run(
                "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
                "VALUES (?, 1, 1, 'user', 'user', ?, 'Grüße 🐉', ?)",
                agent, json.dumps({"message": "Grüße 🐉"}), NOW.isoformat(),
            )  # fmt: skip
            tx.run("INSERT INTO blocks VALUES (?, 'human', 0, 'b', 2000, '', 0, 1, 'block')", agent)
            tx.run(
                "INSERT INTO block_edits (agent, label, version, before, after, cause, created) "
                "VALUES (?, 'human', 1, '', 'b', 'user', ?)",
                agent, NOW.isoformat(),
            )  # fmt: skip
            for note, text in enumerate(["ß", "z", "Z", "a", "É"], 1):
                store.insert(tx, Passage(note, 0, text, NOW, (text,)))
        first = export(file, Roster(file, "me"), "ada")
        read_in(db, "you", first)
        second = export(db, Roster(db, "you"), "ada")
        read_in(file, "you", second)
        assert first == second == export(file, Roster(file, "you"), "ada")
        assert RecallMemory(db, Roster(db, "you").find("ada").id).search("grusse GRÜSSE grüße").total == 1


# Words and vectors ----------------------------------------------------------------------------------------------------


def say(db: PostgresDatabase, agent: str, *texts: str) -> RecallMemory:
    with db.write(agent) as tx:
        tx.add_many(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
            "VALUES (?, ?, 1, 'user', 'user', '', ?, ?)",
            [(agent, seq, text, NOW.isoformat()) for seq, text in enumerate(texts, 1)],
        )
    return RecallMemory(db, agent)


def test_a_text_of_more_words_than_an_index_takes_is_kept_whole(db: PostgresDatabase, agent: str) -> None:
    text = " ".join(f"w{n:x}z{n * 7919 % 65536:x}" for n in range(300_000))
    recall = say(db, agent, text, "short")
    assert recall.search("w5z9aab").results[0].text == text, "by the words that it begins with"
    assert db.rows("SELECT length(said) FROM messages WHERE agent = ? AND seq = 1", agent) == [(len(text),)]


def test_letters_of_every_script_have_no_case(db: PostgresDatabase, agent: str) -> None:
    recall = say(db, agent, "МОСКВА слезам", "ΑΘΉΝΑ", "ŁÓDŹ", "İstanbul")
    for query in ("москва", "αθηνα", "łódź", "ISTANBUL"):
        assert recall.search(query).total == 1, query


def test_an_index_for_vectors_is_made_once_there_are_many(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_vectors, "MANY", 300)
    monkeypatch.setattr(postgres_vectors, "FEW", 100)
    model = "o'model?"
    with closing(PostgresDatabase(fresh)) as db:
        agent, other = new_agent(db, "ada"), new_agent(db, "bob")
        with db.write() as tx:
            rows = [(agent if n % 10 else other, n, f"text {n}", NOW.isoformat()) for n in range(400)]
            numbers = tx.add_many(
                "INSERT INTO passages (shelf, note, part, text, created) VALUES (?, ?, 0, ?, ?)", rows
            )
            vectors = [(number, row[0], model, packed([1.0, row[1] / 400, 0, 0])) for number, row in zip(numbers, rows)]
            tx.add_many("INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, ?, ?, ?)", vectors)
        index = db.vectors("passages", model, 4)
        assert index is db.vectors("passages", model, 4)

        def near(**more: Any) -> list[int]:
            return [numbers.index(item) for item in index.near(packed([1.0, 0, 0, 0]), 5, **more)]

        exact = near(shelves=[agent], among=numbers)
        index.save()
        assert db.rows("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'passages_near_%'") == [(1,)]
        monkeypatch.setattr(index, "_are_many", lambda shelves: True)
        assert near(shelves=[agent]) == exact == [1, 2, 3, 4, 5]
        assert near(shelves=[other]) == [0, 10, 20, 30, 40]
        with db.write() as tx:
            tx.run("DELETE FROM passages WHERE id = ?", numbers[1])
            tx.run("UPDATE passages SET undone = 'x' WHERE id = ?", numbers[2])
        assert near(shelves=[agent]) == [3, 4, 5, 6, 7]
        assert db.check() == []


def test_an_index_that_was_left_unfinished_is_told_and_made_again(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_vectors, "MANY", 1)
    with closing(PostgresDatabase(fresh)) as db:
        agent = new_agent(db, "ada")
        with db.write() as tx:
            number = tx.add("INSERT INTO passages (shelf, note, part, text, created) VALUES (?, 1, 0, 'x', 'x')", agent)
            tx.add("INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, ?, 'm', ?)", number, agent,
                   packed([1.0, 0.0]))  # fmt: skip
        index = db.vectors("passages", "m", 2)
        index.save()
        with psycopg.connect(fresh) as connection:
            connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text LIKE '%near%'")
        assert len(db.check()) == 1 and "was not finished" in db.check()[0]
    with closing(PostgresDatabase(fresh)) as db:
        index = db.vectors("passages", "m", 2)
        assert index.near(packed([1.0, 0.0]), 3, [agent]) == {number: 1.0}
        for thread in threading.enumerate():
            if thread.name.startswith("make "):
                thread.join(10)
        assert db.check() == []


@pytest.mark.parametrize(
    "sql, expected",
    [
        ("SELECT 1", "SELECT 1"),
        ("a = ? AND b IN (?, ?)", "a = $1 AND b IN ($2, $3)"),
        ("a = '?' AND b = ?", "a = '?' AND b = $1"),
        ("a = 'it''s ?' AND \"?\" = ?", "a = 'it''s ?' AND \"?\" = $1"),
        ("a LIKE ? ESCAPE '\\' AND b = ?", "a LIKE $1 ESCAPE '\\' AND b = $2"),
    ],
)
def test_marks_for_values(sql: str, expected: str) -> None:
    assert marked(sql) == expected.encode()
