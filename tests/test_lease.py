"""Who has an agent: told by host and process, whatever the clock does and whatever stands in the row."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.lease import LEASE_SECONDS, Holder, held_by_another
from memagent.storage.sqlite import SqliteDatabase

CLOCK = 1_800_000_000
HOUR, DAY = 3600, 24 * 3600

listed = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are told apart by /proc")


@pytest.fixture
def ours() -> Holder:
    return Holder.new()


def gone() -> Holder:
    """A process that has ended."""
    code = "from memagent.lease import Holder; print(Holder.new())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return Holder.parse(done.stdout.strip())


def test_a_free_agent(ours: Holder) -> None:
    assert held_by_another((None, None, CLOCK), ours) == ""
    assert held_by_another((None, CLOCK + 60, CLOCK), ours) == "", "given back before its lease was over"


def test_one_of_our_own(ours: Holder) -> None:
    assert held_by_another((str(ours), CLOCK + 60, CLOCK), ours) == ""
    assert held_by_another((str(ours), CLOCK - DAY, CLOCK), ours) == ""


def test_another_in_this_process(ours: Holder) -> None:
    other = Holder.new()
    assert other != ours
    assert held_by_another((str(other), CLOCK + 60, CLOCK), ours) == f"process {os.getpid()}"


def test_the_lease_has_an_end(ours: Holder) -> None:
    holder = Holder.new()
    other = str(holder)
    assert held_by_another((other, CLOCK, CLOCK), ours)
    assert held_by_another((other, CLOCK + LEASE_SECONDS, CLOCK), ours)
    assert held_by_another((other, CLOCK - 1, CLOCK), ours) == ""


def test_another_in_this_process_that_was_dropped_holds_nothing(ours: Holder) -> None:
    other = str(Holder.new())
    gc.collect()
    assert held_by_another((other, CLOCK + 60, CLOCK), ours) == ""


@pytest.mark.parametrize("shift", [HOUR, DAY, 30 * DAY])
def test_a_clock_that_is_set_makes_no_endless_lease(ours: Holder, shift: int) -> None:
    taken = CLOCK + LEASE_SECONDS
    holder = Holder.new()
    other = str(holder)
    assert held_by_another((other, taken, CLOCK + shift), ours) == "", "set forward: it is over"
    assert held_by_another((other, taken, CLOCK - shift), ours) == "", "set back: it can't have been taken"
    for wait in range(0, 3 * LEASE_SECONDS, 60):  # set back a little: over after the length of a lease
        held = held_by_another((other, taken, CLOCK - 120 + wait), ours)
        assert bool(held) == (120 <= wait <= 120 + LEASE_SECONDS)


def test_a_dead_process_holds_nothing(ours: Holder) -> None:
    other = gone()
    assert other.host == ours.host
    assert not other.alive()
    assert held_by_another((str(other), CLOCK + 60, CLOCK), ours) == ""


@listed
def test_a_killed_process_that_its_parent_has_not_seen_holds_nothing(ours: Holder) -> None:
    code = "import time; from memagent.lease import Holder; print(Holder.new(), flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        other = Holder.parse(process.stdout.readline().strip())
        assert held_by_another((str(other), CLOCK + 60, CLOCK), ours) == f"process {process.pid}"
        os.kill(process.pid, signal.SIGSTOP)
        assert held_by_another((str(other), CLOCK + 60, CLOCK), ours), "a stopped one may go on"
        os.kill(process.pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while other.alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert held_by_another((str(other), CLOCK + 60, CLOCK), ours) == ""
        assert process.returncode is None, "it was not waited for"
    finally:
        process.kill()
        process.communicate()


@listed
def test_a_number_that_another_process_has_now_is_not_taken_for_it(ours: Holder) -> None:
    reused = Holder(ours.host, os.getpid(), "1", 1)
    assert not reused.alive()
    assert held_by_another((str(reused), CLOCK + 60, CLOCK), ours) == ""


def test_another_host_is_believed_until_its_lease_is_over(ours: Holder) -> None:
    other = Holder("example", 4_000_000, "77", 1)
    assert held_by_another((str(other), CLOCK + 60, CLOCK), ours) == "process 4000000 on example"
    assert held_by_another((str(other), CLOCK - 1, CLOCK), ours) == ""


@pytest.mark.parametrize("text", ["", "nonsense", "a/b/c", "a/b/c/d", b"\x80\x04pickle", "host/1/2/3.5"])
def test_what_can_not_be_read_holds_until_the_lease_is_over(ours: Holder, text: object) -> None:
    assert held_by_another((text, CLOCK + 60, CLOCK), ours)
    assert held_by_another((text, CLOCK - 1, CLOCK), ours) == ""


@pytest.mark.parametrize("until", [None, "soon", b"\x80", 10**30, -(10**30)])
def test_a_lease_without_an_end_is_none(ours: Holder, until: object) -> None:
    assert held_by_another((str(Holder.new()), until, CLOCK), ours) == ""


@pytest.mark.parametrize("process", [0, -1, 2**31, 2**70, -(2**70)])
def test_a_number_that_no_process_has(ours: Holder, process: int) -> None:
    holder = Holder(ours.host, process, "123", 1)
    assert held_by_another((str(holder), CLOCK + 60, CLOCK), ours) == ""


names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(names, st.integers(1, 2**31 - 1), st.integers(0).map(str), st.integers(1))
def test_a_holder_is_read_back_as_it_was_written(host: str, process: int, born: str, number: int) -> None:
    holder = Holder(host, process, born, number)
    assert Holder.parse(str(holder)) == holder


@given(st.text() | st.none() | st.binary() | st.integers(), st.integers() | st.none() | st.text())
def test_nothing_in_the_row_is_more_than_a_lease(text: object, until: object) -> None:
    if isinstance(text, str | bytes | None):
        assert isinstance(held_by_another((text, until, CLOCK), Holder.new()), str)


def test_the_database_has_a_clock(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "memagent.db")
    [(now,)] = db.rows(f"SELECT {db.dialect.now}")
    assert isinstance(now, int)
    assert abs(now - time.time()) < 60
    db.close()
