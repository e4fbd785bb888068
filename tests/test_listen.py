"""What is heard of a model while it writes, and which calls it makes."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.listen import (
    CUT_OFF,
    EMPTY,
    FIRST_WORDS,
    MOST_CALLS,
    UNREADABLE,
    Ear,
    calls_of,
    problem_with,
    readable,
    refused,
)
from memagent.llm import Answer, Piece
from memagent.messages import ToolCall, storable


def heard(arguments: str, size: int = 1, name: str = "send_message") -> str:
    """What is shown of the arguments when they come in pieces of that size."""
    ear = Ear("send_message")
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    return "".join(delta.text for part in pieces for delta in ear.hear(Piece("arguments", part, 0, name)))


@given(st.text(), st.integers(1, 20), st.booleans(), st.booleans())
def test_a_reply_is_shown_word_for_word_however_it_is_cut(text: str, size: int, plain: bool, after: bool) -> None:
    other = {"request_heartbeat": True}
    arguments = {"message": text, **other} if after else {**other, "message": text}
    assert heard(json.dumps(arguments, ensure_ascii=not plain), size) == storable(text)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"message": "not yet over', "not yet over"),
        ('{"message": "half an escape \\u00', "half an escape "),
        ('{"message": "half a pair \\ud83d', "half a pair "),
        ('{"message": "a \\x that means nothing"}', "a \\x that means nothing"),
        ('{"message": "over", "message": "again"}', "over"),
        ('{"inner": {"message": "not this one"}}', ""),
        ('{"content": "message"}', ""),
        ('{"thought": "say \\"message\\": \\"x\\"", "message": "hi"}', "hi"),
        ('{"message": 5}', ""),
        ('["message", "x"]', ""),
        ("message: hi", ""),
        ("", ""),
    ],
)
def test_only_the_message_is_shown(arguments: str, shown: str) -> None:
    for size in (1, 3, 1000):
        assert heard(arguments, size) == shown


def test_only_send_message_speaks() -> None:
    assert heard('{"message": "secret"}', name="note_down") == ""


def test_two_calls_at_once_are_kept_apart() -> None:
    ear = Ear("send_message")
    said = [(0, '{"message": "a'), (1, '{"message": "x'), (0, 'b"}'), (1, 'y"}')]
    pieces = [Piece("arguments", text, index, "send_message") for index, text in said]
    assert [delta.text for piece in pieces for delta in ear.hear(piece)] == ["a", "x", "b", "y"]


def test_text_is_a_thought_where_a_function_speaks() -> None:
    assert next(Ear("send_message").hear(Piece("text", "hm"))).kind == "thought"
    assert next(Ear("plain").hear(Piece("text", "hm"))).kind == "reply"
    assert next(Ear("plain").hear(Piece("thought", "hm"))).kind == "thought"


@pytest.mark.parametrize("letter", ["a", "\\n", "\\u00e9", "\\", "{"])
def test_a_long_reply_costs_in_proportion_to_its_length(letter: str) -> None:
    """As one that grows with the square would not: ten times the length, ten times the time."""

    def spent(length: int) -> float:
        before = time.process_time()
        heard('{"message": "' + letter * (length // len(letter)))
        return time.process_time() - before

    short = min(spent(10_000) for _ in range(3))
    assert spent(100_000) < 40 * short + 0.2


def test_a_beginning_without_end_is_given_up() -> None:
    before = time.process_time()
    assert heard('{"' + "x" * 200_000) == ""
    assert time.process_time() - before < 3


def test_what_is_wrong_with_an_answer() -> None:
    spoken = ToolCall("1", "send_message", '{"message": "hi"}')
    other = ToolCall("1", "other", "{}")
    half = ToolCall("1", "send_message", '{"message": "hi')
    assert problem_with(Answer(), False, None) == EMPTY
    assert problem_with(Answer(" \n"), False, None) == EMPTY
    assert problem_with(Answer(finish="length"), False, None) == CUT_OFF
    assert problem_with(Answer(calls=(half,), finish="length"), False, None) == CUT_OFF
    assert problem_with(Answer(calls=(half,)), False, None) == ""  # that can be mended
    assert problem_with(Answer(calls=(spoken,), finish="length"), False, None) == ""
    assert problem_with(Answer(calls=(other,)), True, None) == FIRST_WORDS
    assert problem_with(Answer("hm"), True, None) == FIRST_WORDS
    assert problem_with(Answer(calls=(spoken,)), True, None) == ""
    assert problem_with(Answer(calls=(other,)), True, "other") == ""
    deep = ToolCall("1", "send_message", "[" * 100_000)
    assert problem_with(Answer(calls=(deep,), finish="length"), False, None) == CUT_OFF


@given(st.text(max_size=200))
def test_arguments_are_always_a_json_object_afterwards(text: str) -> None:
    assert isinstance(json.loads(readable(text)), dict)


def test_what_can_not_be_read_says_how_it_should_be() -> None:
    told = json.loads(readable("just words"))[UNREADABLE]
    assert "can't be read" in told
    assert '{"name": "value", "count": 2}' in told


def test_calls_get_ids_of_ours_and_are_not_too_many() -> None:
    answer = Answer(calls=tuple(ToolCall("theirs", "f", "") for _ in range(MOST_CALLS + 3)))
    calls, dropped = calls_of(answer, lambda index: f"ours{index}")
    assert [call.id for call in calls] == [f"ours{n}" for n in range(MOST_CALLS + 1)]
    assert dropped == 3
    assert all(call.arguments == "{}" and not refused(json.loads(call.arguments)) for call in calls[:MOST_CALLS])
    assert "3 more, which did not happen" in refused(json.loads(calls[-1].arguments)), (
        "one stands for all that were dropped"
    )
