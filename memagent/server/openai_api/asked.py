"""What is asked of an agent as if it were a model: the last words of the user, said to the agent in a run.

A call that waits for a person is asked about in the answer, and "yes" or "no" answers it. Knows nothing of the forms in
which answers are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from memagent.errors import NotFound
from memagent.events import ApprovalAsked
from memagent.roster import Entry
from memagent.server.approvals import pending
from memagent.server.callers import Claim
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.runs import Run

YES = frozenset({"yes", "y", "ok", "okay", "approve", "allow"})
NO = frozenset({"no", "n", "deny", "refuse"})
UNSEEN = "[something that is no text was sent here, and can't be seen]"
TEXTS = ("text", "input_text", "output_text")


class Part(BaseModel):
    """A part of what a message says; only text is read, and nothing is fetched."""

    model_config = ConfigDict(extra="ignore")

    type: str = "text"
    text: str = ""


class Said(BaseModel):
    """A message of the conversation that a client keeps."""

    model_config = ConfigDict(extra="ignore")

    role: str = "user"
    type: str = "message"
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Its words."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text if part.type in TEXTS else UNSEEN for part in self.content)


@dataclass(frozen=True)
class Asked:
    """A run that was begun for an agent."""

    entry: Entry
    run: Run


def last_words(messages: Sequence[Said]) -> str:
    """What the user said last."""
    said = [message.text for message in messages if message.role == "user" and message.type == "message"]
    if not said or not said[-1].strip():
        raise Refused(400, "There is no message of the user with any words.")
    return said[-1]


async def ask(house: House, claim: Claim, model: str, words: str, *, whole: bool) -> Asked:
    """Say words to the agent of that name, or answer what it asked, in a run that is told bit by bit or `whole`."""

    def begun() -> Asked:
        caller = claim()
        try:
            entry = house.residents.roster(caller.owner).find(model)
        except NotFound as error:
            raise Refused(404, str(error)) from error
        house.limits.check_spent(caller.key)
        waiting, word = pending(house.database, entry.id), words.strip().strip(".!").lower()
        work, told = "say", dict[str, Any](text=words)
        if waiting and word in YES | NO:
            work, told = "decide", waiting[0].decided(word in YES)
        return Asked(entry, house.runs.start(entry, work, told, key=caller.id, whole=whole))

    return await house.runs.asked(begun)


def question(asked: ApprovalAsked) -> str:
    """How a call that waits is asked about."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in asked.arguments.items() if name != "request_heartbeat")
    return f"May I call {asked.name}({arguments})? Answer yes or no."
