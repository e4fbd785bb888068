"""Puts an agent together from settings, preset, model, tools and database: the only file that knows every part.

Knows nothing of how a person is asked or answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from memagent import registry
from memagent.agent import Agent
from memagent.config import Settings
from memagent.context import Limits, system_message
from memagent.embeddings import Embedder
from memagent.embeddings.asked import Manner
from memagent.errors import ConfigError, MissingExtra, UserError
from memagent.facts import Draft, Extractor, Fact, Said
from memagent.facts.behind import Leaving, ReadingBehind
from memagent.facts.choosing import ModelChooser
from memagent.facts.finding import FactFinder
from memagent.facts.keeping import FactMemory
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.minding import FactReminder
from memagent.facts.own import OwnRecords
from memagent.facts.reading import FactReader
from memagent.journal import JournalWriter
from memagent.library import Library, check_name
from memagent.llm import LLM, Request
from memagent.memory.core import Block, CoreMemory
from memagent.memory.journal import Journal
from memagent.memory.log import MessageLog
from memagent.memory.lore import LoreBook
from memagent.messages import boot_messages
from memagent.persistence import PersistenceManager
from memagent.preset import Preset, StartBlock
from memagent.reminders import Reminders
from memagent.roster import Entry, Roster
from memagent.storage import Database, Transaction
from memagent.storage.opening import opened as open_database
from memagent.tidying import Tidying
from memagent.tools import Rules, Tool
from memagent.tools.loader import link
from memagent.waking import Waking

__all__ = [
    "load_agent", "make_agent", "open_behind", "open_database", "open_embedder", "open_facts", "open_journal",
    "open_model", "open_state", "open_tidying", "store_agent",
]  # fmt: skip

Clock = Callable[[], datetime]
KEPT = ("provider", "model", "endpoint", "azure_api_version", "context_window", "temperature")
"""What an agent keeps of the settings it was made with, where they were given for it."""


def local_time() -> datetime:
    """Now, with the local time zone."""
    return datetime.now().astimezone()


def open_model(settings: Settings) -> LLM:
    """The model that the settings name; it is not asked anything yet but what a server of one's own has."""
    opened: Callable[[Settings], LLM] = registry.find("provider", registry.LLMS, settings.provider)
    return opened(settings)


def prepare_model(settings: Settings, told: Callable[[int, int], None]) -> None:
    """Let the embedded model read now what every prompt of its preset begins with, so that no chat waits for it."""
    from memagent.llm.embedded import EmbeddedLLM

    library = Library(settings.home)
    preset = library.preset(settings.first_preset)
    kept = {"preset": preset.name, "functions": preset.functions, "rules": preset.rules, "speech": preset.speech}
    schemas = [tool.schema for tool in link_tools(settings, kept).values()]
    llm = open_model(replace(settings, **preset.settings))
    assert isinstance(llm, EmbeddedLLM)
    try:
        llm.read_ahead(Request([system_message(library.system_text(preset), "", local_time())], schemas), told)
    finally:
        llm.close()


def open_embedder(settings: Settings, manner: Manner | None = None) -> Embedder | None:
    """The embedder that the settings name, or none: then memory is searched by words alone. Only the local one is ever
    taken unasked: what is private does not leave this machine because something is set up for the chat.
    """
    if settings.embedder == "off":
        return None
    opened = registry.find("embedder", registry.EMBEDDERS, _embedder_name(settings))
    try:
        embedder: Embedder = opened(settings, manner or Manner(timeout=min(settings.timeout, Manner.timeout)))
    except MissingExtra:
        if settings.embedder != "auto":
            raise
        return None
    return embedder


def _embedder_name(settings: Settings) -> str:
    return "local" if settings.embedder == "auto" else settings.embedder


def make_agent(
    settings: Settings, database: Database, name: str, *, given: Mapping[str, Any] | None = None,
    clock: Clock = local_time, llm: LLM | None = None,
) -> Agent:  # fmt: skip
    """A new agent of that name, from the preset, persona and human that the settings name. `given` is kept with it."""
    store_agent(settings, database, name, given=given, clock=clock)
    return load_agent(settings, database, name, clock=clock, llm=llm)


@dataclass(frozen=True)
class Origin:
    """What a new agent begins with instead of what its preset gives it: blocks of core memory, of which `persona` is
    told by the name of where it is from; and what else is stored of it in the same transaction, by its id.
    """

    persona: str
    blocks: Mapping[str, StartBlock]
    store: Callable[[Transaction, str, datetime], None]


def store_agent(
    settings: Settings, database: Database, name: str, *, given: Mapping[str, Any] | None = None,
    clock: Clock = local_time, origin: Origin | None = None,
) -> None:  # fmt: skip
    """Store a new agent, without a model being asked or opened."""
    library = Library(settings.home)
    check_name(name)
    preset = library.preset(settings.first_preset)
    persona, human = settings.persona or preset.persona, settings.human or preset.human
    if origin:
        preset = replace(preset, blocks={**preset.blocks, **origin.blocks})
    blocks = _blocks(library, preset, persona, human)
    kept = {
        "preset": preset.name,
        "persona": origin.persona if origin else persona,
        "human": human,
        "speech": preset.speech,
        "functions": list(preset.functions),
        "rules": {name: dict(rules) for name, rules in preset.rules.items()},
        "settings": {**preset.settings, **{key: value for key, value in (given or {}).items() if key in KEPT}},
    }
    link_tools(settings, kept)  # a preset whose functions can't be loaded makes no agent
    now = clock()
    with database.write() as tx:
        agent = Roster(database, settings.user).make(tx, name, kept, library.system_text(preset), now)
        CoreMemory(database, agent).create(tx, blocks, "preset", now)
        if preset.boot:
            MessageLog(database, agent).append(tx, boot_messages(now, preset.boot.message, preset.boot.thought), 0)
        if origin:
            origin.store(tx, agent, now)


