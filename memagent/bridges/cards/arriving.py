"""A card becomes an agent: its persona, first words, lore and notes are made of it, and the card itself is kept.

What does not fit into the persona goes to archival memory, and is told of. Knows nothing of files.
"""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from memagent.assemble import Clock, Origin, local_time, store_agent
from memagent.bridges.cards.card import Card, document
from memagent.bridges.cards.lore import lore_of
from memagent.bridges.cards.macros import Cast, filled, names_user
from memagent.bridges.cards.sheets import Sheet
from memagent.bridges.cards.written import dumped
from memagent.config import Settings
from memagent.errors import UserError
from memagent.library import LONGEST_NAME, Library
from memagent.memory.archival import ArchivalMemory
from memagent.memory.log import MessageLog
from memagent.memory.lore import Lore, keep, keys_that_cannot_match
from memagent.messages import Message, estimate, first_words, storable
from memagent.preset import StartBlock
from memagent.sources.chunk import passages
from memagent.storage import Database, Transaction

NOBODY = "User"
"""What the user is called when no name is given, as in other programs."""
SHARE = 4
"""Of the context window, the persona fills no more than one part in so many at first."""
GROWTH = 1000
"""Characters that the agent may add to its persona."""
LEAST_LIMIT = 2000

LEAST_PART = 60
"""Tokens of a text that is cut; less would say nothing."""
EXAMPLES = "mes_example"
HEADS = {
    "system_prompt": "", "description": "", "personality": "Personality: ", "scenario": "Scenario: ",
    EXAMPLES: "How I talk, for example:\n",
}  # fmt: skip


@dataclass(frozen=True)
class Arrived:
    """What there is to tell of a card that has become an agent. `cut` names what did not fit into the persona."""

    name: str
    greetings: int
    lore: int
    cut: tuple[str, ...]
    unfit_keys: tuple[str, ...]
    names_user: bool
    newer: bool


@dataclass(frozen=True)
class _Persona:
    """The persona, in sections: of which field of the card each is, and the text that stands there."""

    sections: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        return "\n\n".join(text for _, text in self.sections)


