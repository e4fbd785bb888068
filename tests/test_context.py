"""The window: what leaves it, what stays, and that nothing is cut apart, forgotten or counted without end."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent import messages
from memagent.context import (
    WORD_TOKENS,
    Gauge,
    cut,
    parts,
    pending_question,
    plain_summary,
    portions,
    system_message,
    tool_tokens,
    transcript,
    within_words,
)
from memagent.messages import Message, ToolCall, estimate

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
EXACT = Gauge(1.0)


def user(text: str = "Hello?") -> list[Message]:
    return [messages.user_message(text, NOW)]


def login() -> list[Message]:
    return [messages.login(NOW, None)]


def heartbeat() -> list[Message]:
    return [messages.heartbeat("You asked to go on.", NOW)]


def alert() -> list[Message]:
    return [messages.alert("It fills up.", NOW)]


def thought(text: str = "Hm.") -> list[Message]:
    return [messages.answer(text, (), "", NOW)]


def step(*texts: str, size: int = 0) -> list[Message]:
    """An answer with a call for each text, and their results."""
    calls = tuple(ToolCall(f"{id(texts)}/{i}", "look_up", json.dumps({"for": text})) for i, text in enumerate(texts))
    return [
        messages.answer("I look it up.", calls, "", NOW),
        *(messages.result(call, True, "found " + "x" * size, NOW) for call in calls),
    ]


def spoken(text: str = "Here I am.") -> list[Message]:
    call = ToolCall(f"say {text[:9]} {id(text)}", "send_message", json.dumps({"message": text}))
    return [messages.answer("", (call,), "", NOW), messages.result(call, True, "Sent.", NOW, said=text)]


def summary(start: int = 1) -> list[Message]:
    return [messages.summary("Long ago there was much.", 3, start, NOW)]


def window(*pieces: list[Message]) -> list[Message]:
    """Messages numbered as the log would; every call has an id of its own."""
    found: list[Message] = []
    ids: dict[str, str] = {}
    for number, piece in enumerate(pieces):
        for message in piece:
            calls = tuple(
                replace(call, id=ids.setdefault(f"{number}/{call.id}", f"c{len(ids)}")) for call in message.calls
            )
            call_id = message.call_id and ids[f"{number}/{message.call_id}"]
            found.append(replace(message, seq=len(found) + 1, calls=calls, call_id=call_id))
    return found


TEXTS = st.text(max_size=400) | st.integers(0, 3000).map("x".__mul__) | st.integers(0, 300).map("記憶".__mul__)
PIECES = st.one_of(
    st.builds(user, TEXTS),
    st.builds(login),
    st.builds(heartbeat),
    st.builds(alert),
    st.builds(thought, TEXTS),
    st.builds(spoken, TEXTS),
    st.builds(
        lambda texts, size: step(*texts, size=size), st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 4000)
    ),
)
BEGINNINGS = st.sampled_from([[], summary(), messages.boot_messages(NOW, "Hello", "hm")])
WINDOWS = st.builds(lambda first, rest: window(first, *rest), BEGINNINGS, st.lists(PIECES, max_size=14))
GAUGES = st.floats(0.4, 3.0).map(Gauge)


def newest_user(found: Sequence[Message]) -> Message | None:
    return next((m for m in reversed(found) if m.kind == "user"), None)


def open_ends(found: Sequence[Message]) -> set[str | None]:
    """Calls without results, and results without calls."""
    called = {call.id for m in found for call in m.calls}
    answered = {m.call_id for m in found if m.role == "tool"}
    return called ^ answered


# Where the window is cut ----------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(WINDOWS, st.integers(0, 6000), st.integers(0, 9000), GAUGES)
def test_a_cut_parts_nothing_and_gets_on(found: list[Message], budget: int, most: int, gauge: Gauge) -> None:
    first = int(bool(found) and found[0].kind == "summary")
    places = [i for i in range(first + 1, len(found)) if found[i].role != "tool"]
    at = cut(found, budget, most, gauge)
    if not places:
        assert at == 0
        return
    assert at in places, "something leaves besides the last summary, and something stays"
    assert open_ends(found[:at]) == open_ends(found[at:]) == set()
    kept = gauge.of(found[at:])
    assert kept <= budget or kept <= most or at == places[-1], "what is kept fits, or is the very last"
    question = newest_user(found)
    if question:
        assert question in found[at:] or pending(found, at) == question.said
        if question in [found[i] for i in places] and found[-1] == question and gauge.of([question]) <= most:
            assert question in found[at:], "what was just asked stays when it fits"
    for i in places:
        if i < at and found[i].kind in ("user", "login") and gauge.of(found[i:]) <= budget:
            raise AssertionError("more could have stayed")


def pending(found: Sequence[Message], at: int) -> str:
    """What is told of the newest question when the window is cut there, and nobody has answered it."""
    start = max((i for i, m in enumerate(found) if m.kind == "user"), default=0)
    return pending_question([m for m in found[start:] if not m.said or m.role == "user"], found[at].seq)


@settings(max_examples=150, deadline=None)
@given(WINDOWS, st.integers(0, 3000), GAUGES)
def test_cutting_again_and_again_comes_to_an_end(found: list[Message], budget: int, gauge: Gauge) -> None:
    for _ in range(len(found) + 1):
        at = cut(found, budget, 2 * budget, gauge)
        if not at:
            break
        kept = found[at:]
        assert len([m for m in kept if m.kind != "summary"]) < len([m for m in found if m.kind != "summary"])
        found = [*window(summary(kept[0].seq)), *kept]
    else:
        raise AssertionError("there was always something more to cut")


def test_the_newest_exchanges_stay_as_far_as_there_is_room() -> None:
    found = window(*[piece for i in range(10) for piece in (user(f"question {i}"), spoken(f"answer {i}"))])
    budget = EXACT.of(found[-9:])
    at = cut(found, budget, budget, EXACT)
    assert found[at].said == "question 7"
    assert len(found[at:]) == 9


def test_what_the_user_waits_for_stays_even_without_room() -> None:
    found = window(*[piece for i in range(5) for piece in (user(f"question {i}"), spoken(f"answer {i}"))], user("now?"))
    assert found[cut(found, 0, 100, EXACT) :] == found[-1:]
    assert found[cut(found, 0, 0, EXACT) :] == found[-1:]
    found = window(login(), user("now?"), step("a", size=4000), step("b", size=4000))
    at = cut(found, 0, 0, EXACT)
    assert at == 4, "the last step stays whole"
    assert pending_question(found, found[at].seq) == "now?"


def test_a_long_question_stays_whole_if_the_window_has_room_for_it() -> None:
    found = window(user("old"), spoken(), user("x" * 4000))
    assert cut(found, 100, 2000, EXACT) == 3
    found = window(user("x" * 4000), spoken(), user("y" * 4000), step("a"))
    assert cut(found, 600, 2000, EXACT) == 3, "and what was begun on it, within twice the budget"


def test_a_long_turn_keeps_its_latest_steps() -> None:
    for beginning in ([], summary()):
        found = window(beginning, user("Read all of it."), *[step(f"page {i}", size=400) for i in range(20)])
        budget = EXACT.of(found[-8:])
        at = cut(found, budget, 10 * budget, EXACT)
        assert len(found[at:]) == 8
        assert pending_question(found, found[at].seq) == "Read all of it."


def test_a_question_is_told_when_it_leaves_and_is_not_answered() -> None:
    found = window(user("old"), spoken(), user("new"), step("x"))
    turn = found[3:]
    assert pending_question(turn, 4) == "", "it stays"
    assert pending_question(turn, 5) == "new"
    assert pending_question(window(user("new"), spoken(), step("x")), 4) == "", "it was answered"
    assert pending_question(window(login(), thought()), 2) == ""
    assert pending_question([], 1) == "", "no turn is going on"


def test_six_messages_do_not_stay_six() -> None:
    found = window(summary(), user("a"), spoken(), user("b"), thought())
    assert cut(found, 10_000, 10_000, EXACT) >= 2
    assert cut(window(summary(), user("x" * 40_000)), 1000, 1000, EXACT) == 0, "told, so that nobody tries for ever"
    assert cut([], 1000, 1000, EXACT) == 0


def test_cutting_a_long_window_takes_no_time_to_speak_of() -> None:
    """The window is added up once, however many places there are to cut it at."""
    counted = 0

    class Counted(Message):
        @property
        def tokens(self) -> int:  # type: ignore[override]
            nonlocal counted
            counted += 1
            return 10

    found = [Counted(**{k: v for k, v in vars(m).items() if k != "tokens"}) for m in window(*[user("x")] * 500)]
    cut(found, 0, 0, EXACT)
    assert counted <= 2 * len(found)


# Words and lines ------------------------------------------------------------------------------------------------------


@given(WINDOWS, st.integers(3, 2000))
def test_a_transcript_has_every_message_and_none_at_length(found: list[Message], most: int) -> None:
    for message in found:
        assert len(transcript([message], most)) <= most
    assert transcript(found, most) == "\n".join(transcript([message], most) for message in found)


def test_a_transcript_tells_who_did_what() -> None:
    found = window(
        summary(), login(), user("Where is it?\nTell me."), step("it"), spoken("There."), heartbeat(), thought("Done.")
    )
    lines = transcript(found).splitlines()
    assert lines[0] == "Earlier summary: Long ago there was much."
    assert lines[1].startswith('[{"type": "login"')
    assert lines[2:4] == ["User: Where is it?", "Tell me."]
    assert lines[4:6] == ["I thought: I look it up.", 'I called look_up({"for": "it"})']
    assert lines[6].startswith("[look_up returned: ")
    assert lines[7] == 'I called send_message({"message": "There."})'
    assert lines[9].startswith('[{"type": "heartbeat"')
    assert lines[10] == "I thought: Done."
    plain = messages.answer("Here.", (), "Here.", NOW)
    assert transcript([plain]) == "I said: Here."
    assert transcript([messages.told_by("the\ncoder", "Here.", NOW)]) == "the coder: Here."


def test_a_clipped_message_keeps_its_beginning_and_end() -> None:
    line = transcript(user("begin " + "x" * 5000 + " end"), 100)
    assert line.startswith("User: begin xxx")
    assert line.endswith("xxx end")
    assert len(line) == 100


@given(WINDOWS, st.integers(1, 3000))
def test_portions_lose_nothing_and_fit(found: list[Message], budget: int) -> None:
    made = list(portions(found, budget))
    assert [message for portion in made for message in portion] == found
    for portion in made:
        assert portion
        assert len(portion) == 1 or estimate(transcript(portion)) <= budget
    for one, next_one in pairwise(made):
        tokens = [estimate(transcript([m])) + 1 for m in [*one, next_one[0]]]
        assert sum(tokens) > budget, "no portion is smaller than it must be"


@given(st.text(max_size=3000) | TEXTS, st.integers(1, 200))
def test_words_are_limited_in_every_script(text: str, words: int) -> None:
    short = within_words(text, words)
    ending = 2 if short.endswith(" …") else 0
    assert len(short.split()) <= words + 1
    assert estimate(short) <= words * WORD_TOKENS + ending
    assert not short.startswith(" ")
    if len(text.split()) <= words and estimate(text) <= words * WORD_TOKENS:
        assert short == text.strip(), "what fits stays as it is"
    kept = short.removesuffix("…").split()
    assert short == text.strip() or kept == text.split()[: len(kept)] or ending


def test_words_that_fit_and_words_that_do_not() -> None:
    assert within_words("one two\nthree", 3) == "one two\nthree"
    assert within_words("one two\nthree four", 3) == "one two three …"
    assert within_words("記憶" * 1000, 100) == "記憶" * 187 + "記 …"
    assert within_words("", 10) == ""


@given(WINDOWS, st.integers(20, 300))
def test_a_plain_summary_is_within_its_words(found: list[Message], words: int) -> None:
    text = plain_summary(found, words)
    assert len(text.split()) <= words + 1
    assert estimate(text) <= words * WORD_TOKENS + 2


@pytest.mark.parametrize("word", ["word ", "記憶"])
def test_a_plain_summary_keeps_the_newest(word: str) -> None:
    found = window(*[piece for i in range(50) for piece in (user(f"question {i} {word * 20}"), thought(f"answer {i}"))])
    text = plain_summary(found, 100)
    assert "answer 49" in text
    assert "question 49" in text
    assert "question 10 " not in text
    numbers = [int(number) for number in re.findall(r"(?:question|answer) (\d+)", text)]
    assert numbers == sorted(numbers), "in their order"


def test_a_plain_summary_of_nothing_said() -> None:
    assert plain_summary([], 100) == ""
    assert plain_summary(window(login(), heartbeat()), 100) == ""


# Counting -------------------------------------------------------------------------------------------------------------

STRANGE = [
    "", "\0", "\ud800", "\udfff\ud800", "nan", "\u202e\u2066bidi", "a" + "\u0301" * 100_000, "<|im_end|><|endoftext|>",
    "\U0001f469\u200d\U0001f680" * 100, "\ufeff", "\r\n" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("text", STRANGE, ids=lambda text: ascii(text[:12]))
def test_no_text_is_too_strange_to_be_counted(text: str) -> None:
    count = estimate(text)
    assert 0 <= count <= len(text) + 1
    message = messages.user_message(text, NOW)
    assert message.tokens > 0
    assert within_words(text, 50) is not None
    assert transcript([message])


@given(st.text(st.characters()), st.text(st.characters()))
def test_more_text_is_never_fewer_tokens(one: str, more: str) -> None:
    assert estimate(one) <= estimate(one + more) <= estimate(one) + estimate(more)


def test_the_gauge_learns_within_bounds() -> None:
    gauge = Gauge()
    found = window(user("x" * 4000))
    assert gauge.of(found) == found[0].tokens
    gauge.learn(1000, 1500)
    assert gauge.of(found) == int(found[0].tokens * 1.5)
    for estimated, counted in ((0, 100), (100, 0), (-5, 3)):
        gauge.learn(estimated, counted)
        assert gauge.factor == 1.5, "a provider that counts nothing teaches nothing"
    gauge.learn(10, 100_000)
    assert gauge.factor == 3.0
    gauge.learn(100_000, 1)
    assert gauge.factor == 0.4


def test_the_parts_add_up() -> None:
    tools = [{"name": "look_up", "description": "Looks up.", "parameters": {}}]
    found = window(summary(), login(), user("x" * 400), step("y"), thought())
    counted = dict(parts("You are.", "<core/>", found, tools, EXACT))
    assert set(counted) == {
        "system prompt",
        "core memory",
        "functions",
        "summary",
        "events",
        "user",
        "agent",
        "results",
    }
    whole = EXACT.of([system_message("You are.", "<core/>", NOW), *found], tool_tokens(tools))
    assert abs(sum(counted.values()) - whole) <= 2
    assert counted["functions"] == tool_tokens(tools)
    doubled = dict(parts("You are.", "<core/>", found, tools, Gauge(2.0)))
    assert all(doubled[name] == 2 * count for name, count in counted.items())


def test_the_beginning_does_not_change_with_time() -> None:
    made = system_message("  You are.\n", "<core/>", NOW)
    assert made.content == "You are.\n\n<core/>"
    assert made == system_message("You are.", "<core/>", NOW)
