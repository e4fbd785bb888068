"""What an agent says and does, as messages of the client's world: thoughts are reasoning, what is sent to the user is
an assistant's message, every other call is a call with its return.

The same message has the same id whether it is told as it happens (`Teller`) or from the log (see history.py). Knows
nothing of requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from memagent import events
from memagent.assemble import local_time
from memagent.events import Event
from memagent.messages import SPEAK
from memagent.persistence import MOST_STEPS
from memagent.server.rest.ids import CALLS, Part, number_of, placed

ENDINGS = {"done": "end_turn", "waiting": "requires_approval", "interrupted": "cancelled"}
FAILURES = {
    "ModelError": "invalid_llm_response", "ContextOverflow": "context_window_overflow_in_system_prompt",
    "Cancelled": "cancelled",
    "LLMError": "llm_api_error", "LLMConnectionError": "llm_api_error", "LocalLLMError": "llm_api_error",
}  # fmt: skip
TOO_MANY = "steps without coming to rest"
MODEL_FAILED = ("llm_api_error", "error")
"""Endings that are told as an error, where nobody is told bit by bit."""


@dataclass(frozen=True)
class Writer:
    """Writes messages of one agent, each with its id, its time, and the run that it belongs to."""

    agent: str
    run: str | None = None

    def message(self, kind: str, part: Part, number: int, date: datetime, **more: Any) -> dict[str, Any]:
        """One message."""
        about: dict[str, Any] = {"id": placed("message", self.agent, part, number), "date": date.isoformat()}
        if part is not Part.SEEN:
            step = number // CALLS if number < 2**52 else 0
            about["step_id"] = placed("step", self.agent, Part.STEP, step)
        return {"message_type": kind, **about, **({"run_id": self.run} if self.run else {}), **more}

    def thought(self, step: int, text: str, date: datetime) -> dict[str, Any]:
        """What the agent thinks."""
        more = {"reasoning": text, "source": "non_reasoner_model"}
        return self.message("reasoning_message", Part.THOUGHT, step * CALLS, date, **more)

    def spoken(self, number: int, text: str, date: datetime, *, plain: bool = False) -> dict[str, Any]:
        """What the agent says to the user."""
        part = Part.PLAIN if plain else Part.SPOKEN
        return self.message("assistant_message", part, number, date, content=text)

    def call(self, call_id: str, name: str, arguments: str, date: datetime, *, asks: bool = False) -> dict[str, Any]:
        """A call, or one that waits for a person."""
        call = {"name": name, "arguments": arguments, "tool_call_id": call_id}
        kind, part = ("approval_request_message", Part.APPROVAL) if asks else ("tool_call_message", Part.CALL)
        return self.message(kind, part, number_of(call_id), date, tool_call=call, tool_calls=[call])

    def returned(self, call_id: str, name: str, text: str, date: datetime, *, ok: bool) -> dict[str, Any]:
        """What came of a call."""
        status = "success" if ok else "error"
        whole = {"status": status, "tool_call_id": call_id, "tool_return": text, "stdout": [], "stderr": []}
        return self.message(
            "tool_return_message", Part.RETURN, number_of(call_id), date, **whole, name=name,
            tool_returns=[{"type": "tool", **whole}],
        )  # fmt: skip

    def summary(self, number: int, text: str, date: datetime) -> dict[str, Any]:
        """What older messages were summed up in."""
        return self.message("summary_message", Part.SEEN, number, date, summary=text)


@dataclass
class Teller:
    """Tells the events of a run. `tokens`: words as they come; `speech`: `send_message` is told as what it says;
    `plain`: the agent speaks without it; `compactions`: that older messages were summed up is told too.
    """

    writer: Writer
    tokens: bool = False
    speech: bool = True
    plain: bool = False
    compactions: bool = False
    step: int = -1
    ending: str = "error"
    failed: events.Failed | None = None
    ended: events.TurnEnded | None = None
    summed_up: events.Compacted | None = None
    _turn: int = 0
    _open: bool = False
    _last: int = 0
    _call: str = ""
    _name: str = ""
    _held: dict[str, dict[str, Any]] = field(default_factory=dict)
    _streamed: dict[str, str] = field(default_factory=dict)

    def told(self, event: Event) -> Iterator[dict[str, Any]]:
        """The messages that an event is, if it is any. Each has a `seq_id`; words that come bit by bit have that of the
        message before, so that who goes on from there hears them again from the beginning.
        """
        match event:
            case events.TurnStarted():
                self._turn = event.turn
            case events.Delta() if self.tokens:
                yield self._piece(event)
            case events.Discarded():
                self._streamed.clear()
            case events.Thought():
                self._begin()
                if event.text != self._streamed.pop("thought", ""):
                    yield self._counted(self.writer.thought(self._step, event.text, local_time()), 1)
            case events.Called() | events.ApprovalAsked():
                yield from self._called(event)
            case events.Returned():
                yield from self._returned(event)
            case events.Reply():
                yield from self._replied(event)
            case events.Heartbeat():
                self._close()
            case events.Compacted() | events.Failed() | events.TurnEnded():
                yield from self._noted(event)

    # Inside -----------------------------------------------------------------------------------------------------------

    @property
    def _step(self) -> int:
        return self._turn * MOST_STEPS + max(self.step, 0)

    def _begin(self) -> None:
        """An answer begins, if none is being told."""
        if not self._open:
            self.step, self._open, self._call = self.step + 1, True, ""

    def _close(self) -> None:
        self._open = False
        self._streamed.clear()

    def _counted(self, message: dict[str, Any], slot: int) -> dict[str, Any]:
        self._last = max(self.step, 0) * 1000 + slot
        return {**message, "seq_id": self._last}

    def _slot(self, call_id: str, more: int) -> int:
        return 10 + 10 * (number_of(call_id) % CALLS) + more

    def _piece(self, event: events.Delta) -> dict[str, Any]:
        self._begin()
        self._streamed[event.kind] = self._streamed.get(event.kind, "") + event.text
        if event.kind == "thought":
            piece = self.writer.thought(self._step, event.text, local_time())
        else:
            piece = self.writer.spoken(self._step * CALLS, event.text, local_time(), plain=self.plain)
        return {**piece, "seq_id": self._last}

    def _called(self, event: events.Called | events.ApprovalAsked) -> Iterator[dict[str, Any]]:
        step = number_of(event.call_id) // CALLS - self._turn * MOST_STEPS
        self.step, self._call, self._open = (step if 0 <= step < MOST_STEPS else self.step), event.call_id, False
        asks, now = isinstance(event, events.ApprovalAsked), local_time()
        call = self.writer.call(event.call_id, event.name, json.dumps(event.arguments), now, asks=asks)
        if self.speech and event.name == SPEAK and not asks:
            self._held[event.call_id] = call
        else:
            yield self._counted(call, self._slot(event.call_id, int(asks)))

    def _returned(self, event: events.Returned) -> Iterator[dict[str, Any]]:
        self._call, self._name, held = event.call_id, event.name, self._held.pop(event.call_id, None)
        if held and event.ok:
            return
        if held:
            yield self._counted(held, self._slot(event.call_id, 0))
        told = self.writer.returned(event.call_id, event.name, event.text, local_time(), ok=event.ok)
        yield self._counted(told, self._slot(event.call_id, 2))

    def _replied(self, event: events.Reply) -> Iterator[dict[str, Any]]:
        streamed = self._streamed.pop("reply", "")
        if not self._call:
            self._begin()
        elif self._name == SPEAK and not self.speech:
            return  # it was told as a call
        plain = not self._call
        number = self._step * CALLS if plain else number_of(self._call)
        slot = 2 if plain else self._slot(self._call, 3)
        told = self._counted(self.writer.spoken(number, event.text, local_time(), plain=plain), slot)
        if streamed != event.text:
            yield told

    def _noted(self, event: events.Compacted | events.Failed | events.TurnEnded) -> Iterator[dict[str, Any]]:
        """What is told at the end, if it is told at all."""
        if isinstance(event, events.Compacted):
            self.summed_up = event
            if self.compactions:
                number = self._turn * MOST_STEPS + max(self.step, 0)
                told = self.writer.message("summary_message", Part.SUMMARY, number, local_time(), summary=event.summary)
                yield {**told, "seq_id": self._last}
        elif isinstance(event, events.Failed):
            self.failed = event
        else:
            self._end(event)

    def _end(self, event: events.TurnEnded) -> None:
        self.ended = event
        why = FAILURES.get(self.failed.kind, "error") if self.failed else ""
        if self.failed and TOO_MANY in self.failed.message:
            why = "max_steps"
        self.ending = ENDINGS.get(event.ending) or why or "error"
        if event.ending == "interrupted" and self.failed is None:
            self.ending = "cancelled"


def stop_reason(ending: str) -> dict[str, Any]:
    """Why a turn ended, as it is told."""
    return {"message_type": "stop_reason", "stop_reason": ending}


def usage(ended: events.TurnEnded | None, run: str) -> dict[str, Any]:
    """What a turn has cost, as it is told."""
    spent: Mapping[str, int] = ended.usage if ended else {}
    read, written = spent.get("prompt_tokens", 0), spent.get("completion_tokens", 0)
    return {
        "message_type": "usage_statistics", "prompt_tokens": read, "completion_tokens": written,
        "total_tokens": read + written, "step_count": ended.steps if ended else 0, "run_ids": [run],
    }  # fmt: skip
