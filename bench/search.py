"""How well search finds, on six sets at once with one configuration, beside simpler ways; and what it costs.

All of it goes through the public door: a real file, `RecallMemory` and `ArchivalMemory`. What the weights were learned
on (`bench/learn.py`) is kept apart: reported are only LoCoMo's conversations 3 and 4, BEAM's chats 10 to 19, SciFact's
validation claims, and the other half of the questions and facts; nothing was learned from the keys. `--data PATH` names
the folder with the sets.
"""

from __future__ import annotations

import json
import math
import random
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from bench.search_data import SETS, Asked, Corpus, Item, Stored, mean, store
from bench.table import Row
from memagent.embeddings import Embedder
from memagent.memory import finding, ranking

DEEP = 60
PARTS = {
    "the messages around": (
        "telling at ", "with the one before", "with both sides", "with two sides", "answers what matches",
        "asked before", "asks next",
    ),
    "the sitting": ("sitting",),
    "times": ("date", "times", "when"),
    "who speaks": ("speaker", "role"),
    "names": ("names", "begins"),
    "phrases": ("phrases",),
    "meaning": ("meaning", "gist"),
    "words": ("strength", "telling", "covered", "rarest", "words", "with ", "sitting covers"),
}  # fmt: skip
BARS = {
    "locomo": {"recall@5": 70.0, "recall@10": 78.0, "recall@20": 84.0},
    "beam": {"recall@5": 68.0, "recall@10": 78.0, "recall@20": 85.0},
    "scifact": {"NDCG@10": 69.0},
    "nq": {"recall@1": 80.0, "recall@5": None},
    "facts": {"recall@1": 92.0, "recall@3": None},
    "keys": {"recall@1": 100.0},
}
_SMALL = """
a an the of to in on at for from by with and or but is are was were be been being do does did has have had will would
can could should may might it its this that these those he she they them his her their i you we me my your our what
which who whom when where why how as if than then so not no any some there about into during
"""
_STOP = frozenset(_SMALL.split())
Ranked = Callable[[str, int], list[str]]


def measure(quick: bool = False, data: Path | None = None) -> Sequence[Row]:
    """The rows of the table."""
    from memagent.embeddings.local import LocalEmbedder

    if data is None:
        raise SystemExit("search is measured on public sets: name their folder with --data PATH")
    embedder, rows = LocalEmbedder(), list[Row]()
    for name, bars in BARS.items():
        every = 8 if quick else 1
        found, parts = _measured(name, data, embedder, every, parts=name in ("locomo", "beam"))
        for what, bar in bars.items():
            beside = ", ".join(f"{other} {scores[what]:.1f}" for other, scores in found.items() if other != "ours")
            rows.append(_row(f"{name}: {what}", found["ours"][what], beside, bar))
        rows += parts
    rows += _costs(data, "6,000 messages", 6000, 5.0, quick)
    rows += _costs(data, "100,000 messages", 20_000 if quick else 100_000, 15.0, quick)
    return rows


def _row(what: str, number: float, beside: str, bar: float | None) -> Row:
    return Row(what, f"{number:.1f}", beside, number, bar, unit="", at_least=True)


def _measured(
    name: str, data: Path, embedder: Embedder, every: int, parts: bool
) -> tuple[dict[str, dict[str, float]], list[Row]]:
    """Each way's scores on one set, and what is lost without each part of ours."""
    scores: dict[str, list[dict[str, float]]] = {}
    silent: dict[str, list[float]] = {}
    for corpus in SETS[name](data):
        asked = [each for each in corpus.asked if not each.learned and each.kind != "adversarial"][::every]
        if not asked:
            continue
        with TemporaryDirectory() as home:
            stored = store(corpus, Path(home), embedder)
            alone = Stored(corpus, stored.database, stored.agent, _without_meaning(stored), stored.names)
            ways = {"ours": stored.ranked, "words alone": alone.ranked, **_baselines(corpus, embedder)}
            for way, ranked in ways.items():
                scores.setdefault(way, []).extend(_scored(ranked, each) for each in asked)
            for part, prefixes in PARTS.items() if parts else ():
                with _silenced(prefixes):
                    silent.setdefault(part, []).extend(_scored(stored.ranked, each)["recall@10"] for each in asked)
            stored.database.close()
    found = {
        way: {what: 100 * mean(each[what] for each in all_of) for what in all_of[0]} for way, all_of in scores.items()
    }
    whole = found["ours"]["recall@10"]
    rows = [
        _row(f"{name}: recall@10 without {part}", 100 * mean(numbers), f"{100 * mean(numbers) - whole:+.1f}", None)
        for part, numbers in silent.items()
    ]
    return found, rows


def _scored(ranked: Ranked, asked: Asked) -> dict[str, float]:
    hits = [name in asked.answers for name in list(dict.fromkeys(ranked(asked.text, DEEP)))]
    scores = {f"recall@{k}": sum(hits[:k]) / len(asked.answers) for k in (1, 3, 5, 10, 20)}
    best = sum(1 / math.log2(n + 2) for n in range(min(10, len(asked.answers))))
    return {**scores, "NDCG@10": sum(hit / math.log2(n + 2) for n, hit in enumerate(hits[:10])) / best}


def _without_meaning(stored: Stored) -> Any:
    from memagent.memory.archival import ArchivalMemory
    from memagent.memory.recall import RecallMemory

    kind = RecallMemory if stored.corpus.talk else ArchivalMemory
    return kind(stored.database, stored.agent, None)


