"""What 5,000 turns of one agent do to the cost of committing one, and to the memory of the process.

The context window is held constant, so older messages leave it for summaries again and again. The model answers in this
process. Counted are all write transactions of a turn, from opening to closing: taking the agent and storing what came
in, the answer, the result, and the end of the turn. Turns 50 are those of new agents, which take turns with the old
one: minutes apart, the two could not be compared on a machine that does other things too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from bench.model import message, script, settings_for
from bench.table import Row, compared

BAR = 1.3
MEMORY_BAR = 1.2
AROUND = 25
ROUNDS = 3


@dataclass(frozen=True)
class Spent:
    """Milliseconds."""

    clock: float
    cpu: float


class Stopwatch:
    """Seconds on the clock, and of CPU, that write transactions took since it was last read."""

    def __init__(self) -> None:
        self.clock = self.cpu = 0.0

    def read(self) -> Spent:
        """What was counted; begins anew."""
        counted, self.clock, self.cpu = Spent(1000 * self.clock, 1000 * self.cpu), 0.0, 0.0
        return counted


@contextmanager
def timed_writes() -> Iterator[Stopwatch]:
    """Every write transaction of SQLite, timed as long as the block lasts."""
    from memagent.storage.sqlite import SqliteDatabase

    watch = Stopwatch()
    write = SqliteDatabase.write

    @contextmanager
    def timed(self: SqliteDatabase, about: str = "") -> Iterator[Any]:
        clock, cpu = time.perf_counter(), time.thread_time()
        with write(self, about) as transaction:
            yield transaction
        watch.clock += time.perf_counter() - clock
        watch.cpu += time.thread_time() - cpu

    SqliteDatabase.write = timed  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        SqliteDatabase.write = write  # type: ignore[method-assign]


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    last, settled = (1000, 400) if quick else (5000, 1000)
    old: list[Spent] = []
    young: list[Spent] = []
    memory: dict[int, float] = {}
    with timed_writes() as watch, tempfile.TemporaryDirectory() as home:
        ancient = Talk(Path(home), "ancient", watch)
        ancient.database.rows(
            "PRAGMA synchronous = OFF"
        )  # nobody times these turns, so they need not wait for the disk
        for number in range(1, last - ROUNDS * 2 * AROUND + 1):
            ancient.turn()
            if number == settled:
                memory[settled] = megabytes()
        ancient.database.rows("PRAGMA synchronous = FULL")
        for attempt in range(ROUNDS):
            fresh = Talk(Path(home), f"fresh {attempt}", watch)
            for _ in range(50 - AROUND):
                fresh.turn()
            for _ in range(2 * AROUND):  # one after the other, so that a busy disk or processor slows both alike
                old.append(ancient.turn())
                young.append(fresh.turn())
            fresh.database.close()
        memory[last] = megabytes()
        ancient.database.close()
    assert ancient.number == last
    what = f"commits of a turn: turn {last:,} against turn 50"
    return [
        compared(what, median(each.clock for each in old), median(each.clock for each in young), BAR),
        compared(f"{what}, CPU", median(each.cpu for each in old), median(each.cpu for each in young), BAR),
        compared(f"{what}, CPU, mean", mean(each.cpu for each in old), mean(each.cpu for each in young), None),
        compared(
            f"memory of the process: turn {last:,} against turn {settled:,} ({ancient.compactions} compactions)",
            memory[last], memory[settled], MEMORY_BAR, unit="MB",
        ),
    ]  # fmt: skip


class Talk:
    """An agent in a database of its own, and its user."""

    def __init__(self, home: Path, name: str, watch: Stopwatch) -> None:
        from memagent.assemble import make_agent, open_database
        from memagent.llm.scripted import ScriptedLLM

        settings = settings_for(home, database=f"{name}.db")
        llm = ScriptedLLM(script("whole"), window=settings.window)
        llm.requests = deque(maxlen=1)  # what the model remembers is not the agent's memory
        self.database = open_database(settings)
        self.number = self.compactions = 0
        self._watch = watch
        self._agent = make_agent(settings, self.database, name, llm=llm)
        self.database.rows("PRAGMA synchronous = OFF")
        for _ in range(1200):  # SQLite's log grows to its full length first, which costs more than writing in it
            with self.database.write() as tx:
                tx.run("UPDATE agents SET quiet_until = NULL")
        self.database.rows("PRAGMA synchronous = FULL")

    def turn(self) -> Spent:
        """One turn, and what its commits took."""
        self._watch.read()
        events: list[Any] = list(self._agent.turn(message(self.number)))
        assert events[-1].ending == "done", events
        self.number += 1
        self.compactions += sum(type(event).__name__ == "Compacted" for event in events)
        return self._watch.read()


def megabytes() -> float:
    """What this process holds of the machine's memory now; where the system does not tell, the most it ever held."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
