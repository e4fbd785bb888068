"""A copy of the passages in another engine: it is asked, other tools read it, and it is made anew when it is lost."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from memagent import registry
from memagent.embeddings import packed
from memagent.errors import MissingExtra, StorageError
from memagent.memory.passages import Passage, PassageStore
from memagent.storage import mirror, mirrored
from memagent.storage.mirror import PROGRESS, Mirror
from memagent.storage.mirrored import MirroredDatabase, MirroredVectors
from memagent.storage.nearest import SqliteVectors
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)
PACKAGES = {"lancedb": "lancedb", "chroma": "chromadb"}
SHELF = "a shelf"


class Fixed:
    """An embedder that says what model the vectors are from; they are given."""

    model = "fixed/model é"
    dimension = 4

    def embed(self, texts: Any) -> list[bytes]:
        raise AssertionError


def axis(*numbers: float) -> bytes:
    return packed([*numbers, *[0.0] * (4 - len(numbers))])


@pytest.fixture(params=PACKAGES)
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(PACKAGES[request.param], reason="comes with: pip install -e '.[dev-storages]'")
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memagent.db"


@pytest.fixture
def opened(kind: str, path: Path) -> Iterator[Callable[..., MirroredDatabase]]:
    """Opens the database; whatever is still open is closed in the end."""
    databases = []

    def open_it(**more: Any) -> MirroredDatabase:
        databases.append(registry.find("storage", registry.STORAGES, kind)(path, **more))
        return databases[-1]

    yield open_it
    for database in databases:
        database.close()


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were wanted, each time an engine was asked."""
    wanted: list[int] = []
    near = Mirror.near

    def spied(self: Mirror, model: str, dimension: int, query: bytes, count: int, *more: Any) -> list[int]:
        found = near(self, model, dimension, query, count, *more)
        wanted.append(count)
        return found

    monkeypatch.setattr(Mirror, "near", spied)
    return wanted


def keep(database: SqliteDatabase, *vectors: bytes, first: int = 1, **more: Any) -> list[int]:
    store = PassageStore(database, SHELF, Fixed())
    passages = [Passage(note, 0, f"passage {note}", NOW, **more) for note in range(first, first + len(vectors))]
    with database.write() as tx:
        return store.insert_many(tx, passages, vectors)


def delete(database: SqliteDatabase, *notes: int) -> None:
    with database.write() as tx:
        for note in notes:
            PassageStore(database, SHELF, None).delete(tx, note)


def near(database: SqliteDatabase, count: int = 3, query: bytes = axis(1.0)) -> list[int]:
    return list(database.vectors("passages", Fixed.model, Fixed.dimension).near(query, count, [SHELF]))


def spread(count: int) -> list[bytes]:
    """Vectors that are further and further from the first axis."""
    return [axis(1.0, n / count) for n in range(count)]


def copied(kind: str, folder: Path) -> dict[int, dict[str, Any]]:
    """What the engine's own library finds in the folder, as another tool would."""
    rows = _in_lancedb(folder) if kind == "lancedb" else _in_chroma(folder)
    assert len({row["item"] for row in rows}) == len(rows), "a passage is there once"
    return {row["item"]: row for row in rows}


def _in_lancedb(folder: Path) -> list[dict[str, Any]]:
    import lancedb

    there = lancedb.connect(folder)
    return [row for name in there.list_tables().tables for row in there.open_table(name).to_arrow().to_pylist()]


def _in_chroma(folder: Path) -> list[dict[str, Any]]:
    import chromadb

    client, rows = chromadb.PersistentClient(folder), []
    for collection in client.list_collections():
        got = collection.get(include=["documents", "metadatas", "embeddings"])
        for text, about, vector in zip(got["documents"], got["metadatas"], got["embeddings"], strict=True):
            rows.append({**about, "text": text, "vector": vector.tolist()})
    client.close()
    return rows


# What is in it --------------------------------------------------------------------------------------------------------


