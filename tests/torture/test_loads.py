"""Loads that are killed, starved of disk and run at the same time: the same command again always makes it whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from loads import OWNER, Letters, all_embedded, load, stored, write

from memagent.storage.opening import crash_at
from memagent.storage.sqlite import SqliteDatabase

posix = pytest.mark.skipif(os.name == "nt", reason="it forks, and kills by signal")
COMMAND = (sys.executable, "-c", "from memagent.cli.app import program; program()")


def tree_of(folder: Path) -> Path:
    """Files that make a few hundred passages, with a copy and an empty one among them."""
    luck = random.Random(3)
    files: dict[str, str | bytes] = {
        f"{n % 7}/{n:02}.md": f"# Part {n}\n\n" + " ".join(f"word{luck.randint(0, 999)}" for _ in range(1500))
        for n in range(50)
    }
    return write(folder, {**files, "copy.md": files["3/03.md"], "empty.txt": "", "broken.png": b"\x89PNG"})


def changed(tree: Path) -> None:
    """Another day: files are new, changed, renamed and gone."""
    write(tree, {"new.md": "New. " * 900, "1/01.md": "Changed. " * 900})
    (tree / "2/02.md").rename(tree / "2/renamed.md")
    for name in ("3/03.md", "4/04.md"):
        (tree / name).unlink()


def wanted(tree: Path, folder: Path) -> dict[str, list[str]]:
    """What an undisturbed load makes of it."""
    folder.mkdir(exist_ok=True)
    with closing(SqliteDatabase(folder / "undisturbed.db")) as database:
        load(database, tree, Letters())
        return stored(database)


def texts(documents: dict[str, list[str]]) -> list[list[str]]:
    """The passages of all documents; which of several copies has them is nobody's concern."""
    return sorted(found for found in documents.values() if found)


def is_whole(path: Path, tree: Path, folder: Path) -> None:
    with closing(SqliteDatabase(path)) as database:
        found, right = stored(database), wanted(tree, folder)
        assert found.keys() == right.keys() and texts(found) == texts(right)
        assert all_embedded(database, Letters())


