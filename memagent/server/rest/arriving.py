"""Agents out of a file of the client's world (`.af`). No code in it ever runs: functions that are here by the same
name are linked, the others are shown as disabled.

What is in such files was written by strangers: everything is checked, what can't be read is refused, and a file is
stored whole or not at all. Knows nothing of requests.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memagent.errors import MemagentError, UserError
from memagent.library import LONGEST_NAME, check_name
from memagent.memory.shared import LARGEST
from memagent.messages import SPEAK
from memagent.roster import Entry
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest import toolbox
from memagent.server.rest.ids import shown
from memagent.server.rest.making import LIMIT, MOST_BESIDE, BlockAsked, New, make
from memagent.server.rest.models import given_by
from memagent.server.rest.retelling import Spoken, retell
from memagent.settings import Settings
from memagent.transfer import FORMAT, checked, put_in

MOST_AGENTS = 100
WRAPPED_AT_MOST = 3


class Loose(BaseModel):
    """Part of a file; what it has more is not read."""

    model_config = ConfigDict(extra="ignore")


class BlockFiled(BlockAsked):
    """A block of core memory, as a file has it."""

    id: str

    def asked(self) -> BlockAsked:
        """As it is asked for here: with a label that the model can be shown, and room for its text."""
        label = re.sub(r"[^A-Za-z0-9_.-]+", "_", self.label).strip("_.-")[:40]
        label = label if label[:1].isalpha() else f"block_{label}"[:40]
        limit = min(LARGEST, max(self.limit or LIMIT, len(self.value)))
        return BlockAsked(**{**self.model_dump(exclude={"id"}), "label": label, "limit": limit})


class ToolFiled(Loose):
    """A function: its name, and what it says of itself."""

    id: str
    name: str
    description: str | None = None
    json_schema: dict[str, Any] | None = None
    source_code: str | None = None


class PassageFiled(Loose):
    """A note."""

    text: str
    tags: list[str] | None = None
    created_at: datetime | None = None


class AgentFiled(Loose):
    """One agent."""

    id: str = "agent-0"
    name: str | None = None
    system: str | None = None
    agent_type: str | None = None
    description: str | None = None
    model: str | None = None
    embedding: str | None = None
    llm_config: dict[str, Any] | None = None
    embedding_config: dict[str, Any] | None = None
    tool_rules: list[dict[str, Any]] | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    timezone: str | None = None
    block_ids: list[str] = Field(default_factory=list)
    tool_ids: list[str] = Field(default_factory=list)
    messages: list[Spoken] = Field(default_factory=list)
    in_context_message_ids: list[str] = Field(default_factory=list)
    passages: list[PassageFiled] = Field(default_factory=list)


class Filed(Loose):
    """A whole file."""

    agents: list[AgentFiled] = Field(min_length=1, max_length=MOST_AGENTS)
    blocks: list[BlockFiled] = Field(default_factory=list)
    tools: list[ToolFiled] = Field(default_factory=list)


class Wish(BaseModel):
    """What is to be other than in the file."""

    name: str | None = None
    model: str | None = None
    copy_suffix: bool = False
    strip_messages: bool = False


def arrive(house: House, owner: str, text: str, wish: Wish) -> list[str]:
    """Store the agents of a file; returns their ids."""
    found = unwrapped(text)
    if found.get("format") == FORMAT:
        return [_own(house, owner, found, wish)]
    try:
        filed = Filed.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(400, f"This is no agent file: {where}: {first['msg']}.") from error
    shared: dict[str, str] = {}
    made: list[Entry] = []
    try:
        for agent in filed.agents:
            made.append(_one(house, owner, filed, agent, wish, shared))
    except (Refused, MemagentError):
        for entry in made:
            house.residents.roster(owner).delete(entry.name)
        raise
    return [shown("agent", entry.id) for entry in made]


def unwrapped(text: str) -> dict[str, Any]:
    """The data of a file; one that is JSON within a string of JSON, as careless programs write it, is unwrapped."""
    found: Any = text
    try:
        for _ in range(WRAPPED_AT_MOST):
            if isinstance(found, str):
                found = json.loads(found)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"This is no agent file: it is not JSON ({str(error)[:100]}).") from error
    if not isinstance(found, dict):
        raise Refused(400, "This is no agent file: it is no object of JSON.")
    return found


def _own(house: House, owner: str, found: Mapping[str, Any], wish: Wish) -> str:
    """An agent out of a file of memagent's own."""
    document = checked(json.dumps(found))
    with house.database.write() as tx:
        name = _free(house, owner, wish, document["agent"]["name"])
        return shown("agent", put_in(tx, house.database, owner, document, name).id)


