"""An agent as a client asks for it, and as it asks to change it: what of that memagent has a place for, what is kept
beside, and what is refused.

Knows nothing of requests.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from memagent.assemble import Origin, store_agent
from memagent.errors import UserError
from memagent.library import Library, check_name
from memagent.memory.core import Block
from memagent.memory.shared import LARGEST, SharedBlocks, Wanted, checked
from memagent.roster import Entry
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest import toolbox
from memagent.server.rest.ids import digits_of
from memagent.server.rest.models import given_by
from memagent.server.rest.shapes import kept_beside
from memagent.settings import SETTINGS, Settings
from memagent.storage import Transaction

BESIDE = (
    "agent_type", "description", "embedding", "embedding_config", "tool_rules", "model_settings", "compaction_settings",
    "timezone", "hidden", "enable_sleeptime", "message_buffer_autoclear", "response_format", "tags", "metadata",
    "max_files_open", "per_file_view_window_char_limit",
)  # fmt: skip
"""What is kept with an agent's settings as it came, to be told again."""
REFUSED = {
    "secrets": "Secrets for functions belong into the server's own environment.",
    "tool_exec_environment_variables": "Variables for functions belong into the server's own environment.",
    "source_ids": "Sources are attached by the operator: memagent attach AGENT SOURCE",
    "folder_ids": "Sources are attached by the operator: memagent attach AGENT SOURCE",
    "identity_ids": "There are no identities here: an agent belongs to the user of the key that made it.",
    "initial_message_sequence": "A conversation can't be made up: import an agent file instead.",
    "message_ids": "What an agent sees of its conversation is its own business.",
    "from_template": "There are no templates here.",
    "memory_variables": "There are no templates here.",
}
"""What is not done, and why; empty, it is nobody's business."""
MOST_BESIDE = 100_000
LIMIT = 5000


class BlockAsked(BaseModel):
    """A block for a new agent."""

    model_config = ConfigDict(extra="ignore")

    label: str
    value: str
    limit: int | None = None
    description: str | None = None
    read_only: bool | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None

    @property
    def block(self) -> Block:
        """As core memory has it."""
        limit = self.limit if self.limit is not None else min(LARGEST, max(LIMIT, 2 * len(self.value)))
        return checked(Block(self.label, self.value, limit, self.description or "", bool(self.read_only)))

    @property
    def about(self) -> dict[str, Any]:
        """What else is told of it."""
        return {name: value for name in ("metadata", "tags") if (value := getattr(self, name))}


class Changed(BaseModel):
    """What is asked to change of an agent."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    system: str | None = None
    model: str | None = None
    llm_config: dict[str, Any] | None = None
    context_window_limit: int | None = None
    model_settings: dict[str, Any] | None = None
    tool_ids: list[str] | None = None
    block_ids: list[str] | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    description: str | None = None
    tool_rules: list[dict[str, Any]] | None = None
    agent_type: str | None = None
    embedding: str | None = None
    embedding_config: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    timezone: str | None = None
    hidden: bool | None = None
    enable_sleeptime: bool | None = None
    message_buffer_autoclear: bool | None = None

    @property
    def beside(self) -> dict[str, Any]:
        """What is kept as it came."""
        for name, why in REFUSED.items():
            if (self.model_extra or {}).get(name):
                raise Refused(400, f"{name}: {why}")
        told = self.model_dump(include={*BESIDE}, exclude_unset=True)
        told |= {name: value for name, value in (self.model_extra or {}).items() if name in BESIDE}
        if len(json.dumps(told, default=str)) > MOST_BESIDE:
            raise Refused(400, f"What is kept beside an agent may have {MOST_BESIDE} characters.")
        return told

    def settings(self, settings: Settings) -> dict[str, Any]:
        """Settings of memagent's that it means."""
        config = self.llm_config or {}
        handle = self.model or config.get("handle")
        if not handle and isinstance(config.get("model"), str):
            kind = config.get("model_endpoint_type")
            handle = f"{kind}/{config['model']}" if isinstance(kind, str) else config["model"]
        given = given_by(settings, handle) if isinstance(handle, str) and handle else {}
        window = self.context_window_limit if self.context_window_limit is not None else config.get("context_window")
        warmth = (self.model_settings or {}).get("temperature", config.get("temperature"))
        for name, value in (("context_window", window), ("temperature", warmth)):
            if value is not None:
                given[name] = _setting(name, value)
        return given


class New(Changed):
    """What is asked for of a new agent."""

    memory_blocks: list[BlockAsked] | None = None
    tools: list[str] | None = None
    include_base_tools: bool | None = True
    template: bool | None = None
    include: list[str] | None = Field(default=None, exclude=True)


