"""Puts an agent together from settings, preset, model, tools and database, and what keeps up its memory (upkeep.py).

Parts are imported where they are put in, so that what only looks something up does not load them. Knows nothing of how
a person is asked or answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memagent import telemetry
from memagent.errors import ConfigError, UserError
from memagent.parts import Clock, local_time, open_embedder, open_model
from memagent.storage.opening import opened as open_database
from memagent.upkeep import facts_model, open_facts, open_reminders, open_waking, reading_behind

if TYPE_CHECKING:  # a command that only looks something up loads none of them
    from memagent.agent import Agent
    from memagent.config import Settings
    from memagent.facts.keeping import FactMemory
    from memagent.facts.records import Records
    from memagent.library import Library
    from memagent.llm import LLM
    from memagent.memory.core import Block
    from memagent.persistence import PersistenceManager
    from memagent.preset import Preset, StartBlock
    from memagent.roster import Entry
    from memagent.storage import Database, Transaction
    from memagent.tools import Tool

__all__ = [
    "Clock", "Origin", "link_tools", "load_agent", "local_time", "make_agent", "open_database", "open_embedder",
    "open_model", "open_state", "prepare_model", "store_agent",
]  # fmt: skip

KEPT = ("provider", "model", "endpoint", "azure_api_version", "context_window", "temperature")
"""What an agent keeps of the settings it was made with, where they were given for it."""


def prepare_model(settings: Settings, told: Callable[[int, int], None]) -> None:
    """Let the embedded model read now what every prompt of its preset begins with, so that no chat waits for it."""
    from memagent.context import system_message
    from memagent.library import Library
    from memagent.llm import Request
    from memagent.llm.opening import embedded

    library = Library(settings.home)
    preset = library.preset(settings.first_preset)
    kept = {"preset": preset.name, "functions": preset.functions, "rules": preset.rules, "speech": preset.speech}
    schemas = [tool.schema for tool in link_tools(settings, kept).values()]
    llm = embedded(replace(settings, **preset.settings))
    try:
        llm.read_ahead(Request([system_message(library.system_text(preset), "", local_time())], schemas), told)
    finally:
        llm.close()


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
    told by the name of where it is from; and what else is stored of it in the same transaction, by its id. Where `core`
    is given, that is all of its core memory; `kept` is what else it keeps of its settings.
    """

    persona: str
    blocks: Mapping[str, StartBlock]
    store: Callable[[Transaction, str, datetime], None]
    core: Sequence[Block] | None = None
    system: str | None = None
    kept: Mapping[str, Any] = field(default_factory=dict)


def store_agent(
    settings: Settings, database: Database, name: str, *, given: Mapping[str, Any] | None = None,
    clock: Clock = local_time, origin: Origin | None = None,
) -> None:  # fmt: skip
    """Store a new agent, without a model being asked or opened."""
    from memagent.library import Library, check_name
    from memagent.memory.core import CoreMemory
    from memagent.memory.log import MessageLog
    from memagent.messages import boot_messages
    from memagent.roster import Roster

    library = Library(settings.home)
    check_name(name)
    preset = library.preset(settings.first_preset)
    persona, human = settings.persona or preset.persona, settings.human or preset.human
    if origin:
        preset = replace(preset, blocks={**preset.blocks, **origin.blocks})
    whole = origin.core if origin else None
    blocks = whole if whole is not None else _blocks(library, preset, persona, human)
    kept: dict[str, Any] = {
        "preset": preset.name,
        "persona": origin.persona if origin else persona,
        "human": human,
        "speech": preset.speech,
        "functions": list(preset.functions),
        "rules": {name: dict(rules) for name, rules in preset.rules.items()},
        "settings": {**preset.settings, **{key: value for key, value in (given or {}).items() if key in KEPT}},
        **(origin.kept if origin else {}),
    }
    system = origin.system if origin and origin.system is not None else library.system_text(preset)
    link_tools(settings, kept, new=True)  # a preset whose functions can't be loaded makes no agent
    now = clock()
    with database.write() as tx:
        agent = Roster(database, settings.user).make(tx, name, kept, system, now)
        CoreMemory(database, agent).create(tx, blocks, "preset", now)
        if preset.boot and kept["speech"] == preset.speech:
            MessageLog(database, agent).append(tx, boot_messages(now, preset.boot.message, preset.boot.thought), 0)
        if origin:
            origin.store(tx, agent, now)


