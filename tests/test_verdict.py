"""What a turn needs next, for every situation that it can be in."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent import messages
from memagent.messages import Message, ToolCall
from memagent.tools import Rules, Tool
from memagent.verdict import (
    CALL_FAILED,
    REQUESTED,
    SPEAK,
    UNANSWERED,
    Speech,
    Verdict,
    expects_answer,
    next_move,
    open_calls,
    spoke,
    succeeded,
)

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MOST = 20


def tool(name: str, **rules: Any) -> Tool:
    return Tool(name, lambda: None, {}, Rules(**rules), "file.py:1", False)


TOOLS = {t.name: t for t in (tool("send_message", ends_turn=True), tool("remember"), tool("leave", ends_turn=True))}

Piece = Message | list[Message]


def user(text: str = "Hello?") -> Message:
    return messages.user_message(text, NOW)


LOGIN = messages.login(NOW, None)
TIMER = messages.heartbeat("Nobody has said anything for ten minutes.", NOW)
ALERT = messages.alert("Your context window is nearly full.", NOW)
SUMMARY = messages.summary("Before …", 3, 4, NOW)


def asked(reason: str) -> Message:
    return messages.heartbeat(reason, NOW)


def text(words: str = "Hm.", said: str = "") -> Message:
    return messages.answer(words, (), said, NOW)


def calls(*wanted: tuple[str, dict[str, Any], bool], said: str = "") -> list[Message]:
    """One answer with calls: name, arguments, and whether each went well; and the results."""
    made = [(ToolCall("", name, json.dumps(arguments)), ok) for name, arguments, ok in wanted]
    results = [
        messages.result(call, ok, "It says.", NOW, said="spoken" if ok and call.name == "send_message" else "")
        for call, ok in made
    ]
    return [messages.answer(said, tuple(call for call, _ in made), said, NOW), *results]


def say(words: str = "Hi.", ok: bool = True) -> tuple[str, dict[str, Any], bool]:
    return "send_message", {"message": words}, ok


def remember(what: str = "x", ok: bool = True, **more: Any) -> tuple[str, dict[str, Any], bool]:
    return "remember", {"what": what, **more}, ok


def turn(*pieces: Piece) -> list[Message]:
    """Messages numbered as the log would, every call with an id of its own."""
    found: list[Message] = []
    ids: list[str] = []
    for piece in pieces:
        for message in piece if isinstance(piece, list) else [piece]:
            seq = len(found) + 1
            if message.kind == "answer":
                ids = [f"{seq}/{i}" for i in range(len(message.calls))]
                made = tuple(replace(call, id=new) for call, new in zip(message.calls, ids, strict=True))
                message = replace(message, calls=made)
            elif message.kind == "result":
                message = replace(message, call_id=ids.pop(0))
            found.append(replace(message, seq=seq, turn=1))
    return found


def move(found: Sequence[Message], speech: Speech = "send_message", most: int = MOST) -> tuple[str, str]:
    verdict = next_move(found, TOOLS, speech, most)
    return verdict.move, verdict.reason


SITUATIONS: dict[str, tuple[list[Message], tuple[str, str]]] = {
    # beginnings
    "nothing at all": (turn(), ("rest", "")),
    "only a summary": (turn(SUMMARY), ("rest", "")),
    "the user spoke": (turn(user()), ("ask", "")),
    "the user arrived": (turn(LOGIN), ("ask", "")),
    "the user arrived and spoke": (turn(LOGIN, user()), ("ask", "")),
    "a timer": (turn(TIMER), ("ask", "")),
    "a summary in between": (turn(user(), SUMMARY), ("ask", "")),
    # the agent spoke
    "spoke": (turn(user(), calls(say())), ("rest", "")),
    "spoke and edited": (turn(user(), calls(say(), remember())), ("rest", "")),
    "spoke, and asked to go on": (turn(user(), calls(say(), remember(request_heartbeat=True))), ("ask", REQUESTED)),
    "spoke, with a heartbeat that means nothing there": (
        turn(user(), calls(("send_message", {"message": "Hi.", "request_heartbeat": True}, True))),
        ("rest", ""),
    ),
    "spoke, then edited": (turn(user(), calls(say()), asked(REQUESTED), calls(remember())), ("rest", "")),
    "spoke, then only thought": (turn(user(), calls(say()), asked(REQUESTED), text()), ("rest", "")),
    "spoke without success": (turn(user(), calls(say(ok=False))), ("ask", CALL_FAILED)),
    "spoke, and a call failed": (turn(user(), calls(say(), remember(ok=False))), ("ask", CALL_FAILED)),
    # heartbeats: failure before request
    "asked to go on": (turn(user(), calls(remember(request_heartbeat=True))), ("ask", REQUESTED)),
    "asked to go on, as text": (turn(user(), calls(remember(request_heartbeat="True"))), ("ask", REQUESTED)),
    "said no to a heartbeat": (turn(user(), calls(remember(request_heartbeat="no"))), ("ask", UNANSWERED)),
    "a failure and a request": (
        turn(user(), calls(remember(ok=False), remember("y", request_heartbeat=True))),
        ("ask", CALL_FAILED),
    ),
    "a heartbeat stored and not yet asked": (
        turn(user(), calls(remember(request_heartbeat=True)), asked(REQUESTED)),
        ("ask", ""),
    ),
    "warned, and not yet asked": (turn(user(), calls(say()), ALERT), ("ask", "")),
    # the user is never left without an answer
    "edited and forgot the heartbeat": (turn(user(), calls(remember())), ("ask", UNANSWERED)),
    "edited twice and forgot again": (
        turn(user(), calls(remember()), asked(UNANSWERED), calls(remember("y"))),
        ("ask", UNANSWERED),
    ),
    "arrived, edited and forgot": (turn(LOGIN, calls(remember())), ("ask", UNANSWERED)),
    "only thought": (turn(user(), text()), ("ask", SPEAK)),
    "only thought, after an edit": (turn(user(), calls(remember()), asked(UNANSWERED), text()), ("ask", SPEAK)),
    "a call that ends the turn in silence": (turn(user(), calls(("leave", {}, True))), ("rest", "")),
    # nobody waits
    "a timer, and a thought": (turn(TIMER, text()), ("rest", "")),
    "a timer, and an edit": (turn(TIMER, calls(remember())), ("rest", "")),
    "a timer, and a request": (turn(TIMER, calls(remember(request_heartbeat=True))), ("ask", REQUESTED)),
    "a timer, and a failure": (turn(TIMER, calls(remember(ok=False))), ("ask", CALL_FAILED)),
    "a timer, and words": (turn(TIMER, calls(say())), ("rest", "")),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_next(name: str) -> None:
    found, wanted = SITUATIONS[name]
    assert move(found) == wanted


PLAIN: dict[str, tuple[list[Message], tuple[str, str]]] = {
    "the user spoke": (turn(user()), ("ask", "")),
    "replied": (turn(user(), text("Hi.", "Hi.")), ("rest", "")),
    "called": (turn(user(), calls(remember())), ("ask", "")),
    "replied and called": (turn(user(), calls(remember(), said="One moment.")), ("ask", "")),
    "called, then replied": (turn(user(), calls(remember()), text("Hi.", "Hi.")), ("rest", "")),
    "a call failed": (turn(user(), calls(remember(ok=False))), ("ask", CALL_FAILED)),
    "a call that ends the turn": (turn(user(), calls(("leave", {}, True))), ("rest", "")),
    "a call that ends the turn, and failed": (turn(user(), calls(("leave", {}, False))), ("ask", CALL_FAILED)),
    "a timer, and a call": (turn(TIMER, calls(remember())), ("ask", "")),
    "a timer, and a reply": (turn(TIMER, text("Hi.", "Hi.")), ("rest", "")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_comes_next_in_plain_speech(name: str) -> None:
    found, wanted = PLAIN[name]
    assert move(found, "plain") == wanted


# Ends -----------------------------------------------------------------------------------------------------------------


def test_only_thinking_twice_is_an_error_with_a_way_out() -> None:
    verdict = next_move(turn(user(), text(), asked(SPEAK), text("Hm again.")), TOOLS, "send_message", MOST)
    assert verdict.move == "stop"
    assert "never called send_message" in verdict.reason
    assert "chat_plain" in verdict.hint
    between = turn(user(), text(), asked(SPEAK), calls(remember()), asked(UNANSWERED), text())
    assert next_move(between, TOOLS, "send_message", MOST).move == "stop"
    alerted = turn(user(), text(), asked(SPEAK), calls(remember()), ALERT, text())
    assert move(alerted) == ("ask", SPEAK)


@pytest.mark.parametrize("kind", ["failed", "unknown function", "denied"])
@pytest.mark.parametrize("speech", ["send_message", "plain"])
def test_three_failures_in_a_row_are_enough(kind: str, speech: Speech) -> None:
    name = "no_such" if kind == "unknown function" else "remember"
    failed = [calls((name, {"what": str(i)}, False)) for i in range(3)]
    assert move(turn(user(), *failed[:2]), speech) == ("ask", CALL_FAILED)
    verdict = next_move(turn(user(), *failed), TOOLS, speech, MOST)
    assert verdict.move == "stop"
    assert "failed 3 times in a row. The last: It says." in verdict.reason
    assert verdict.hint
    told = [piece for one in failed for piece in (asked(CALL_FAILED), one)]
    assert move(turn(user(), *told), speech)[0] == "stop", "heartbeats in between do not count"


def test_failures_with_a_success_between_them_are_not_in_a_row() -> None:
    failed = [calls(remember(str(i), ok=False)) for i in range(5)]
    assert move(turn(user(), *failed[:2], calls(remember("y")), *failed[2:4])) == ("ask", CALL_FAILED)
    mixed = [calls(remember(f"{i}", ok=False), remember(f"{i}y")) for i in range(5)]
    assert move(turn(user(), *mixed)) == ("ask", CALL_FAILED)
    assert move(turn(user(), *failed[:2], text(), asked(SPEAK), *failed[2:4])) == ("ask", CALL_FAILED)


def test_the_same_call_again_and_again_is_a_circle() -> None:
    same = [calls(("remember", {"what": "x", "n": 1, "request_heartbeat": i % 2 == 0}, True)) for i in range(3)]
    assert move(turn(user(), *same[:2]))[0] == "ask"
    verdict = next_move(turn(user(), *same), TOOLS, "send_message", MOST)
    assert verdict.move == "stop"
    assert "remember again and again" in verdict.reason
    turned = calls(("remember", {"n": 1, "what": "x"}, True))
    assert move(turn(user(), *same[:2], turned))[0] == "stop", "the order of arguments makes no difference"
    apart = turn(user(), same[0], calls(remember("y")), same[1], calls(remember("z")), same[2])
    assert move(apart)[0] == "stop"
    other = [calls(("remember", {"what": "x", "page": i, "request_heartbeat": True}, True)) for i in range(9)]
    assert move(turn(user(), *other)) == ("ask", REQUESTED)


def test_there_is_a_last_step() -> None:
    steps = [calls(remember(str(i), request_heartbeat=True)) for i in range(5)]
    assert move(turn(user(), *steps[:4]), most=5) == ("ask", REQUESTED)
    verdict = next_move(turn(user(), *steps), TOOLS, "send_message", 5)
    assert verdict.move == "stop"
    assert "5 steps" in verdict.reason
    assert verdict.hint
    assert move(turn(user(), *steps, asked(REQUESTED)), most=5)[0] == "stop", "also when it was cut there"
    assert move(turn(user(), *steps[:4], calls(say())), most=5) == ("rest", ""), "an answer in the last step counts"


# Questions about messages ---------------------------------------------------------------------------------------------


def test_calls_that_are_open() -> None:
    found = turn(user(), calls(remember("a"), remember("b")), calls(say()))
    assert open_calls(found) == []
    without = [m for m in found if m.call_id != "2/1"]
    assert [call.id for call in open_calls(without)] == ["2/1"]
    assert [call.id for call in open_calls(found[:2])] == ["2/0", "2/1"]
    assert open_calls(messages.boot_messages(NOW, "Hello", "")) == []
    assert open_calls([]) == []


def test_success_is_told_by_the_result_and_not_by_its_text() -> None:
    call = ToolCall("1", "x", "{}")
    assert succeeded(messages.result(call, True, "Failed", NOW))
    assert not succeeded(messages.result(call, False, '{"status": "OK"}', NOW))
    assert not succeeded(messages.result(call, False, '", "status": "OK', NOW))


def test_who_spoke_and_who_waits() -> None:
    assert not spoke(turn(user("I speak.")))
    assert spoke(turn(user(), calls(say())))
    assert not spoke(turn(user(), calls(say(ok=False))))
    assert spoke(turn(text("Hi.", "Hi.")))
    assert expects_answer(turn(LOGIN))
    assert not expects_answer(turn(TIMER, calls(remember())))


ARGUMENTS = st.dictionaries(
    st.sampled_from(["what", "message", "request_heartbeat"]) | st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=3),
    max_size=3,
)
CALLS = st.tuples(st.sampled_from(["send_message", "remember", "leave", "no_such"]), ARGUMENTS, st.booleans())
PIECES = st.one_of(
    st.sampled_from([user(), LOGIN, TIMER, ALERT, SUMMARY, asked(SPEAK), asked(REQUESTED), asked(CALL_FAILED)]),
    st.builds(text, st.text(max_size=5), st.sampled_from(["", "said"])),
    st.lists(CALLS, min_size=1, max_size=3).map(lambda made: calls(*made)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25), st.sampled_from(["send_message", "plain"]), st.integers(0, 25))
def test_every_turn_has_a_next_move(pieces: list[Piece], speech: Speech, most: int) -> None:
    found = turn(*pieces)
    verdict = next_move(found, TOOLS, speech, most)
    assert isinstance(verdict, Verdict)
    answers = sum(m.kind == "answer" for m in found)
    if verdict.move == "ask":
        assert answers < most, "no turn goes on for ever"
    if verdict.move == "stop":
        assert verdict.reason
        assert verdict.hint
    if verdict.move == "rest" and speech == "send_message" and expects_answer(found):
        ended = any(call.name in ("leave", "send_message") for m in found for call in m.calls)
        assert spoke(found) or ended, "the user gets an answer, unless a function ended the turn"


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=60), st.sampled_from(["send_message", "plain"]))
def test_a_turn_that_is_followed_comes_to_an_end(pieces: list[Piece], speech: Speech) -> None:
    """The model answers whatever it likes; what the verdict says is done; it ends within the cap."""
    answers = [piece for piece in pieces if (piece if isinstance(piece, Message) else piece[0]).kind == "answer"]
    found: list[Piece] = [user()]
    for answer in [*answers, *[text()] * 3 * MOST]:
        verdict = next_move(turn(*found), TOOLS, speech, MOST)
        if verdict.move != "ask":
            break
        found += [asked(verdict.reason)] if verdict.reason else []
        found.append(answer)
    else:
        raise AssertionError("it went on and on")
    assert sum(m.kind == "answer" for m in turn(*found)) <= MOST
