"""The lore book of a card as lore of an agent: which entry comes to mind when, by its fields, its decorators, and what
SillyTavern keeps in its extensions.

Knows nothing of how lore is stored or called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memagent.bridges.cards.card import Book, Card, Entry
from memagent.bridges.cards.decorators import Given, parted
from memagent.bridges.cards.macros import Cast, filled, hidden_keys
from memagent.memory.lore import DEPTH, Logic, Lore, Trigger

KNOWN = (
    "activate", "dont_activate", "activate_only_after", "activate_only_every", "scan_depth", "is_greeting",
    "additional_keys", "exclude_keys",
)  # fmt: skip
MOST_NUMBER = 10**9
FIRST, LAST = -(10.0**12), 10.0**12
_LOGIC: Mapping[int, Logic] = {0: "any", 1: "not all", 2: "not any", 3: "all"}


def lore_of(card: Card, cast: Cast, greeting: int) -> Iterator[tuple[int, Lore]]:
    """What of a card comes to mind when, each with the number of its entry; that which is told always has -1."""
    book = card.character_book
    for number, entry in enumerate(book.entries if book else ()):
        given, content = parted(entry.content, KNOWN)
        text = filled(content, cast).strip()
        if book and text and _may_be_called(entry, given, greeting):
            yield number, Lore(text, _trigger(book, entry, given, content, cast))
    for said in (_depth_prompt(card), card.post_history_instructions):
        if text := filled(said, cast, original="").strip():
            trigger = Trigger(constant=True, priority=LAST, order=LAST)
            yield -1, Lore(f"Remember as you answer: {text}", trigger, tags=("instructions",))


def _may_be_called(entry: Entry, given: Given, greeting: int) -> bool:
    if not entry.enabled or ("dont_activate" in given and "activate" not in given):
        return False
    wanted = _number(given, "is_greeting")
    return wanted is None or wanted == greeting


def _trigger(book: Book, entry: Entry, given: Given, content: str, cast: Cast) -> Trigger:
    extra = entry.extensions
    constant = bool(entry.constant and not entry.use_regex) or "activate" in given
    secondary = _filled(entry.secondary_keys or (), cast) if entry.selective and not entry.use_regex else ()
    chance = extra.get("probability") if extra.get("useProbability") else None
    depth = next((d for d in (_number(given, "scan_depth"), _whole(extra.get("scan_depth"))) if d is not None), None)
    if depth is None:
        depth = _whole(book.scan_depth)
    order = max(FIRST, min(LAST - 1, entry.insertion_order))
    return Trigger(
        keys=_filled(entry.keys, cast),
        secondary=secondary,
        logic=_LOGIC.get(_whole(extra.get("selectiveLogic")) or 0, "any"),
        also=tuple(_filled(group.split(","), cast) for group in given.get("additional_keys", ()) if group),
        never=_filled([key for group in given.get("exclude_keys", ()) for key in group.split(",")], cast),
        constant=constant,
        case_sensitive=_flag(entry.case_sensitive, extra.get("case_sensitive")) or False,
        regex=entry.use_regex,
        whole=_flag(extra.get("match_whole_words")) is not False,
        depth=DEPTH if depth is None else depth,
        after=_number(given, "activate_only_after") or 0,
        every=_number(given, "activate_only_every") or 0,
        chance=chance if isinstance(chance, int | float) else 100,
        recursive=bool(book.recursive_scanning) and _flag(extra.get("prevent_recursion")) is not True,
        hidden=hidden_keys(content),
        priority=order if entry.priority is None else max(FIRST, min(LAST - 1, entry.priority)),
        order=order,
        budget=_whole(book.token_budget),
    )


def _filled(keys: Any, cast: Cast) -> tuple[str, ...]:
    return tuple(key for key in (filled(each, cast).strip() for each in keys) if key)


def _number(given: Given, name: str) -> int | None:
    """The value of a decorator that takes a number."""
    value = given.get(name, ("",))[0]
    return min(int(value), MOST_NUMBER) if value.isascii() and value.isdigit() and len(value) < 20 else None


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(max(0, min(value, MOST_NUMBER)))


def _flag(*values: Any) -> bool | None:
    return next((value for value in values if isinstance(value, bool)), None)


def _depth_prompt(card: Card) -> str:
    """What SillyTavern calls the character's note: told near the end of every prompt."""
    note = card.extensions.get("depth_prompt")
    text = note.get("prompt") if isinstance(note, dict) else ""
    return text if isinstance(text, str) else ""
