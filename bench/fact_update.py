"""Which fact a contradicting statement puts an end to, decided without a model; and how often one ends that should not.

Sets of facts with statements that contradict one of them come from `--data PATH`. Each set is kept in a real database,
the statement is taken in as a draft like any other, and what ended is looked up. Every other statement was learned
from, the others are reported. Against it are held the facts of the same sets, each taken in beside the others of its
set, and statements of other sets: they contradict nothing.

    python -m bench.fact_update --data PATH --model FILE.gguf    a model is asked too, where words leave it open
    python -m bench.fact_update --data PATH --learn              the weights of facts/likeness.py, learned anew
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.table import Row
from memagent.facts import Cause, Chooser, Draft, Fact, Said
from memagent.facts.choosing import ModelChooser
from memagent.facts.finding import FactFinder
from memagent.facts.keeping import FactMemory
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.likeness import FEATURES, Statement, features

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)
BAR, BAR_WITH_MODEL = 92.0, 95.0
MOST_WRONG = 5.0
_FINE = {"harmless": 0.6, "against": 1.0}
"""How much a statement counts in learning."""


@dataclass(frozen=True)
class Case:
    """Facts, a statement, and which of the facts it may end; none, if it contradicts nothing."""

    facts: Sequence[str]
    statement: str
    ends: frozenset[str]
    learned: bool


def cases(data: Path) -> list[Case]:
    """Contradicting statements, and for each new set its facts, one beside the others."""
    found, seen, number = list[Case](), set[tuple[str, ...]](), 0
    for row in map(json.loads, (data / "fact_update_550.jsonl").read_text("utf-8").splitlines()):
        extra = row["agent_args"]["extra"]
        facts, statement = extra["facts"], extra["contradicting_fact"]
        ends = frozenset(facts[n] for n in extra["supporting_fact_indices"] if n < len(facts))
        if not ends or not statement:
            continue
        found.append(Case(facts, statement, ends, number % 2 == 0))
        if tuple(facts) not in seen:
            seen.add(tuple(facts))
            found += [
                Case([f for f in facts if f != fact], fact, frozenset(), number % 2 == 0)
                for fact in dict.fromkeys(facts)
            ]
        number += 1
    return found


def measure(quick: bool = False, data: Path | None = None, model: Path | None = None) -> Sequence[Row]:
    """The rows of the table; with a GGUF `model`, also those where it is asked."""
    from memagent.embeddings.local import LocalEmbedder

    if data is None:
        raise SystemExit("contradicting statements are measured on a public set: name its folder with --data PATH")
    reported = [case for case in cases(data) if not case.learned]
    against = [case for case in reported if case.ends][:: 8 if quick else 1]
    harmless = [case for case in reported if not case.ends][:: 8 if quick else 1]
    sets = [against, harmless, list(_of_others(against))]
    rows = [*_rows("", sets, LocalEmbedder()), *_rows(" by words alone", sets, None)]
    if model is not None:
        from bench.facts import model as opened

        with opened(model) as llm:
            chooser = ModelChooser(lambda: llm)
            rows += _rows(" with the embedded model", sets, LocalEmbedder(), chooser)
    return rows


def _rows(
    name: str, sets: Sequence[Sequence[Case]], embedder: Any, chooser: ModelChooser | None = None
) -> Iterator[Row]:  # fmt: skip
    """What was ended of a set's own facts, and how often something that should not."""
    bar = BAR_WITH_MODEL if chooser else BAR
    kinds = ("the fact that a statement ends", "ended by a fact of the same set", "ended by a statement of another set")
    for what, some in zip(kinds, sets, strict=True):
        asked = chooser.asked if chooser else 0
        found = [(case, ended) for case, ended in _ended(some, embedder, chooser)]
        contradicts = some is sets[0]
        counted = sum(bool(ended) and (ended in case.ends or not contradicts) for case, ended in found)
        share = 100 * counted / len(some)
        beside = f"{counted} of {len(some)}"
        if chooser:
            beside += f"; {(chooser.asked - asked) / len(some):.2f} calls each"
        yield Row(
            f"{what}{name}", f"{share:.1f} %", beside, share, bar if contradicts else MOST_WRONG, "%", contradicts
        )


