"""What a turn needs next, read from its stored messages alone: so a turn that was cut can go on from wherever it
stands.

The rules of heartbeats live here. Knows nothing of models, storage or events.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from memagent.messages import Message, ToolCall
from memagent.tools import Tool

Move = Literal["ask", "rest", "stop"]
Speech = Literal["send_message", "plain"]

SAME_CALL_AT_MOST = 3
FAILED_STEPS_AT_MOST = 3

CALL_FAILED = "A function call failed; read why, and try something else or tell the user."
REQUESTED = "You asked to go on."
SPEAK = "The user can't see your thoughts. Call send_message now to answer."
UNANSWERED = "The user still waits for your answer. Call send_message when you are ready."


@dataclass(frozen=True)
class Verdict:
    """`ask` the model again (telling it `reason` first, if there is one), `rest`, or `stop` with an error for the
    user.
    """

    move: Move
    reason: str = ""
    hint: str = ""


def open_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls that have no result yet."""
    answered = {m.call_id for m in messages if m.role == "tool"}
    return [call for m in messages if m.role == "assistant" for call in m.calls if call.id not in answered]


def succeeded(message: Message) -> bool:
    """Whether a result tells of success."""
    return message.content.startswith('{"status": "OK"')


def spoke(messages: Sequence[Message]) -> bool:
    """Whether the agent said something to the user."""
    return any(m.said for m in messages if m.role != "user")


def next_move(turn: Sequence[Message], tools: Mapping[str, Tool], speech: Speech, max_steps: int) -> Verdict:
    """What to do after these messages of a turn, none of whose calls is open."""
    turn = [m for m in turn if m.kind != "summary"]
    if not turn:
        return Verdict("rest")
    answers = [m for m in turn if m.kind == "answer"]
    if not answers or turn[-1].role == "user":
        return _bounded(Verdict("ask"), turn, max_steps)
    results = [m for m in turn if m.kind == "result" and m.seq > answers[-1].seq]
    if not results:
        return _bounded(_after_text(turn, speech), turn, max_steps)
    verdict = _after_results(turn, answers[-1], results, tools, speech)
    if verdict.move == "rest":
        return verdict
    if calls := _in_circles(answers):
        return Verdict("stop", f"The model called {calls} again and again with the same arguments.", "Try /retry.")
    if _failures(turn) >= FAILED_STEPS_AT_MOST:
        said = json.loads(results[-1].content)["message"]
        return Verdict(
            "stop", f"The model's calls failed {FAILED_STEPS_AT_MOST} times in a row. The last: {said}", "Try /retry."
        )
    return _bounded(verdict, turn, max_steps)


def first_due(turn: Sequence[Message], tools: Mapping[str, Tool]) -> str | None:
    """The function that must be called before others in this turn, by its rule `first`."""
    called = {call.name for m in turn for call in m.calls}
    return next((t.name for t in tools.values() if t.rules.first and t.name not in called), None)


def expects_answer(turn: Sequence[Message]) -> bool:
    """Whether somebody waits: the turn began with a user's message or arrival, and not with a timer."""
    return any(m.kind in ("user", "login") for m in turn)


def _after_text(turn: Sequence[Message], speech: Speech) -> Verdict:
    if speech == "plain" or spoke(turn) or not expects_answer(turn):
        return Verdict("rest")
    alerted = max((i for i, m in enumerate(turn) if m.kind == "alert"), default=0)
    if not any(m.kind == "heartbeat" and SPEAK in m.content for m in turn[alerted:]):  # a thought on an alert is fair
        return Verdict("ask", SPEAK)
    return Verdict(
        "stop",
        "The model only thought, and never called send_message to answer.",
        "Models that don't call functions well do better with the preset chat_plain.",
    )


def _after_results(
    turn: Sequence[Message], answer: Message, results: Sequence[Message], tools: Mapping[str, Tool], speech: Speech
) -> Verdict:
    done = {m.call_id for m in results if succeeded(m)}
    if len(done) < len(results):
        return Verdict("ask", CALL_FAILED)
    if speech == "plain" and not any(_ends(tools, call) for call in answer.calls):
        return Verdict("ask")
    if any(_asks(call) for call in answer.calls if not _ends(tools, call)):
        return Verdict("ask", REQUESTED)
    if spoke(turn) or not expects_answer(turn) or any(_ends(tools, c) for c in answer.calls):
        return Verdict("rest")
    return Verdict("ask", UNANSWERED)


def _bounded(verdict: Verdict, turn: Sequence[Message], max_steps: int) -> Verdict:
    if verdict.move != "ask" or sum(m.kind == "answer" for m in turn) < max_steps:
        return verdict
    return Verdict(
        "stop", f"The agent took {max_steps} steps without coming to rest.", "Say something to let it go on."
    )


def _ends(tools: Mapping[str, Tool], call: ToolCall) -> bool:
    return call.name in tools and tools[call.name].rules.ends_turn


def _asks(call: ToolCall) -> bool:
    asked = json.loads(call.arguments).get("request_heartbeat", False)
    return asked is True or str(asked).lower() == "true"


def _in_circles(answers: Sequence[Message]) -> str:
    """The name of a call that the turn made too often with the same arguments, if there is one."""
    counts: Counter[tuple[str, str]] = Counter()
    for call in (call for answer in answers for call in answer.calls):
        arguments = json.loads(call.arguments)
        arguments.pop("request_heartbeat", None)
        counts[call.name, json.dumps(arguments, sort_keys=True)] += 1
    return next((name for (name, _), count in counts.items() if count >= SAME_CALL_AT_MOST), "")


def _failures(turn: Sequence[Message]) -> int:
    """How many answers at the end of the turn had nothing but failed calls."""
    count = 0
    results: list[Message] = []
    for message in reversed(turn):
        if message.kind == "result":
            results.append(message)
        elif message.kind == "answer":
            if not results or any(succeeded(m) for m in results):
                return count
            count, results = count + 1, []
    return count