def killed(path: Path, tree: Path, number: int, after: float = 0.0) -> bool:
    """A load in a process of its own, which dies at a commit boundary, or after some seconds; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            load(SqliteDatabase(path, watch=crash_at(number)), tree, Letters())
            code = 0
        finally:
            os._exit(code)
    if after:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


@posix
@pytest.mark.slow
def test_a_load_killed_at_every_commit_and_given_again_is_as_if_nothing_had_happened(tmp_path: Path) -> None:
    path, tree = tmp_path / "memagent.db", tree_of(tmp_path / "tree")
    SqliteDatabase(path).close()
    kept = []
    number = 1
    while killed(path, tree, number):
        number += 1
        with closing(SqliteDatabase(path)) as database:
            kept.append(database.rows("SELECT count(*) FROM passages")[0][0])
    assert number > 4 and kept == sorted(kept), "what was stored stays"
    is_whole(path, tree, tmp_path / "one")
    changed(tree)
    number = 1
    while killed(path, tree, number):
        number += 1
    assert number > 4
    is_whole(path, tree, tmp_path / "two")


@posix
@pytest.mark.slow
def test_each_boundary_by_itself(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    for number in range(1, 40):
        path = tmp_path / f"{number}.db"
        if not killed(path, tree, number):
            break
        assert not killed(path, tree, 0)
        is_whole(path, tree, tmp_path / "right")
    else:
        raise AssertionError("it never came to an end")
    assert number > 8


@posix
@pytest.mark.slow
def test_a_load_killed_at_any_instant_and_given_again(tmp_path: Path) -> None:
    path, tree, luck = tmp_path / "memagent.db", tree_of(tmp_path / "tree"), random.Random(5)
    begun = time.monotonic()
    assert not killed(tmp_path / "whole.db", tree, 0)
    whole, deaths, found = time.monotonic() - begun, 0, 0
    for _ in range(25):
        deaths += killed(path, tree, 0, after=luck.random() * whole)
        with closing(SqliteDatabase(path)) as database:
            assert database.check() == []
            count = database.rows("SELECT count(*) FROM passages")[0][0]
            assert count >= found, "what was stored stays"
            found = count
    assert deaths > 0
    assert not killed(path, tree, 0)
    is_whole(path, tree, tmp_path / "right")


@posix
def test_the_command_dies_where_it_is_told_to_and_goes_on(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", {"a.txt": "Some text."})
    environment = {**os.environ, "MEMAGENT_HOME": str(tmp_path / "home"), "MEMAGENT_EMBEDDER": "off"}
    command = [*COMMAND, "load", "directory", str(tree), "--json"]
    dying = subprocess.run(command, env={**environment, "MEMAGENT_CRASH_AT": "6"}, capture_output=True, timeout=50)
    assert dying.returncode == -signal.SIGKILL
    told = json.loads(subprocess.run(command, env=environment, capture_output=True, timeout=50, check=True).stdout)
    assert (told["new"], told["unchanged"]) == (0, 1), "the third commit had been made, and is known"


@posix
@pytest.mark.slow
def test_four_loads_at_once_into_one_source_and_others(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    environment = {
        **os.environ,
        "MEMAGENT_HOME": str(tmp_path / "home"),
        "MEMAGENT_EMBEDDER": "local",
        "MEMAGENT_USER": OWNER,
    }
    names = ["same", "same", "same", "other"]
    running = [
        subprocess.Popen(
            [*COMMAND, "load", "directory", str(tree), "--name", name], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    ended = [(process.communicate(timeout=50), process.returncode) for process in running]
    codes = [code for _, code in ended]
    assert codes[3] == 0 and 0 in codes[:3] and set(codes) <= {0, 4}, ended
    assert all("being loaded" in err for (_, err), code in ended if code == 4)
    with closing(SqliteDatabase(tmp_path / "home" / "memagent.db")) as database:
        right = wanted(tree, tmp_path / "right")
        for name in ("same", "other"):
            assert stored(database, name).keys() == right.keys() and texts(stored(database, name)) == texts(right)


ON_A_SMALL_DISK = """
import json, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from loads import OWNER, Letters, counts, load, stored
from memagent.errors import MemagentError
from memagent.storage.sqlite import SqliteDatabase

place, tree, told = Path(sys.argv[1]), Path(sys.argv[2]), {}
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
path = place / "memagent.db"
for attempt in range(2):
    database = SqliteDatabase(path)
    try:
        load(database, tree, Letters())
        told["full"] = "it was not"
    except MemagentError as error:
        told["full"] = [type(error).__name__, str(error), error.exit_code]
    told[f"kept {attempt}"] = len(stored(database))
    database.close()
subprocess.run(["mount", "-o", "remount,size=40m", place], check=True)
database = SqliteDatabase(path)
told["went on"] = counts(load(database, tree, Letters()))
told["stored"] = stored(database)
database.close()
print(json.dumps(told))
"""


def test_a_full_disk_while_loading(mounts: tuple[str, ...], tmp_path: Path) -> None:
    tree, disk = tree_of(tmp_path / "tree"), tmp_path / "disk"
    disk.mkdir()
    for n in range(100):
        (tree / f"more {n:03}.md").write_text(f"# More {n}\n\n" + f"text{n} " * 3000)
    command = [*mounts, sys.executable, "-c", ON_A_SMALL_DISK, disk, tree, Path(__file__).parents[1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    name, message, code = told["full"]
    assert (name, code) == ("StorageError", 5) and "The disk is full" in message
    assert 0 < told["kept 0"] <= told["kept 1"] < len(told["stored"]), "what was stored before is kept"
    assert told["went on"]["unchanged"] == told["kept 1"]
    assert told["stored"] == wanted(tree, tmp_path / "right")
