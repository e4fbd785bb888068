"""Extraction on a public set: against what people wrote down of the chats of two strangers.

Each speaker's turns are read in one call as if they were the user's. A fact that was extracted is right if a person
wrote down the same: at least SAME of the telling words of the shorter one are those of the other, or both mean nearly
the same (NEAR). Nothing was tuned on these. Which fact a contradicting statement ends: see fact_update.py.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memagent.embeddings import Embedder, embedded, unpacked
from memagent.facts import Said
from memagent.facts.words import beginning, telling

SAME, NEAR = 0.6, 0.7
WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)
_SMALL_WORDS = "user has have am is are was like likes love loves enjoy really lot also"
_SMALL = frozenset(map(beginning, _SMALL_WORDS.split()))
Table = list[list[str]]


@dataclass
class Chats:
    """What was found in chats, and what people had written down."""

    extracted: int = 0
    right: int = 0
    written: int = 0
    found: int = 0
    calls: int = 0
    messages: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)


def measured(folder: Path, sample: int, extracting: Callable[[Any], Any]) -> Table:
    """The table, of so many chats or of twenty."""
    chats = list(_chats(folder))[1::2]
    found = read_chats(random.Random(1).sample(chats, min(sample or 20, len(chats))), extracting(None))
    return [["public sets", "measured", "bar"], *_counted(found)]


def _counted(found: Chats) -> Table:
    precision, recall = found.right / max(1, found.extracted), found.found / max(1, found.written)
    print("\n".join(found.examples), file=sys.stderr)
    return [
        ["chats: extracted facts that people wrote down too", _of(found.right, found.extracted), ""],
        ["chats: what people wrote down that was extracted", _of(found.found, found.written), ""],
        ["chats: F1", f"{200 * precision * recall / max(1e-9, precision + recall):.1f} %", ""],
        ["chats: model calls per message", f"{found.calls / max(1, found.messages):.2f}", "≤ 1"],
        ["chats: seconds per message", f"{found.seconds / max(1, found.messages):.2f}", ""],
    ]


def _of(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} % ({part}/{whole})"


# Chats ----------------------------------------------------------------------------------------------------------------


def _chats(folder: Path) -> Iterator[list[dict[str, Any]]]:
    with (folder / "msc_facts_session_1.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["dialog"]


def read_chats(chats: Sequence[Sequence[dict[str, Any]]], extractor: Any) -> Chats:
    """Read each speaker's side of each chat in one call, and hold what was found against what was written down."""
    alike, result = Alike(), Chats()
    for number, chat in enumerate(chats, 1):
        for speaker in dict.fromkeys(turn["id"] for turn in chat):
            talk = [
                Said("user" if turn["id"] == speaker else "agent", turn["text"], WHEN, seq)
                for seq, turn in enumerate(chat, 1)
            ]
            before, began = extractor.asked, time.monotonic()
            texts = [draft.text for draft in extractor.extract(talk, []) if draft.holds]
            result.seconds += time.monotonic() - began
            result.calls += extractor.asked - before
            result.messages += sum(said.who == "user" for said in talk)
            _judge(texts, _written(chat, speaker), alike, result, show=number <= 2)
        print(f"chat {number}: {result.right}/{result.extracted}, {result.found}/{result.written}", file=sys.stderr)
    return result


def _written(chat: Sequence[dict[str, Any]], speaker: str) -> list[str]:
    lines = [turn.get("persona_text") or "" for turn in chat if turn["id"] == speaker]
    parts = (part.strip() for line in lines for part in re.split(r"(?<=[.!])\s+", line))
    return list(dict.fromkeys(part for part in parts if part))


def _judge(texts: Sequence[str], written: Sequence[str], alike: Alike, result: Chats, *, show: bool) -> None:
    for text in texts:
        match = next((line for line in written if alike(text, line)), "")
        result.extracted += 1
        result.right += bool(match)
        if show:
            result.examples.append(f"  {'=' if match else '?'} {text}" + (f"  ←  {match}" if match else ""))
    for line in written:
        found = any(alike(text, line) for text in texts)
        result.written += 1
        result.found += found
        if show and not found:
            result.examples.append(f"  - missed: {line}")


class Alike:
    """Whether two facts say the same, by words or by meaning."""

    def __init__(self) -> None:
        from memagent.assemble import open_embedder
        from memagent.config import Settings

        self._embedder: Embedder | None = open_embedder(Settings(home=Path("nowhere")))

    def __call__(self, one: str, other: str) -> bool:
        first, second = telling(one) - _SMALL or telling(one), telling(other) - _SMALL or telling(other)
        if len(first & second) >= SAME * max(1, min(len(first), len(second))):
            return True
        if self._embedder is None:
            return False
        a, b = map(unpacked, embedded(self._embedder, [one, other]))
        return sum(x * y for x, y in zip(a, b, strict=True)) >= NEAR
