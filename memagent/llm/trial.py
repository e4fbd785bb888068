"""Tries a model out: whether it calls functions, keeps its JSON whole, how much it can see, and how fast it is.

Every check has its time, and all of them together less than a minute. Knows nothing of how the findings are shown.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from memagent import registry
from memagent.config import Settings
from memagent.errors import MemagentError
from memagent.llm import LLM, Answer, Heard, Piece, Request, Schema, discovery
from memagent.llm.repair import mend
from memagent.messages import Message, estimate

State = Literal["ok", "note", "wrong"]
SECONDS = 55.0
SAY = {
    "name": "say",
    "description": "Say a word.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
NOTE = {
    "name": "note",
    "description": "Keep a note.",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer"},
        },
        "required": ["title", "tags", "count"],
    },
}
WANTED = {"title": 'He said "hi"', "tags": ["red", "green"], "count": 3}
LINE = "Line {}: the river runs past the old mill, and the boats lie still in the evening light."
SIZES = (500, 1000, 2000, 4000, 8000, 16000, 32000)
SLOW, SMALL = 60.0, 6000
"""Tokens read in a second, and tokens of a window, below which a short prompt is better."""


@dataclass(frozen=True)
class Finding:
    """What came of one check. `facts` are its numbers, for programs."""

    what: str
    state: State
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timed:
    """What was heard of an answer in the time that there was: `first` and `whole` are seconds."""

    answer: Answer | None = None
    first: float = 0.0
    whole: float = 0.0
    error: MemagentError | None = None


def calls_a_function(llm: LLM, seconds: float = 20.0) -> tuple[bool, Timed]:
    """Whether the model calls a function that it is told to call."""
    timed = ask(llm, "Call the function say with the word: ready", [SAY], seconds=seconds)
    return bool(timed.answer and [call for call in timed.answer.calls if call.name == SAY["name"]]), timed


def ask(llm: LLM, words: str, tools: Collection[Schema] = (), *, seconds: float, most: int | None = None) -> Timed:
    """Ask one question, and wait for the answer no longer than that."""
    request = Request([Message("user", "user", words, datetime.now().astimezone())], list(tools), max_tokens=most)
    heard: queue.SimpleQueue[Heard | Exception] = queue.SimpleQueue()
    enough = threading.Event()

    def listen() -> None:
        try:
            asking = llm.ask(request)
            for piece in asking:
                heard.put(piece)
                if enough.is_set():
                    getattr(asking, "close", lambda: None)()
                    return
        except Exception as error:  # noqa: BLE001  # raised where the answer is waited for
            heard.put(error)

    began = time.monotonic()
    threading.Thread(target=listen, daemon=True).start()
    first = 0.0
    try:
        while True:
            item = heard.get(timeout=max(0.01, began + seconds - time.monotonic()))
            now = time.monotonic() - began
            if isinstance(item, MemagentError):
                return Timed(None, first, now, item)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Piece | Answer):
                first = first or now
            if isinstance(item, Answer):
                return Timed(item, first, now)
    except queue.Empty:
        return Timed(None, first, seconds)
    finally:
        enough.set()


class Trial:
    """One trial of a model. `told` is the context window as its server tells it; 0 where it does not."""

    def __init__(self, llm: LLM, settings: Settings, told: int, presets: Collection[str] = ("chat",)) -> None:
        self._llm = llm
        self._settings = settings
        self._told = told
        self._presets = presets
        self._until = time.monotonic() + SECONDS
        self._facts: dict[str, Any] = {}

    def run(self) -> Iterator[Finding]:
        """Each finding as soon as it is there; the last one is what to do."""
        for check in (self._calls, self._json, self._speed, self._window, self._advice):
            finding = check()
            if finding is None:
                continue
            self._facts |= finding.facts
            yield finding
            if finding.state == "wrong":
                return

    def _left(self, most: float) -> float:
        return max(0.5, min(most, self._until - time.monotonic()))

    def _calls(self) -> Finding:
        calls, timed = calls_a_function(self._llm, self._left(20))
        if timed.error:
            return Finding("functions", "wrong", str(timed.error), {"calls": False})
        if timed.answer is None:
            return Finding("functions", "wrong", f"no answer in {timed.whole:.0f} s: it is too slow", {"calls": False})
        text = "it calls functions" if calls else "it does not call functions, but answers in text"
        return Finding("functions", "ok" if calls else "note", f"{text} ({timed.whole:.1f} s)", {"calls": calls})

    def _json(self) -> Finding | None:
        if not self._facts["calls"]:
            return None
        words = 'Call the function note with the title: He said "hi" - the tags: red, green - and the count: 3'
        kinds: list[str] = []
        until = time.monotonic() + self._left(12)
        while len(kinds) < 3 and (left := until - time.monotonic()) > 0.2:
            timed = ask(self._llm, words, [NOTE], seconds=left)
            if timed.answer is not None:
                kinds.append(_kept(timed.answer))
            elif timed.error:
                kinds.append("broken")
        counts = {kind: kinds.count(kind) for kind in ("right", "whole", "mended", "broken")}
        if not kinds:
            return Finding("JSON", "note", "it took too long to tell", {"json": counts})
        good = counts["right"] + counts["whole"]
        text = f"{good} of {len(kinds)} whole" + (
            f", {counts['mended']} that can be mended" if counts["mended"] else ""
        )
        text += "" if counts["right"] == good else ", but not always what was asked for"
        return Finding("JSON", "ok" if good == len(kinds) == counts["right"] else "note", text, {"json": counts})

    def _speed(self) -> Finding:
        text = " ".join(LINE.format(number) for number in range(10))
        words = f"{secrets.token_hex(4)} {text}\nTell in a few sentences what one can see there."
        timed = ask(self._llm, words, seconds=self._left(20), most=48)
        if timed.error:
            return Finding("speed", "note", str(timed.error))
        if not timed.first:
            return Finding("speed", "note", f"no word in {timed.whole:.0f} s", {"reads": estimate(words) / timed.whole})
        usage = timed.answer.usage if timed.answer else None
        read = usage.prompt - usage.cached if usage else estimate(words)
        said = timed.answer.text + timed.answer.thoughts if timed.answer else ""
        wrote = usage.completion if usage else estimate(said)
        span = timed.whole - timed.first
        facts = {"first_word": round(timed.first, 2), "reads": round(read / max(timed.first, 1e-3), 1)}
        text = f"first word after {timed.first:.1f} s, reads {facts['reads']:.0f} tokens a second"
        if wrote > 1 and span > 0.02:
            facts["writes"] = round(wrote / span, 1)
            text += f", writes {facts['writes']:.0f}"
        return Finding("speed", "ok" if facts["reads"] >= SLOW else "note", text, facts)

    def _window(self) -> Finding:
        if self._told:
            return Finding("window", "ok", f"{self._told:,} tokens, as its server says", {"window": self._told})
        good, lost = 0, 0
        for size in SIZES:
            left = self._until - time.monotonic() - 2
            if size / max(1.0, self._facts.get("reads", 0)) * 1.5 > left:
                break
            if not self._remembers(size, left):
                lost = size
                break
            good = size
        facts = {"window": good} if good else {}
        if not good:
            return Finding("window", "note", f"it can't be told; {self._llm.window:,} tokens are assumed", facts)
        text = f"at least {good:,} tokens" + (f", and less than {lost:,}" if lost else "") + ", as it was tried"
        return Finding("window", "ok" if good >= SMALL or not lost else "note", text, facts)

    def _remembers(self, size: int, seconds: float) -> bool:
        """Whether it knows what it was told at the beginning of a text of that size."""
        word = secrets.choice(("amber", "walnut", "harbour", "violet", "copper", "thistle"))
        lines = (LINE.format(number) for number in range(size // estimate(LINE)))
        asked = f"The secret word is {word}.\n" + "\n".join(lines) + "\nWhat is the secret word? Answer with that word."
        timed = ask(self._llm, asked, seconds=seconds, most=200)
        return bool(timed.answer and word in (timed.answer.text + timed.answer.thoughts).lower())

    def _advice(self) -> Finding:
        window, reads = self._facts.get("window", 0), self._facts.get("reads", SLOW)
        preset = "chat" if self._facts["calls"] else "chat_plain"
        if self._facts["calls"] and "small" in self._presets and (0 < window < SMALL or reads < SLOW):
            preset = "small"
        facts: dict[str, Any] = {"preset": preset}
        if window and window != self._settings.window and self._settings.provider in ("openai", "azure"):
            facts["context_window"] = window
        other = self._other_wrapper()
        if other:
            facts = {"wrapper": other}
        told = " ".join(f"--set {name}={value}" for name, value in facts.items())
        return Finding("advice", "ok", f"memagent configure {told}{', and try it again' if other else ''}", facts)

    def _other_wrapper(self) -> str:
        """Another way of telling the conversation, where the one in use brings no calls."""
        from memagent.llm.opening import fitting

        if self._facts["calls"] or self._settings.provider not in registry.SERVERS:
            return ""
        own = fitting(self._settings.model)
        return own if self._settings.wrapper in ("auto", "native") else "native"


def _kept(answer: Answer) -> str:
    """How whole the JSON of a call is: right, whole, mended or broken."""
    calls = [call for call in answer.calls if call.name == NOTE["name"]]
    if not calls:
        return "broken"
    try:
        found = json.loads(calls[0].arguments)
    except ValueError:
        try:
            mend(calls[0].arguments)
        except MemagentError:
            return "broken"
        return "mended"
    return "right" if isinstance(found, dict) and found == WANTED else "whole"


def told_window(settings: Settings, llm: LLM) -> int:
    """The context window of the model as its server tells it; 0 where it does not."""
    if settings.provider in ("embedded", "scripted"):
        return llm.window
    asked = getattr(llm, "find_window", None)
    if asked is not None:
        found: int = asked()
        return found
    address = urlsplit(settings.endpoint)
    if not settings.endpoint and not settings.context_window:
        return settings.window
    if address.hostname in ("localhost", "127.0.0.1"):
        here = [server for server in discovery.servers() if server.port == address.port]
        return discovery.window(here[0], settings.model) if here else 0
    return 0
