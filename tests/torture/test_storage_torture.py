"""What the database survives: stopped writers, full disks, sudden ends, many processes at once. With real processes."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memagent.errors import StorageError
from memagent.storage import sqlite
from memagent.storage.migrations import VERSION
from memagent.storage.sqlite import SqliteDatabase

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to stop a process")

BEGIN = """
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from memagent.errors import MemagentError
from memagent.memory.core import Block, CoreMemory
from memagent.memory.log import MessageLog
from memagent.messages import user_message
from memagent.roster import Roster
from memagent.storage import sqlite
from memagent.storage.opening import crash_at
from memagent.storage.sqlite import SqliteDatabase

now = datetime(2026, 11, 21, tzinfo=timezone.utc)

def make(db, name):
    with db.write() as tx:
        agent = Roster(db, "me").make(tx, name, {}, "", now)
        CoreMemory(db, agent).create(tx, [Block("human", "0", 100_000)], "preset", now)
    return agent

def say(db, agent, text, size=0):
    log, core = MessageLog(db, agent), CoreMemory(db, agent)
    core.reload()
    draft = core.draft()
    draft.rewrite("human", str(int(core.blocks["human"].value) + 1))
    with db.write() as tx:
        log.append(tx, [user_message(text + "x" * size, now)], 1)
        core.store(tx, draft.changes(), "test", now)

"""
"""A message and an edit of a block that counts them, in one transaction: so what belongs together can be told."""


def start(code: str, *arguments: object, inside: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*inside, sys.executable, "-c", BEGIN + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    with process:
        out, _ = process.communicate(timeout=50)
    return process.returncode, out.strip()


@contextlib.contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it is ready; killed in the end, whatever it does."""
    process = start(code, *arguments)
    try:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def counted(db: SqliteDatabase) -> dict[str, int]:
    """How many messages each agent has; everything that must hold among them is checked."""
    assert db.check() == []
    counts = {}
    for agent, name in db.rows("SELECT id, name FROM agents ORDER BY name"):
        numbers = [row[0] for row in db.rows("SELECT seq FROM messages WHERE agent = ? ORDER BY seq", agent)]
        assert numbers == list(range(1, len(numbers) + 1)), "numbers have no gap"
        value, version = db.rows("SELECT value, version FROM blocks WHERE agent = ?", agent)[0]
        assert int(value) == len(numbers) == version - 1, "a message and the edit that goes with it are both there"
        edits = db.rows("SELECT before, after FROM block_edits WHERE agent = ? AND version > 1 ORDER BY id", agent)
        assert edits == [(str(i), str(i + 1)) for i in range(len(numbers))]
        found = db.rows("SELECT count(*) FROM messages_words WHERE messages_words MATCH ?", f'agent:"{agent}"')
        assert found == [(len(numbers),)], "each is in the index of words"
        counts[name] = len(numbers)
    return counts


WRITER = """
db = SqliteDatabase(Path(sys.argv[1]))
agent = make(db, sys.argv[2])
print("ready", flush=True)
try:
    for i in range(int(sys.argv[3])):
        say(db, agent, f"message {i} ", int(sys.argv[4]))
        time.sleep(float(sys.argv[5]))
except MemagentError as error:
    print(error)
"""


@posix
def test_a_writer_that_is_stopped_in_a_transaction_keeps_others_waiting_no_longer_than_said(tmp_path: Path) -> None:
    path = tmp_path / "memagent.db"
    code = """
    db = SqliteDatabase(Path(sys.argv[1]))
    agent = make(db, "Ada")
    say(db, agent, "first")
    with db.write() as tx:
        tx.run("UPDATE agents SET system = 'half'")
        print("ready", flush=True)
        time.sleep(60)
    """
    with running(code, path) as stopped:
        stopped.send_signal(signal.SIGSTOP)
        waiting = SqliteDatabase(path, busy_seconds=0.3)
        begun = time.monotonic()
        with pytest.raises(StorageError, match="in use by another program"), waiting.write():
            raise AssertionError
        assert time.monotonic() - begun < 10, "the wait has an end"
        assert waiting.rows("SELECT system FROM agents") == [("",)], "readers need not wait"
        stopped.kill()
        stopped.wait()
        with waiting.write() as tx:
            tx.run("UPDATE agents SET system = 'whole'")
        assert counted(waiting) == {"Ada": 1}
        waiting.close()