def load_agent(
    settings: Settings, database: Database, name: str, *, clock: Clock = local_time, llm: LLM | None = None
) -> Agent:
    """The agent of that name, just as it was. `settings` must have been loaded with the agent's own among them."""
    from memagent.agent import Agent
    from memagent.context import Limits
    from memagent.library import Library
    from memagent.roster import Roster

    entry = Roster(database, settings.user).find(name)
    if missing := {"preset", "speech", "functions", "rules"} - entry.settings.keys():
        raise UserError(f"The agent {name!r} does not say what it is made of ({', '.join(sorted(missing))}).")
    tools = link_tools(settings, entry.settings)
    model = telemetry.watched(llm) if llm else open_model(settings)
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
        reminders=open_reminders(settings, database, entry.id, facts),
        behind=reading_behind(facts, entry.id, asked),
        waking=open_waking(settings, database, entry.id, facts, clock),
    )  # fmt: skip


def open_state(
    settings: Settings, database: Database, entry: Entry, *, clock: Clock = local_time, facts: FactMemory | None = None
) -> PersistenceManager:
    """What an agent is and remembers, without a model."""
    from memagent.persistence import PersistenceManager

    def records(own: bool) -> Records:
        from memagent.facts.kinds import Kinds
        from memagent.facts.ledger import Ledger, keeper
        from memagent.facts.records import Records

        whose = keeper(database, settings.user, entry.id, clock()) if own or facts is None else facts.ledger.keeper
        return Records(Ledger(database, whose), Kinds(settings.home / "kinds"), clock)

    return PersistenceManager(
        database, entry, embedder=open_embedder(settings), clock=clock, files=settings.home / "files" / entry.id,
        allowed_hosts=settings.allowed_hosts, facts=facts, records=records if facts else None,
    )  # fmt: skip


def link_tools(settings: Settings, kept: Mapping[str, Any], *, new: bool = False) -> dict[str, Tool]:
    """The tools that an agent was made with, found again by name."""
    tools = _linked(settings, kept["functions"], kept["rules"], new=new)
    tools = {name: _limited(tool, settings.tool_time_limit) for name, tool in tools.items()}
    speech = kept["speech"]
    if speech == "send_message" and "send_message" not in tools:
        raise ConfigError(
            f"The preset {kept['preset']!r} speaks by send_message, but has no such function.",
            hint="Add the set base to its functions, or set speech: plain.",
        )
    return tools if speech == "send_message" else {name: _plain(tool) for name, tool in tools.items()}


def _linked(
    settings: Settings, entries: Sequence[str], rules: Mapping[str, Mapping[str, Any]], *, new: bool
) -> dict[str, Tool]:
    """Tools by the names of functions, function sets and MCP servers."""
    from memagent.tools.loader import link
    from memagent.tools.mcp import PREFIX

    directories = [settings.home / "functions"]
    if not any(entry.startswith(PREFIX) for entry in entries):
        return link(entries, directories, rules)
    from memagent.tools.mcp.linking import belongs, servers_among, with_servers

    servers = servers_among(entries)
    theirs = {name: of for name, of in rules.items() if belongs(name, servers)}
    own = [entry for entry in entries if not entry.startswith(PREFIX)]
    tools = link(own, directories, {name: of for name, of in rules.items() if name not in theirs})
    return with_servers(tools, settings.home, servers, theirs, new=new)


def _limited(tool: Tool, seconds: float) -> Tool:
    """The same tool under the user's time limit, where nobody set one for it."""
    from memagent.tools import Rules

    return tool.ruled({"time_limit": seconds}) if tool.rules.time_limit == Rules().time_limit else tool


def _plain(tool: Tool) -> Tool:
    """The same tool without `request_heartbeat`: an agent that speaks plainly goes on after every call anyway."""
    from memagent.tools import Tool

    schema = json.loads(json.dumps(tool.schema))
    schema["parameters"]["properties"].pop("request_heartbeat", None)
    required = schema["parameters"].get("required", [])
    schema["parameters"]["required"] = [name for name in required if name != "request_heartbeat"]
    return Tool(tool.name, tool.function, schema, tool.rules, tool.where, tool.takes_agent)


def _blocks(library: Library, preset: Preset, persona: str, human: str) -> list[Block]:
    """The blocks of core memory that an agent of this preset begins with."""
    from memagent.memory.core import Block
    from memagent.preset import StartBlock

    texts = {"persona": library.text("personas", persona), "human": library.text("humans", human)}
    about = {"persona": "who I am, in my own words", "human": "what I know of the user"}
    blocks = []
    for label in dict.fromkeys([*texts, *preset.blocks]):
        own = preset.blocks.get(label, StartBlock())
        value = own.value or texts.get(label, "")
        blocks.append(Block(label, value.strip(), own.limit, own.description or about.get(label, ""), own.read_only))
    return blocks
