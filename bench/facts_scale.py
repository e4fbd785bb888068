"""What a search of facts takes among many: 100,000 of one user, and 1,000,000 of 10,000 users on one store.

All of it goes through the library, in a process of its own; nobody may find what is another's. Knows nothing of how
well the right fact is found: that is `bench/facts.py`.

    python -m bench.facts_scale --users 10000 --each 100
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.table import Row

_WORDS = """
likes hates uses owns wants collects knows reads sells paints repairs teaches studies avoids plays watches cooks grows
old new red small quiet wooden cheap rare northern italian warm digital broken shared public early modern famous local
violin bicycle garden lighthouse novel harbour mushroom telescope kitchen mountain orchestra library train camera puzzle
notebook bakery forest river museum keyboard sweater lamp bridge island castle guitar teapot map engine festival recipe
"""
_VERBS, _KINDS, *_MORE = (line.split() for line in _WORDS.strip().splitlines())
_THINGS = [word for line in _MORE for word in line]
_WHEN = ("at home", "at work", "every morning", "on Sundays", "in winter", "in Porto", "with Anna", "since 2019")
QUESTIONS = 200


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    rows = []
    for users, each, bar in ((1, 20_000 if quick else 100_000, 10.0), (200 if quick else 10_000, 100, 15.0)):
        cost = _in_new_process(users, each)
        whose = "one user" if users == 1 else f"{users:,} users"
        what = f"a search in {users * each:,} facts of {whose}, p50"
        beside = (
            f"CPU {cost['cpu']:.1f} ms; slowest twentieth {cost['slow']:.1f} ms; the first {cost['first']:.0f} ms; "
            f"stored in {cost['stored']:.0f} s; found of others: {cost['strange']:.0f}"
        )
        rows.append(Row(what, f"{cost['p50']:.2f} ms", beside, cost["p50"], bar, "ms"))
        rows.append(Row("facts found of other users", f"{cost['strange']:.0f}", what, cost["strange"], 0, ""))
        rows.append(
            Row("looked for by name and found first", f"{cost['found']:.1f} %", what, cost["found"], 99, "%", True)
        )
    return rows


def _in_new_process(users: int, each: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.facts_scale", "--users", str(users), "--each", str(each), "--json"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(told.splitlines()[-1])
    return found


def _texts(user: int, each: int) -> list[str]:
    """Facts of one user; in each stands a mark that no other has."""
    chance = random.Random(user)
    return [
        f"The user {chance.choice(_VERBS)} the {chance.choice(_KINDS)} {chance.choice(_THINGS)} "
        f"u{user}n{number} {chance.choice(_WHEN)}"
        for number in range(each)
    ]


class Once:
    """An embedder that is asked once for each text without its mark: to make a million vectors is not measured."""

    def __init__(self) -> None:
        from memagent.embeddings.local import LocalEmbedder

        self._inner = LocalEmbedder()
        self._kept: dict[str, bytes] = {}
        self.model, self.dimension = self._inner.model, self._inner.dimension

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text."""
        bare = [" ".join(word for word in text.split() if not _marked(word)) for text in texts]
        missing = list(dict.fromkeys(text for text in bare if text not in self._kept))
        if len(self._kept) < 200_000:
            self._kept.update(zip(missing, self._inner.embed(missing), strict=True))
            return [self._kept[text] for text in bare]
        return list(self._inner.embed(bare))


def _marked(word: str) -> bool:
    return word[0] == "u" and "n" in word and word[1:].replace("n", "", 1).isdigit()


def cost(users: int, each: int) -> dict[str, float]:
    """Store facts, then search them from memories that were just opened."""
    from memagent import Memory
    from memagent.embeddings.local import LocalEmbedder

    chance = random.Random(1)
    with TemporaryDirectory() as home:
        place, began = Path(home) / "facts.db", time.perf_counter()
        with Memory("u0", path=place, embedder=Once()) as memory:
            for user in range(users):
                memory.of(f"u{user}").state_many(_texts(user, each))
        stored = time.perf_counter() - began
        times, cpu, strange, found = list[float](), list[float](), 0, 0
        with Memory("u0", path=place, embedder=LocalEmbedder()) as memory:
            asked = [memory] if users == 1 else [memory.of(f"u{chance.randrange(users)}") for _ in range(20)]
            for one in asked:
                one.search("warm up")
            for number in range(QUESTIONS + 1):
                one = chance.choice(asked)
                own = _texts(int(one.user[1:]), each)
                wanted = chance.choice(own)
                words = wanted.split()
                question = f"Which {words[4]} {words[5]} do I have?" if number % 2 else f"what about {words[6]}"
                before, worked = time.perf_counter(), time.process_time()
                facts = one.search(question)
                times.append(1e3 * (time.perf_counter() - before))
                cpu.append(1e3 * (time.process_time() - worked))
                strange += sum(f" {one.user}n" not in fact.text for fact in facts)
                found += number % 2 == 0 and bool(facts) and facts[0].text == wanted
    return {
        "p50": statistics.median(times[1:]), "slow": sorted(times[1:])[int(0.95 * QUESTIONS)], "first": times[0],
        "cpu": statistics.median(cpu[1:]), "stored": stored, "strange": strange,
        "found": 100 * found / (QUESTIONS // 2 + 1),
    }  # fmt: skip


def main() -> None:
    """Measure one size, and tell what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.facts_scale", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    print(json.dumps(cost(chosen.users, chosen.each)))


if __name__ == "__main__":
    main()
