"""Finding the nearest of many vectors, of one agent among several: how quickly, how truly, after how long, in how much.

    python -m bench vectors                                           10,000, 100,000 and 1,000,000, beside numpy
    python -m bench.vectors --beside all --sizes 10000 100000         and beside what else is installed
    python -m bench.vectors --data sentences.txt                      texts of one's own, or vectors (.npy)

Each is asked in a process of its own, with its files thrown out of the system's memory before. What it takes from then
to the first answer counts all that it must load, and so does its memory. Then a hundred queries, one after the other,
are asked twice, and held against every vector multiplied. How the vectors are made is told in `vector_data.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from bench.growth import megabytes
from bench.table import Row

SIZES = (10_000, 100_000, 1_000_000)
BARS = {10_000: 2.0, 100_000: 8.0, 1_000_000: 12.0}
RECALL = 0.95
OPENING, MEMORY = 1.0, 300.0
COUNT = 10


@dataclass(frozen=True)
class Measured:
    """What one of them took: seconds to build, MB on disk, seconds to the first answer, MB of memory then and after
    all queries, milliseconds of each query when it comes first, and again on the clock and of CPU in this process, and
    how much was found.
    """

    size: int
    name: str
    built: float
    disk: float
    first: float
    memory: float
    memory_after: float
    fresh: Sequence[float]
    clock: Sequence[float]
    cpu: Sequence[float]
    recall: float

    @property
    def cells(self) -> Sequence[str]:
        """A line of the table."""
        slow = quantiles(self.clock, n=20)[-1]
        return (
            f"{self.size:,}", self.name, f"{self.recall:.3f}", f"{median(self.clock):.2f}", f"{slow:.2f}",
            f"{median(self.cpu):.2f}", f"{median(self.fresh):.2f}", f"{self.first:.2f}",
            f"{self.memory:.0f}", f"{self.memory_after:.0f}",
            f"{self.built:.0f}", f"{self.disk:.0f}",
        )  # fmt: skip


HEAD = (
    "vectors", "with", "recall@10", "p50 ms", "p95 ms", "CPU ms", "at first ms", "first answer s", "MB", "MB after",
    "built s", "disk MB",
)  # fmt: skip


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    rows: list[Row] = []
    for size in SIZES[:2] if quick else SIZES:
        ours, numpy = run(size, ("memagent", "numpy"))
        what, beside = f"search of {size:,} vectors", f"numpy, every one: {median(numpy.clock):.3g} ms"
        clock = median(ours.clock)
        rows.append(Row(what, f"{clock:.3g} ms", beside, clock, BARS[size], "ms"))
        rows.append(Row(f"{what}, recall@10", f"{ours.recall:.3f}", "1", ours.recall, RECALL, "", at_least=True))
        beside = f"numpy: {numpy.first:.2g} s and {numpy.memory:.0f} MB"
        rows.append(Row(f"{what}, first answer", f"{ours.first:.2g} s", beside, ours.first, OPENING, "s"))
        rows.append(Row(f"{what}, memory", f"{ours.memory_after:.0f} MB", "", ours.memory_after, MEMORY, "MB"))
    return rows


def run(size: int, names: Sequence[str], data: Path | None = None, home: Path | None = None) -> Iterator[Measured]:
    """Measure some of them with the same vectors and queries, one after the other."""
    import numpy as np

    from bench.vector_data import vectors

    with tempfile.TemporaryDirectory(dir=home) as folder:
        place = Path(folder)
        others = max(size // 10, COUNT)
        queries = vectors(size + others, data, place / "all.npy")
        both = np.load(place / "all.npy", mmap_mode="r")
        exact = [_exact(both[:size], query) for query in queries]
        np.save(place / "queries.npy", queries)
        (place / "exact.json").write_text(json.dumps(exact))
        for name in names:
            (place / name).mkdir()
            told = _in_new_process("build", name, place, str(size))
            _throw_out(place / name)
            yield Measured(size, name, **told, **_in_new_process("ask", name, place, str(size)))


def _exact(matrix: Any, query: Any) -> list[int]:
    import numpy as np

    step = 50_000
    scores = np.concatenate([matrix[start : start + step] @ query for start in range(0, len(matrix), step)])
    best: list[int] = np.argpartition(-scores, COUNT)[:COUNT].tolist()
    return best


def _in_new_process(*arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.vectors", "--phase", *map(str, arguments)]
    print(f"{arguments[0]} {arguments[1]} {arguments[3]} …", file=sys.stderr, flush=True)
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


def _throw_out(folder: Path) -> None:
    """Have the system forget what it has in memory of some files."""
    if hasattr(os, "posix_fadvise"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# In the process of one of them ----------------------------------------------------------------------------------------


def _phase(phase: str, name: str, place: Path, size: int) -> dict[str, Any]:
    if phase == "ask":
        return _asked(name, place)
    import numpy as np

    from bench.vector_engines import ENGINES

    both, started = np.load(place / "all.npy", mmap_mode="r"), time.perf_counter()
    ENGINES[name]().build(place / name, both[:size], both[size:])
    took = time.perf_counter() - started
    return {"built": took, "disk": sum(path.lstat().st_size for path in (place / name).rglob("*")) / 1e6}


def _asked(name: str, place: Path) -> dict[str, Any]:
    empty, started = megabytes(), time.perf_counter()
    import numpy as np

    from bench.vector_engines import ENGINES

    queries = np.load(place / "queries.npy")
    engine = ENGINES[name]()
    engine.open(place / name, queries.shape[1])
    engine.search(queries[0])
    told = {"first": time.perf_counter() - started, "memory": megabytes() - empty}
    answers = json.loads((place / "exact.json").read_text())
    fresh, _, _ = _timed(engine, queries, answers)  # what is looked up is read from the disk, at first
    clock, cpu, recall = _timed(engine, queries, answers)
    return {**told, "memory_after": megabytes() - empty, "fresh": fresh, "clock": clock, "cpu": cpu, "recall": recall}


def _timed(engine: Any, queries: Any, answers: Sequence[Sequence[int]]) -> tuple[list[float], list[float], float]:
    clock, cpu, shares = [], [], []
    for query, wanted in zip(queries, answers, strict=True):
        before, worked = time.perf_counter(), time.process_time()
        found = engine.search(query)
        clock.append(1000 * (time.perf_counter() - before))
        cpu.append(1000 * (time.process_time() - worked))
        shares.append(len(set(found) & set(wanted)) / COUNT)
    return clock, cpu, mean(shares)


def main() -> None:
    """Measure, and print the table as Markdown, a line as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m bench.vectors", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many vectors")
    parser.add_argument("--beside", nargs="+", default=["numpy"], metavar="NAME", help="what else, or all")
    parser.add_argument("--data", type=Path, help="texts, a folder of texts, or vectors (.npy)")
    parser.add_argument("--home", type=Path, help="where to put the files, instead of the system's place for those")
    parser.add_argument("--phase", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.phase:
        phase, name, place, size = chosen.phase
        print(json.dumps(_phase(phase, name, Path(place), int(size))))
        return
    from bench.vector_engines import installed

    names = installed() if chosen.beside == ["all"] else ["memagent", *chosen.beside]
    print(f"| {' | '.join(HEAD)} |\n| {' | '.join('---' for _ in HEAD)} |")
    for size in chosen.sizes:
        for measured in run(size, names, chosen.data, chosen.home):
            print(f"| {' | '.join(measured.cells)} |", flush=True)


if __name__ == "__main__":
    main()