@contextmanager
def _silenced(prefixes: Sequence[str]) -> Iterator[None]:
    """Search as if some features told nothing: each is as in the mean. The others are not learned anew."""
    whole = ranking.features

    def without(question: Any, found: Any) -> dict[str, list[float]]:
        made = whole(question, found)
        network = ranking._networks()["words" if found.meaning is None else "both"]
        usual = dict(zip(network.names, network.mean, strict=True))
        return {
            name: 0.0 * column + usual.get(name, 0.0) if name.startswith(tuple(prefixes)) else column
            for name, column in made.items()
        }

    with patch.object(ranking, "features", without), patch.object(finding, "scores", ranking.scores):
        yield


# The others ---------------------------------------------------------------------------------------------------------


def _baselines(corpus: Corpus, embedder: Embedder) -> dict[str, Ranked]:
    import numpy as np

    index = sqlite3.connect(":memory:")
    index.execute("CREATE VIRTUAL TABLE m USING fts5 (body, tokenize = 'porter unicode61')")
    index.executemany("INSERT INTO m (rowid, body) VALUES (?, ?)", enumerate(item.text for item in corpus.items))
    names = [item.id for item in corpus.items]
    matrix = np.frombuffer(b"".join(embedder.embed([item.text for item in corpus.items])), "<f4").reshape(
        len(names), -1
    )

    def words(query: str, count: int, stop: frozenset[str] = frozenset()) -> list[str]:
        every = list(dict.fromkeys(re.findall(r"[^\W_]+", query.lower())))
        match = " OR ".join(f'"{word}"' for word in [w for w in every if w not in stop] or every)
        sql = "SELECT rowid FROM m WHERE m MATCH ? ORDER BY bm25(m) LIMIT ?"
        return [names[row] for (row,) in index.execute(sql, (match, count))] if match else []

    def meaning(query: str, count: int) -> list[str]:
        near = matrix @ np.frombuffer(embedder.embed([query])[0], "<f4")
        return [names[n] for n in np.argsort(-near, kind="stable")[:count]]

    def by_rank(query: str, count: int) -> list[str]:
        score: dict[str, float] = {}
        for way in (words(query, 100, _STOP), meaning(query, 100)):
            for rank, name in enumerate(way):
                score[name] = score.get(name, 0.0) + 1 / (61 + rank)
        return sorted(score, key=lambda name: -score[name])[:count]

    return {
        "FTS5": words, "FTS5 without stop words": lambda query, count: words(query, count, _STOP),
        "wordllama": meaning, "equal ranks": by_rank,
    }  # fmt: skip


# What it costs ------------------------------------------------------------------------------------------------------


def _costs(data: Path, what: str, count: int, bar: float, quick: bool) -> list[Row]:
    """Each in a process of its own, so that its memory is its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.search", str(data), str(count), str(40 if quick else 200)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    cost = json.loads(done.stdout)
    first = (
        f"CPU {cost['cpu']:.1f} ms; FTS5 alone {cost['alone']:.1f} ms; the first {cost['first']:.0f} ms, "
        f"slowest twentieth {cost['slow']:.1f} ms"
    )
    rows = [Row(f"a search in {what}, p50", f"{cost['p50']:.2f} ms", first, cost["p50"], bar, unit="ms")]
    if count <= 6000:
        rows += [
            Row("memory beyond an empty process", f"{cost['memory']:.0f} MB", what, cost["memory"], 200, unit="MB"),
            Row("storing and embedding a message", f"{cost['store']:.2f} ms", what, cost["store"], 1.0, unit="ms"),
        ]
    return rows


def _cost(data: Path, count: int, questions: int) -> dict[str, float]:
    """Store messages, then search them from a memory that was just opened."""
    from memagent.embeddings.local import LocalEmbedder
    from memagent.memory.recall import TEXTS, RecallMemory
    from memagent.memory.search import Query

    before = _memory()
    talks = [corpus for name in ("locomo", "beam") for corpus in SETS[name](data)]
    asked = [each.text for corpus in talks for each in corpus.asked]
    corpus = Corpus("many", True, _many([item for talk in talks for item in talk.items], count))
    chance = random.Random(1)
    with TemporaryDirectory() as home:
        begun = time.perf_counter()
        stored = store(corpus, Path(home), LocalEmbedder())
        took = time.perf_counter() - begun
        memory = RecallMemory(stored.database, stored.agent, LocalEmbedder())
        times, cpu, alone = list[float](), list[float](), list[float]()
        index = stored.database.words(TEXTS)
        for query in [asked[0], *chance.sample(asked, questions)]:
            begun, spent = time.perf_counter(), time.process_time()
            memory.search(query)
            times.append(1e3 * (time.perf_counter() - begun))
            cpu.append(1e3 * (time.process_time() - spent))
            begun = time.perf_counter()
            index.hits(Query.of(query).words, [stored.agent], 5)
            alone.append(1e3 * (time.perf_counter() - begun))
        stored.database.close()
    used = _memory() - before
    slow = sorted(times[1:])[int(0.95 * questions)]
    return {
        "p50": statistics.median(times[1:]), "slow": slow, "first": times[0], "memory": used,
        "cpu": statistics.median(cpu[1:]), "alone": statistics.median(alone[1:]), "store": 1e3 * took / count,
    }  # fmt: skip


def _memory() -> float:
    """The most memory that this process has held, in MB. What `resource` tells is that of who started it, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]


def _many(items: list[Item], count: int) -> list[Item]:
    """So many messages: those there are, then their sentences put together anew."""
    chance = random.Random(1)
    sentences = [s for item in items for s in re.split(r"(?<=[.!?])\s+", item.text) if 10 < len(s) < 300]
    made = items[:count]
    while len(made) < count:
        before = made[-len(items)]
        made.append(Item(str(len(made)), " ".join(chance.sample(sentences, 2)), before.created, before.role))
    return made


if __name__ == "__main__":
    print(json.dumps(_cost(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
