"""What an agent's memory is kept up by, around its turns: what reads messages for facts, what comes to mind, what it
wakes with, who writes its journal, who tidies.

Each is put together from settings and what is stored; what asks a model opens it when it is first needed. Knows nothing
of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from memagent import registry
from memagent.parts import Clock, local_time, open_embedder, open_model

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.facts import Draft, Extractor, Fact, Said
    from memagent.facts.behind import Leaving, ReadingBehind
    from memagent.facts.keeping import FactMemory
    from memagent.journal import JournalWriter
    from memagent.llm import LLM
    from memagent.persistence import PersistenceManager
    from memagent.reminders import Reminders
    from memagent.roster import Entry
    from memagent.storage import Database
    from memagent.tidying import Tidying
    from memagent.waking import Waking


def open_facts(
    settings: Settings, database: Database, agent: str = "", *, clock: Clock = local_time, llm: Leaving | None = None
) -> FactMemory | None:
    """What is known, of the user or to one agent alone as the settings say; none when no facts are kept. Where they are
    found by a model, `llm` is asked.
    """
    if settings.facts == "off":
        return None
    from memagent.facts.choosing import ModelChooser
    from memagent.facts.finding import FactFinder
    from memagent.facts.keeping import FactMemory
    from memagent.facts.ledger import Ledger, keeper

    ledger = Ledger(database, keeper(database, settings.user, agent if settings.facts == "own" else None, clock()))
    finder = FactFinder(ledger, open_embedder(settings))
    return FactMemory(ledger, finder, _OpenedLater(llm), clock, chooser=ModelChooser(llm.opened) if llm else None)


def facts_model(settings: Settings, own: Callable[[], LLM]) -> Leaving | None:
    """The model that finds facts in talk: the agent's `own`, or the one that is named for it; none where it is done
    without a model. What is said goes nowhere else unasked.
    """
    provider = settings.provider if settings.facts_provider == "auto" else settings.facts_provider
    if provider == "plain" or settings.facts == "off":
        return None
    from memagent.facts.behind import Leaving

    same = provider == settings.provider
    endpoint = settings.facts_endpoint or (settings.endpoint if same else "")
    if same and endpoint == settings.endpoint and settings.facts_model in ("", settings.model):
        return Leaving(own)
    key = settings.facts_api_key or (settings.api_key if same and endpoint == settings.endpoint else "")
    name = settings.facts_model or (settings.model if same else "")
    other = replace(
        settings, provider=provider, endpoint=endpoint, model=name, api_key=key, context_window=0, wrapper="auto"
    )
    return Leaving(lambda: open_model(other))


class _OpenedLater:
    """What finds facts in talk, made when it is first needed."""

    def __init__(self, llm: Leaving | None) -> None:
        self._llm = llm
        self._extractor: Extractor | None = None

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        if self._extractor is None:
            kind = registry.load(registry.EXTRACTORS["model" if self._llm else "plain"])
            self._extractor = kind(self._llm.opened()) if self._llm else kind()
        assert self._extractor is not None
        return self._extractor.extract(talk, known)


def open_behind(settings: Settings, database: Database, entry: Entry, *, clock: Clock = local_time) -> ReadingBehind:
    """What reads an agent's messages for facts, without the agent."""
    asked = facts_model(settings, lambda: open_model(settings))
    return reading_behind(open_facts(settings, database, entry.id, clock=clock, llm=asked), entry.id, asked)


def reading_behind(facts: FactMemory | None, agent: str, asked: Leaving | None) -> ReadingBehind:
    """What reads an agent's messages for facts while nobody waits; nothing where none are kept."""
    from memagent.facts.behind import ReadingBehind
    from memagent.facts.reading import FactReader

    return ReadingBehind(FactReader(facts, agent, quick=asked is None) if facts else None, asked)


def open_reminders(settings: Settings, database: Database, agent: str, facts: FactMemory | None) -> Reminders:
    """What comes to an agent's mind in a turn."""
    from memagent.facts.minding import FactReminder
    from memagent.facts.own import OwnRecords
    from memagent.memory.lore import LoreBook
    from memagent.reminders import Reminders

    known = [FactReminder(facts.ledger, facts.finder)] if facts else []
    # What the agent has none of leaves its share to those after it.
    return Reminders([OwnRecords(database, agent), LoreBook(database, agent), *known], settings.reminder_tokens)


def open_waking(
    settings: Settings, database: Database, agent: str, facts: FactMemory | None, clock: Clock
) -> Waking:  # fmt: skip
    """What an agent wakes with in a new conversation."""
    from memagent.memory.journal import Journal
    from memagent.waking import Waking

    return Waking(Journal(database, agent), facts.ledger if facts else None, clock, settings.waking_tokens)


def open_journal(settings: Settings, state: PersistenceManager, llm: LLM) -> JournalWriter:
    """Who writes an agent's journal, with its own model."""
    from memagent.journal import JournalWriter
    from memagent.library import Library
    from memagent.memory.journal import Journal

    journal, prompt = Journal(state.database, state.entry.id), Library(settings.home).text("prompts", "journal")
    return JournalWriter(journal, llm, prompt, state.entry.name, state.clock, settings.idle_minutes)


def open_tidying(settings: Settings, state: PersistenceManager, llm: LLM | None) -> Tidying:
    """Who tidies what an agent remembers; without a model, only what needs none."""
    from memagent.library import Library
    from memagent.memory.core import CoreMemory
    from memagent.tidying import Chore, Tidying
    from memagent.tidying.core import CrowdedBlocks
    from memagent.tidying.facts import Duplicates, Expired
    from memagent.tidying.notes import LongNotes
    from memagent.tidying.wording import Wording

    database, entry, chores = state.database, state.entry, list[Chore]()
    if facts := open_facts(settings, database, entry.id, clock=state.clock):
        chores += [Expired(facts.ledger, state.clock), Duplicates(facts.ledger, facts.finder)]
    if llm is not None:
        wording = Wording(llm, Library(settings.home).text("prompts", "tidy"), state.clock)
        chores += [
            CrowdedBlocks(CoreMemory(database, entry.id), wording),
            LongNotes(database, entry.id, state.archival, wording, state.clock),
        ]
    return Tidying(database, entry.id, chores, state.clock)
