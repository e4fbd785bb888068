"""Writes the journal: of each conversation that is over an entry in the first person, by a model that fills in a form.

A plain entry is made first, without a model, in a moment; it stands until the model's takes its place, so nothing is
lost whenever the writing is cut off. What the model writes is checked: a quote must stand in the transcript, a day must
be one, and what is to be done must be of what was spoken of. Knows nothing of when conversations end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from memagent import watching
from memagent.context import REPLY_ROOM, plain_summary, portions
from memagent.errors import LLMError
from memagent.llm import LLM, Heard
from memagent.llm.filling import filled
from memagent.memory.dates import names
from memagent.memory.journal import Entry, Item, Journal, Open, Quote
from memagent.messages import Message, estimate, storable

LONGEST_ENTRY = 900
LONGEST_LINE = 160
LONGEST_SAID = 1500
"""Characters of one message that are worth reading."""
MOST_LINES = 5
MOST_TOKENS = 800
"""Tokens that an entry may take, with all that belongs to it."""
SHARE = 6
"""Of the model's window, a portion of a transcript fills no more than one part in so many."""
MOST_TRIES = 3
"""So often a model may fail at an entry until it stays plain, unless somebody asks for it."""
AT_ONCE = 3
"""So many of the newest entries are written anew unasked: a long history must not cost a hundred questions."""
MOST_OPEN = 12
"""Open items that a model is told, to say which of them are done."""
PLAIN_WORDS = 80


def _list(of: Mapping[str, Any], about: str) -> dict[str, Any]:
    return {"type": "array", "maxItems": MOST_LINES, "items": of, "description": about}


_LINE = {"type": "string", "minLength": 3, "maxLength": LONGEST_LINE}
_TODO = {
    "type": "object",
    "properties": {"what": _LINE, "day": {"type": "string", "format": "date"}},
    "required": ["what"],
}
_DATE = {**_TODO, "required": ["what", "day"]}
FORM: Mapping[str, Any] = {
    "name": "write_entry",
    "description": "Write the journal entry.",
    "parameters": {
        "type": "object",
        "properties": {
            "entry": {"type": "string", "minLength": 20, "maxLength": LONGEST_ENTRY},
            "highlights": _list(_LINE, "what matters most"),
            "quotes": _list(_LINE, "words of the user, letter by letter"),
            "commitments": _list(_TODO, "what I promised"),
            "action_items": _list(_TODO, "what the user means to do"),
            "dates": _list(_DATE, "days to come"),
        },
        "required": ["entry", "highlights", "quotes", "commitments", "action_items", "dates"],
    },
}


def form(open_items: int) -> Mapping[str, Any]:
    """The form of an entry; which open items are done is asked where there are some."""
    if not open_items:
        return FORM
    asked: dict[str, Any] = FORM["parameters"]
    done = {"type": "array", "maxItems": open_items, "items": {"enum": [*range(1, open_items + 1)]}}
    parameters = {
        **asked,
        "properties": {**asked["properties"], "done": done},
        "required": [*asked["required"], "done"],
    }
    return {**FORM, "parameters": parameters}


