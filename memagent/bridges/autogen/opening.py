"""Opens the agent that is to take part in a chat, or makes it.

Knows nothing of AutoGen, or of what is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from memagent import config
from memagent.assemble import Origin, load_agent, open_database, open_model, store_agent
from memagent.bridges.autogen.participant import Participant
from memagent.config import SETTINGS, Settings
from memagent.errors import UserError
from memagent.library import Library
from memagent.llm import LLM
from memagent.messages import storable
from memagent.preset import StartBlock
from memagent.roster import Roster
from memagent.storage import Database
from memagent.storage.migrate import refuse_part

GROWTH = 1000
"""Characters that an agent may add to what it was told of itself."""


def seated(
    name: str, agent: str, system_message: str, user: str, *, settings: Settings | Mapping[str, Any] | None,
    database: Database | None, llm: LLM | None,
) -> Participant:  # fmt: skip
    """The agent of that name, ready to take part. What was opened for it is closed with it."""
    if not name.isidentifier():
        raise UserError(
            f"{name!r} can't be a name in a chat.",
            hint="Use letters, digits and _, and give agent= if it has another one in memagent.",
        )
    held = settings if isinstance(settings, Settings) else config.load(settings or {})
    owned = database is None
    config.ensure_home(held)
    opened = open_database(held) if database is None else database
    try:
        if owned:
            refuse_part(opened)
        roster, known = Roster(opened, held.user), agent or name
        if not roster.exists(known):
            _make(held, opened, known, system_message, settings, llm)
        own = roster.find(known).settings.get("settings") or {}
        if isinstance(settings, Settings):
            held = replace(held, **{key: value for key, value in own.items() if key in SETTINGS})
        else:
            held = config.load(settings or {}, own)
        return Participant(name, load_agent(held, opened, known, llm=llm), user, held, opened, owns_database=owned)
    except BaseException:
        if owned:
            opened.close()
        raise


def _make(
    settings: Settings, database: Database, name: str, system_message: str,
    given: Settings | Mapping[str, Any] | None, llm: LLM | None,
) -> None:  # fmt: skip
    """A new agent, who is what the system message says. Where there is no model, none is made."""
    if llm is None:
        open_model(settings)
    preset = Library(settings.home).preset(settings.first_preset)
    origin = None
    if persona := storable(system_message.strip()):
        block = preset.blocks.get("persona") or StartBlock()
        limit = max(block.limit, len(persona) + GROWTH)
        block = replace(block, value=persona, limit=limit, description="who I am, in my own words")
        origin = Origin("system message", {"persona": block}, lambda *_: None)
    kept = {} if given is None or isinstance(given, Settings) else given
    store_agent(settings, database, name, given=kept, origin=origin)