@posix
@pytest.mark.slow
def test_whatever_instant_a_copy_is_of_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "memagent.db"
    luck = random.Random(8)
    seen = []
    with running(WRITER, path, "Ada", 100_000, 3000, 0.003) as writer:
        for number in range(100):
            time.sleep(luck.random() * 0.015)
            writer.send_signal(signal.SIGSTOP)
            image = tmp_path / f"{number}.db"
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{ending}", f"{image}{ending}")
            writer.send_signal(signal.SIGCONT)
            copy = SqliteDatabase(image)
            seen.append(counted(copy)["Ada"])
            copy.close()
            image.unlink()
    assert seen == sorted(seen), "what was there stays"
    assert seen[-1] > seen[0]


@posix
def test_a_writer_that_is_killed_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "memagent.db"
    SqliteDatabase(path).close()
    for round in range(6):
        code = """
        db = SqliteDatabase(Path(sys.argv[1]), watch=crash_at(int(sys.argv[2])))
        agent = db.rows("SELECT id FROM agents")
        agent = agent[0][0] if agent else make(db, "Ada")
        while True:
            say(db, agent, "more")
            print("said", flush=True)
        """
        before = counted(db := SqliteDatabase(path)).get("Ada", 0)
        db.close()
        code, out = outcome(start(code, path, 5 + round))
        assert code == -signal.SIGKILL, out
        after = counted(db := SqliteDatabase(path))["Ada"]
        db.close()
        assert after - before - out.count("said") in (0, 1), "all that was reported, and at most what was on its way"


def test_eight_processes_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "memagent.db"
    results = [outcome(process) for process in [start(WRITER, path, f"agent {i}", 25, 50, 0) for i in range(8)]]
    assert results == [(0, "ready")] * 8, "nobody is told that the file is locked"
    db = SqliteDatabase(path)
    assert counted(db) == {f"agent {i}": 25 for i in range(8)}
    db.close()


# Migrations -----------------------------------------------------------------------------------------------------------

LATER = """
sqlite.MIGRATIONS = (*sqlite.MIGRATIONS, "ALTER TABLE agents ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm';",
                     "CREATE TABLE moods (mood TEXT);\\nINSERT INTO moods VALUES ('new');")
sqlite.VERSION += 2
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the first version, with a conversation in it."""
    path = tmp_path / "memagent.db"
    assert outcome(start(WRITER, path, "Ada", 20, 10, 0)) == (0, "ready")
    return path


@posix
@pytest.mark.parametrize("boundary", [1, 2])
def test_a_migration_that_is_killed_is_done_or_undone(old: Path, boundary: int) -> None:
    code, out = outcome(start(f"{LATER}\nSqliteDatabase(Path(sys.argv[1]), watch=crash_at({boundary}))", old))
    assert code == -signal.SIGKILL, out
    with sqlite3.connect(old) as raw:
        version = raw.execute("PRAGMA user_version").fetchone()[0]
        assert version == (VERSION if boundary == 1 else VERSION + 2)
        moods = raw.execute("SELECT * FROM sqlite_master WHERE name = 'moods'").fetchall()
        assert len(moods) == int(version == VERSION + 2)
    raw.close()
    show = "print(SqliteDatabase(Path(sys.argv[1])).rows('SELECT name, agents.mood, moods.mood FROM agents, moods'))"
    for _ in range(2):
        assert outcome(start(f"{LATER}\n{show}", old)) == (0, "[('Ada', 'calm', 'new')]")
    before = SqliteDatabase(old.with_name(f"memagent.db.before-v{VERSION + 2}"))
    assert counted(before) == {"Ada": 20}
    before.close()


