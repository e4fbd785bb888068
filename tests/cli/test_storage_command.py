"""`memagent storage`: it says where everything is, and carries it elsewhere, however often it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import postgres_server
import pytest
from command_line import MEMAGENT, Memagent

from memagent.embeddings import packed
from memagent.memory.passages import Passage, PassageStore
from memagent.storage import migrate
from memagent.storage.migrate import copy
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)


class Plain:
    model = "plain"
    dimension = 3

    def embed(self, texts: object) -> list[bytes]:
        raise AssertionError


@pytest.fixture
def talked(memagent: Memagent, home: Path) -> Path:
    """A home with an agent that has two notes; returns the database's file."""
    assert memagent("ask", "--agent", "ada", "note likes jazz").code == 0
    file = home / "memagent.db"
    with closing(SqliteDatabase(file)) as database, database.write() as tx:
        agent = str(tx.rows("SELECT id FROM agents")[0][0])
        notes = [Passage(note, 0, f"note {note}", NOW) for note in (1, 2)]
        PassageStore(database, agent, Plain()).insert_many(tx, notes, [packed([1, 0, 0]), packed([0, 1, 0])])
    return file


def test_it_says_where_everything_is(memagent: Memagent, home: Path, talked: Path) -> None:
    done = memagent("storage")
    assert done.code == 0 and f"SQLite  {talked}" in done.out and "MB" in done.out
    assert "agents: 1, messages: " in done.out and "passages: 2" in done.out
    told = json.loads(memagent("storage", "--json").out)
    assert told["storage"] == "sqlite" and told["passages"] == 2 and told["parts"][0]["bytes"] > 1000


def test_before_the_first_chat_nothing_is_made(memagent: Memagent, home: Path) -> None:
    done = memagent("storage")
    assert done.code == 0 and "Nothing is kept yet" in done.out and not (home / "memagent.db").exists()
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db", "--yes")
    assert done.code == 2 and "nothing at" in done.err and not (home / "other.db").exists()


def test_everything_goes_to_another_file_and_is_used_there(memagent: Memagent, home: Path, talked: Path) -> None:
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:new home/it's.db", "--yes")
    assert done.code == 0 and "they are the same" in done.out, done.err
    [line] = [line for line in done.out.splitlines() if "memagent configure" in line]
    set_it = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line.split('configure ')[1]}"], capture_output=True, text=True
    )
    assert memagent("configure", *set_it.stdout.splitlines()).code == 0
    talked.rename(home / "kept.db")
    assert f"{home}/new home/it's.db" in memagent("storage").out
    assert "likes jazz" in memagent("memory", "show", "ada").out
    again = memagent("storage", "migrate", "--from", "sqlite:kept.db", "--to", "sqlite:new home/it's.db", "--yes")
    assert again.code == 2 and "holds something already" in again.err


@pytest.mark.parametrize("kind, package", [("lancedb", "lancedb"), ("chroma", "chromadb")])
def test_an_engine_gets_its_copy(memagent: Memagent, home: Path, talked: Path, kind: str, package: str) -> None:
    pytest.importorskip(package, reason="comes with: pip install -e '.[dev-storages]'")
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", f"{kind}:copies", "--yes")
    assert done.code == 0 and "2 passages with their vectors are in" in done.out, done.err
    assert f"memagent configure --set storage={kind} --set storage_path={home}/copies" in done.out
    assert memagent("configure", "--set", f"storage={kind}", "--set", "storage_path=copies").code == 0
    told = json.loads(memagent("storage", "--json").out)
    assert [Path(part["place"]).name for part in told["parts"]] == ["memagent.db", "copies"]
    assert f"{home}/copies" in memagent("doctor", "--offline").out
    back = memagent("storage", "migrate", "--from", kind, "--to", "sqlite", "--yes")
    assert back.code == 2 and "already" in back.err and "--set storage=sqlite" in back.err
    other = memagent("storage", "migrate", "--from", kind, "--to", "sqlite:plain.db", "--yes")
    assert other.code == 0 and "they are the same" in other.out
    assert "--unset storage" in other.out and "--unset storage_path" in other.out