def test_the_engine_is_asked_and_other_tools_can_read_it(
    opened: Callable[..., MirroredDatabase], kind: str, tmp_path: Path, asked: list[int]
) -> None:
    database = opened()
    numbers = keep(database, axis(1.0), axis(1.0, 1.0), tags=("a", "ü 'b'"), place="a.md › Top")
    keep(database, axis(0.0, 1.0), first=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteVectors, "near", None)  # the database's own
        assert near(database, 2) == numbers and near(database, 9)[:2] == numbers and len(asked) == 2
    database.close()
    rows = copied(kind, tmp_path / kind)
    assert len(rows) == 3
    row = rows[numbers[1]]
    assert (row["text"], row["place"], row["tags"]) == ("passage 2", "a.md › Top", ["a", "ü 'b'"])
    assert (row["shelf"], row["note"], row["part"], row["created"]) == (SHELF, 2, 0, NOW.isoformat())
    assert row["vector"] == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])


def test_changes_are_carried_over(opened: Callable[..., MirroredDatabase], kind: str, tmp_path: Path) -> None:
    database = opened()
    numbers = keep(database, *spread(6), turn=1)
    assert near(database) == numbers[:3]
    delete(database, 1)
    with database.write() as tx:
        store = PassageStore(database, SHELF, Fixed())
        store.update_tags(tx, 3, ["new"])
        tx.run("UPDATE passages SET undone = ? WHERE note = 4", NOW.isoformat())
        assert store.waiting
        store.waiting.keep(tx, numbers[5], axis(1.0))
    assert near(database) == [numbers[5], numbers[1], numbers[2]]
    database.close()
    rows = copied(kind, tmp_path / kind)
    assert rows.keys() == {numbers[1], numbers[2], numbers[4], numbers[5]}
    assert rows[numbers[2]]["tags"] == ["new"] and rows[numbers[5]]["vector"] == [1, 0, 0, 0]


def test_what_another_storage_did_meanwhile_is_carried_over(
    opened: Callable[..., MirroredDatabase], path: Path, kind: str
) -> None:
    database = opened()
    numbers = keep(database, *spread(6))
    near(database)
    database.close()
    with closing(SqliteDatabase(path)) as plain:
        delete(plain, 1, 2)
        more = keep(plain, axis(1.0, 0.01), first=7)
    database = opened()
    assert near(database, 2) == [more[0], numbers[2]]
    database.close()
    assert copied(kind, path.with_name(kind)).keys() == {*numbers[2:], *more}


def test_saving_brings_the_copy_up_to_date(opened: Callable[..., MirroredDatabase], kind: str, path: Path) -> None:
    database = opened()
    numbers = keep(database, *spread(5))
    delete(database, 2)
    PassageStore(database, SHELF, Fixed()).save()
    assert database.rows(f"SELECT count(*) FROM {kind}_changes WHERE item > 0") == [(0,)], "what is done is forgotten"
    delete(database, 1)
    assert near(database, 2) == [numbers[2], numbers[3]]
    database.close()
    assert copied(kind, path.with_name(kind)).keys() == set(numbers[2:])