def arrive(
    settings: Settings, database: Database, sheet: Sheet, where: str, *, name: str = "", user: str = "",
    greeting: int = 0, clock: Clock = local_time,
) -> Arrived:  # fmt: skip
    """Make an agent of a card. All of it is stored, or nothing. `where` names the file in errors."""
    card, cast = sheet.card, Cast(sheet.card.called[:LONGEST_NAME], (user or NOBODY)[:LONGEST_NAME])
    greetings = card.greetings
    if not 0 <= greeting < len(greetings):
        raise UserError(
            f"{where} has no greeting {greeting}; it has {len(greetings)}.", hint=f"Choose 0 to {len(greetings) - 1}."
        )
    name = name or fit_name(card.called)
    persona = _persona(card, cast, settings.window // SHARE)
    called = list(lore_of(card, cast, greeting))
    preset = Library(settings.home).preset(settings.first_preset)
    words = first_words(filled(greetings[greeting], cast).strip(), clock(), plain=preset.speech == "plain")
    made = {"user": user, "greeting": greeting, "sections": persona.sections}
    store = _storing(database, sheet, persona, called, made, words)
    blocks = {"persona": _start(preset.blocks.get("persona"), persona.text)}
    if user:
        human = Library(settings.home).text("humans", settings.human or preset.human)
        blocks["human"] = replace(preset.blocks.get("human", StartBlock()), value=f"Name: {user}\n{human.strip()}")
    store_agent(settings, database, name, clock=clock, origin=Origin(f"card {card.name[:LONGEST_NAME]}", blocks, store))
    return Arrived(
        name, len(greetings), sum(number >= 0 for number, _ in called), tuple(of for of, _ in persona.left_out),
        tuple(keys_that_cannot_match([piece for _, piece in called])),
        names_user(persona.text, *greetings, card.description, card.scenario), sheet.newer,
    )  # fmt: skip


def fit_name(called: str) -> str:
    """A name for an agent that is as near as can be to what a character is called."""
    plain = unicodedata.normalize("NFKC", storable(called[:1000]))
    letters = "".join(c if c in " -_." or unicodedata.category(c)[0] in "LMN" else " " for c in plain)
    while letters and not letters[0].isalnum():
        letters = letters[1:]
    name = " ".join(letters.split())[:LONGEST_NAME].rstrip(" .")
    return name or "character"


def _start(block: StartBlock | None, text: str) -> StartBlock:
    limit = max(LEAST_LIMIT, block.limit if block else 0, len(text) + GROWTH)
    return replace(block or StartBlock(), value=text, limit=limit, description="who I am, in my own words")


def _persona(card: Card, cast: Cast, room: int) -> _Persona:
    """What of the card fits into so many tokens; the rest is left out whole or in part. Short fields stay whole where
    long ones are cut, and examples of talk come last.
    """
    texts = {
        of: filled(getattr(card, of), cast, original="" if of == "system_prompt" else None).strip() for of in HEADS
    }
    wholes = {of: storable(HEADS[of] + text) for of, text in texts.items() if text}
    sections, left_out = [("", storable(f"I am {cast.char}."))], []
    room -= estimate(sections[0][1])
    shares = _shares({of: estimate(whole) + 2 for of, whole in wholes.items()}, room)
    for of, whole in wholes.items():
        fits = estimate(whole) + 2 <= shares[of]
        if not fits:
            left_out.append((of, texts[of]))
        if told := whole if fits else _beginning(whole, shares[of]):
            sections.append((of, told))
    return _Persona(tuple(sections), tuple(left_out))


def _shares(needs: Mapping[str, int], room: int) -> dict[str, int]:
    """How many tokens each field may fill: none more than it needs, and none less because another is long. Examples
    are told if there is room for all of them.
    """
    shares = {}
    described = sorted((need, of) for of, need in needs.items() if of != EXAMPLES)
    for number, (need, of) in enumerate(described):
        shares[of] = min(need, room // (len(described) - number))
        room -= shares[of]
    if EXAMPLES in needs:
        shares[EXAMPLES] = needs[EXAMPLES] if needs[EXAMPLES] <= room else 0
    return shares


def _beginning(text: str, room: int) -> str:
    """As much of a text as fits, up to where a reader would pause; nothing where that would be too little."""
    if room < LEAST_PART:
        return ""
    return f"{passages(text, room - 10)[0].strip()} … (the rest is in my archival memory)"


def _storing(
    database: Database, sheet: Sheet, persona: _Persona, called: Sequence[tuple[int, Lore]], made: dict[str, object],
    words: Sequence[Message],
) -> Callable[[Transaction, str, datetime], None]:  # fmt: skip
    """What stores all that a card brings beside blocks of core memory."""
    card = sheet.card
    by = f" by {card.creator.strip()}" if card.creator.strip() else ""
    place = storable(f"card {card.name}{by}"[:200])

    def store(tx: Transaction, agent: str, now: datetime) -> None:
        archival = ArchivalMemory(database, agent, None)
        for of, text in persona.left_out:
            archival.bring_in(tx, text, ["card", of.replace("mes_example", "example dialogue")], place, now)
        notes = keep(tx, database, agent, [piece for _, piece in called], place, now)
        entries = {str(number): note for (number, _), note in zip(called, notes, strict=True) if number >= 0}
        if any(message.said for message in words):
            MessageLog(database, agent).append(tx, words, 0)
        tx.run(
            "INSERT INTO cards (agent, document, files, made) VALUES (?, ?, ?, ?)",
            agent, dumped(document(card)), dumped(held(sheet)), dumped({**made, "notes": entries}),
        )  # fmt: skip

    return store


def held(sheet: Sheet) -> dict[str, object]:
    """The picture and files of a card as they are kept."""
    files = {name: base64.b64encode(data).decode() for name, data in sheet.files.items()}
    return {"picture": base64.b64encode(sheet.picture).decode() if sheet.picture else None, "files": files}


def kept(files: str) -> tuple[bytes | None, dict[str, bytes]]:
    """The picture and files of a card out of what was kept."""
    found = json.loads(files)
    picture = found.get("picture")
    return base64.b64decode(picture) if picture else None, {
        str(name): base64.b64decode(data) for name, data in found.get("files", {}).items()
    }