def _one(
    house: House, owner: str, filed: Filed, agent: AgentFiled, wish: Wish, shared: dict[str, str]
) -> Entry:  # fmt: skip
    settings = house.residents.settings_of(owner)
    have = {each.tool.name: each for each in toolbox.offered(settings)}
    named = [tool for tool in filed.tools if tool.id in agent.tool_ids]
    linked = [have[tool.name].entry for tool in named if tool.name in have]
    disabled = [tool.model_dump(exclude={"id"}) for tool in named if tool.name not in have]
    if len(json.dumps(disabled)) > MOST_BESIDE:
        disabled = [{**tool, "source_code": None} for tool in disabled]
    blocks = {block.id: block for block in filed.blocks if block.id in agent.block_ids}
    if lacking := [id for id in agent.block_ids if id not in blocks]:
        raise Refused(400, f"This agent file is damaged: it has no block {lacking[0][:60]!r}.")
    own = [block.asked() for id, block in blocks.items() if id not in shared]
    kept = agent.model_dump(include={
        "agent_type", "description", "embedding", "embedding_config", "tags", "metadata", "timezone",
    })  # fmt: skip
    rules = [rule for rule in agent.tool_rules or () if rule.get("tool_name") in {t.name for t in named} & have.keys()]
    new = New(
        **kept, name=_free(house, owner, wish, agent.name), system=agent.system, memory_blocks=own,
        block_ids=[shared[id] for id in blocks if id in shared], tool_ids=linked, include_base_tools=not named,
        tool_rules=rules, model=wish.model or _model(settings, agent),
    )  # fmt: skip
    spoken = [] if wish.strip_messages else agent.messages
    also = retell(house.database, spoken, agent.in_context_message_ids, agent.passages)
    plain = bool(named) and SPEAK not in {tool.name for tool in named}
    entry = make(house, owner, new, also, disabled, plain)
    made = {row[0]: row[1] for row in house.database.rows("SELECT label, id FROM blocks WHERE agent = ?", entry.id)}
    shared |= {id: shown("block", made[block.asked().label]) for id, block in blocks.items() if id not in shared}
    return entry


def _model(settings: Settings, agent: AgentFiled) -> str | None:
    """The model of the file, if it can be had here; else the agent gets the one that others have."""
    handle = agent.model or str((agent.llm_config or {}).get("handle") or "")
    try:
        return handle if handle and given_by(settings, handle) is not None else None
    except Refused:
        return None


def _free(house: House, owner: str, wish: Wish, filed: str | None) -> str:
    """A name for the agent that nobody has: its own, the one that is wished for, or one that is near to it."""
    wanted = wish.name or filed or ""
    try:
        name = check_name(wanted)
    except UserError:
        fit = " ".join(re.sub(r"[^\w .-]", "", wanted).split()).strip(" ._-")[: LONGEST_NAME // 2].strip(" ._-")
        name = fit if fit and fit[0].isalnum() else f"agent-{secrets.token_hex(4)}"
    roster = house.residents.roster(owner)
    name = f"{name[: LONGEST_NAME - 10]}_copy" if wish.copy_suffix and not wish.name else name
    if wish.name and roster.exists(name):
        raise Refused(409, f"There is an agent {name!r} already. Choose another name.")
    tried, number = name, 1
    while roster.exists(tried):
        number += 1
        tried = f"{name[: LONGEST_NAME - 10]}_{number}"
    return check_name(tried)
