"""Backup and restore, export and import, and the doctor: what goes out comes back, and damage is told in a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import MEMAGENT, Done, Memagent

posix = pytest.mark.skipif(os.name == "nt", reason="it limits the size of files, or leaves them open")


def refused(done: Done, code: int = 2) -> str:
    assert (done.code, done.out) == (code, ""), done
    assert 1 <= len(done.err.strip().splitlines()) <= 2
    assert "Traceback" not in done.err
    return done.err


@pytest.fixture
def talked(memagent: Memagent, home: Path) -> None:
    """An agent that was talked to, and something of every other kind."""
    memagent("ask", "note I like zebras 🦓")
    memagent("configure", "--set", "location=Lisbon")
    memagent("add", "persona", "mine", "--text", "I am mine.")
    (home / ".env").write_text("MEMAGENT_API_KEY=sk-canary-canary-canary\n")


# Backup ---------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("talked")
def test_there_and_back(memagent: Memagent, home: Path) -> None:
    before = memagent("export", "companion").out
    done = memagent("backup", "b.zip")
    assert done.code == 0
    assert "memagent restore b.zip" in done.out
    assert (home / "b.zip").stat().st_mode & 0o077 == 0
    with zipfile.ZipFile("b.zip") as archive:
        assert sorted(archive.namelist()) == ["config.yaml", "memagent.db", "personas/mine.txt"]
        assert not any(b"canary" in archive.read(name) for name in archive.namelist())
    assert "b.zip is there already" in refused(memagent("backup", "b.zip"))

    index = home / "memagent.db.vectors" / "passages-1.signs"
    index.parent.mkdir()
    index.write_bytes(b"of the vectors that are there now")
    memagent("ask", "and something else")
    memagent("configure", "--set", "location=Porto")
    memagent("add", "persona", "later", "--text", "I came later.")
    later = memagent("export", "companion").out
    assert "--yes" in refused(memagent("restore", "b.zip"))
    assert memagent("export", "companion").out == later
    assert memagent("restore", "b.zip", "--yes").code == 0
    assert memagent("export", "companion").out == before
    assert json.loads(memagent("config", "show", "--json").out)["location"] == "Lisbon"
    personas = memagent("list", "personas").out
    assert "mine" in personas
    assert "later" not in personas
    assert (home / ".env").exists()

    (kept,) = home.glob("before-restore-*")
    assert not index.exists()
    assert (kept / "personas" / "later.txt").exists()
    assert "Porto" in (kept / "config.yaml").read_text()
    assert "something else" in memagent_of(kept, "export", "companion")
    assert [path.stat().st_mode & 0o077 for path in (kept, home / "memagent.db", home / "personas")] == [0, 0, 0]


def memagent_of(home: Path, *words: str) -> str:
    environment = {**os.environ, "MEMAGENT_HOME": str(home)}
    return subprocess.run([*MEMAGENT, *words], env=environment, capture_output=True, encoding="utf-8").stdout


@posix
@pytest.mark.slow
@pytest.mark.usefixtures("talked")
def test_while_a_chat_is_open(memagent: Memagent, environment: dict[str, str]) -> None:
    chat = subprocess.Popen(
        [*MEMAGENT, "run"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert chat.stdin
    assert chat.stdout
    chat.stdin.write("hello\n")
    chat.stdin.flush()
    while "echo hello" not in chat.stdout.readline():
        pass
    assert memagent("backup", "b.zip").code == 0
    assert "Leave all chats" in refused(memagent("restore", "b.zip", "--yes"), 4)
    out, _ = chat.communicate("and again\n", timeout=20)
    assert "echo and again" in out
    assert memagent("restore", "b.zip", "--yes").code == 0
    assert "and again" not in memagent("search", "companion", "again").out


@pytest.mark.usefixtures("talked")
def test_what_is_no_backup_changes_nothing(memagent: Memagent, home: Path, tmp_path: Path) -> None:
    memagent("backup", "b.zip")
    whole = Path("b.zip").read_bytes()
    for name, files in {
        "slip": {"memagent.db": "x", "../../evil": "x"},
        "absolute": {"memagent.db": "x", "/evil": "x"},
        "foreign": {"memagent.db": "x", ".env": "x"},
        "folder": {"memagent.db": "x", "personas": "x"},
        "empty": {},
        "other": {"readme.txt": "x"},
        "no_database": {"memagent.db": "x" * 5000},
    }.items():
        with zipfile.ZipFile(f"{name}.zip", "w") as archive:
            for inside, text in files.items():
                archive.writestr(inside, text)
    Path("cut.zip").write_bytes(whole[:-100])
    Path("flipped.zip").write_bytes(whole[:2000] + bytes(200) + whole[2200:])
    Path("text.zip").write_text("no archive")
    before = memagent("export", "companion").out
    broken = [path for path in sorted(Path().glob("*.zip")) if path.name != "b.zip"]
    assert len(broken) == 10
    for path in [*broken, Path("nowhere.zip"), home]:
        assert str(path) in refused(memagent("restore", str(path), "--yes"))
    assert memagent("export", "companion").out == before
    assert not list(home.glob("before-restore-*"))
    assert not list(tmp_path.rglob("evil"))


@posix
@pytest.mark.usefixtures("talked")
@pytest.mark.parametrize("words", [["backup", "b.zip"], ["export", "companion", "c.json"], ["ask", "hello"]])
def test_files_that_may_not_grow(memagent: Memagent, environment: dict[str, str], home: Path, words: list[str]) -> None:
    before = memagent("export", "companion").out
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); " + MEMAGENT[2]
    done = subprocess.run(
        [sys.executable, "-c", limited, *words],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in (3, 5), done
    assert "may not grow: this process may write files of 9,000 bytes" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert not [path for path in home.iterdir() if path.suffix in (".zip", ".json", ".part", ".new")]
    assert memagent("export", "companion").out == before


# Export and import ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("talked")
def test_an_agent_taken_elsewhere_is_the_same_to_the_byte(memagent: Memagent, home: Path) -> None:
    piped = memagent("export", "companion").out.encode()
    assert memagent("export", "companion", "c.json").code == 0
    assert Path("c.json").read_bytes() == piped
    assert Path("c.json").stat().st_mode & 0o077 == 0
    assert b"canary" not in piped
    assert "--overwrite" in refused(memagent("export", "companion", "c.json"))
    assert memagent("export", "companion", "c.json", "--overwrite").code == 0
    assert "can't be written" in refused(memagent("export", "companion", "nowhere/c.json"))

    assert "--as NAME" in refused(memagent("import", "c.json"))
    assert memagent("import", "-", "--as", "twin", stdin=piped).out == "Imported twin\n"
    assert memagent("export", "twin").out.replace('"twin"', '"companion"').encode() == piped
    assert memagent("delete", "agent", "companion", "--yes").code == 0
    assert memagent("import", "c.json").out == "Imported companion\n"
    assert memagent("export", "companion").out.encode() == piped
    assert memagent("ask", "hello", "-a", "companion").out == "echo hello\n"


@pytest.mark.usefixtures("talked")
def test_a_damaged_export_is_refused(memagent: Memagent) -> None:
    text = memagent("export", "companion").out
    for damaged in (
        b"",
        b"\xff\xfe",
        b"{}",
        text[: len(text) // 2].encode(),
        text.replace('"seq": 4', '"seq": 5').encode(),
    ):
        refused(memagent("import", "-", "--as", "other", stdin=damaged))
    assert "'../x'" in refused(memagent("import", "-", "--as", "../x", stdin=text.encode()))
    assert len(json.loads(memagent("list", "agents", "--json").out)) == 1


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["list"], ["show", "companion"], ["memory", "show", "companion"], ["search", "companion", "x"],
        ["export", "companion"], ["delete", "agent", "companion", "--yes"], ["rename", "companion", "x"],
        ["ask", "hello"], ["run"], ["backup", "b.zip"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", [b"", b"this is a text, not a database\n" * 100])
def test_every_command_tells_of_a_damaged_database(
    memagent: Memagent, home: Path, words: list[str], damage: bytes
) -> None:
    (home / "memagent.db").write_bytes(damage)
    assert "memagent.db" in refused(memagent(*words), 5)
    assert (home / "memagent.db").read_bytes() == damage


def test_the_doctor(memagent: Memagent, home: Path) -> None:
    (home / "presets").mkdir()
    for name in ("chat", "chat_plain", "documents", "extras"):  # one's own come first
        (home / "presets" / f"{name}.yaml").write_text("system: chat\nfunctions: base\n")
    done = memagent("doctor", "--json")
    states = {finding["what"]: finding["state"] for finding in json.loads(done.out)}
    assert (done.code, set(states.values())) == (0, {"ok", "note"})
    memagent("ask", "hello")
    assert "sound; 1 agent" in memagent("doctor").out

    for folder in ("functions", "kinds"):
        (home / folder).mkdir()
        (home / folder / "bad.py").write_text("def x(:\n")
    (home / "presets" / "bad.yaml").write_text("system: chat\nfunctions: base\nspeach: plain\n")
    (home / "memagent.db").write_bytes(b"no database" * 1000)
    done = memagent("doctor")
    assert done.code == 1
    for told in ("functions/bad.py:1", "kinds/bad.py:1", "bad.yaml, line 3", "memagent.db is damaged"):
        assert told in done.out


def test_the_doctor_asks_the_model(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_PROVIDER", "openai")
    monkeypatch.setenv("MEMAGENT_MODEL", "some")
    monkeypatch.setenv("MEMAGENT_ENDPOINT", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MEMAGENT_RETRIES", "0")
    done = memagent("doctor", "--json")
    model = next(finding for finding in json.loads(done.out) if finding["what"] == "model")
    assert model["state"] == "wrong"
    assert "127.0.0.1:9" in model["text"]
    assert "model" not in [finding["what"] for finding in json.loads(memagent("doctor", "--offline", "--json").out)]
