"""Databases: rows become texts with the names of their columns, nothing is written, and no secret is shown."""

import sqlite3
import subprocess
import sys
import tracemalloc

import pytest
from postgres_server import drop, new_database

from memagent.errors import BackendError, NotFound, UserError
from memagent.sources.database import Database


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop's 100%.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT, body TEXT, price REAL, picture BLOB);
            INSERT INTO articles VALUES (2, 'Tea', 'Green, and fresh.', 3.5, x'0102'), (1, 'Milk', NULL, 1, NULL);
            CREATE TABLE notes (a TEXT, b TEXT, PRIMARY KEY (a, b));
            INSERT INTO notes VALUES ('x', 'y');
            CREATE VIEW dear AS SELECT title FROM articles WHERE price > 2;
            """
        )
    connection.close()
    return path


@pytest.fixture
def reads():
    made = []

    def reads(*args, **options):
        made.append(Database(*args, **options))
        return list(made[-1].items())

    yield reads
    for reader in made:
        reader.close()


def texts(items):
    return {item.place: "".join(part.text for part in item.read().parts) for item in items}


ALL = {
    "articles 1": "id: 1; title: Milk; price: 1.0",
    "articles 2": "id: 2; title: Tea; body: Green, and fresh.; price: 3.5; picture: (2 bytes)",
    "notes x, y": "a: x; b: y",
}


def test_all_tables_of_a_file(file, reads):
    items = reads(path=file)
    assert texts(items) == ALL
    assert [item.read().title for item in items] == ["Milk", "Tea", "notes x, y"]


def test_an_address_of_sqlite(file, reads):
    assert texts(reads(f"sqlite:///{file}")) == ALL
    assert texts(reads(dialect="sqlite", database=str(file))) == ALL


def test_some_tables_and_views(file, reads):
    assert list(texts(reads(path=file, tables=["notes"]))) == ["notes x, y"]
    assert texts(reads(path=file, tables=["dear"])) == {"dear 1": "title: Tea"}
    with pytest.raises(NotFound, match="nothing"):
        reads(path=file, tables=["nothing"])


def test_a_query(file, reads):
    query = "SELECT title, 'at 12:30 and 100%' AS \"when\" FROM articles ORDER BY id"
    assert texts(reads(path=file, query=query)) == {
        "row 1": "title: Milk; when: at 12:30 and 100%",
        "row 2": "title: Tea; when: at 12:30 and 100%",
    }
    assert list(texts(reads(path=file, query=query, key="title"))) == ["row Milk", "row Tea"]
    with pytest.raises(UserError, match="no column 'name'"):
        reads(path=file, query=query, key="name")


@pytest.mark.parametrize("query", ["DELETE FROM articles", "  -- x\n drop table notes", "PRAGMA writable_schema=1", ""])
def test_only_what_reads_is_done(file, reads, query):
    with pytest.raises(UserError):
        reads(path=file, query=query, tables=[] if query else ["a"]) if query else Database()


@pytest.mark.parametrize(
    "query", ["WITH x AS (SELECT 1) DELETE FROM articles", "SELECT 1; DELETE FROM articles", "SELECT nothing"]
)
def test_what_a_query_can_t_do_is_told(file, reads, query):
    with pytest.raises(BackendError, match="says"):
        reads(path=file, query=query)
    assert texts(reads(path=file)) == ALL


def test_a_file_that_is_not_there_is_not_made(tmp_path, reads):
    for options in ({"path": tmp_path / "none.db"}, {"url": f"sqlite:///{tmp_path}/none.db"}):
        with pytest.raises(NotFound):
            reads(**options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path, reads):
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    with pytest.raises(BackendError, match="not a database"):
        reads(path=tmp_path / "a.db")


def test_no_secret_is_shown():
    with pytest.raises(UserError) as told:
        Database("nosuch://ann:s3cret@host/db?password=s3cret")
    assert "s3cret" not in str(told.value)
    with pytest.raises(UserError) as told:
        Database("no address: s3cret")
    assert "s3cret" not in str(told.value)
    reader = Database("postgresql+psycopg://ann:s3cret@/x?sslkey=s3cret", password="s3cret")
    assert "s3cret" not in reader.about
    reader.close()


def test_a_large_table_is_never_in_memory_as_a_whole(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO a (text) VALUES (?)", (("x" * 1000,) for _ in range(20_000)))
    connection.close()
    reader = Database(path=tmp_path / "a.db")
    next(iter(reader.items()))
    tracemalloc.start()
    count = sum(1 for _ in reader.items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reader.close()
    assert count == 20_000 and peak < 5_000_000


# Dumps ---------------------------------------------------------------------------------------------------------------


def dump(file, to):
    connection = sqlite3.connect(file)
    to.write_text("\n".join(connection.iterdump()))
    connection.close()
    return to


def test_a_dump(file, tmp_path, reads):
    assert texts(reads(path=dump(file, tmp_path / "dump.sql"))) == ALL


def test_a_dump_in_pieces(file, tmp_path, reads, monkeypatch):
    monkeypatch.setattr("memagent.sources.dump.CHUNK", 50)
    assert texts(reads(path=dump(file, tmp_path / "dump.sql"))) == ALL


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ATTACH DATABASE '{folder}/other.db' AS x; CREATE TABLE x.a (b);", "not authorized"),
        ("SELECT load_extension('x');", "not authorized|no such function"),
        ("CREATE VIRTUAL TABLE a USING fts5(b);", "not authorized"),
        ("CREATE TABLE a (b", "incomplete"),
        ("-- PostgreSQL\nSET statement_timeout = 0;\n", "near"),
        ("CREATE TABLE a (b); INSERT INTO a SELECT * FROM absent;", "no such table"),
        ("\x00\x01", "unrecognized|null"),
    ],
)
def test_a_dump_does_nothing_else(tmp_path, reads, text, why):
    (tmp_path / "a.sql").write_text(text.replace("{folder}", str(tmp_path)))
    with pytest.raises(UserError, match=why):
        reads(path=tmp_path / "a.sql")
    assert [each.name for each in tmp_path.iterdir()] == ["a.sql"]


ENDLESS = "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n)"


def test_a_dump_that_never_ends(tmp_path, reads, monkeypatch):
    monkeypatch.setattr("memagent.sources.dump.SECONDS", 0.2)
    (tmp_path / "a.sql").write_text(f"CREATE TABLE a (b); INSERT INTO a {ENDLESS} SELECT max(x) FROM n;")
    with pytest.raises(UserError, match="interrupted"):
        reads(path=tmp_path / "a.sql")


def test_a_dump_that_fills_the_disk(tmp_path, reads):
    (tmp_path / "a.sql").write_text(f"CREATE TABLE a (b); INSERT INTO a {ENDLESS} SELECT zeroblob(50000000) FROM n;")
    with pytest.raises(UserError, match="full"):
        reads(path=tmp_path / "a.sql")


def test_without_sqlalchemy_it_is_told_what_to_install():
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from memagent.errors import MissingExtra\n"
        "from memagent.sources.database import Database\n"
        "try: Database('postgresql://x/y')\n"
        "except MissingExtra as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "memagent[database]" in told


@pytest.fixture
def postgres():
    url = new_database()
    yield url
    drop(url)


def test_postgresql(postgres, reads):
    import psycopg

    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE SCHEMA s")
        connection.execute("CREATE TABLE s.a (id int PRIMARY KEY, tags text[], at timestamptz)")
        connection.execute("INSERT INTO s.a VALUES (1, '{x,y}', '2024-01-02T10:00:00Z')")
    url = postgres.replace("postgresql://", "postgresql+psycopg://")
    (item,) = reads(url, tables=["s.a"])
    assert item.place == "s.a 1" and "tags: x, y" in item.read().parts[0].text
    with pytest.raises(BackendError, match=r"read-only|must not contain data-modifying"):
        reads(url, query="WITH x AS (DELETE FROM s.a RETURNING id) SELECT * FROM x")
    assert len(reads(url, query="SELECT * FROM s.a WHERE tags @> '{x}' AND 1 % 2 = 1")) == 1
