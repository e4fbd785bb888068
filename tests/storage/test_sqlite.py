"""The SQLite file: opened, refused, migrated, written to, copied; and every way in which that can go wrong."""

import errno
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.errors import StorageError
from memagent.memory.log import MessageLog
from memagent.messages import answer
from memagent.storage import sqlite
from memagent.storage.migrations import MIGRATIONS, VERSION, statements
from memagent.storage.sqlite import SqliteDatabase

posix = pytest.mark.skipif(os.name == "nt", reason="file modes and /proc are POSIX matters")


ADD = "INSERT INTO agents (id, owner, name, created, settings, system) VALUES (?1, 'me', ?1, 'now', '{}', '')"
EDIT = (
    "INSERT INTO block_edits (agent, label, version, before, after, cause, created) "
    "VALUES ('Ada', ?, 1, '', '', '', '')"
)


def add_agent(db: SqliteDatabase, name: str) -> None:
    with db.write() as tx:
        tx.run(ADD, name)


def names(db: SqliteDatabase) -> list[str]:
    return [row[0] for row in db.rows("SELECT name FROM agents ORDER BY name")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "memagent.db"


@pytest.fixture
def kept(path: Path) -> Path:
    """A database with something in it, closed."""
    db = SqliteDatabase(path)
    for number in range(30):
        add_agent(db, f"agent {number:03}")
    db.close()
    return path


# Opening --------------------------------------------------------------------------------------------------------------


def test_a_new_database_is_ready_and_stays(path: Path) -> None:
    db = SqliteDatabase(path)
    add_agent(db, "Ada")
    db.close()
    again = SqliteDatabase(path)
    assert names(again) == ["Ada"]
    assert again.check() == []
    assert again.rows("PRAGMA journal_mode")[0][0] == "wal"
    assert again.rows("PRAGMA foreign_keys")[0][0] == 1
    again.close()


def test_what_is_committed_is_on_the_disk_before_anybody_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    db = SqliteDatabase(path, watch=happened.append)
    if db.rows("PRAGMA synchronous")[0][0] == 2:  # SQLite sees to it
        return
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (happened.append("on the disk"), fsync(file)))
    add_agent(db, "Ada")
    last = [each for each in happened if each in ("commit", "on the disk", "committed")]
    assert last[-3:] == ["commit", "on the disk", "committed"]
    happened.clear()
    with db.write(hasty=True) as tx:
        tx.run("UPDATE agents SET name = 'Bo'")
    assert "committed" in happened and "on the disk" not in happened
    add_agent(db, "Cy")
    assert happened.count("on the disk") == 1
    db.close()


def test_many_who_commit_at_once_share_a_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db, waits, fsync = SqliteDatabase(path), [], os.fsync
    if db.rows("PRAGMA synchronous")[0][0] == 2:
        return
    monkeypatch.setattr(os, "fsync", lambda file: (waits.append(file), time.sleep(0.02), fsync(file)))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: add_agent(db, f"agent {number}"), range(32)))
    assert len(waits) < 16 and len(names(db)) == 32
    db.close()


def test_threads_that_ask_one_after_the_other_share_a_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, connect = [], sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: (made.append(args), connect(*args, **more))[1])
    db = SqliteDatabase(path)
    made.clear()
    for number in range(5):
        thread = threading.Thread(target=add_agent, args=(db, f"agent {number}"))
        thread.start()
        thread.join()
    assert len(names(db)) == 5 and made == []
    db.close()


def test_a_disk_that_fails_is_told_by_each_who_waited_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = SqliteDatabase(path)
    if db.rows("PRAGMA synchronous")[0][0] == 2:
        return

    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(add_agent, db, f"agent {number}") for number in range(4)]:
            with pytest.raises(StorageError, match="disk"):
                done.result()
    monkeypatch.undo()
    add_agent(db, "Ada")
    db.close()