class JournalWriter:
    """Keeps the journal of one agent. `prompt` tells the model what to write; `idle_minutes` of silence end a
    conversation.
    """

    def __init__(
        self, journal: Journal, llm: LLM, prompt: str, name: str, clock: Callable[[], datetime], idle_minutes: float
    ) -> None:
        self.journal = journal
        self._llm = llm
        self._prompt = prompt
        self._name = name
        self._clock = clock
        self._silence = timedelta(minutes=idle_minutes)

    def close(self, *, over: bool = False) -> list[Entry]:
        """Give what is over its plain entries, in a moment; `over` says that the newest conversation is, however short
        the silence.
        """
        return self.journal.close(_plain, self._clock(), self._silence, over=over)

    def waiting(self, *, asked: bool = False) -> list[Entry]:
        """The plain entries that a model should write anew, the oldest first; when `asked` by a person, all of them."""
        entries = self.journal.plain(10_000 if asked else AT_ONCE)
        return entries if asked else [entry for entry in entries if entry.tries < MOST_TRIES]

    @watching.behind("create_memory", "journal", "journal.agent", count=watching.uncounted)
    def write(self, entry: Entry) -> Generator[Heard, None, Entry | None]:
        """Write a plain entry anew; returns it, or None when the model failed, or another process was first. To stop,
        close the generator: the plain entry stands.
        """
        try:
            written = yield from self._written(entry)
        except LLMError:
            written = None
        new = written or replace(entry, tries=entry.tries + 1)
        stored = self.journal.put(entry, new)
        return new if stored and written else None

    def _written(self, entry: Entry) -> Generator[Heard, None, Entry | None]:
        said = spoken(self.journal.transcript(entry))
        before = self.journal.open(entry.began.date(), before=entry.first)[:MOST_OPEN]
        told = [f"{number}. {item.what}" for number, item in enumerate(before, 1)]
        still_open = "\n".join(["Open items:", *told, ""]) if told else ""
        instruction = self._prompt.replace("{name}", self._name).replace("{day}", f"{entry.began:%A, %Y-%m-%d}")
        room = min(self._llm.window // SHARE, self._llm.window - estimate(instruction + still_open) - REPLY_ROOM)
        found: Entry | None = None
        for portion in portions(said, max(200, room)):
            earlier = f"The entry so far, of what came before: {found.text}\n\n" if found else ""
            text = f"{still_open}{earlier}{self._told(portion)}"
            given = yield from filled(self._llm, instruction, text, form(len(before)), self._clock(), MOST_TOKENS)
            checked = _checked(given, entry, portion, before) if given else None
            if checked is None:
                return None
            found = _joined(found, checked) if found else checked
        return found and replace(found, created=self._clock(), plain=False, tries=0)

    def _told(self, talk: Sequence[Message]) -> str:
        """What was said, and by whom, so that small models can tell too."""
        return "\n".join(f"{self._speaker(message)}{message.said[:LONGEST_SAID]}" for message in talk)

    def _speaker(self, message: Message) -> str:
        if message.kind != "user":
            return f"{self._name}: "
        return "" if message.name else "User: "  # others' words begin with their names


def _plain(talk: Sequence[Message]) -> str:
    """An entry made without a model: what was said, as far as it fits."""
    return f"We talked. {plain_summary(spoken(talk), PLAIN_WORDS)}"


def spoken(messages: Sequence[Message]) -> list[Message]:
    """What was said aloud, and nothing of how it came about."""
    return [
        message if message.kind == "user" else replace(message, role="assistant", kind="answer", content="", calls=())
        for message in messages
        if message.said.strip()
    ]


# What a model wrote is checked ----------------------------------------------------------------------------------------


def _checked(given: Mapping[str, Any], entry: Entry, talk: Sequence[Message], before: Sequence[Open]) -> Entry | None:
    """What of a form can be kept; None when there is no entry in it."""
    text = _in_own_words(" ".join(str(given.get("entry", "")).split())[:LONGEST_ENTRY], talk)
    said = " ".join(message.said for message in talk)
    words, began = _words(said), entry.began.date()
    if not (_words(text) & words):
        return None  # of something else, or of nothing at all

    def named(day: date) -> bool:
        return names(said, day, began)

    promised = _items(given.get("commitments"), words, named)
    meant = _items(given.get("action_items"), words, named)
    numbers = {number for number in _listed(given.get("done")) if isinstance(number, int)}
    return replace(
        entry,
        text=storable(text),
        highlights=tuple(
            line for line in _lines(given.get("highlights")) if _words(line) & words and not _copied(line, talk)
        ),
        quotes=tuple(filter(None, (_quote(line, talk) for line in _lines(given.get("quotes"))))),
        commitments=promised,
        action_items=tuple(item for item in meant if item.what not in {other.what for other in promised}),
        dates=tuple(item for item in _items(given.get("dates"), words, named) if item.day),
        done=tuple(item.key for number, item in enumerate(before, 1) if number in numbers),
    )


def _in_own_words(text: str, talk: Sequence[Message]) -> str:
    """An entry without sentences of the user's own."""
    kept = [sentence for sentence in _SENTENCE.split(text) if sentence and not _copied(sentence, talk)]
    return " ".join(kept).strip()


def _copied(sentence: str, talk: Sequence[Message]) -> bool:
    """Whether words of the user's of themselves stand there as if they were the agent's: "I" would be somebody else.
    In quotation marks they may stand.
    """
    if _SPEAKER.match(sentence):
        return True
    if any(mark in sentence for mark in QUOTED):
        return False
    said = {who: f" {_even(' '.join(m.said for m in talk if (m.kind == 'user') is who))} " for who in (True, False)}
    tokens = _even(sentence).split()
    for at in (at for at, token in enumerate(tokens) if token in FIRST_PERSON):
        run = f" {' '.join(tokens[at : at + RUN])} "
        if len(tokens) - at >= RUN and run in said[True] and run not in said[False]:
            return True
    return False


def _even(text: str) -> str:
    return " ".join(_TOKEN.findall(text.lower()))


def _joined(before: Entry, more: Entry) -> Entry:
    """The entry of a further portion, with what the ones before it found."""
    found: dict[str, Any] = {}
    for name in ("highlights", "quotes", "commitments", "action_items", "dates", "done"):
        found[name] = tuple(dict.fromkeys([*getattr(before, name), *getattr(more, name)]))
    return replace(more, **found)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _lines(given: Any) -> Iterable[str]:
    lines = (" ".join(line.split())[:LONGEST_LINE] for line in _listed(given) if isinstance(line, str))
    return dict.fromkeys(storable(line) for line in lines if line)


def _items(given: Any, words: set[str], named: Callable[[date], bool]) -> tuple[Item, ...]:
    """What is to be done, or a day with what is then; only what was spoken of, and days that were named."""
    found: dict[str, Item] = {}
    for item in _listed(given)[: 2 * MOST_LINES]:
        fields = item if isinstance(item, Mapping) else {"what": item}
        for what in _lines([fields.get("what")]):
            if _words(what) & words:
                found.setdefault(what, Item(what, _day(fields.get("day"), named)))
    return tuple(found.values())


def _day(given: Any, named: Callable[[date], bool]) -> str | None:
    """An ISO date that is one, of a day to come that was named."""
    try:
        day = date.fromisoformat(given) if isinstance(given, str) and len(given) == 10 else None
    except ValueError:
        return None
    return day.isoformat() if day and named(day) else None


_TOKEN = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?…]) ")
QUOTED = '"“„«'
_ME = "i my me mine we our us ich mein meine mir mich wir je mon ma mes nous yo mi mis io mio mia"
FIRST_PERSON = frozenset(_ME.split())
RUN = 4
"""So many of the user's words about themselves, one after the other, are copied and not worded anew."""
_SPEAKER = re.compile(r"(?:User|I said|\w+ said): ", re.I)
_GAP = r"\W+"


def _words(text: str) -> set[str]:
    """The words that tell something, by their beginnings: long ones; where a script has none such, all."""
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    return {token[:5] for token in tokens if len(token) > 3 or not token.isascii() or token.isdigit()}


def _quote(given: str, talk: Sequence[Message]) -> Quote | None:
    """Words that were said just so, as they were said: marks and capitals may differ."""
    tokens = _TOKEN.findall(given)
    if not tokens:
        return None
    pattern = re.compile(rf"\b{_GAP.join(map(re.escape, tokens))}\b", re.IGNORECASE)
    for message in sorted(talk, key=lambda message: message.kind != "user"):
        if found := pattern.search(message.said):
            return Quote("user" if message.kind == "user" else "I", found[0], message.seq)
    return None
