"""How much of a request stands at the beginning of the next one, byte for byte: what caches along the way can serve.

A chat over HTTP in which the agent does not edit its memory, but sometimes searches it before it answers. The requests
are compared as they came over the wire, those within a turn too.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench.model import message, script, settings_for
from bench.table import Row

BAR = 97.0


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    turns = 60 if quick else 200
    shares, compactions = _shares(turns)
    baseline = f"the request before; {len(shares)} pairs, {compactions} compactions left out"
    return [
        Row("unchanged beginning of a request", _percent(median(shares)), baseline, median(shares), BAR, "%", True),
        Row("the least of them", _percent(min(shares)), "", min(shares), BAR, "%", True),
    ]


def _shares(turns: int) -> tuple[list[float], int]:
    """The unchanged share of each request but those after a compaction, in percent; and how many those were."""
    from memagent.assemble import make_agent, open_database, open_model
    from memagent.llm.script_server import serve

    with serve(script("searching"), keep=10_000) as server, tempfile.TemporaryDirectory() as home:
        settings = settings_for(Path(home), endpoint=server.url, context_window=16_000)
        database, llm = open_database(settings), open_model(settings)
        agent = make_agent(settings, database, "chatty", llm=llm)
        for number in range(turns):
            events = list(agent.turn(message(number)))
            assert events[-1].ending == "done", events  # type: ignore[attr-defined]
        llm.close()  # type: ignore[attr-defined]
        database.close()
        bodies = list(server.requests)
    summarising = [b'"tools":' not in body for body in bodies]
    shares = [
        100 * common(old, new) / len(old)
        for number, (old, new) in enumerate(pairwise(bodies))
        if not (summarising[number] or summarising[number + 1])
    ]
    compactions = sum(now and not before for before, now in pairwise(summarising))
    return shares, compactions


def _percent(share: float) -> str:
    """Rounded down: what is not quite all must not look like all."""
    return f"{math.floor(100 * share) / 100:.2f} %"


def common(old: bytes, new: bytes) -> int:
    """How many bytes at the beginning are the same."""
    return next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
