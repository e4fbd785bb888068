"""Where a full window is cut, what is told of what leaves it, and how tokens are counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.context import (
    Gauge,
    Limits,
    cut,
    pending_question,
    plain_summary,
    portions,
    transcript,
    within_words,
)
from memagent.messages import Message, ToolCall, alert, answer, estimate, result, summary, user_message

NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)


def log(*kinds: str, size: int = 10) -> list[Message]:
    """Messages of these kinds, numbered: u(ser), s(ummary), a(lert), t(ext), and digits: an answer with so many calls
    and their results.
    """
    messages: list[Message] = []
    for kind in "".join(kinds):
        words = f"{kind}{len(messages)} " + "word " * size
        if kind.isdigit():
            calls = tuple(ToolCall(f"c{len(messages)}-{n}", "look", json.dumps({"w": words})) for n in range(int(kind)))
            messages += [answer("", calls, "", NOW), *(result(call, True, words, NOW) for call in calls)]
        elif kind == "t":
            messages.append(answer(words, (), words, NOW))
        elif kind == "s":
            messages.append(summary(words, 5, 6, NOW))
        else:
            messages.append(user_message(words, NOW) if kind == "u" else alert(words, NOW))
    return [Message(**{**vars_of(m), "seq": n}) for n, m in enumerate(messages, start=10)]


def vars_of(message: Message) -> dict[str, object]:
    return {name: getattr(message, name) for name in Message.__dataclass_fields__}


windows = st.builds(
    log,
    st.sampled_from(["", "s"]),
    st.text("ut123a", min_size=0, max_size=25),
    size=st.integers(0, 60),
)


@given(windows, st.integers(-100, 3000), st.integers(-100, 4000), st.floats(0.4, 3.0))
def test_wherever_it_is_cut_something_goes_something_stays_and_pairs_hold(
    window: list[Message], budget: int, most: int, factor: float
) -> None:
    at = cut(window, budget, most, Gauge(factor))
    summarised = bool(window) and window[0].kind == "summary"
    able = any(m.role != "tool" for m in window[1 + summarised :])
    assert bool(at) == able
    if at:
        assert at > summarised  # something real goes, not just the summary before
        assert at < len(window)
        called = {call.id for m in window[at:] for call in m.calls}
        assert all(m.call_id in called for m in window[at:] if m.role == "tool")


@given(windows, st.integers(0, 3000))
def test_what_fits_is_kept(window: list[Message], budget: int) -> None:
    gauge = Gauge()
    at = cut(window, budget, 2 * budget, gauge)
    newest = max((n for n, m in enumerate(window) if m.kind == "user"), default=0)
    summarised = bool(window) and window[0].kind == "summary"
    if at and newest > summarised and gauge.of(window[newest:]) <= budget:
        assert at <= newest  # the newest exchange stays whole
        assert gauge.of(window[at:]) <= budget


def test_a_question_that_just_came_stays_as_long_as_there_is_any_room_for_it() -> None:
    window = log("utut", size=20) + log("u", size=900)
    size = Gauge().of(window[-1:])
    assert cut(window, 100, size, Gauge()) == len(window) - 1
    window += log("a", size=1)
    assert cut(window, 100, Gauge().of(window[-2:]), Gauge()) == len(window) - 2


def test_a_question_is_pending_until_something_was_said() -> None:
    turn = log("u1212")
    assert pending_question(turn, turn[-1].seq) == turn[0].said
    assert pending_question(turn, turn[0].seq) == ""  # it is still there to be seen
    spoken = Message(**{**vars_of(turn[-1]), "said": "Here it is.", "seq": 99})
    assert pending_question([*turn, spoken], 100) == ""
    assert pending_question([], 5) == ""


@given(windows, st.integers(20, 300))
def test_a_plain_summary_is_never_longer_than_it_may_be(window: list[Message], words: int) -> None:
    text = plain_summary(window, words)
    assert len(text.split()) <= words + 1
    assert estimate(text) <= words * 3 + 2


def test_a_plain_summary_carries_on_the_one_before() -> None:
    window = log("s", "ut" * 60, size=30)
    text = plain_summary(window, 100)
    assert text.startswith("s0 word")
    assert text.count("word") > 60
    assert "t120" in text  # and has what was said last


@given(windows, st.integers(50, 2000))
def test_portions_lose_nothing_and_fit(window: list[Message], budget: int) -> None:
    cuts = list(portions(window, budget))
    assert [m for portion in cuts for m in portion] == window
    assert all(estimate(transcript(portion)) <= budget for portion in cuts if len(portion) > 1)


@given(st.text(), st.integers(1, 50))
def test_words_are_cut_in_every_script(text: str, words: int) -> None:
    found = within_words(text, words)
    assert len(found.split()) <= words + 1
    assert estimate(found) <= words * 3 + 2
    if len(text.split()) <= words and estimate(text.strip()) <= words * 3:
        assert found == text.strip()


@pytest.mark.parametrize("text", ["漢字" * 5000, "x" * 50_000, "é" * 50_000])
def test_text_without_spaces_is_cut_too(text: str) -> None:
    assert estimate(within_words(text, 100)) <= 302


def test_a_transcript_reads_like_a_conversation() -> None:
    text = transcript(log("s", "u1t"))
    lines = text.splitlines()
    assert lines[0].startswith("Earlier summary: s0")
    assert lines[1].startswith("User: u1")
    assert lines[2].startswith("I called look(")
    assert lines[3].startswith("[look returned: ")
    assert lines[4].startswith("I said: t4")
    assert len(transcript(log("u", size=10_000))) <= 1500


def test_a_gauge_learns_within_reason() -> None:
    gauge = Gauge()
    gauge.learn(1000, 1500)
    assert gauge.factor == 1.5
    for estimated, counted in [(0, 10), (10, 0), (10, -5), (-1, 5)]:
        gauge.learn(estimated, counted)
        assert gauge.factor == 1.5
    gauge.learn(1000, 10**12)
    assert gauge.factor == 3.0
    gauge.learn(1000, 1)
    assert gauge.factor == 0.4


def test_limits_are_in_order() -> None:
    limits = Limits()
    assert limits.compact_to < limits.warn_at < limits.compact_at < 1
