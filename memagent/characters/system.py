"""Many characters on one store: created, found, switched between, told something together, written and read again.

Knows nothing of how a character talks or remembers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from memagent import config
from memagent.agent import Agent
from memagent.assemble import Clock, Origin, load_agent, local_time, open_database, open_embedder, store_agent
from memagent.characters.character import SETTING, Character, is_character, persona_text
from memagent.characters.checking import MemoryConfig, check_data
from memagent.characters.memories import Memory, record
from memagent.characters.models import Models
from memagent.characters.scene import Scene
from memagent.characters.scenes import settle
from memagent.characters.templates import Templates
from memagent.characters.written import read, read_in, system_as_dict, write
from memagent.config import SETTINGS, Settings
from memagent.embeddings import Embedder
from memagent.errors import NotFound, UserError
from memagent.facts.own import INTERACTION
from memagent.library import Library, check_name
from memagent.llm import LLM
from memagent.log import log_to
from memagent.memory.archival import ArchivalMemory
from memagent.messages import estimate, storable
from memagent.preset import StartBlock
from memagent.roster import Entry, Roster
from memagent.storage import Database, Transaction
from memagent.storage.migrate import refuse_part

log = logging.getLogger(__name__)

SHARE = 4
"""Of the context window, the persona fills no more than one part in so many at first."""
GROWTH = 1000
"""Characters that a character may add to its persona."""
LEAST_LIMIT = 2000
ENDINGS = (".db", ".sqlite", ".sqlite3")
"""The ends of a path's name by which it is a database's file, and not a home."""


class CharacterSystem:
    """The characters of one user. `place` is a home, a database's file or address, or a database that is open; without
    one, home is where it always is. `llm` is the model of all, in the place of those that the settings name.
    """

    def __init__(
        self, place: Path | str | Database | None = None, *, user: str = "", llm: LLM | None = None,
        settings: Settings | Mapping[str, Any] | None = None, clock: Clock = local_time,
    ) -> None:  # fmt: skip
        ready = place if not isinstance(place, Path | str | None) else None
        flags, home = _named(None if ready else place)  # type: ignore[arg-type]
        self._flags = {**flags, **({"user": user} if user else {})}
        self._home = home
        self._given: Settings | None = None
        if isinstance(settings, Settings):
            self._given = replace(settings, home=home or settings.home, **self._flags)
        else:
            self._flags |= settings or {}
        self.settings = self._given or config.load(self._flags, place=home)
        self.clock = clock
        self._ours = ready is None
        if ready is None:
            config.ensure_home(self.settings)
        self.database: Database = ready or open_database(self.settings)
        if self._ours:
            refuse_part(self.database)
        self.roster = Roster(self.database, self.settings.user)
        self.templates = Templates(self.database, self.settings.user, clock)
        self._llm = llm
        self._models = Models()
        self._embedder: tuple[Embedder | None] | None = None
        self._characters: dict[str, Character] = {}

    def __enter__(self) -> CharacterSystem:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let models go, and the database if it was opened here."""
        self._characters.clear()
        self._models.close()
        if self._ours:
            self.database.close()

    # Characters -------------------------------------------------------------------------------------------------------

    def create_character(
        self, name: str, prompt: str, background: Mapping[str, Any] | None = None,
        memory_config: MemoryConfig | Mapping[str, Any] | None = None,
    ) -> Character:  # fmt: skip
        """A new character: `prompt` says who it is, `background` what else there is to know of it."""
        background = background or {}
        bounds = MemoryConfig.of(memory_config)
        if not isinstance(prompt, str) or not prompt.strip():
            raise UserError("The prompt is empty.", hint="Say who the character is.")
        if not isinstance(background, Mapping):
            raise UserError("The background is a mapping of names to what there is to tell.")
        if not (fit := check_data(background, "The background")):
            raise UserError(fit.why)
        made = {"prompt": storable(prompt), "background": background, "memory_config": bounds.as_dict()}
        whole = storable(persona_text(prompt, background))
        room = self.settings.window // SHARE
        short = whole if estimate(whole) <= room else storable(prompt.strip())
        if estimate(short) > room:
            raise UserError(
                f"The prompt is too long: about {estimate(short):,} tokens, and there is room for {room:,}.",
                hint="Shorten it, or set context_window if the model can see more.",
            )
        left_out = "" if short == whole else storable(persona_text("", background))
        self._store(check_name(name), short, left_out, made)
        log.info("the character %s was created", name)
        return self.get_character(name)

    def _store(self, name: str, persona: str, left_out: str, made: Mapping[str, Any]) -> None:
        """Store the agent that a character is."""

        def store(tx: Transaction, agent: str, now: datetime) -> None:
            kept = json.loads(tx.rows("SELECT settings FROM agents WHERE id = ?", agent)[0][0])
            self.roster.change(tx, agent, {**kept, SETTING: dict(made)})
            if left_out:
                ArchivalMemory(self.database, agent, None).bring_in(tx, left_out, ["background"], "background", now)
            tx.run(
                "INSERT INTO active_characters (owner, agent) VALUES (?, ?) ON CONFLICT (owner) DO NOTHING",
                self.settings.user, agent,
            )  # fmt: skip

        preset = Library(self.settings.home).preset(self.settings.first_preset)
        block = preset.blocks.get("persona") or StartBlock()
        limit = max(LEAST_LIMIT, block.limit, len(persona) + GROWTH)
        block = replace(block, value=persona, limit=limit, description="who I am, in my own words")
        store_agent(
            self.settings, self.database, name, clock=self.clock, origin=Origin("character", {"persona": block}, store)
        )

    def get_character(self, name: str) -> Character:
        """The character of that name; any agent is one, also if it came from a card."""
        entry = self.roster.find(name)
        known = self._characters.get(entry.id)
        if known is None or known.name != entry.name:
            known = self._characters[entry.id] = Character(self, entry)
        return known

    def names(self) -> list[str]:
        """The names of all characters: those that were created as one, and those from cards."""
        return [entry.name for entry in self.roster.all() if is_character(entry)]

    def __iter__(self) -> Iterator[Character]:
        return map(self.get_character, self.names())

    def switch_active_character(self, name: str) -> Character:
        """Let another character be the active one; it stays so until the next switch."""
        character = self.get_character(name)
        with self.database.write() as tx:
            tx.run(
                "INSERT INTO active_characters (owner, agent) VALUES (?, ?) "
                "ON CONFLICT (owner) DO UPDATE SET agent = excluded.agent",
                self.settings.user, character.id,
            )  # fmt: skip
        return character

    @property
    def active(self) -> Character:
        """The active character: the one that was switched to, or the first that was created."""
        if not (name := self._active_name()):
            raise NotFound("No character is active.", hint="Create one, or choose one by switch_active_character.")
        return self.get_character(name)

    def _active_name(self) -> str:
        rows = self.database.rows(
            "SELECT a.name FROM active_characters c JOIN agents a ON a.id = c.agent WHERE c.owner = ?",
            self.settings.user,
        )
        return str(rows[0][0]) if rows else ""

    def delete_character(self, name: str) -> None:
        """Delete a character with all that it remembers."""
        entry = self.roster.find(name)
        self.roster.delete(name)
        log.info("the character %s was deleted", name)
        self._characters.pop(entry.id, None)

    # Memories ---------------------------------------------------------------------------------------------------------

    def add_interaction(self, character_name: str, content: Any, metadata: Mapping[str, Any] | None = None) -> Memory:
        """Let a character remember something that was said with it elsewhere."""
        return self.get_character(character_name).add_memory(content, INTERACTION, metadata)

    def broadcast_interaction(
        self, content: Any, memory_type: str = "broadcast", metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Let all characters remember something: all of them, or none. Returns how many they are."""
        fact = record(content, memory_type, metadata, self.clock())
        everybody = [(character, character.memories.ledger) for character in self]
        with self.database.write() as tx:
            for character, _ in everybody:
                character.memories.learn(tx, fact)
        for character, _ in everybody:
            character.memories.tidy()
        log.info("a %s was told to %d character%s", memory_type, len(everybody), "s" * (len(everybody) != 1))
        return len(everybody)

    # Scenes -----------------------------------------------------------------------------------------------------------

    def scene(self, names: Sequence[str], topic: str, turns: int = 12, *, approve: bool = False) -> Scene:
        """Characters talk with each other: go through the scene to hear what they say."""
        self.settle_scenes()
        members = [(entry, self.get_character(entry.name).agent) for entry in map(self.roster.find, names)]
        return Scene(self.database, self.settings.user, members, topic, turns, clock=self.clock, approve=approve)

    def settle_scenes(self) -> None:
        """Close the scenes of which the process has ended: what somebody did not get to hear is remembered."""
        settle(self.database, self.settings.user, self.clock)

    # Parts ------------------------------------------------------------------------------------------------------------

    def load(self, name: str) -> Agent:
        """The agent of that name, with its model."""
        settings = self._settings_of(self.roster.find(name))
        llm = self._llm or self._models.of(settings)
        return load_agent(settings, self.database, name, clock=self.clock, llm=llm)

    def _settings_of(self, entry: Entry) -> Settings:
        own = entry.settings.get("settings") or {}
        if self._given is None:
            return config.load(self._flags, own, place=self._home)
        return replace(self._given, **{key: value for key, value in own.items() if key in SETTINGS})

    def embedder(self) -> Embedder | None:
        """What finds meaning in memories; one for all characters."""
        if self._embedder is None:
            self._embedder = (open_embedder(self.settings),)
        return self._embedder[0]

    # Writing ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All characters and templates, as JSON can hold them."""
        everybody = list(self)
        for character in everybody:
            character.catch_up()
        with self.database.snapshot():
            whole = [character.as_dict() for character in everybody]
            active = self._active_name()
            known = active if active in [character.name for character in everybody] else ""
            return system_as_dict(whole, self.templates.all(), known)

    def to_json(self, path: Path | str) -> None:
        """Write all characters and templates to a file."""
        write(self.to_dict(), path)

    def read_in(self, data: Any, name: str = "") -> list[str]:
        """Store what was written: a system, a character (under another name, if one is given), or some memories (into
        the character of that name). All of it, or nothing. Returns the names of the characters.
        """
        return read_in(self.database, self.settings.user, data, name, self.clock())

    def from_json(self, path: Path | str, name: str = "") -> list[str]:
        """The same, from a file."""
        return self.read_in(read(path), name)

    def log_to(self, level: str = "info", *, file: Path | str | None = None, console: bool = True) -> None:
        """From now on, tell what happens from this level on: on standard error, in a file, or in both."""
        log_to(self.settings, level, Path(file) if file else None, console=console)


def _named(place: Path | str | None) -> tuple[dict[str, Any], Path | None]:
    """What a place is: settings, or a home."""
    if place is None:
        return {}, None
    if "://" in str(place) and not isinstance(place, Path):
        return {"database": place}, None
    path = Path(place).expanduser()
    if path.suffix in ENDINGS and not path.is_dir():
        return {"database": str(path.absolute())}, None
    return {}, path.absolute()