def _setting(name: str, value: object) -> Any:
    setting = SETTINGS[name]
    try:
        return setting.read(value)
    except (ValueError, OverflowError) as error:
        raise Refused(400, f"{name} must be {setting.allowed}.") from error


def _there(beside: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept, without what was taken away by a null."""
    return {name: value for name, value in beside.items() if value is not None}


def ruled(rules: Mapping[str, Mapping[str, Any]], asked: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """An agent's rules with those that a client asks for: of theirs, only approval is one of ours."""
    found = {name: dict(of) for name, of in rules.items()}
    for rule in asked or ():
        if rule.get("type") == "requires_approval" and isinstance(rule.get("tool_name"), str):
            found[rule["tool_name"]] = {**found.get(rule["tool_name"], {}), "approval": True}
    return found


def make(
    house: House, owner: str, new: New, also: Callable[[Transaction, str, datetime], None] | None = None,
    disabled: Sequence[Mapping[str, Any]] = (), plain: bool = False,
) -> Entry:  # fmt: skip
    """Make a new agent; what is to be stored `also` is in the transaction, and `disabled` tools are shown only.
    `plain`: it speaks without calling a function.
    """
    if new.template:
        raise Refused(400, f"template: {REFUSED['from_template']}")
    settings = house.residents.settings_of(owner)
    beside, given = new.beside, new.settings(settings)
    name = check_name(new.name) if new.name else f"agent-{secrets.token_hex(4)}"
    preset = Library(settings.home).preset(settings.first_preset)
    kept: dict[str, Any] = {"functions": list(preset.functions), "rules": preset.rules}
    kept["speech"] = "plain" if plain else preset.speech
    asked = toolbox.entries(settings, new.tools or (), new.tool_ids or ())
    if new.include_base_tools is False:
        kept = toolbox.with_functions(settings, kept, asked)
    else:
        kept = toolbox.added(settings, kept, asked)
    kept["rules"] = ruled(kept["rules"], new.tool_rules)
    core = None if new.memory_blocks is None else [each.block for each in new.memory_blocks]
    if core and len({block.label for block in core}) < len(core):
        raise Refused(400, "Two blocks have the same label.")

    def store(tx: Transaction, agent: str, now: datetime) -> None:
        blocks = SharedBlocks(house.database, owner)
        made = tx.rows("SELECT label, id FROM blocks WHERE agent = ?", agent)
        ids = dict((row[0], row[1]) for row in made)
        for each in new.memory_blocks or ():
            if each.about:
                blocks.change(tx, ids[each.label], Wanted(about=each.about), "preset", now)
        for id in new.block_ids or ():
            blocks.attach(tx, digits_of("block", id), agent, now)
        if also:
            also(tx, agent, now)

    origin = Origin(
        "", {}, store, core, new.system, {**kept, "beside": {**_there(beside), "disabled_tools": [*disabled]}}
    )
    store_agent(settings, house.database, name, given=given, origin=origin)
    return house.residents.roster(owner).find(name)


def change(house: House, entry: Entry, asked: Changed, now: datetime) -> Entry:
    """Change an agent as it is asked."""
    settings = house.residents.settings_of(entry.owner, entry.settings.get("settings"))
    kept: dict[str, Any] = {**entry.settings}
    kept["beside"] = _there({**kept_beside(kept), **asked.beside})
    kept["settings"] = {**kept.get("settings", {}), **asked.settings(settings)}
    if asked.tool_ids is not None:
        kept = toolbox.with_functions(settings, kept, toolbox.entries(settings, (), asked.tool_ids))
    kept["rules"] = ruled(kept["rules"], asked.tool_rules)
    try:
        toolbox.of_agent(settings, kept)
    except UserError as error:
        raise Refused(400, str(error)) from error
    roster = house.residents.roster(entry.owner)
    with house.database.write(entry.id) as tx:
        name = check_name(asked.name) if asked.name is not None else entry.name
        if name != entry.name:
            name = roster.free(tx, name)
        roster.change(tx, entry.id, kept)
        system = asked.system if asked.system is not None else entry.system
        roster.reword(tx, entry.id, name, system)
        if asked.block_ids is not None:
            _have(tx, SharedBlocks(house.database, entry.owner), entry.id, asked.block_ids, now)
    house.residents.forget(entry.id)
    return roster.by_id(entry.id)


def _have(tx: Transaction, blocks: SharedBlocks, agent: str, ids: Sequence[str], now: datetime) -> None:
    """Let an agent have these blocks, and no others."""
    wanted = [digits_of("block", id) for id in ids]
    for (id,) in tx.rows("SELECT id FROM blocks WHERE agent = ?", agent):
        if id not in wanted:
            blocks.detach(tx, id, agent)
    for id in wanted:
        blocks.attach(tx, id, agent, now)
