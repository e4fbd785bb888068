"""A character: an agent with a prompt, a background, and memories of its own that have a type and metadata.

It is an agent like any other: whatever can be done with one by name can be done with a character. Knows nothing of
other characters.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from memagent import errors
from memagent.agent import Agent
from memagent.characters.checking import MemoryConfig
from memagent.characters.interactions import Interactions
from memagent.characters.memories import Memories, Memory, rendered
from memagent.characters.summarising import summary_of
from memagent.characters.written import character_as_dict, memories_as_dict, write
from memagent.config import Settings
from memagent.embeddings import Embedder
from memagent.errors import MemagentError, UserError
from memagent.events import ApprovalAsked, Failed, Happening, Reply
from memagent.facts import Change
from memagent.facts.own import INTERACTION
from memagent.llm import LLM
from memagent.memory.core import CoreMemory
from memagent.roster import Entry, Roster
from memagent.storage import Database

log = logging.getLogger(__name__)

SETTING = "character"
"""Under this name, the settings of an agent say what it is as a character."""


def is_character(entry: Entry) -> bool:
    """Whether an agent was created as a character, or came from a card."""
    return SETTING in entry.settings or str(entry.settings.get("persona", "")).startswith("card ")


class Among(Protocol):
    """Where a character is one among others."""

    database: Database
    settings: Settings
    roster: Roster
    clock: Callable[[], datetime]

    def load(self, name: str) -> Agent: ...
    def embedder(self) -> Embedder | None: ...
    def settle_scenes(self) -> None: ...


class Character:
    """One character of a system."""

    def __init__(self, system: Among, entry: Entry) -> None:
        made = entry.settings.get(SETTING) or {}
        self.name = entry.name
        self.id = entry.id
        self.prompt: str = made.get("prompt", "")
        self.background: Mapping[str, Any] = made.get("background", {})
        self.memory_config = MemoryConfig.of(made.get("memory_config"))
        self.remembers_all = is_character(entry)
        """Whether all is remembered that is said with it; of another agent, what is said through this."""
        self._system = system
        self.memories = Memories(
            system.database, entry.owner, entry.id, self.memory_config, clock=system.clock, embedder=system.embedder,
            summarise=self._summarised,
        )  # fmt: skip
        self._interactions = Interactions(self.memories, entry.id)

    @cached_property
    def agent(self) -> Agent:
        """The agent that it is, with its model."""
        return self._system.load(self.name)

    # Memories ---------------------------------------------------------------------------------------------------------

    def add_memory(
        self, content: Any, memory_type: str = INTERACTION, metadata: Mapping[str, Any] | None = None
    ) -> Memory:
        """Remember something: a text or a mapping, of a type such as event, and what else is to be told of it."""
        return self.memories.add(content, memory_type, metadata)

    def get_memories(
        self, limit: int | None = None, types: Sequence[str] | None = None, *, past: bool = False
    ) -> list[Memory]:
        """The newest memories of these types, the newest last; with `past`, also those that a summary stands for now,
        and others that are past.
        """
        self.catch_up()
        return self.memories.listed(limit, types, ("holds", "past") if past else ("holds",))

    def memory(self, number: int) -> Memory:
        """The memory of that number, whatever became of it."""
        return self.memories.get(number)

    def history(self, number: int) -> list[Change]:
        """All that became of a memory, and why."""
        return self.memories.history(number)

    def search(
        self, words: str, limit: int = 10, types: Sequence[str] | None = None, *, past: bool = False
    ) -> list[Memory]:
        """Memories with these words or this meaning, best first."""
        self.catch_up()
        return self.memories.search(words, limit, types, past=past)

    def forget(self, number: int) -> None:
        """Forget a memory."""
        self.memories.forget(number)

    def catch_up(self) -> None:
        """Remember what was said with it elsewhere, or what was cut before it could be remembered."""
        self._system.settle_scenes()
        self.memories.prepare()
        if self.remembers_all:
            self._interactions.catch_up()

    def get_context(
        self, include_memories: bool = True, memory_limit: int = 10, memory_types: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Who it is now, and what it remembers: ready for a prompt of one's own, or for JSON."""
        core = CoreMemory(self._system.database, self.id)
        core.reload()
        context: dict[str, Any] = {
            "name": self.name, "prompt": self.prompt, "background": dict(self.background),
            "core": {label: block.value for label, block in core.blocks.items()},
        }  # fmt: skip
        if include_memories:
            context["memories"] = [memory.as_dict() for memory in self.get_memories(memory_limit, memory_types)]
        return context

    # Talk -------------------------------------------------------------------------------------------------------------

    def talk(self, text: str) -> str:
        """Say something to it, and get its reply. Raises what its model fails with, if it said nothing."""
        replies, failed, asked = [], None, None
        for event in self.stream(text):
            if isinstance(event, Reply):
                replies.append(event.text)
            elif isinstance(event, Failed):
                failed = event
            elif isinstance(event, ApprovalAsked):
                asked = event
        if not replies and asked:
            hint = f"Answer it in: memagent run --agent {self.name}"
            raise UserError(f"{self.name} wants to call {asked.name}, and waits for a person's word.", hint=hint)
        if not replies and failed:
            raise error_of(failed)
        return "\n\n".join(replies)

    def stream(self, text: str) -> Happening[None]:
        """The same, event by event; what was said is remembered however it ends."""
        self.catch_up()
        before = 0 if self.remembers_all else self.agent.state.log.size()
        events = self.agent.turn(text)
        try:
            yield from events
        finally:
            events.close()
            self._interactions.catch_up(before)

    def _summarised(self, memories: Sequence[Memory]) -> str:
        return summary_of(memories, self.name, self._system.settings.summary_words, self._model())

    def _model(self) -> LLM | None:
        """Its model, if there is one to be had."""
        try:
            return self.agent.llm
        except MemagentError as error:
            log.info("%s has no model now: %s", self.name, error)
            return None

    # Writing ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        self.catch_up()
        with self._system.database.snapshot():
            return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The same, as it is now, within a snapshot."""
        made = {"prompt": self.prompt, "background": self.background, "memory_config": self.memory_config.as_dict()}
        return character_as_dict(self._system.database, self._system.roster, self.name, made)

    def to_json(self, path: Path | str) -> None:
        """Write all of it to a file."""
        write(self.to_dict(), path)

    def memories_to_dict(self, memories: Sequence[Memory] | None = None) -> dict[str, Any]:
        """Some memories, or all that hold, as JSON can hold them."""
        return memories_as_dict(self.name, self.get_memories() if memories is None else memories)


def error_of(failed: Failed) -> MemagentError:
    """The error that a turn ended with."""
    kind = getattr(errors, failed.kind, errors.LLMError)
    known = isinstance(kind, type) and issubclass(kind, MemagentError) and kind is not errors.MissingExtra
    made: Callable[..., MemagentError] = kind if known else errors.LLMError
    return made(failed.message, hint=failed.hint)


def persona_text(prompt: str, background: Mapping[str, Any]) -> str:
    """A prompt and a background as the text of a persona."""
    told = rendered(json.loads(json.dumps(background)))
    return f"{prompt.strip()}\n\n{told}".strip()
