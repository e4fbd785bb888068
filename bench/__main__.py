"""`python -m bench` measures everything and prints one table; `python -m bench startup turn` only these."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from bench.table import Row, markdown, show

NAMES = (
    "startup", "install", "turn", "growth", "prefix", "opening", "batch", "embeddings", "load", "search", "vectors",
    "fact_update", "facts_scale", "server", "page", "soak",
)  # fmt: skip
WITH_DATA = ("search", "fact_update")
"""These read public sets, which do not come with the project."""
NAMED_ONLY = ("page", "soak")
"""These need a browser, or half an hour, and are measured when they are named."""


def measured(name: str, quick: bool, data: Path | None) -> Sequence[Row]:
    """The rows of one measurement, each in a new process: nothing that one leaves behind weighs on the next."""
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        given = (quick, data) if name in WITH_DATA else (quick,)
        return process.submit(import_module(f"bench.{name}").measure, *given).result()  # type: ignore[no-any-return]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What memagent costs, in one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(NAMES)} (all)")
    parser.add_argument("--data", type=Path, metavar="PATH", help=f"the sets that these read: {', '.join(WITH_DATA)}")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions; numbers are rougher")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    every = [name for name in NAMES if (chosen.data or name not in WITH_DATA) and name not in NAMED_ONLY]
    rows = [row for name in chosen.names or every for row in measured(name, chosen.quick, chosen.data)]
    print(markdown(rows)) if chosen.markdown else show(rows)


if __name__ == "__main__":
    main()