def test_many_processes_migrate_at_once(old: Path) -> None:
    show = "print(SqliteDatabase(Path(sys.argv[1])).rows('SELECT name, agents.mood, moods.mood FROM agents, moods'))"
    results = [outcome(process) for process in [start(f"{LATER}\n{show}", old) for _ in range(6)]]
    assert results == [(0, "[('Ada', 'calm', 'new')]")] * 6
    before = SqliteDatabase(old.with_name(f"memagent.db.before-v{VERSION + 2}"))
    assert counted(before) == {"Ada": 20}, "the copy is of what was there before"
    before.close()
    assert not list(old.parent.glob("*.part*"))


def test_many_processes_make_the_same_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "home" / "memagent.db"
    results = [outcome(process) for process in [start(WRITER, path, f"agent {i}", 1, 0, 0) for i in range(8)]]
    assert results == [(0, "ready")] * 8
    db = SqliteDatabase(path)
    assert counted(db) == {f"agent {i}": 1 for i in range(8)}
    db.close()


# Disks ----------------------------------------------------------------------------------------------------------------

SMALL_DISK = """
import json, os, subprocess
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
path, told = place / "memagent.db", {}

def fill(leave=0):
    with open(place / "fill", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        os.truncate(place / "fill", max(0, os.path.getsize(place / "fill") - leave))

def free():
    (place / "fill").unlink(missing_ok=True)

def tried(what, action):
    try:
        action()
        told[what] = "done"
    except MemagentError as error:
        told[what] = [type(error).__name__, str(error), error.exit_code]

def state():
    db = SqliteDatabase(path)
    rows = db.rows("SELECT count(*), max(seq) FROM messages")[0]
    found = db.check() + list(rows) + [int(db.rows("SELECT value FROM blocks")[0][0])]
    db.close()
    return found

def end():
    print(json.dumps(told))
"""


def on_a_small_disk(mounts: tuple[str, ...], place: Path, code: str) -> dict[str, object]:
    place.mkdir()
    status, out = outcome(start(SMALL_DISK + textwrap.dedent(code) + "\nend()", place, inside=mounts))
    assert status == 0, out
    told: dict[str, object] = json.loads(out.splitlines()[-1])
    return told


def is_full(told: object) -> bool:
    return isinstance(told, list) and told[0] == "StorageError" and "The disk is full" in told[1] and told[2] == 5


def test_a_full_disk_while_talking(mounts: tuple[str, ...], tmp_path: Path) -> None:
    told = on_a_small_disk(
        mounts,
        tmp_path / "disk",
        """
        db = SqliteDatabase(path)
        agent = make(db, "Ada")
        def talk():
            for i in range(10_000):
                say(db, agent, f"message {i}", 5000)
                told["said"] = i + 1
        tried("talk", talk)
        tried("talk again", lambda: say(db, agent, "x", 200_000))
        told["read"] = db.rows("SELECT count(*) FROM messages")[0][0]
        fill()
        # Larger than what is left of the log: what was begun there and failed leaves room that a short one fits into.
        tried("with not a byte", lambda: say(db, agent, "x", 300_000))
        db.close()
        tried("open", lambda: SqliteDatabase(path).close())
        free()
        subprocess.run(["mount", "-o", "remount,size=8m", place], check=True)
        told["state"] = state()
        db = SqliteDatabase(path)
        tried("after", lambda: say(db, agent, "x", 5000))
        db.close()
        told["state after"] = state()
        """,
    )
    said = told["said"]
    assert isinstance(said, int) and said > 10
    assert is_full(told["talk"]) and is_full(told["talk again"]) and is_full(told["with not a byte"]), told
    assert told["read"] == said
    assert told["state"] == [said, said, said], "nothing is lost, and nothing is there in part"
    assert told["after"] == "done"
    assert told["state after"] == [said + 1] * 3


