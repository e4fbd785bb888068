"""Learns the weights by which search ranks: `python -m bench.learn --data PATH` writes memagent/memory/ranking.json.

It learns from that part of each set which `bench/search.py` does not report: three conversations of LoCoMo, ten chats
of BEAM, SciFact's training claims, and every other question and fact. Features are taken from real searches in a real
database. The network is made to give what answers a question a greater share than all other candidates (softmax over
the candidates of a question); each set counts the same however large it is. Needs numpy, and some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.search_data import SETS, Asked, Stored, store
from memagent.embeddings import Embedder
from memagent.memory import ranking
from memagent.memory.finding import Limits
from memagent.memory.ranking import features
from memagent.memory.search import Query

WEIGHTS = {"locomo": 1.8, "beam": 1.2, "scifact": 1.4, "nq": 0.7, "facts": 2.0}
ADVERSARIAL = 0.5  # questions that are meant to mislead count half
UNITS = {"both": 20, "words": 8}
LIMIT = 8.0
ROUNDS = 14
NETWORKS = 3
"""So many are learned from different beginnings, and joined into one of so many times the units."""
NOW = date(2026, 1, 1)


@dataclass(frozen=True)
class Sample:
    """The candidates of one question: their features, which of them answer it, and what the question counts."""

    columns: Any
    answers: Any
    weight: float


@dataclass(frozen=True)
class Lesson:
    """All samples, and what the features are called."""

    names: Sequence[str]
    samples: Sequence[Sample]


def gathered(folder: Path, embedder: Embedder | None) -> Lesson:
    """Search for every question that is learned from, and note what is known of the candidates."""
    names: list[str] = []
    samples: list[Sample] = []
    for name, weight in WEIGHTS.items():
        found: list[tuple[Any, Any, float]] = []
        for corpus in SETS[name](folder):
            learned = [asked for asked in corpus.asked if asked.learned]
            if not learned:
                continue
            with TemporaryDirectory() as home:
                stored = store(corpus, Path(home), embedder)
                for asked, called, columns, answers in _looked_up(stored, learned):
                    names = called
                    found.append((columns, answers, ADVERSARIAL if asked.kind == "adversarial" else 1.0))
                stored.database.close()
        print(f"{name}: {len(found)} questions", file=sys.stderr, flush=True)
        share = weight / sum(WEIGHTS.values()) / max(1, len(found))
        samples += [Sample(columns, answers, share * part) for columns, answers, part in found]
    scale = len(samples)
    return Lesson(names, [Sample(s.columns, s.answers, s.weight * scale) for s in samples])


def _looked_up(stored: Stored, learned: Sequence[Asked]) -> Iterator[tuple[Asked, list[str], Any, Any]]:
    finder = stored.memory._finder  # what is ranked is no one else's business, so there is no other door to it
    owner = "seq FROM messages" if stored.corpus.talk else "note FROM passages"
    items = {row: stored.names[number] for row, number in stored.database.rows(f"SELECT id, {owner}")}
    for asked in learned:
        question, candidates = finder.candidates(Query.of(asked.text), Limits([stored.agent]), NOW)
        if not candidates.rows:
            continue
        made = features(question, candidates.evidence(question, finder._talk))
        answers = np.array([items[row] in asked.answers for row in candidates.rows], "f4")
        if answers.any():
            yield asked, list(made), np.array(list(made.values()), "f4").T, answers / answers.sum()


def learned(lesson: Lesson, units: int, seed: int, rounds: int = ROUNDS) -> ranking.Network:
    """A network with some units, from one beginning."""
    chance = np.random.default_rng(seed)
    every = np.concatenate([sample.columns for sample in lesson.samples])
    mean, scale = every.mean(0), every.std(0)
    scale[scale < 1e-4] = 1.0
    inputs, answers, there, weights = _padded(lesson, mean, scale)
    count = len(lesson.names)
    parts = [
        chance.normal(0, count**-0.5, (count, units)), np.zeros(units), chance.normal(0, 0.3 * count**-0.5, units),
        np.zeros(count),
    ]  # fmt: skip
    kept = _descended([part.astype("f4") for part in parts], inputs, answers, there, weights, chance, rounds)
    rows = np.concatenate([kept[1][:, None], kept[0].T, kept[2][:, None]], axis=1)
    return ranking.Network(lesson.names, mean.tolist(), scale.tolist(), rows.tolist(), kept[3].tolist(), LIMIT)


def _padded(lesson: Lesson, mean: Any, scale: Any) -> tuple[Any, Any, Any, Any]:
    most, count = max(len(s.answers) for s in lesson.samples), len(lesson.samples)
    inputs = np.zeros((count, most, len(lesson.names)), "f4")
    answers, there = np.zeros((count, most), "f4"), np.zeros((count, most), bool)
    for number, sample in enumerate(lesson.samples):
        size = len(sample.answers)
        inputs[number, :size] = np.clip((sample.columns - mean) / scale, -LIMIT, LIMIT)
        answers[number, :size], there[number, :size] = sample.answers, True
    return inputs, answers, there, np.array([s.weight for s in lesson.samples], "f4")


def _descended(
    parts: list[Any], inputs: Any, answers: Any, there: Any, weights: Any, chance: Any, rounds: int
) -> list[Any]:
    """The weights after some rounds of Adam, averaged over the last of them."""
    first, second = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    total, at_once, step = [np.zeros_like(p) for p in parts], 32, 0
    steps, averaged = rounds * -(-len(inputs) // at_once), 0
    for turn in range(rounds):
        order = chance.permutation(len(inputs))
        for start in range(0, len(order), at_once):
            some, step = np.sort(order[start : start + at_once]), step + 1
            x = inputs[some] * (
                chance.random((len(some), 1, inputs.shape[2])) > 0.1
            )  # no feature is leaned on too much
            gradients = _gradients(parts, x, answers[some], there[some], weights[some])
            rate = 4e-3 * min(1.0, step / 50) * (1 - step / steps) + 1e-6
            for n, gradient in enumerate(gradients):
                gradient = gradient + (0 if n == 1 else 1e-3) * parts[n]
                first[n] += 0.1 * (gradient - first[n])
                second[n] += 0.001 * (gradient**2 - second[n])
                parts[n] -= rate * (first[n] / (1 - 0.9**step)) / (np.sqrt(second[n] / (1 - 0.999**step)) + 1e-8)
        if turn >= 0.6 * rounds:
            total, averaged = [t + p for t, p in zip(total, parts, strict=True)], averaged + 1
    return [t / averaged for t in total]


def _gradients(parts: Sequence[Any], x: Any, answers: Any, there: Any, weights: Any) -> list[Any]:
    into, bias, out, straight = parts
    units = np.tanh(x @ into + bias)
    scores = np.where(there, units @ out + x @ straight, -1e9)
    share = np.exp(scores - scores.max(1, keepdims=True))
    wrong = (share / share.sum(1, keepdims=True) - answers) * weights[:, None] / len(x)
    back = wrong[..., None] * out * (1 - units**2)
    over = ((0, 1), (0, 1))
    return [
        np.tensordot(x, back, over), back.sum((0, 1)), np.tensordot(wrong, units, over), np.tensordot(wrong, x, over),
    ]  # fmt: skip


def joined(networks: Sequence[ranking.Network]) -> ranking.Network:
    """One network whose number is the mean of theirs."""
    share, first = 1 / len(networks), networks[0]
    units = [[*unit[:-1], unit[-1] * share] for network in networks for unit in network.units]
    straight = np.mean([network.straight for network in networks], axis=0).tolist()
    return ranking.Network(first.names, first.mean, first.scale, units, straight, first.limit)


def as_json(networks: dict[str, ranking.Network]) -> str:
    """The few numbers, as they are shipped."""

    def short(numbers: Sequence[float]) -> list[float]:
        return [float(f"{number:.4g}") for number in numbers]

    made = {
        name: {
            "names": list(n.names), "mean": short(n.mean), "scale": short(n.scale),
            "units": [short(unit) for unit in n.units], "straight": short(n.straight), "limit": n.limit,
        }
        for name, n in networks.items()
    }  # fmt: skip
    return json.dumps(made, separators=(",", ":")).replace("],[", "],\n[") + "\n"


def main() -> None:
    """Learn, and write the numbers."""
    from memagent.embeddings.local import LocalEmbedder

    parser = argparse.ArgumentParser(prog="python -m bench.learn", description="Learn the weights of search.")
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="the folder with the sets")
    parser.add_argument("--out", type=Path, default=Path(ranking.__file__).with_name("ranking.json"))
    chosen = parser.parse_args()
    networks = {}
    for name, embedder in (("both", LocalEmbedder()), ("words", None)):
        lesson = gathered(chosen.data, embedder)
        print(f"{name}: learning", file=sys.stderr, flush=True)
        networks[name] = joined([learned(lesson, UNITS[name], seed) for seed in range(NETWORKS)])
    chosen.out.write_text(as_json(networks), "utf-8")


if __name__ == "__main__":
    main()
