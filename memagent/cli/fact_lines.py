"""Facts as a person reads them, in a terminal and in a chat: a line each, with their history, and where they come from.

What a fact says is data, wherever it is shown. Knows nothing of commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memagent.facts import BY_HAND, SELF, USER, Cause, Change, Fact
from memagent.log import harmless

if TYPE_CHECKING:
    from memagent.facts.keeping import FactMemory, Outcome
    from memagent.facts.ledger import Ledger
    from memagent.storage import Database

BY = {"user": "by you", "talk": "from talk", "policy": "by a rule", "tidy": "in tidying"}
DID = {
    "learned": "Learned",
    "confirmed": "Confirmed",
    "refined": "Refined",
    "contradicted": "Changed",
    "ended": "Ended",
}


LONGEST = 400
"""Characters of a fact that stand in a list; all of it is told by `why`, and in JSON."""


def line(fact: Fact) -> str:
    """A fact with its number, whom it is about, and since when and until when it holds; on one line."""
    about = f"{fact.about}: " if fact.about not in (USER, SELF) else ""
    dates = [f"since {fact.since}"] if fact.since else []
    dates += [f"until {fact.until}"] if fact.until else []
    if fact.state == "past":
        dates.append(f"{fact.how or 'ended'} {fact.ended:%Y-%m-%d}" if fact.ended else "past")
    elif fact.state == "forgotten":
        dates.append(f"{fact.how or 'forgotten'}")
    return harmless(f"{fact.id:>4}  {about}{_short(fact.text)}" + (f"  ({', '.join(dates)})" if dates else ""))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def outcome(done: Outcome) -> str:
    """What became of something that was told."""
    before = f", instead of: {_short(done.instead_of.text)}" if done.instead_of else ""
    return harmless(f"{DID.get(done.what, done.what)}: {line(done.fact).strip()}{before}")


def row(fact: Fact) -> dict[str, Any]:
    """A fact for a script."""
    fields = asdict(fact)
    return {"number": fields.pop("id"), **fields}


def change_row(change: Change) -> dict[str, Any]:
    """A change for a script."""
    return asdict(change)


def names(database: Database, owner: str) -> dict[str, str]:
    """The names of a user's agents, by their ids."""
    return {
        str(agent): str(name) for agent, name in database.rows("SELECT id, name FROM agents WHERE owner = ?", owner)
    }


def history(ledger: Ledger, facts: Iterable[Fact], agents: Mapping[str, str]) -> Iterator[str]:
    """All that became of some facts, a line each, the oldest first."""
    changes = [(change.when, fact.text, change) for fact in facts for change in ledger.history(fact.id)]
    for moment, text, change in sorted(changes, key=lambda each: each[0]):
        yield harmless(f"{when(moment)}  {change.what:<12} {_short(text)}  ({cause(change.cause, agents)})")


def why(memory: FactMemory, fact: Fact, agents: Mapping[str, str]) -> Iterator[str]:
    """Where a fact comes from: the words, the message and its date, the agent; and each change of it since."""
    yield line(fact).strip()
    if len(fact.text) > LONGEST:
        yield harmless(f"  {fact.text}")
    yield harmless(f"  {cause(fact.cause, agents)}, said {when(fact.said)}; {_sure(fact)}")
    if fact.quote:
        yield harmless(f'  words: "{fact.quote}"')
    message = _message(memory.ledger.database, fact.cause)
    if message and message[1] != fact.quote:
        yield harmless(f'  message of {when(message[0])}: "{message[1]}"')
    for change in memory.ledger.history(fact.id):
        reason = f": {change.cause.why}" if change.cause.why else ""
        yield harmless(f"  {when(change.when)}  {change.what}, {cause(change.cause, agents)}{reason}")


def _sure(fact: Fact) -> str:
    if fact.cause.origin in BY_HAND:
        return "written by hand"
    times = "once" if fact.confirmed == 1 else f"{fact.confirmed} times"
    return f"said {times}, {fact.confidence:.0%} sure"


def _message(database: Database, of: Cause) -> tuple[datetime, str] | None:
    """When a message was said and what it says, as long as it is there."""
    rows = database.rows(
        "SELECT created, said FROM messages WHERE agent = ? AND seq = ? AND said <> ''", of.agent or "", of.message or 0
    )
    return (datetime.fromisoformat(rows[0][0]), " ".join(str(rows[0][1]).split())) if rows else None


def cause(of: Cause, agents: Mapping[str, str]) -> str:
    """Who brought something about, in words."""
    agent = agents.get(of.agent or "", "an agent that is gone") if of.agent else ""
    if of.origin == "agent":
        return f"by {agent or 'an agent'}"
    message = f" with {agent}, message {of.message}" if agent and of.message else ""
    return f"{BY[of.origin]}{message}"


def when(moment: datetime) -> str:
    """A moment, to the minute."""
    return f"{moment:%Y-%m-%d %H:%M}"