def test_the_doctor_sees_that_a_disk_is_nearly_full(mounts: tuple[str, ...], tmp_path: Path) -> None:
    told = on_a_small_disk(
        mounts,
        tmp_path / "disk",
        """
        command = [sys.executable, "-c", "from memagent.cli.app import program; program()", "doctor", "--offline"]
        for name in [name for name in os.environ if name.startswith("MEMAGENT_")]:
            del os.environ[name]
        os.environ |= {"MEMAGENT_HOME": str(place), "MEMAGENT_EMBEDDER": "off"}
        SqliteDatabase(path).close()
        for size in ("2m", "64m", "1g"):
            subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
            fill(4096) if size == "2m" else free()
            done = subprocess.run(command, capture_output=True, text=True)
            told[size] = [done.returncode, *(line for line in done.stdout.splitlines() if " disk: " in line)]
        """,
    )
    full, low, well = (told[size] for size in ("2m", "64m", "1g"))
    assert isinstance(full, list) and isinstance(low, list) and isinstance(well, list)
    assert full[0] == 1 and full[1].startswith("✗ disk: Only 0.0 MB are free for ") and "Free some space" in full[1]
    assert low[0] == 0 and low[1].startswith("– disk: only ")
    assert well[0] == 0 and well[1].startswith("✓ disk: ")


def test_a_full_disk_while_opening_and_making(mounts: tuple[str, ...], tmp_path: Path) -> None:
    told = on_a_small_disk(
        mounts,
        tmp_path / "disk",
        """
        db = SqliteDatabase(path)
        say(db, make(db, "Ada"), "hello")
        db.close()
        for leave in (0, 4096, 20_000, 45_000, 100_000):
            fill(leave)
            tried(f"make with {leave}", lambda: SqliteDatabase(place / "new.db").close())
            free()
            tried(f"make after {leave}", lambda: SqliteDatabase(place / "new.db").close())
            for file in place.glob("new.db*"):
                file.unlink()
        fill()
        tried("open", lambda: SqliteDatabase(path).close())
        free()
        told["state"] = state()
        """,
    )
    for leave in (0, 4096, 20_000, 45_000, 100_000):
        assert is_full(told[f"make with {leave}"]), told
        assert told[f"make after {leave}"] == "done", "what was begun is gone on with when there is room"
    assert is_full(told["open"]), told
    assert told["state"] == [1, 1, 1]


def test_a_full_disk_in_a_migration_and_a_backup(mounts: tuple[str, ...], tmp_path: Path) -> None:
    told = on_a_small_disk(
        mounts,
        tmp_path / "disk",
        """
        db = SqliteDatabase(path)
        agent = make(db, "Ada")
        for i in range(10):
            say(db, agent, "hello", 5000)
        db.close()
        fill(60_000)
        db = SqliteDatabase(path)
        tried("backup", lambda: db.backup(place / "copy.db"))
        db.close()
        sqlite.MIGRATIONS = (*sqlite.MIGRATIONS, "ALTER TABLE agents ADD COLUMN mood TEXT;")
        sqlite.VERSION += 1
        tried("migrate", lambda: SqliteDatabase(path).close())
        told["files"] = sorted(file.name for file in place.iterdir())
        free()
        sqlite.MIGRATIONS, sqlite.VERSION = sqlite.MIGRATIONS[:-1], sqlite.VERSION - 1
        told["state"] = state()
        sqlite.MIGRATIONS = (*sqlite.MIGRATIONS, "ALTER TABLE agents ADD COLUMN mood TEXT;")
        sqlite.VERSION += 1
        tried("migrate after", lambda: SqliteDatabase(path).close())
        told["state after"] = state()
        """,
    )
    for what in ("backup", "migrate"):
        assert isinstance(told[what], list) and "full" in told[what][1] and told[what][2] == 5, told
    assert not any("copy" in name or "part" in name or "before" in name for name in told["files"])  # type: ignore
    assert told["state"] == told["state after"] == [10, 10, 10]
    assert told["migrate after"] == "done"


