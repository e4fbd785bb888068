"""An answer put together from whatever an endpoint sends."""

from itertools import pairwise, repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.llm import Piece
from memagent.llm.draft import Draft
from memagent.llm.sse import TooLong, events
from memagent.llm.thinking import Thinking

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def fields(**known: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which each field is missing, as it should be, or anything at all."""
    return st.fixed_dictionaries({}, optional={key: value | json_values for key, value in known.items()})


surrogates = st.text(st.sampled_from("a🦊\ud83e\udd8aé"), max_size=6)
calls = fields(
    index=st.integers(-1, 3), id=st.sampled_from(["a", "b"]), function=fields(name=surrogates, arguments=surrogates)
)
deltas = fields(content=surrogates, reasoning=surrogates, refusal=surrogates, tool_calls=st.lists(calls, max_size=3))
choices = fields(delta=deltas, message=deltas, finish_reason=st.sampled_from(["stop", "length"]))
chunks = fields(
    id=st.text(),
    choices=st.lists(choices, max_size=2),
    usage=fields(prompt_tokens=st.integers(), completion_tokens=st.integers(), prompt_tokens_details=fields()),
)


@given(st.lists(chunks, max_size=8))
def test_whatever_is_sent_makes_an_answer_of_what_was_heard(sent: list[dict[str, Any]]) -> None:
    draft = Draft(longest=20, most_calls=3)
    heard: list[Piece] = []
    for chunk in sent:
        heard += draft.take(chunk)
    answer = draft.answer()
    assert answer.text.startswith("".join(piece.text for piece in heard if piece.kind == "text"))
    assert answer.thoughts.startswith("".join(piece.text for piece in heard if piece.kind == "thought"))
    for place, call in enumerate(answer.calls):
        assert call.arguments == "".join(
            piece.text for piece in heard if piece.kind == "arguments" and piece.index == place
        )
    assert len({call.id for call in answer.calls}) == len(answer.calls) <= 3
    everything = [answer.text, answer.thoughts, *(text for call in answer.calls for text in vars(call).values())]
    assert all(text == text.encode("utf-8", "replace").decode() for text in everything), "no half characters"


@given(st.text(st.characters(codec="utf-8")), st.lists(st.integers(0, 40)))
def test_a_text_cut_anywhere_even_within_characters_is_the_same_text(text: str, cuts: list[int]) -> None:
    units = text.encode("utf-16-le")
    halves = [units[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, len(units), 2)]
    places = sorted({min(cut, len(halves)) for cut in cuts} | {0, len(halves)})
    draft = Draft()
    for start, end in pairwise(places):
        list(draft.take({"choices": [{"delta": {"content": "".join(halves[start:end])}}]}))
    if not text.lstrip().startswith("<"):
        assert draft.answer().text == text


def parted(text: str, cuts: list[int]) -> tuple[str, str]:
    thinking = Thinking()
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    parts = [thinking.part(text[start:end]) for start, end in pairwise(places)]
    parts.append(thinking.rest())
    return "".join(thought for thought, _ in parts), "".join(speech for _, speech in parts)


pieces_of_thought = st.lists(
    st.sampled_from(["<think>", "</think>", "<thinking>", "</thinking>", "<", "</", "think>", " ", "\n", "a", "é"]),
    max_size=10,
).map("".join)


@given(pieces_of_thought, st.lists(st.integers(0, 60)))
def test_thoughts_are_parted_the_same_however_the_text_is_cut(text: str, cuts: list[int]) -> None:
    assert parted(text, cuts) == parted(text, [])


def test_thoughts_and_speech() -> None:
    assert parted("<think>a</think>\n\nb", []) == ("a", "b")
    assert parted(" \n<thinking>a</think>b</thinking> c", []) == ("a</think>b", "c")
    assert parted("<think>never closed </thi", []) == ("never closed </thi", "")
    assert parted("a <think>b</think>", []) == ("", "a <think>b</think>")
    assert parted("<thin air", []) == ("", "<thin air")


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=10), max_size=6),
    st.lists(st.integers(0, 100)),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_however_the_bytes_are_cut(sent: list[str], cuts: list[int], end: str) -> None:
    body = "".join(f"data: {text}{end}{end}" for text in sent).encode()
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[start:stop] for start, stop in pairwise(places)]
    assert [data for _, data in events(pieces, 1000)] == sent


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"x\ndata: xyz"])
def test_an_event_without_end_is_not_collected(piece: bytes) -> None:
    with pytest.raises(TooLong):
        list(events(repeat(piece), 1000))


def test_an_event_of_several_lines_and_one_that_is_cut_off() -> None:
    body = b"event: error\ndata: a\ndata:b\nid: 7\n\ndata: cut off"
    assert list(events([body], 1000)) == [("error", "a\nb")]


def call_part(index: int | None, name: str, arguments: str, id_: str = "") -> dict[str, Any]:
    part = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in part.items() if value not in (None, "")}


@pytest.mark.parametrize(
    ("sent", "made"),
    [
        ([call_part(0, "", '{"a":'), call_part(0, "add", "1}", "c1")], [("add", '{"a":1}')]),
        ([call_part(None, "", '{"a":'), call_part(None, "add", "1}", "c1")], [("add", '{"a":1}')]),
        ([call_part(0, "a", '{"x":1}'), call_part(0, "b", '{"y":2}')], [("a", '{"x":1}'), ("b", '{"y":2}')]),
        ([call_part(0, "a", "{}", "c"), call_part(0, "a", "{}", "c")], [("a", "{}"), ("a", "{}")]),
        ([call_part(0, "a", '{"x":1}', "c"), call_part(0, "b", '{"y":2}', "d")], [("a", '{"x":1}'), ("b", '{"y":2}')]),
        ([call_part(0, "a", '{"x":', "c"), call_part(0, "a", '{"y":1}}', "c")], [("a", '{"x":{"y":1}}')]),
        ([call_part(0, "a", "", "c"), call_part(0, "a", '{"x":1}', "c")], [("a", '{"x":1}')]),
    ],
    ids=["name last", "no index", "all at 0", "one id for all", "ids", "name repeated", "name first"],
)
def test_parts_of_calls_find_their_call(sent: list[dict[str, Any]], made: list[tuple[str, str]]) -> None:
    draft = Draft()
    for part in sent:
        list(draft.take({"choices": [{"delta": {"tool_calls": [part]}}]}))
    calls = draft.answer().calls
    assert [(call.name, call.arguments) for call in calls] == made
    assert len({call.id for call in calls}) == len(calls)