def test_the_folder_can_be_anywhere(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where's" / "copy"
    database = opened(folder=elsewhere)
    numbers = keep(database, *spread(3))
    assert near(database) == numbers and not path.with_name(kind).exists()
    database.close()
    assert copied(kind, elsewhere).keys() == set(numbers)


def test_each_model_has_its_own_table(opened: Callable[..., MirroredDatabase], kind: str, path: Path) -> None:
    class Other(Fixed):
        model = "fixed-model e"  # as plain letters, the same
        dimension = 4

    database = opened()
    numbers = keep(database, *spread(3))
    with database.write() as tx:
        store = PassageStore(database, "another shelf", Other())
        [other] = store.insert_many(tx, [Passage(1, 0, "other", NOW)], [axis(1.0)])
    index = database.vectors("passages", Other.model, 4)
    assert list(index.near(axis(1.0), 5, [SHELF, "another shelf"])) == [other]
    assert near(database) == numbers
    delete(database, 1, 2)
    with database.write() as tx:
        store.delete(tx, 1)
    near(database)
    database.close()
    assert copied(kind, path.with_name(kind)).keys() == {numbers[2]}, "changes reach all tables"


# What is lost ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_meanwhile", [True, False])
def test_a_folder_that_is_gone_is_made_anew(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path, open_meanwhile: bool, asked: list[int]
) -> None:
    database = opened()
    numbers = keep(database, *spread(5))
    near(database)
    if not open_meanwhile:
        database.close()
    shutil.rmtree(path.with_name(kind))
    database = database if open_meanwhile else opened()
    more = keep(database, axis(1.0, 0.01), first=9)
    assert near(database, 2) == [numbers[0], more[0]]
    assert len(asked) == 2
    database.close()
    assert copied(kind, path.with_name(kind)).keys() == {*numbers, *more}


@pytest.mark.parametrize("damage", ["cut", "noise", "gone", "empty"])
def test_a_damaged_file_is_made_anew(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path, damage: str, asked: list[int]
) -> None:
    database = opened()
    numbers = keep(database, *spread(5))
    near(database)
    database.close()
    folder = path.with_name(kind)
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".txn"]
    for file in [*files, folder / PROGRESS] if damage != "gone" else [f for f in files if f.name != PROGRESS]:
        if not file.exists():
            continue  # it was of the copy before this one
        content = file.read_bytes()
        if damage == "gone":
            file.unlink()
        else:
            bad = {"cut": content[: len(content) // 2], "noise": bytes(b ^ 0x5A for b in content), "empty": b""}
            file.write_bytes(bad[damage])
        database = opened()
        assert near(database) == numbers[:3], file
        database.close()
    assert len(asked) >= 2


@pytest.mark.slow
def test_a_copy_that_ends_the_process_is_opened_only_once(tmp_path: Path) -> None:
    pytest.importorskip("chromadb", reason="comes with: pip install -e '.[dev-storages]'")
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_mirror import keep, near, spread
from memagent.storage.chroma import ChromaDatabase
database = ChromaDatabase(Path(sys.argv[1]))
if not database.rows("SELECT 1 FROM passages LIMIT 1"):
    keep(database, *spread(1500))
print(near(database))
database.close()
"""

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, tmp_path / "db"], capture_output=True, text=True)

    first = run()
    assert first.returncode == 0, first.stderr
    [index] = (tmp_path / "chroma").rglob("data_level0.bin")
    index.write_bytes(index.read_bytes()[:1000])
    died = run()
    again = run()
    assert again.stdout == first.stdout and (died.returncode == -signal.SIGSEGV or died.stdout == first.stdout)


def test_the_copy_of_another_state_of_the_database_is_made_anew(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path
) -> None:
    database = opened()
    keep(database, *spread(3))
    near(database)
    database.backup(path.with_name("older.db"))
    keep(database, *spread(5), first=4)
    near(database)
    database.close()
    path.with_name("older.db").replace(path)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    database = opened()
    other = keep(database, *[axis(0.5, 1.0)] * 4, axis(1.0, 0.001), first=4)
    assert near(database, 2)[1] == other[4], "their numbers were those of others once"
    database.close()
    assert len(copied(kind, path.with_name(kind))) == 8


KILLED = """
import os, signal, sys
from pathlib import Path
from memagent import registry
from memagent.storage import mirror
from memagent.storage.mirror import Mirror
mirror.BATCH = 10
write, written = Mirror._write_progress, 0
def stop(self, done):
    global written
    written += 1
    if written == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, done)
Mirror._write_progress = stop
database = registry.find("storage", registry.STORAGES, sys.argv[1])(Path(sys.argv[2]))
database.vectors("passages", "fixed/model é", 4).near(bytes(16), 3, ["a shelf"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 3])
def test_a_kill_while_it_catches_up_does_no_harm(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path, moment: int
) -> None:
    database = opened()
    numbers = keep(database, *spread(40))
    database.close()
    killed = subprocess.run([sys.executable, "-c", KILLED, kind, path, str(moment)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    database = opened()
    delete(database, 1)
    assert near(database) == numbers[1:4]
    database.close()
    assert copied(kind, path.with_name(kind)).keys() == set(numbers[1:])


# What can't be used ---------------------------------------------------------------------------------------------------


def test_a_folder_of_somebody_else_is_refused_and_left_alone(
    opened: Callable[..., MirroredDatabase], tmp_path: Path
) -> None:
    theirs = tmp_path / "papers"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    for wrong in (theirs, theirs / "thesis.txt"):
        with pytest.raises(StorageError, match="not memagent's") as refused:
            opened(folder=wrong)
        assert "storage_path" in refused.value.hint
    assert [file.name for file in theirs.iterdir()] == ["thesis.txt"]


def test_an_extra_that_is_missing_is_named(kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrored, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=rf"memagent\[{kind}\]"):
        registry.find("storage", registry.STORAGES, kind)(path)
    assert not path.exists()


def test_where_the_engine_fails_the_database_answers(
    opened: Callable[..., MirroredDatabase], kind: str, path: Path, caplog: pytest.LogCaptureFixture, asked: list[int]
) -> None:
    database = opened()
    numbers = keep(database, *spread(5))
    module = import_module(f"memagent.storage.{kind}")
    engine = {"lancedb": "LanceTable", "chroma": "ChromaTable"}[kind]

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(getattr(module, engine), "put", fail)
        assert near(database) == numbers[:3]
        assert near(database) == numbers[:3]
    assert caplog.text.count("no space left") == 2, "it is tried anew once, and then left alone for a while"
    assert asked == []
    database.mirror._rest_until = 0.0
    assert near(database) == numbers[:3] and len(asked) == 1


def test_few_are_compared_without_the_engine(opened: Callable[..., MirroredDatabase], asked: list[int]) -> None:
    database = opened()
    numbers = keep(database, *spread(5))
    index = database.vectors("passages", Fixed.model, 4)
    assert isinstance(index, MirroredVectors)
    assert list(index.near(axis(1.0), 2, [SHELF], numbers[2:])) == numbers[2:4] and asked == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirrored, "FEW", 2)
        assert list(index.near(axis(1.0), 2, [SHELF], numbers[2:])) == numbers[2:4] and len(asked) == 1


SECOND = """
import sys
from pathlib import Path
from memagent import registry
database = registry.find("storage", registry.STORAGES, sys.argv[1])(Path(sys.argv[2]))
print(list(database.vectors("passages", "fixed/model é", 4).near(bytes([0, 0, 128, 63, *[0] * 12]), 3, ["a shelf"])))
print(database.mirror._engine is not None)
database.close()
"""


@pytest.mark.slow
def test_several_processes_are_answered_alike(opened: Callable[..., MirroredDatabase], kind: str, path: Path) -> None:
    def second() -> list[str]:
        done = subprocess.run([sys.executable, "-c", SECOND, kind, path], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    database = opened()
    numbers = keep(database, *spread(5))
    near(database)
    assert second() == [str(numbers[:3]), str(kind == "lancedb")], "Chroma is for one process at a time"
    database.close()
    assert second() == [str(numbers[:3]), "True"]


def test_inside_a_transaction_and_a_snapshot_it_can_be_asked(opened: Callable[..., MirroredDatabase]) -> None:
    database, other = opened(), None
    numbers = keep(database, *spread(4))
    with database.snapshot():
        assert near(database) == numbers[:3]
        other = SqliteDatabase(database.path)
        more = keep(other, axis(1.0), first=9)
        delete(other, 2)
        assert set(near(database)) <= set(numbers), "what is answered is of one moment"
    other.close()
    assert set(near(database)) == {more[0], numbers[0], numbers[2]}


def test_a_large_table_gets_an_index(tmp_path: Path) -> None:
    pytest.importorskip("lancedb", reason="comes with: pip install -e '.[dev-storages]'")
    from memagent.storage import lancedb

    with closing(lancedb.LanceDatabase(tmp_path / "memagent.db")) as database:
        numbers = keep(database, *spread(400))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lancedb, "INDEXED", 300)
            PassageStore(database, SHELF, Fixed()).save()
        more = keep(database, axis(1.0, 0.001), first=1000)
        assert near(database) == [numbers[0], more[0], numbers[1]], "what came in since is found too"
        table = database.mirror._tables[Fixed.model, Fixed.dimension]
        assert isinstance(table, lancedb.LanceTable) and len(list(table._table.list_indices())) == 1
        delete(database, 1)
        PassageStore(database, SHELF, Fixed()).save()
        assert near(database, 2) == [more[0], numbers[1]]


@pytest.mark.slow
def test_many_small_writes_do_not_pile_up(opened: Callable[..., MirroredDatabase], kind: str, path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if kind == "lancedb":
            module = import_module("memagent.storage.lancedb")
            patch.setattr(module, "PIECES", 20)
            patch.setattr(module, "KEPT", timedelta(milliseconds=1))
        database = opened()
        for note in range(1, 61):
            keep(database, axis(1.0, note / 100), first=note)
            near(database)
    files = sum(len(files) for _, _, files in os.walk(path.with_name(kind)))
    assert files < 100 and near(database) == [1, 2, 3]
    assert mirror.BATCH > 100
