"""The words of a conversation that is remembered: its own transcript, or the messages of an agent that it names.

Knows nothing of how conversations are summed up.
"""

from __future__ import annotations

from memagent.errors import NotFound, UserError
from memagent.facts.kinds import Conversation
from memagent.messages import storable
from memagent.storage import Database, reading, text


def agent_of(database: Database, owner: str, agent: str) -> tuple[str, str]:
    """The id and the name of an agent that a conversation names, by either."""
    wanted = storable(agent)
    rows = database.rows("SELECT id, name FROM agents WHERE owner = ? AND (id = ? OR name = ?)", owner, wanted, wanted)
    if not rows:
        raise NotFound(f"There is no agent {agent[:80]!r} whose messages these are.", hint="See: memagent list agents")
    return text(rows[0][0]), text(rows[0][1])


def linked(database: Database, owner: str, conversation: Conversation) -> Conversation:
    """The same conversation, with its agent by its id, which stays when it is renamed. Its messages must be there."""
    if not conversation.agent:
        return conversation
    agent, name = agent_of(database, owner, conversation.agent)
    if conversation.last is not None:
        last = int(database.rows("SELECT max(seq) FROM messages WHERE agent = ?", agent)[0][0] or 0)
        if conversation.last > last:
            raise UserError(f"{name} has no message {conversation.last}.", hint=f"Its newest is number {last}.")
    kept = conversation.transcript, agent, conversation.first, conversation.last
    return Conversation(conversation.summary, *kept)


def words(database: Database, owner: str, conversation: Conversation) -> str:
    """What was said, line by line; what was taken back since is not there."""
    if conversation.transcript or conversation.first is None:
        return conversation.transcript
    agent, name = agent_of(database, owner, conversation.agent)
    rows = database.rows(
        "SELECT role, said FROM messages WHERE agent = ? AND seq BETWEEN ? AND ? AND said <> '' AND undone IS NULL "
        "ORDER BY seq",
        agent, conversation.first, conversation.last,
    )  # fmt: skip
    with reading(f"The conversation with {name}"):
        return "\n".join(f"{'user' if role == 'user' else name}: {text(said)}" for role, said in rows)