@posix
def test_only_its_owner_can_read_it(path: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        db = SqliteDatabase(path)
        add_agent(db, "Ada")
        db.backup(tmp_path / "copy.db")
        files = [path, beside(path, "-wal"), beside(path, "-shm"), tmp_path / "copy.db"]
        assert [oct(mode(file)) for file in files] == ["0o600"] * 4
        assert oct(mode(path.parent)) == "0o700"
        db.close()
    finally:
        os.umask(before)


def test_a_path_with_strange_letters(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory&x#é 100% ünder 記憶" / "my db.sqlite"
    db = SqliteDatabase(path)
    add_agent(db, "Ada")
    db.close()
    assert path.stat().st_size
    again = SqliteDatabase(path)
    assert names(again) == ["Ada"]
    again.close()


@posix
def test_a_link_to_a_database(kept: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(kept)
    db = SqliteDatabase(link)
    add_agent(db, "Zoe")
    db.close()
    again = SqliteDatabase(kept)
    assert "Zoe" in names(again)
    again.close()
    link.unlink()
    link.symlink_to(tmp_path / "nowhere" / "at all.db")
    with pytest.raises(StorageError, match="can't be opened"):
        SqliteDatabase(link)


# What is not a database of ours ---------------------------------------------------------------------------------------


def another_programs(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()


def another_programs_empty(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 7")
    other.close()


def overwrite(path: Path, at: int, size: int, by: bytes = b"\xa5") -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write((by * size)[:size])


DAMAGES = {
    "header": lambda path: overwrite(path, 0, 100),
    "magic": lambda path: overwrite(path, 0, 16, b"Not a database.\n"),
    "application id": lambda path: overwrite(path, 68, 4, b"\0"),
    "first page": lambda path: overwrite(path, 100, 3900),
    "page count": lambda path: overwrite(path, 28, 4, b"\xff"),
    "truncated in the header": lambda path: os.truncate(path, 60),
    "truncated after a page": lambda path: os.truncate(path, 4096),
    "truncated in the middle": lambda path: os.truncate(path, path.stat().st_size // 2 + 100),
    "no bytes": lambda path: os.truncate(path, 0),
    "text": lambda path: path.write_text("Dear diary, today I was not a database.\n" * 500),
    "short text": lambda path: path.write_text("x"),
    "another program's": lambda path: (path.unlink(), another_programs(path)),
    "another program's, without tables": lambda path: (path.unlink(), another_programs_empty(path)),
    "gone, with its log left": lambda path: path.rename(beside(path, "-wal")),
}


def assert_explained(error: StorageError, path: Path) -> None:
    assert str(path) in error.message
    assert error.hint
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_left_as_it_is(kept: Path, damage: str) -> None:
    DAMAGES[damage](kept)
    before = contents(kept.parent)
    with pytest.raises(StorageError) as caught:
        SqliteDatabase(kept)
    assert_explained(caught.value, kept)
    assert contents(kept.parent) == before


def test_a_file_that_lost_its_bytes_keeps_its_log(kept: Path) -> None:
    db = SqliteDatabase(kept)
    add_agent(db, "Zoe")
    log = beside(kept, "-wal").read_bytes()
    db.close()
    beside(kept, "-wal").write_bytes(log)
    os.truncate(kept, 0)
    with pytest.raises(StorageError, match="is empty, and was a database once") as caught:
        SqliteDatabase(kept)
    assert_explained(caught.value, kept)
    assert contents(kept.parent) == {kept.name: b"", f"{kept.name}-wal": log}


def test_damage_further_in_is_found_by_the_check(kept: Path) -> None:
    overwrite(kept, kept.stat().st_size - 3 * 4096, 3 * 4096)
    before = kept.read_bytes()
    try:
        db = SqliteDatabase(kept)
    except StorageError as error:
        assert_explained(error, kept)
    else:
        assert db.check()
        db.close()
    assert kept.read_bytes() == before


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a directory") as caught:
        SqliteDatabase(tmp_path)
    assert_explained(caught.value, tmp_path)


@posix
def test_a_device_is_no_database() -> None:
    with pytest.raises(StorageError) as caught:
        SqliteDatabase(Path(os.devnull))
    assert_explained(caught.value, Path(os.devnull))


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        SqliteDatabase(tmp_path / "file" / "memagent.db")
    assert_explained(caught.value, tmp_path / "file" / "memagent.db")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        SqliteDatabase(tmp_path / ("x" * 5000))
    assert "\n" not in str(caught.value)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_is_more_than_a_storage_error(kept: Path, data: st.DataObject) -> None:
    sound = kept.read_bytes()
    try:
        broken = bytearray(sound[: data.draw(st.integers(0, len(sound)) | st.just(len(sound)), "cut")])
        for _ in range(data.draw(st.integers(0, 4))):
            at = data.draw(st.integers(0, 200) | st.integers(0, max(0, len(broken) - 1)))
            broken[at : at + 1] = data.draw(st.binary(min_size=1, max_size=60))
        kept.write_bytes(broken)
        try:
            db = SqliteDatabase(kept)
        except StorageError as error:
            assert_explained(error, kept)
            assert kept.read_bytes() == broken
            return
        try:
            db.check()
            for table in ("agents", "messages", "blocks", "messages_words"):
                db.rows(f"SELECT * FROM {table}")
        except StorageError as error:
            assert "\n" not in str(error)
        finally:
            db.close()
    finally:
        for file in kept.parent.iterdir():
            file.unlink()
        kept.write_bytes(sound)


# Transactions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), GeneratorExit(), sqlite3.OperationalError()])
def test_all_of_a_transaction_or_nothing(path: Path, error: BaseException) -> None:
    db = SqliteDatabase(path)
    with pytest.raises(StorageError if isinstance(error, sqlite3.Error) else type(error)), db.write() as tx:
        tx.run(ADD, "Ada")
        raise error
    assert names(db) == []
    add_agent(db, "Bob")
    assert names(db) == ["Bob"]
    db.close()


@pytest.mark.parametrize("outer", ["write", "snapshot"])
@pytest.mark.parametrize("inner", ["write", "snapshot"])
def test_a_transaction_inside_another_is_refused_and_ends_it(path: Path, outer: str, inner: str) -> None:
    db = SqliteDatabase(path)
    with pytest.raises(StorageError, match="inside another"), getattr(db, outer)() as tx:
        if tx:
            tx.run(ADD, "Ada")
        with getattr(db, inner)():
            raise AssertionError
    assert names(db) == []
    add_agent(db, "Bob")
    db.close()


def test_numbers_of_rows_and_reading_inside(path: Path) -> None:
    db = SqliteDatabase(path)
    add_agent(db, "Ada")
    with db.write() as tx:
        assert tx.run("UPDATE agents SET system = 'x' WHERE name = ?", "Ada") == 1
        assert tx.run("UPDATE agents SET system = 'x' WHERE name = ?", "Bob") == 0
        assert tx.add(EDIT, "a") + 1 == tx.add(EDIT, "b")
        assert len(tx.rows("SELECT * FROM block_edits")) == 2
        assert len(db.rows("SELECT * FROM block_edits")) == 2, "the same thread sees what it has written"
        seen: list[int] = []
        thread = threading.Thread(target=lambda: seen.append(len(db.rows("SELECT * FROM block_edits"))))
        thread.start()
        thread.join()
        assert seen == [0], "others see it once it is committed"
    db.close()


def test_a_snapshot_does_not_change(path: Path) -> None:
    db, other = SqliteDatabase(path), SqliteDatabase(path)
    with db.snapshot():
        assert names(db) == []
        add_agent(other, "Ada")
        assert names(other) == ["Ada"]
        assert names(db) == []
    assert names(db) == ["Ada"]
    add_agent(db, "Bob")
    db.close()
    other.close()


def test_rows_go_with_their_agent(path: Path) -> None:
    db = SqliteDatabase(path)
    with pytest.raises(StorageError, match="FOREIGN KEY"), db.write() as tx:
        tx.run("INSERT INTO turns (agent, turn, state, started) VALUES ('nobody', 1, 'running', '')")
    add_agent(db, "Ada")
    with db.write() as tx:
        tx.run("INSERT INTO turns (agent, turn, state, started) VALUES ('Ada', 1, 'running', '')")
        tx.run("DELETE FROM agents WHERE id = 'Ada'")
    assert db.rows("SELECT * FROM turns") == []
    db.close()


@pytest.mark.parametrize("moment", ["statement", "commit", "committed"])
def test_whatever_fails_at_whichever_moment_nothing_is_kept_in_part(path: Path, moment: str) -> None:
    failing = {"moment": "", "at": 0}

    def watch(now: str) -> None:
        if now == failing["moment"]:
            failing["at"] -= 1
            if failing["at"] == 0:
                raise sqlite3.OperationalError("disk I/O error")

    db = SqliteDatabase(path, watch=watch)
    outcomes = []
    for number in range(1, 6):
        failing.update(moment=moment, at=number)
        try:
            with db.write() as tx:
                for name in ("Ada", "Bob", "Eve"):
                    tx.run(ADD, name)
            outcomes.append("kept")
        except StorageError as error:
            assert str(path) in error.message
            outcomes.append("failed")
        failing["moment"] = ""
        assert names(db) in ([], ["Ada", "Bob", "Eve"])
        assert bool(names(db)) == (outcomes[-1] == "kept" or moment == "committed")
        with db.write() as tx:
            tx.run("DELETE FROM agents")
    assert outcomes == ["failed"] * (3 if moment == "statement" else 1) + ["kept"] * (2 if moment == "statement" else 4)
    assert db.check() == []
    db.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted where the system lists them")
def test_threads_that_end_leave_no_open_files(path: Path) -> None:
    db = SqliteDatabase(path)
    add_agent(db, "Ada")
    before = len(os.listdir("/proc/self/fd"))
    seen = []
    for _ in range(40):
        thread = threading.Thread(target=lambda: seen.append(names(db)))
        thread.start()
        thread.join()
    assert seen == [["Ada"]] * 40
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    db.close()
    assert not [fd for fd in os.listdir("/proc/self/fd") if str(path) in _target(fd)]


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_many_threads_write_at_once(path: Path) -> None:
    db = SqliteDatabase(path)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for i in range(15):
                add_agent(db, f"{number}/{i}")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(names(db)) == 120
    db.close()


def test_a_writer_that_does_not_end_is_told_of(path: Path) -> None:
    holder, waiter = SqliteDatabase(path), SqliteDatabase(path, busy_seconds=0.2)
    with holder.write() as tx:
        tx.run(ADD, "Ada")
        assert names(waiter) == [], "readers never wait"
        with pytest.raises(StorageError, match="in use by another program") as caught:
            add_agent(waiter, "Bob")
        assert_explained(caught.value, path)
    add_agent(waiter, "Bob")
    assert names(waiter) == ["Ada", "Bob"]
    holder.close()
    waiter.close()


def test_a_database_that_another_process_is_just_making_is_waited_for(path: Path) -> None:
    SqliteDatabase(path).close()
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("PRAGMA journal_mode = DELETE")
    maker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="in use by another program"):
        SqliteDatabase(path, busy_seconds=0.1)
    ending = threading.Timer(0.3, maker.execute, ["COMMIT"])
    ending.start()
    SqliteDatabase(path).close()
    ending.join()
    maker.close()


# Migrations -----------------------------------------------------------------------------------------------------------

SECOND = "ALTER TABLE agents ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';\nCREATE TABLE moods (mood TEXT);"


def release(monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    """Let the program be a later version, with these steps more."""
    monkeypatch.setattr(sqlite, "MIGRATIONS", (*MIGRATIONS, *steps))
    monkeypatch.setattr(sqlite, "VERSION", VERSION + len(steps))


@pytest.mark.parametrize("step", MIGRATIONS)
def test_every_statement_of_a_step_is_one(step: str) -> None:
    begins = r"^(?:CREATE|DROP|ALTER|INSERT|UPDATE) "
    for statement in statements(step):
        assert sqlite3.complete_statement(statement)
        assert re.match(begins, statement)
    assert len(statements(step)) == len(re.findall(begins, step, re.MULTILINE))


def test_notes_of_the_first_version_are_all_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MIGRATIONS", MIGRATIONS[:1])
    monkeypatch.setattr(sqlite, "VERSION", 1)
    db = SqliteDatabase(path)
    agent = "a1"
    with db.write() as tx:
        tx.run(
            "INSERT INTO agents (id, owner, name, created, settings, system) VALUES ('a1', 'me', 'Ada', '', '{}', '')"
        )
        notes = [("I keep bees", "", None), ("from a book", "book.txt", None), ("taken back", "", "2026-01-01")]
        for note, (text, source, undone) in enumerate([*notes, ("x", "", None)]):
            number = tx.add(
                "INSERT INTO passages (agent, note, part, text, tags, source, created, undone) "
                "VALUES (?, ?, 0, ?, '[\"a\"]', ?, '2026-01-01T00:00:00+00:00', ?)",
                agent, note + 1, text, source, undone,
            )  # fmt: skip
            tx.run("INSERT INTO vectors (passage, agent, model, vector) VALUES (?, ?, 'm', ?)", number, agent, b"1234")
        tx.run("DELETE FROM passages WHERE text = 'x'")
    db.close()
    monkeypatch.undo()
    db = SqliteDatabase(path)
    assert db.rows("SELECT id, shelf, note, text, tags, place, undone FROM passages ORDER BY id") == [
        (1, agent, 1, "I keep bees", '["a"]', "", None),
        (2, agent, 2, "from a book", '["a"]', "book.txt", None),
        (3, agent, 3, "taken back", '["a"]', "", "2026-01-01"),
    ]
    assert db.rows("SELECT item, shelf, model, vector FROM passages_vectors ORDER BY id") == [
        (number, agent, "m", b"1234") for number in (1, 2, 3)
    ]
    found = "SELECT rowid FROM passages_words WHERE passages_words MATCH ?"
    assert [db.rows(found, word) for word in ("bees", "book", "taken")] == [[(1,)], [(2,)], []]
    with db.write() as tx:
        number = tx.add("INSERT INTO passages (shelf, note, part, text, created) VALUES (?, 9, 0, 'new', '')", agent)
    assert number == 5, "the number of what was deleted does not come back"
    with db.write() as tx:
        tx.run("DELETE FROM agents")
    assert [db.rows(f"SELECT * FROM {table}") for table in ("passages", "passages_vectors")] == [[], []]
    assert db.check() == []
    db.close()


def test_messages_from_before_reasoning_was_kept_are_all_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "MIGRATIONS", MIGRATIONS[:5])
    monkeypatch.setattr(sqlite, "VERSION", 5)
    db = SqliteDatabase(path)
    now = "2026-01-01T00:00:00+00:00"
    with db.write() as tx:
        tx.run("INSERT INTO agents (id, owner, name, created, settings, system) VALUES ('a', 'me', 'A', '', '{}', '')")
        tx.run(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
            "VALUES ('a', 1, 1, 'user', 'user', '{}', 'I keep bees', ?)",
            now,
        )
    db.close()
    monkeypatch.undo()
    db = SqliteDatabase(path)
    new = answer("", (), "Noted.", datetime.fromisoformat(now), "They keep bees.")
    with db.write() as tx:
        MessageLog(db, "a").append(tx, [new], 1)
    assert [(m.said, m.reasoning) for m in MessageLog(db, "a").all()] == [
        ("I keep bees", ""), ("Noted.", "They keep bees."),
    ]  # fmt: skip
    assert db.rows("SELECT rowid FROM messages_words WHERE messages_words MATCH 'bees'") == [(1,)]
    assert db.check() == []
    db.close()


def test_an_older_database_is_brought_up_to_date_and_kept_beside(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, SECOND, "INSERT INTO moods VALUES ('new');")
    db = SqliteDatabase(kept)
    assert db.rows("SELECT DISTINCT mood FROM agents") == [("calm",)]
    assert db.rows("SELECT mood FROM moods") == [("new",)]
    assert db.rows("PRAGMA user_version") == [(VERSION + 2,)]
    assert len(names(db)) == 30
    db.close()
    monkeypatch.undo()
    old = SqliteDatabase(beside(kept, f".before-v{VERSION + 2}"))
    assert len(names(old)) == 30
    assert old.rows("PRAGMA user_version") == [(VERSION,)]
    old.close()
    if os.name != "nt":
        assert oct(mode(beside(kept, f".before-v{VERSION + 2}"))) == "0o600"


def test_a_step_that_fails_leaves_the_old_version(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, SECOND, "CREATE TABLE fine (a);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(StorageError, match="nowhere") as caught:
        SqliteDatabase(kept)
    assert_explained(caught.value, kept)
    monkeypatch.undo()
    db = SqliteDatabase(kept)
    assert len(names(db)) == 30
    assert db.rows("SELECT name FROM sqlite_master WHERE name IN ('fine', 'moods')") == []
    db.close()
    release(monkeypatch, SECOND)
    assert SqliteDatabase(kept).rows("SELECT DISTINCT mood FROM agents") == [("calm",)]


def test_every_statement_of_a_migration_may_fail(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, SECOND, "INSERT INTO moods VALUES ('new');")
    for number in range(1, 100):
        count = 0

        def watch(_: str, number: int = number) -> None:
            nonlocal count
            count += 1
            if count == number:
                raise sqlite3.OperationalError("disk I/O error")

        try:
            db = SqliteDatabase(kept, watch=watch)
        except StorageError:
            with sqlite3.connect(kept) as raw:
                assert raw.execute("PRAGMA user_version").fetchone()[0] in (VERSION, VERSION + 2)
                assert raw.execute("SELECT count(*) FROM agents").fetchone()[0] == 30
            raw.close()
        else:
            break
    assert number > 4, "there were statements to fail"
    assert db.rows("SELECT mood FROM moods") == [("new",)]
    db.close()


def test_a_newer_database_is_refused_with_its_version(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(monkeypatch, SECOND, SECOND.replace("mood", "colour"))
    SqliteDatabase(kept).close()
    monkeypatch.undo()
    before = contents(kept.parent)
    with pytest.raises(
        StorageError, match=rf"newer memagent \(its format is {VERSION + 2}, this one knows {VERSION}\)"
    ) as caught:
        SqliteDatabase(kept)
    assert "Upgrade" in caught.value.hint
    assert contents(kept.parent) == before


def test_without_a_backup_there_is_no_migration(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside(kept, f".before-v{VERSION + 1}.part").mkdir()
    release(monkeypatch, SECOND)
    with pytest.raises(StorageError, match="could not be copied"):
        SqliteDatabase(kept)
    monkeypatch.undo()
    db = SqliteDatabase(kept)
    assert db.rows("PRAGMA user_version") == [(VERSION,)]
    db.close()


# Copies and checks ----------------------------------------------------------------------------------------------------


def test_a_backup_is_a_database_of_its_own(kept: Path, tmp_path: Path) -> None:
    db = SqliteDatabase(kept)
    target = tmp_path / "copy.db"
    db.backup(target)
    add_agent(db, "later")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "home"], "one file, and nothing left over"
    copy = SqliteDatabase(target)
    assert len(names(copy)) == 30
    assert copy.check() == []
    copy.close()
    db.backup(target)
    copy = SqliteDatabase(target)
    assert "later" in names(copy)
    copy.close()
    db.close()


def test_a_backup_in_the_place_of_an_unclosed_one_is_not_mixed_with_it(kept: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    db = SqliteDatabase(kept)
    db.backup(target)
    unclosed = SqliteDatabase(target)
    for number in range(200):
        add_agent(unclosed, f"of the copy {number}")
    log = beside(target, "-wal").read_bytes()
    unclosed.close()
    beside(target, "-wal").write_bytes(log)  # as a process that was killed leaves it
    db.backup(target)
    copy = SqliteDatabase(target)
    assert names(copy) == names(db)
    assert copy.check() == []
    copy.close()
    db.close()


def test_a_backup_while_others_write(kept: Path, tmp_path: Path) -> None:
    db = SqliteDatabase(kept)
    go_on = threading.Event()

    def write() -> None:
        number = 0
        while not go_on.is_set():
            add_agent(db, f"new {number}")
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(5):
            db.backup(tmp_path / f"{number}.db")
    finally:
        go_on.set()
        thread.join()
    for number in range(5):
        copy = SqliteDatabase(tmp_path / f"{number}.db")
        assert copy.check() == []
        new = [name for name in names(copy) if name.startswith("new")]
        assert set(new) == {f"new {i}" for i in range(len(new))}
        copy.close()
    db.close()


def test_a_backup_onto_itself_is_refused(kept: Path, tmp_path: Path) -> None:
    db = SqliteDatabase(kept)
    add_agent(db, "Zoe")
    targets = [kept, kept.parent / ".." / kept.parent.name / kept.name]
    if os.name != "nt":
        (tmp_path / "link").symlink_to(kept)
        targets.append(tmp_path / "link")
    for target in targets:
        with pytest.raises(StorageError, match="is the database itself"):
            db.backup(target)
    add_agent(db, "after")
    assert "after" in names(db)
    db.close()


def test_a_backup_that_can_not_be_written_names_its_place(kept: Path, tmp_path: Path) -> None:
    db = SqliteDatabase(kept)
    target = tmp_path / "not there" / "copy.db"
    with pytest.raises(StorageError, match="could not be copied") as caught:
        db.backup(target)
    assert str(target) in caught.value.message and "room" in caught.value.hint
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        db.backup(tmp_path / "folder")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "home"]
    db.close()


def test_a_broken_index_of_words_is_found(kept: Path) -> None:
    db = SqliteDatabase(kept)
    with db.write() as tx:
        for seq in range(1, 300):
            tx.add(
                "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created) "
                "VALUES ('agent 001', ?, 1, 'user', 'user', '', ?, '')",
                seq, f"word{seq} and others",
            )  # fmt: skip
    assert db.check() == []
    with db.write() as tx:
        tx.run("UPDATE messages_words_data SET block = zeroblob(20) WHERE id > 1000")
    assert any("damaged" in problem for problem in db.check())
    db.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let go of an open file")
def test_what_is_closed_is_let_go_of(kept: Path) -> None:
    db = SqliteDatabase(kept)
    add_agent(db, "Zoe")
    db.close()
    assert [file.name for file in kept.parent.iterdir()] == [kept.name], "the log was taken up into the file"


@posix
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_gone_or_another_one_is_not_written_to(kept: Path, tmp_path: Path, replaced: bool) -> None:
    db = SqliteDatabase(kept)
    db.backup(tmp_path / "copy.db")
    before = names(db)
    if replaced:
        (tmp_path / "copy.db").replace(kept)
    else:
        kept.rename(tmp_path / "elsewhere.db")
    with pytest.raises(StorageError, match="moved, deleted or replaced"):
        add_agent(db, "Bea")
    if not replaced:
        (tmp_path / "elsewhere.db").rename(kept)
        add_agent(db, "Bea")
        assert names(db) == sorted([*before, "Bea"])
    db.close()


def test_it_can_be_closed_while_others_ask_it(tmp_path: Path) -> None:
    """In a process of its own: what goes wrong here takes the process down."""
    code = (
        "import sys, threading\n"
        "from memagent.errors import StorageError\n"
        "from memagent.storage.sqlite import SqliteDatabase\n"
        "database, over = SqliteDatabase(__import__('pathlib').Path(sys.argv[1])), threading.Event()\n"
        "def ask():\n"
        "    while not over.is_set():\n"
        "        try:\n"
        "            database.rows('WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) '\n"
        "                          'SELECT count(*) FROM n')\n"
        "        except StorageError:\n"
        "            pass\n"
        "threads = [threading.Thread(target=ask) for _ in range(3)]\n"
        "[thread.start() for thread in threads]\n"
        "for _ in range(150):\n"
        "    database.close()\n"
        "over.set()\n"
        "[thread.join() for thread in threads]\n"
        "print('closed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "m.db"], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout == "closed\n", done.stderr
