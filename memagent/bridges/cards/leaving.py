"""An agent leaves as a card: with all that its card had when it came, and who it has become since.

What it remembers of its user stays: only the persona goes along. Knows nothing of files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from memagent.assemble import Clock, local_time
from memagent.bridges.cards.arriving import kept
from memagent.bridges.cards.card import Card, card_of
from memagent.bridges.cards.sheets import Sheet
from memagent.memory.core import CoreMemory
from memagent.memory.lore import THERE
from memagent.roster import Entry
from memagent.storage import Database, reading


def leave(database: Database, entry: Entry, clock: Clock = local_time) -> Sheet:
    """The card of an agent, whether it came from one or not."""
    core = CoreMemory(database, entry.id)
    core.reload()
    persona = core.blocks["persona"].value if "persona" in core.blocks else ""
    rows = database.rows("SELECT document, files, made FROM cards WHERE agent = ?", entry.id)
    now = int(clock().timestamp())
    if not rows:
        born = int(entry.created.timestamp())
        return Sheet(Card(name=entry.name, description=persona, creation_date=born, modification_date=now))
    with reading(f"The card of {entry.name!r}"):
        card = card_of(json.loads(rows[0][0]), f"The card of {entry.name!r}")
        picture, files = kept(rows[0][1])
        made = json.loads(rows[0][2])
        became = _without_lost(database, entry, _told_anew(card, persona, made["sections"]), made["notes"])
    if became != card:
        became = replace(became, modification_date=now)
    return Sheet(became, picture, files)


def _told_anew(card: Card, persona: str, sections: Sequence[Sequence[str]]) -> Card:
    """The card with the persona as it is now: a field whose text still stands there stays as its author wrote it; all
    else that stands there is the description, or is added to it.
    """
    changed: dict[str, str] = {}
    for of, text in sections:
        before, found, after = persona.partition(text)
        if found:
            persona = f"{before.rstrip()}\n\n{after.lstrip()}"
        elif of:
            changed[of] = ""
    if rest := persona.strip():
        changed["description"] = rest if "description" in changed else f"{card.description}\n\n{rest}".strip()
    return replace(card, **changed)  # type: ignore[arg-type]


def _without_lost(database: Database, entry: Entry, card: Card, notes: Mapping[str, Any]) -> Card:
    """The card without entries of its lore book whose notes were deleted."""
    book = card.character_book
    if book is None or not notes:
        return card
    there = {row[0] for row in database.rows(f"SELECT note FROM lore WHERE agent = ? AND {THERE}", entry.id)}
    entries = tuple(each for number, each in enumerate(book.entries) if notes.get(str(number)) in {None, *there})
    return card if len(entries) == len(book.entries) else replace(card, character_book=replace(book, entries=entries))