def load_agent(
    settings: Settings, database: Database, name: str, *, clock: Clock = local_time, llm: LLM | None = None
) -> Agent:
    """The agent of that name, just as it was. `settings` must have been loaded with the agent's own among them."""
    entry = Roster(database, settings.user).find(name)
    if missing := {"preset", "speech", "functions", "rules"} - entry.settings.keys():
        raise UserError(f"The agent {name!r} does not say what it is made of ({', '.join(sorted(missing))}).")
    tools = link_tools(settings, entry.settings)
    model = llm or open_model(settings)
    asked = facts_model(settings, lambda: model)
    facts = open_facts(settings, database, entry.id, clock=clock, llm=asked)
    state = open_state(settings, database, entry, clock=clock, facts=facts)
    return Agent(
        state, model, tools,
        system=entry.system,
        summary_prompt=Library(settings.home).text("prompts", "summary"),
        speech=entry.settings["speech"],
        limits=Limits(
            model.window, settings.warn_at, settings.compact_at, settings.compact_to,
            settings.summary_words,
        ),
        max_steps=settings.max_steps,
        turn_limit=settings.turn_limit,
        verify_first=settings.verify_first,
        location=settings.location,
        steady=settings.steady,
        reminders=Reminders(  # what the agent has none of leaves its share to those after it
            [
                OwnRecords(database, entry.id), LoreBook(database, entry.id),
                *([FactReminder(facts.ledger, facts.finder)] if facts else []),
            ],
            settings.reminder_tokens,
        ),
        behind=ReadingBehind(FactReader(facts, entry.id, quick=asked is None), asked) if facts else None,
        waking=Waking(Journal(database, entry.id), facts.ledger if facts else None, clock, settings.waking_tokens),
    )  # fmt: skip


def open_behind(settings: Settings, database: Database, entry: Entry, *, clock: Clock = local_time) -> ReadingBehind:
    """What reads an agent's messages for facts, without the agent."""
    asked = facts_model(settings, lambda: open_model(settings))
    facts = open_facts(settings, database, entry.id, clock=clock, llm=asked)
    return ReadingBehind(FactReader(facts, entry.id, quick=asked is None) if facts else None, asked)


def open_facts(
    settings: Settings, database: Database, agent: str = "", *, clock: Clock = local_time, llm: Leaving | None = None
) -> FactMemory | None:
    """What is known, of the user or to one agent alone as the settings say; none when no facts are kept. Where they are
    found by a model, `llm` is asked.
    """
    if settings.facts == "off":
        return None
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


def open_tidying(settings: Settings, state: PersistenceManager, llm: LLM | None) -> Tidying:
    """Who tidies what an agent remembers; without a model, only what needs none."""
    from memagent.tidying import Chore
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


def open_journal(settings: Settings, state: PersistenceManager, llm: LLM) -> JournalWriter:
    """Who writes an agent's journal, with its own model."""
    journal, prompt = Journal(state.database, state.entry.id), Library(settings.home).text("prompts", "journal")
    return JournalWriter(journal, llm, prompt, state.entry.name, state.clock, settings.idle_minutes)


def open_state(
    settings: Settings, database: Database, entry: Entry, *, clock: Clock = local_time, facts: FactMemory | None = None
) -> PersistenceManager:
    """What an agent is and remembers, without a model."""
    return PersistenceManager(
        database, entry, embedder=open_embedder(settings), clock=clock, files=settings.home / "files" / entry.id,
        allowed_hosts=settings.allowed_hosts, facts=facts,
    )  # fmt: skip


def link_tools(settings: Settings, kept: Mapping[str, Any]) -> dict[str, Tool]:
    """The tools that an agent was made with, found again by name."""
    tools = link(kept["functions"], [settings.home / "functions"], kept["rules"])
    tools = {name: _limited(tool, settings.tool_time_limit) for name, tool in tools.items()}
    speech = kept["speech"]
    if speech == "send_message" and "send_message" not in tools:
        raise ConfigError(
            f"The preset {kept['preset']!r} speaks by send_message, but has no such function.",
            hint="Add the set base to its functions, or set speech: plain.",
        )
    return tools if speech == "send_message" else {name: _plain(tool) for name, tool in tools.items()}


def _limited(tool: Tool, seconds: float) -> Tool:
    """The same tool under the user's time limit, where nobody set one for it."""
    return tool.ruled({"time_limit": seconds}) if tool.rules.time_limit == Rules().time_limit else tool


def _plain(tool: Tool) -> Tool:
    """The same tool without `request_heartbeat`: an agent that speaks plainly goes on after every call anyway."""
    schema = json.loads(json.dumps(tool.schema))
    schema["parameters"]["properties"].pop("request_heartbeat", None)
    required = schema["parameters"].get("required", [])
    schema["parameters"]["required"] = [name for name in required if name != "request_heartbeat"]
    return Tool(tool.name, tool.function, schema, tool.rules, tool.where, tool.takes_agent)


def _blocks(library: Library, preset: Preset, persona: str, human: str) -> list[Block]:
    """The blocks of core memory that an agent of this preset begins with."""
    texts = {"persona": library.text("personas", persona), "human": library.text("humans", human)}
    about = {"persona": "who I am, in my own words", "human": "what I know of the user"}
    blocks = []
    for label in dict.fromkeys([*texts, *preset.blocks]):
        own = preset.blocks.get(label, StartBlock())
        value = own.value or texts.get(label, "")
        blocks.append(Block(label, value.strip(), own.limit, own.description or about.get(label, ""), own.read_only))
    return blocks