def test_everything_goes_to_postgresql_and_back(memagent: Memagent, home: Path, talked: Path) -> None:
    address = postgres_server.new_database()
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", address, "--yes")
    assert done.code == 0 and "they are the same" in done.out, done.err
    assert f"--set storage=postgres --set 'database={address}'" in done.out
    assert memagent("configure", "--set", f"database={address}").code == 0
    told = json.loads(memagent("storage", "--json").out)
    assert told["passages"] == 2 and told["parts"][0]["engine"] == "PostgreSQL" and told["parts"][0]["bytes"] > 1000
    assert "likes jazz" in memagent("memory", "show", "ada").out
    assert memagent("ask", "--agent", "ada", "note likes blues").code == 0
    back = memagent("storage", "migrate", "--from", "postgres", "--to", "sqlite:back.db", "--yes")
    assert back.code == 0 and "--set" in back.out and "likes blues" not in memagent("storage").out
    assert memagent("configure", "--set", "database=back.db", "--unset", "storage").code == 0
    assert "likes blues" in memagent("memory", "show", "ada").out


def test_a_password_is_not_shown(memagent: Memagent, talked: Path) -> None:
    address = postgres_server.new_database()
    if "memagent@" not in address:
        pytest.skip("this server asks for a password of its own")
    address = address.replace("memagent@", "memagent:geheim99@")
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", address, "--yes")
    assert done.code == 0 and "geheim99" not in done.out + done.err
    assert ".env, as MEMAGENT_DATABASE=" in done.out and "--set storage=postgres" in done.out


@pytest.mark.parametrize("place", ["mysql", "postgres", "http://x", "sqlite3:x", ""])
def test_what_is_no_place_is_told(memagent: Memagent, talked: Path, place: str) -> None:
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", place, "--yes")
    assert done.code == 2 and "no place" in done.err and "postgresql://" in done.err


@pytest.mark.parametrize("content", ["A shopping list.\n" * 100, ""])
def test_a_file_that_is_no_database_is_not_copied_to(
    memagent: Memagent, talked: Path, home: Path, content: str
) -> None:
    (home / "list.txt").write_text(content)
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:list.txt", "--yes")
    assert done.code == 5 and f"{home}/list.txt is " in done.err and "Name another file with --to" in done.err
    assert "restore" not in done.err and "doctor" not in done.err, "that is for what memagent uses"
    assert (home / "list.txt").read_text() == content


def test_to_where_it_is_already(memagent: Memagent, talked: Path, home: Path) -> None:
    (home / "link.db").symlink_to(talked)
    for where in ("sqlite", f"sqlite:{talked}", "sqlite:link.db"):
        done = memagent("storage", "migrate", "--from", "sqlite", "--to", where, "--yes")
        assert done.code == 2 and "another place" in done.err


def test_nothing_is_copied_unasked(memagent: Memagent, talked: Path) -> None:
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db")
    assert done.code == 2 and "--yes" in done.err


def test_a_turn_that_goes_on_is_not_copied(memagent: Memagent, talked: Path) -> None:
    with closing(SqliteDatabase(talked)) as database, database.write() as tx:
        tx.run("UPDATE agents SET holder = 'another host/1/2/3', lease_until = CAST(strftime('%s', 'now') AS INT) + 60")
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db", "--yes")
    assert done.code == 4 and "agent ada is busy" in done.err


def test_ctrl_c_says_how_to_go_on(memagent: Memagent, talked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*words: object) -> int:
        def told(*_: object) -> None:
            raise KeyboardInterrupt

        return copy(*words[:2], told)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "copy", stop)
        done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db", "--yes")
    assert done.code == 130 and "goes on from there" in done.err
    with monkeypatch.context() as patch:
        patch.setenv("MEMAGENT_DATABASE", str(talked.with_name("other.db")))
        half = memagent("list")
        assert half.code == 5 and f"has only a part of a copy of {talked}" in half.err and "storage migrate" in half.err
        assert "has only a part of a copy" in memagent("doctor", "--offline").out
    done = memagent("storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db", "--yes")
    assert done.code == 0 and "they are the same" in done.out


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_nothing(environment: dict[str, str], memagent: Memagent, talked: Path) -> None:
    words = [*MEMAGENT, "storage", "migrate", "--from", "sqlite", "--to", "sqlite:other.db", "--yes"]
    killed = 0
    while killed < 40:  # each time one table more is there
        done = subprocess.run(words, env={**os.environ, "MEMAGENT_CRASH_AT": "5"}, capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
    assert killed >= 3 and "they are the same" in done.stdout
    with closing(SqliteDatabase(talked)) as one, closing(SqliteDatabase(talked.with_name("other.db"))) as other:
        messages = [database.rows("SELECT * FROM messages ORDER BY id") for database in (one, other)]
        assert messages[0] == messages[1] != [] and other.check() == []