def _of_others(against: Sequence[Case]) -> Iterator[Case]:
    """The statement of another set, with the same facts."""
    chance = random.Random(1)
    for case in against:
        other = chance.choice([one for one in against if not set(one.facts) & set(case.facts)])
        yield Case(case.facts, other.statement, frozenset(), False)


def _ended(
    some: Sequence[Case], embedder: Any, chooser: Chooser | None = None
) -> Iterator[tuple[Case, str]]:  # fmt: skip
    """What ended in each case; nothing, or more than one fact, is told as nothing, or the texts together."""
    from memagent.storage.sqlite import SqliteDatabase

    with TemporaryDirectory() as home:
        database = SqliteDatabase(Path(home) / "facts.db")
        for number, case in enumerate(some):
            memory = _memory(database, f"u{number}", embedder, chooser)
            with database.write() as tx:
                for text in case.facts:
                    memory.ledger.learn(tx, Fact(text, NOW, about="them", cause=Cause("talk")), NOW)
            said = Said("user", case.statement, NOW)
            weighed = memory.weighed([Draft(case.statement.strip('"'), about="them")])
            with database.write() as tx:
                memory.take_in(tx, weighed, [said], Cause("talk"))
            yield case, " & ".join(fact.text for fact in memory.ledger.listed(("past",)))
        database.close()


def _memory(database: Any, owner: str, embedder: Any, chooser: Chooser | None) -> FactMemory:
    ledger = Ledger(database, keeper(database, owner, None, NOW))
    return FactMemory(ledger, FactFinder(ledger, embedder), Nothing(), lambda: NOW, chooser=chooser)


class Nothing:
    """An extractor that is never asked."""

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:  # noqa: ARG002
        """Nothing."""
        return []


# Learning -------------------------------------------------------------------------------------------------------------


def learned(data: Path, meaning: bool) -> list[float]:
    """The weights of `FEATURES`, and what is added: a regression over the half that is for learning."""
    import numpy as np

    rows, wanted, counts = list[list[float]](), list[float](), list[float]()
    for case in (case for case in cases(data) if case.learned):
        closeness = _closeness(case.statement, case.facts) if meaning else [0.0] * len(case.facts)
        rows += features(Statement(case.statement), [Statement(fact) for fact in case.facts], closeness)
        wanted += [float(fact in case.ends) for fact in case.facts]
        counts += [_FINE["against" if case.ends else "harmless"]] * len(case.facts)
    x = np.hstack([np.array(rows), np.ones((len(rows), 1))])
    y, c, w = np.array(wanted), np.array(counts), np.zeros(len(FEATURES) + 1)
    for _ in range(40):
        p = 1 / (1 + np.exp(-x @ w))
        ridge = 1e-4 * len(y)
        w -= np.linalg.solve(
            (x * (p * (1 - p) * c)[:, None]).T @ x + ridge * np.eye(len(w)), x.T @ ((p - y) * c) + ridge * w
        )
    return [round(float(one), 2) for one in w]


def _closeness(statement: str, facts: Sequence[str]) -> list[float]:
    import numpy as np

    query = np.frombuffer(_vector(statement), "<f4")
    return [float(query @ np.frombuffer(_vector(fact), "<f4")) for fact in facts]


@cache
def _vector(text: str) -> bytes:
    return _embedder().embed([text])[0]


@cache
def _embedder() -> Any:
    from memagent.embeddings.local import LocalEmbedder

    return LocalEmbedder()


def main() -> None:
    """Measure, or learn."""
    from bench.table import show

    parser = argparse.ArgumentParser(prog="python -m bench.fact_update")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a GGUF model that is asked where words leave it open"
    )
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if chosen.learn:
        print("TOGETHER =", tuple(learned(chosen.data, True)))
        print("ALONE =", tuple(learned(chosen.data, False)))
        return
    show(measure(chosen.quick, chosen.data, chosen.model))


if __name__ == "__main__":
    main()
