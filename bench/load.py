"""What loading costs beside embedding: a thousand Markdown files, stage by stage; the same again when nothing has
changed; and how many short passages can be stored in a second.

Stages are measured in CPU of the process, with nothing read ahead, so that the work of others on the machine does not
count; how long it takes as a person sees it is a row of its own. The text is made of words as frequent as those of a
language, in sections, lists and code, so that no two passages are alike.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

from bench.table import Row

FILES, SIZE = 1000, 20_000
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    files = FILES // 10 if quick else FILES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = _make_tree(folder / "tree", files, SIZE)
        rows = _stages(folder, files, size)
        return [*rows, *_inserts(folder, 5000 if quick else 40_000)]


def _stages(folder: Path, files: int, size: int) -> list[Row]:
    from memagent.assemble import open_embedder
    from memagent.config import Settings
    from memagent.loading.sift import Stages

    embedder = open_embedder(Settings())
    assert embedder, "the extra embeddings is not installed"
    embedder.embed(["warm"])
    what = f"load of {files:,} Markdown files ({size / 1e6:.0f} MB)"
    alone = Stages(time.process_time)
    counts = _load(folder / "alone.db", folder / "tree", embedder, stages=alone, ahead=False)
    assert counts.outcomes["new"] == files and counts.embedded == counts.passages > files
    begun = time.perf_counter()
    _load(folder / "whole.db", folder / "tree", embedder)
    whole = time.perf_counter() - begun
    begun = time.perf_counter()
    again = _load(folder / "whole.db", folder / "tree", embedder)
    second = time.perf_counter() - begun
    assert again.outcomes["unchanged"] == files and not again.passages
    total = sum(alone.spent.values())
    rest = total - alone.spent["embed"]
    passed = f"{counts.passages:,} passages: {counts.passages / whole:,.0f} /s"
    share = 100 * rest / total
    return [
        Row(f"{what}, as seen", f"{whole:.1f} s", passed, whole, unit="s"),
        *(
            Row(f"CPU of that to {stage}", f"{spent:.2f} s", f"of {total:.1f} s", spent / total)
            for stage, spent in alone.spent.items()
        ),
        Row("CPU of all but embedding", f"{share:.0f} %", f"{rest:.1f} of {total:.1f} s", share, 30, "%"),
        Row("the same again, unchanged", f"{second:.2f} s", "", second, 2, "s"),
    ]  # fmt: skip


def _load(path: Path, tree: Path, embedder: Any, **options: Any) -> Any:
    from memagent.loading import Tally
    from memagent.loading.load import Load, Order
    from memagent.sources.directory import Directory
    from memagent.storage.sqlite import SqliteDatabase

    database = SqliteDatabase(path)
    order, tally = Order("papers", {"path": str(tree)}), Tally()
    load = Load(database, "me", Directory(tree), order, embedder=embedder, clock=lambda: NOW, **options)
    for event in load.run():
        tally.take(event)
    database.close()
    return tally


def _inserts(folder: Path, count: int) -> list[Row]:
    """Short passages, as a source of so many rows has them."""
    from memagent.assemble import open_embedder
    from memagent.config import Settings
    from memagent.memory.passages import Passage, PassageStore
    from memagent.storage.sqlite import SqliteDatabase

    words = _words(random.Random(2))
    texts = [" ".join(next(words) for _ in range(18)) for _ in range(count)]
    rows = []
    for what, bar in (("without", 20_000), ("with", 3000)):
        database = SqliteDatabase(folder / f"{what}.db")
        store = PassageStore(database, "shelf", open_embedder(Settings()) if what == "with" else None)
        store.vectors_of(["warm"])
        cpu, begun = time.process_time(), time.perf_counter()
        for start in range(0, count, 5000):
            some = texts[start : start + 5000]
            vectors = store.vectors_of(some)
            with database.write() as tx:
                store.insert_many(tx, [Passage(start + n, 0, text, NOW) for n, text in enumerate(some)], vectors)
        cpu, seen = time.process_time() - cpu, time.perf_counter() - begun
        database.close()
        told = f"as seen: {count / seen:,.0f} /s"
        name = f"short passages stored a second of CPU, {what} embedding"
        rows.append(Row(name, f"{count / cpu:,.0f} /s", told, count / cpu, bar, "/s", at_least=True))
    return rows


# Text -----------------------------------------------------------------------------------------------------------------


def _make_tree(folder: Path, files: int, size: int) -> int:
    """Markdown files in folders of fifty; returns how many bytes they have in all."""
    luck, total = random.Random(1), 0
    words = _words(luck)
    for number in range(files):
        path = folder / f"part-{number // 50:02}" / f"page-{number:04}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"# {_phrase(words, 4)}\n\n"
        while len(text) < size:
            text += _section(words, luck)
        path.write_text(text)
        total += len(text)
    return total


def _section(words: Iterator[str], luck: random.Random) -> str:
    text = f"{'#' * luck.choice((2, 2, 3))} {_phrase(words, luck.randint(2, 5))}\n\n"
    for _ in range(luck.randint(2, 5)):
        kind = luck.random()
        if kind < 0.1:
            lines = "\n".join(f"    {next(words)} = {next(words)}({luck.randint(0, 99)})" for _ in range(6))
            text += f"```python\n{lines}\n```\n\n"
        elif kind < 0.25:
            text += "\n".join(f"- {_sentence(words, luck)}" for _ in range(4)) + "\n\n"
        else:
            text += " ".join(_sentence(words, luck) for _ in range(luck.randint(3, 7))) + "\n\n"
    return text


def _sentence(words: Iterator[str], luck: random.Random) -> str:
    return _phrase(words, luck.randint(6, 18)) + "."


def _phrase(words: Iterator[str], count: int) -> str:
    return " ".join(next(words) for _ in range(count)).capitalize()


def _words(luck: random.Random) -> Iterator[str]:
    """Words without end: the n-th most frequent one comes as often as 1/n."""
    sounds = [f"{c}{v}" for c in "bdfghklmnprstvw" for v in "aeiou"] + ["an", "er", "in", "ion", "es", "st"]
    many = ["".join(luck.choice(sounds) for _ in range(luck.randint(1, 4))) for _ in range(20_000)]
    weights = list(accumulate(1 / (n + 3) for n in range(len(many))))
    while True:
        yield from luck.choices(many, cum_weights=weights, k=1000)
