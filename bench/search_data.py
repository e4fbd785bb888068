"""The sets that search is measured on, read from a folder, and put into a real database as an agent would have them.

Conversations become messages in recall memory, everything else notes in archival memory. Which part is for learning and
which for reporting is settled here. Knows nothing of how a search ranks, or of what is measured.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from memagent.embeddings import Embedder
from memagent.memory.archival import ArchivalMemory
from memagent.memory.log import MessageLog
from memagent.memory.recall import RecallMemory
from memagent.messages import Message
from memagent.storage.sqlite import SqliteDatabase

FACTUAL = (
    "information_extraction", "knowledge_update", "multi_session_reasoning", "temporal_reasoning",
    "contradiction_resolution",
)  # fmt: skip
LEARNED_TALKS = (0, 1, 2)
"""Of LoCoMo's conversations; the others are reported."""
LEARNED_CHATS = range(10)
"""Of BEAM's chats; the others are reported."""
_START = datetime(2024, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Item:
    """One message or note."""

    id: str
    text: str
    created: datetime = _START
    role: str = "user"


@dataclass(frozen=True)
class Asked:
    """One question, the items that answer it, and whether it is for learning or for reporting."""

    text: str
    kind: str
    answers: frozenset[str]
    learned: bool = False


@dataclass
class Corpus:
    """Texts that are searched together."""

    name: str
    talk: bool
    items: list[Item]
    asked: list[Asked] = field(default_factory=list)


def locomo(folder: Path) -> Iterator[Corpus]:
    """Conversations of two friends; of each question the turns are known that hold the answer."""
    for number, sample in enumerate(json.loads((folder / "locomo_0-4.json").read_text("utf-8"))):
        talk, items, session = sample["conversation"], list[Item](), 1
        while when := talk.get(f"session_{session}_date_time"):
            began = datetime.strptime(when, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
            for minute, turn in enumerate(talk.get(f"session_{session}", [])):
                image = f" [shared image: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
                text = f"{turn['speaker']}: {turn.get('text', '')}{image}"
                role = "user" if turn["speaker"] == talk["speaker_a"] else "assistant"
                items.append(Item(turn["dia_id"], text, began + timedelta(minutes=minute), role))
            session += 1
        known = {item.id for item in items}
        corpus = Corpus(f"locomo {number}", True, items)
        for question in sample["qa"]:
            pairs = (pair for text in question.get("evidence", []) for pair in re.findall(r"D:?(\d+):0*(\d+)", text))
            answers = frozenset(f"D{a}:{b}" for a, b in pairs) & known
            if answers:
                kind = "adversarial" if question["category"] == 5 else "answered"
                corpus.asked.append(Asked(question["question"], kind, answers, number in LEARNED_TALKS))
        yield corpus


def beam(folder: Path) -> Iterator[Corpus]:
    """Long chats of a person with an assistant; only the factual questions."""
    with gzip.open(folder / "beam_100K.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, row in enumerate(map(json.loads, file)):
            items, day = list[Item](), _START
            for message in (m for batch in row["batches"] for group in batch["turns"] for m in group):
                if message.get("time_anchor"):
                    day = datetime.strptime(message["time_anchor"], "%B-%d-%Y").replace(tzinfo=UTC, hour=12)
                day += timedelta(seconds=20)
                text = re.sub(r"\s*->->.*$", "", message["content"], flags=re.S)
                items.append(Item(str(message["id"]), text, day, message["role"]))
            known = {item.id for item in items}
            corpus = Corpus(f"beam {number}", True, items)
            for kind in FACTUAL:
                for question in (row["probing_questions"] or {}).get(kind, []):
                    answers = frozenset(map(str, _numbers(question.get("source_chat_ids", [])))) & known
                    if answers:
                        corpus.asked.append(Asked(question["question"], kind, answers, number in LEARNED_CHATS))
            yield corpus


def scifact(folder: Path) -> Iterator[Corpus]:
    """Claims, and the abstracts that they cite; those of the training file are learned from."""
    csv.field_size_limit(1 << 30)
    items = []
    with open(folder / "scifact/corpus_train.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            abstract = re.sub(r"""['"]\s*\n\s*['"]""", " ", row["abstract"].strip("[]'\" "))
            items.append(Item(row["doc_id"], f"{row['title']}: {abstract}"))
    corpus, known = Corpus("scifact", False, items), {item.id for item in items}
    for part in ("train", "validation"):
        claims: dict[str, set[str]] = {}
        with open(folder / f"scifact/claims_{part}.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                claims.setdefault(row["claim"], set()).update(re.findall(r"\d+", row["cited_doc_ids"]))
        for claim, cited in claims.items():
            if cited & known:
                corpus.asked.append(Asked(claim, "claim", frozenset(cited & known), part == "train"))
    yield corpus


def questions(folder: Path) -> Iterator[Corpus]:
    """Natural Questions and the passages that answer them; every other question is learned from."""
    corpus, places = Corpus("natural questions", False, []), dict[str, str]()
    with gzip.open(folder / "nq-open-oracle.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, row in enumerate(map(json.loads, file)):
            gold = row["ctxs"][0]
            text = " ".join(f"{gold['title']}: {gold['text']}".split())
            if text not in places:
                places[text] = f"p{len(places)}"
                corpus.items.append(Item(places[text], text))
            corpus.asked.append(Asked(row["question"], "nq", frozenset({places[text]}), number % 2 == 0))
    yield corpus


def facts(folder: Path) -> Iterator[Corpus]:
    """Statements that contradict a fact, and the fact; every other one is learned from."""
    corpus, known, number = Corpus("facts", False, []), dict[str, str](), 0
    for row in map(json.loads, (folder / "fact_update_550.jsonl").read_text("utf-8").splitlines()):
        extra = row["agent_args"]["extra"]
        for fact in extra["facts"]:
            if fact not in known:
                known[fact] = f"f{len(known)}"
                corpus.items.append(Item(known[fact], fact))
        numbers = [n for n in extra["supporting_fact_indices"] if n < len(extra["facts"])]
        answers = frozenset(known[extra["facts"][n]] for n in numbers)
        if answers and extra["contradicting_fact"]:
            corpus.asked.append(Asked(extra["contradicting_fact"], "fact", answers, number % 2 == 0))
            number += 1
    yield corpus


def keys(folder: Path) -> Iterator[Corpus]:
    """Random keys with random values, looked up exactly; nothing is learned from them."""
    with gzip.open(folder / "kv-retrieval-140_keys.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, row in zip(range(5), map(json.loads, file), strict=False):
            pairs = row["ordered_kv_records"]
            chained = [
                (value, pairs[n - 1][0]) for n, (_, value) in enumerate(pairs)
            ]  # values that are keys themselves
            items = [Item(key, f"{key}: {value}") for key, value in [*pairs, *chained]]
            yield Corpus(f"keys {number}", False, items, [Asked(i.id, "key", frozenset({i.id})) for i in items])


SETS = {"locomo": locomo, "beam": beam, "scifact": scifact, "nq": questions, "facts": facts, "keys": keys}


@dataclass(frozen=True)
class Stored:
    """A corpus in a database: the memory to search, and which item each result is."""

    corpus: Corpus
    database: SqliteDatabase
    agent: str
    memory: RecallMemory | ArchivalMemory
    names: dict[int, str]

    def ranked(self, query: str, count: int) -> list[str]:
        """The items that are found, best first, through the public door."""
        page = self.memory.search(query, 0, count)
        return list(dict.fromkeys(self.names[found.id] for found in page.results))


def store(corpus: Corpus, folder: Path, embedder: Embedder | None, together: bool = False) -> Stored:
    """Put a corpus into a database of its own, with all its vectors; `together` into the one that is there."""
    database = SqliteDatabase(folder / ("all.db" if together else f"{corpus.name}.db"))
    agent = uuid4().hex
    with database.write() as tx:
        tx.run(
            "INSERT INTO agents (id, owner, name, created, settings, system) VALUES (?, 'me', ?, ?, '{}', '')",
            agent, f"{corpus.name} {agent[:4]}", _START.isoformat(),
        )  # fmt: skip
    if corpus.talk:
        return _as_messages(corpus, database, agent, embedder)
    archive, names = ArchivalMemory(database, agent, embedder), dict[int, str]()
    for start in range(0, len(corpus.items), 500):
        prepared = [(item, archive.prepare(item.text)) for item in corpus.items[start : start + 500]]
        with database.write() as tx:
            for item, ready in prepared:
                assert archive.store(tx, ready, turn=1, now=item.created), f"{item.id} is there already"
                names[len(names) + 1] = item.id
    return Stored(corpus, database, agent, archive, names)


def _as_messages(corpus: Corpus, database: SqliteDatabase, agent: str, embedder: Embedder | None) -> Stored:
    kinds: dict[str, Any] = {"user": "user", "assistant": "answer"}
    messages = [
        Message(i.role if i.role in kinds else "user", kinds.get(i.role, "user"), i.text, i.created, said=i.text)  # type: ignore[arg-type]
        for i in corpus.items
    ]  # fmt: skip
    with database.write() as tx:
        stored = MessageLog(database, agent).append(tx, messages, turn=1)
    recall = RecallMemory(database, agent, embedder)
    while recall.catch_up():
        pass
    return Stored(corpus, database, agent, recall, {m.seq: i.id for m, i in zip(stored, corpus.items, strict=True)})


def mean(numbers: Iterable[float]) -> float:
    """The mean of some numbers, 0 of none."""
    listed: Sequence[float] = list(numbers)
    return sum(listed) / len(listed) if listed else 0.0


def _numbers(found: Any) -> list[int]:
    if isinstance(found, int):
        return [found]
    if isinstance(found, dict):
        found = list(found.values())
    return [n for part in found for n in _numbers(part)] if isinstance(found, list) else []
