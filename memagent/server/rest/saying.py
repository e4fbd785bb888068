"""What a client sends to an agent, as a run: what the user says, or an answer to a call that waits for a person.

Knows nothing of how a run is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from memagent.roster import Entry
from memagent.server.approvals import Pending, pending
from memagent.server.callers import Caller
from memagent.server.house import House
from memagent.server.problems import Refused
from memagent.server.rest.ids import Part, number_of, placed
from memagent.server.runs import Run

REFUSED = {
    "client_tools": "A client's functions can't be called from here.",
    "client_skills": "Skills of a client can't be used here.",
    "override_model": "An agent has one model; change it with an update of the agent.",
    "override_system": "An agent has one system prompt; change it with an update of the agent.",
    "callback_url": "Nothing is sent to an address that a request names; ask for the run instead.",
}


class Decision(BaseModel):
    """Yes or no to one call."""

    model_config = ConfigDict(extra="ignore")

    type: str | None = "approval"
    approve: bool | None = None
    tool_call_id: str | None = None


class MessageAsked(BaseModel):
    """A message: what the user says, or the answer to a question whether a function may be called."""

    model_config = ConfigDict(extra="ignore")

    type: str | None = "message"
    role: str | None = "user"
    content: str | list[dict[str, Any]] | None = None
    otid: str | None = None
    approval_request_id: str | None = None
    approve: bool | None = None
    approvals: list[Decision] | None = None
    tool_returns: list[dict[str, Any]] | None = None


class Asked(BaseModel):
    """Messages, and how what comes of them is to be told."""

    model_config = ConfigDict(extra="allow")

    messages: list[MessageAsked] | None = None
    input: str | list[dict[str, Any]] | None = None
    streaming: bool | None = False
    stream_tokens: bool | None = False
    background: bool | None = False
    include_pings: bool | None = False
    include_compaction_messages: bool | None = False
    use_assistant_message: bool | None = True
    include_return_message_types: list[str] | None = None
    max_steps: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Errand:
    """What a run is to do."""

    work: str
    told: dict[str, Any]
    otid: str | None = None


def start(house: House, caller: Caller, entry: Entry, asked: Asked, *, whole: bool = False) -> Run:
    """Begin the run that is asked for, or find the one that was begun for the same message. Called in a thread."""
    errand = errand_of(house, entry, asked)
    house.limits.check_spent(caller.key)
    return house.runs.start(entry, errand.work, errand.told, key=caller.id, otid=errand.otid, whole=whole)


def errand_of(house: House, entry: Entry, asked: Asked) -> Errand:
    """What is asked for."""
    for name, why in REFUSED.items():
        if (asked.model_extra or {}).get(name):
            raise Refused(400, f"{name}: {why}")
    messages = list(asked.messages or ())
    if asked.input:
        messages.append(MessageAsked(content=asked.input))
    answers = [each for each in messages if each.type == "approval" or each.approvals is not None]
    otid = next((each.otid for each in messages if each.otid), None)
    if any(each.type == "tool_return" or each.tool_returns for each in messages):
        raise Refused(400, "Functions run here, and not at the client: no result of one is taken.")
    if answers:
        if len(messages) > 1:
            raise Refused(400, "An answer to a call that waits is sent alone.")
        return Errand("decide", decided(pending(house.database, entry.id), entry.id, answers[0]), otid)
    roles = {each.role or "user" for each in messages}
    if wrong := sorted(roles - {"user", "system"}):
        raise Refused(400, f"What the agent says can't be sent to it: the role is 'user', not {wrong[0][:40]!r}.")
    if len(roles) > 1:
        raise Refused(400, "What the user says and what the system tells are sent one after the other.")
    text = "\n\n".join(words for each in messages if (words := words_of(each.content)))
    if not text:
        raise Refused(422, "There is no message with any words.")
    told: dict[str, Any] = {"text": text}
    if asked.max_steps is not None:
        told["max_steps"] = asked.max_steps
    return Errand("say", {**told, "alert": True} if roles == {"system"} else told, otid)


def words_of(content: str | list[dict[str, Any]] | None) -> str:
    """The words of a message; what is no text is refused."""
    if isinstance(content, str) or content is None:
        return (content or "").strip() and (content or "")
    texts = []
    for part in content:
        if part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            raise Refused(400, f"Only text can be read, and not {str(part.get('type'))[:40]!r}.")
        texts.append(part["text"])
    return "\n".join(texts).strip() and "\n".join(texts)


def decided(waiting: list[Pending], agent: str, answer: MessageAsked) -> dict[str, Any]:
    """The decision on the call that waits first, if it is that one which is answered."""
    if not waiting:
        raise Refused(400, "No call waits for approval (any more).")
    call = waiting[0]
    yes, by = answer.approve, answer.approval_request_id
    for decision in answer.approvals or ():
        if decision.type not in ("approval", None) or decision.approve is None:
            raise Refused(400, "Functions run here, and not at the client: no result of one is taken.")
        yes, by = decision.approve, decision.tool_call_id or by
        if by == call.call_id:
            break
    if yes is None:
        raise Refused(400, "The answer says neither yes nor no: send approve.")
    if by and by not in (call.call_id, placed("message", agent, Part.APPROVAL, number_of(call.call_id))):
        raise Refused(400, f"That call does not wait for approval; {call.call_id} does.")
    return call.decided(yes)