@posix
def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    code = """
    import resource
    db = SqliteDatabase(Path(sys.argv[1]))
    agent = make(db, "Ada")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    said = 0
    try:
        while True:
            say(db, agent, "hello", 5000)
            said += 1
    except MemagentError as error:
        assert type(error).__name__ == "StorageError", error
        assert "may not grow" in error.message and "300,000 bytes" in error.message, error
    try:
        db.backup(Path(sys.argv[1] + ".copy"))
    except MemagentError as error:
        assert type(error).__name__ == "StorageError", error
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    say(db, agent, "after")
    print(said + 1)
    """
    path = tmp_path / "memagent.db"
    status, out = outcome(start(code, path))
    assert status == 0, out
    db = SqliteDatabase(path)
    assert counted(db) == {"Ada": int(out)}
    db.close()


READ_ONLY = """
import json
found = {}
try:
    db = SqliteDatabase(Path(sys.argv[1]))
    found["read"] = db.rows("SELECT name FROM agents")[0][0]
    found["check"] = db.check()
    with db.snapshot():
        found["messages"] = db.rows("SELECT count(*) FROM messages")[0][0]
    try:
        with db.write() as tx:
            tx.run("UPDATE agents SET name = 'x'")
    except MemagentError as error:
        found["write"] = str(error)
except MemagentError as error:
    found["open"] = str(error)
print(json.dumps(found))
"""
CLOSE_OFF = """
import subprocess
place = str(Path(sys.argv[1]).parent)
subprocess.run(["mount", "--bind", place, place], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
"""


def read_only(path: Path, request: pytest.FixtureRequest, code: str = READ_ONLY) -> dict[str, object]:
    """What a process finds that may read the directory and not write to it."""
    if os.geteuid():
        for part, way in ((path, 0o400), (path.parent, 0o500)):
            if part.exists():
                part.chmod(way)
                request.addfinalizer(lambda part=part: part.chmod(0o700))
        status, out = outcome(start(code, path))
    else:
        status, out = outcome(start(CLOSE_OFF + code, path, inside=request.getfixturevalue("mounts")))
    assert status == 0, out
    found: dict[str, object] = json.loads(out.splitlines()[-1])
    return found


@posix
@pytest.mark.parametrize("beside", [[], ["memagent.db-wal"]])
def test_what_can_not_be_written_can_be_read(old: Path, beside: list[str], request: pytest.FixtureRequest) -> None:
    before = old.read_bytes()
    for name in beside:
        old.with_name(name).touch()
    found = read_only(old, request)
    assert found.pop("write") == f"{old} can't be written to. Make the file and its directory writable."
    assert found == {"read": "Ada", "check": [], "messages": 20}
    assert sorted(file.name for file in old.parent.iterdir()) == ["memagent.db", *beside]
    assert old.read_bytes() == before


@posix
def test_what_can_not_be_written_with_a_log_beside_it(old: Path, request: pytest.FixtureRequest) -> None:
    code = """
    import os
    db = SqliteDatabase(Path(sys.argv[1]))
    say(db, db.rows("SELECT id FROM agents")[0][0], "newest")
    os.kill(os.getpid(), 9)
    """
    assert outcome(start(code, old))[0] == -signal.SIGKILL
    assert old.with_name("memagent.db-wal").stat().st_size
    found = read_only(old, request)
    if "open" in found:  # some versions of SQLite can't; none may answer without what is in the log
        assert "can't be opened" in str(found["open"])
    else:
        assert found["messages"] == 21
    db = SqliteDatabase(old)
    assert counted(db) == {"Ada": 21}
    db.close()


@posix
def test_an_old_one_that_can_not_be_written_is_not_migrated(old: Path, request: pytest.FixtureRequest) -> None:
    found = read_only(old, request, LATER + READ_ONLY)
    assert found == {"open": f"{old} must be brought up to date, but can't be written to."}


@posix
def test_no_place_for_a_new_one(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "closed").mkdir()
    path = tmp_path / "closed" / "memagent.db"
    found = read_only(path, request)
    assert str(found["open"]).startswith(f"{path} can't be opened: ")
    assert "MEMAGENT_HOME" in str(found["open"])


def test_the_first_version_is_still_what_it_was() -> None:
    first = hashlib.sha256(sqlite.MIGRATIONS[0].encode()).hexdigest()
    assert first == "1a2c484929bb1ed99bba29fe7b51641dc5379e17c98f472d644ea26de0ad3ad3"
