"""Every registered wrapper: its prompt is what its family was trained on, no text breaks out of its message, what it
writes is what it reads, and nothing that a model may write upsets it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent import registry
from memagent.cli.wrappers import example
from memagent.llm import Answer, Piece, Request
from memagent.llm.opening import fitting
from memagent.llm.wrappers import Wrapper
from memagent.messages import SPEAK, Message, ToolCall, answer, login, result, user_message
from memagent.tools.loader import link

PROMPTS = Path(__file__).parent / "prompts"
NOW = datetime(2026, 5, 31, 18, 30, tzinfo=UTC)
WRAPPERS: dict[str, type[Wrapper]] = {name: registry.load(place) for name, place in registry.WRAPPERS.items()}
CALLING = {name: wrapper for name, wrapper in WRAPPERS.items() if wrapper.calls}
TOOLS = [tool.schema for tool in link(["base"], []).values()]
PLAIN = [tool for tool in TOOLS if tool["name"] != SPEAK]

every = pytest.mark.parametrize("name", WRAPPERS)
whole = pytest.mark.parametrize("name", [name for name in WRAPPERS if name != "steps"])
"""Those that put all they ask into one prompt; the other has tests of its own (test_steps.py)."""
calling = pytest.mark.parametrize("name", CALLING)


def terse(name: str) -> Wrapper:
    return type("Terse", (WRAPPERS[name],), {"terse": True})()


def either(name: str) -> tuple[Wrapper, Wrapper]:
    return WRAPPERS[name](), terse(name)


def asked(messages: Iterable[Message], tools: Sequence[Any] = TOOLS) -> Request:
    return Request(tuple(messages), tools)


def read(wrapper: Wrapper, request: Request, parts: Iterable[str], finish: str = "stop") -> tuple[list[Piece], Answer]:
    reader = wrapper.reader(request)
    pieces = [piece for part in parts for piece in reader.hear(part)]
    return pieces, reader.answer(finish, None)


def in_parts(text: str, sizes: Sequence[int]) -> list[str]:
    parts, at = [], 0
    while at < len(text):
        size = sizes[len(parts) % len(sizes)]
        parts.append(text[at : at + size])
        at += size
    return parts


def heard(pieces: Iterable[Piece], kind: str) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind)


# What there is --------------------------------------------------------------------------------------------------------


@whole
def test_the_prompt_is_what_the_family_was_trained_on(name: str) -> None:
    assert WRAPPERS[name]().prompt(example()) + "\n" == (PROMPTS / f"{name}.txt").read_text("utf-8")


@every
def test_a_wrapper_is_named_as_it_is_registered_and_says_for_whom_it_is(name: str) -> None:
    wrapper = WRAPPERS[name]
    assert wrapper.name == name and 10 < len(wrapper.about) < 90 and wrapper.stop


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen2.5-7B-Instruct-Q4_K_M.gguf", "qwen"),
        ("/models/llama3/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen"),
        ("qwen3:8b", "qwen"),
        ("bartowski/QwQ-32B-GGUF", "qwen"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3"),
        ("Llama-3.2-3B-Instruct-Q6_K_L.gguf", "llama3"),
        ("llama3.2:3b", "llama3"),
        ("hf.co/bartowski/Llama-3_3-Nemotron-Super-49B-v1-GGUF:Q4_K_M", "llama3"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral"),
        ("mistralai/anything", "mistral"),
        ("TheBloke_Mixtral-8x7B-Instruct-v0.1-GPTQ", "mistral"),
        ("C:\\models\\dolphin\\ministral-8b-instruct-2410.Q8_0.gguf", "mistral"),
        ("airoboros-l2-70b-2.1.Q5_K_M.gguf", "airoboros"),
        ("airoboros-mistral2.2-7b.Q4_K_S.gguf", "airoboros"),
        ("dolphin-2.2.1-mistral-7b.Q6_K.gguf", "dolphin"),
        ("dolphin-2.9-llama3-8b", "dolphin"),
        ("cognitivecomputations/dolphin-2.9.2-qwen2-7b", "dolphin"),
        ("zephyr-7b-beta.Q4_0.gguf", "zephyr"),
        ("TinyLlama-1.1B-Chat-v1.0", "zephyr"),
        ("NousResearch/Hermes-2-Pro-Llama-3-8B-GGUF", "chatml"),
        ("openhermes-2.5-mistral-7b.Q5_K_M.gguf", "chatml"),
        ("mistral-7b-openorca.Q4_0.gguf", "chatml"),
        ("yi:34b-chat", "chatml"),
        ("DeepSeek-R1-Distill-Llama-8B-Q4_K_M.gguf", "chatml"),
        ("open_llama_3b-q4_0.gguf", "chatml"),
        ("", "chatml"),
        ("loaded", "chatml"),
    ],
)
def test_a_model_gets_the_wrapper_of_its_family(model: str, name: str) -> None:
    assert fitting(model) == name


# What stays ----------------------------------------------------------------------------------------------------------


@whole
@pytest.mark.parametrize("short", [False, True])
def test_what_comes_later_is_added_to_the_end(name: str, short: bool) -> None:
    wrapper = either(name)[short]
    whole = example().messages
    for end, message in enumerate(whole):
        if message.role != "assistant":
            continue
        before = wrapper.prompt(asked(whole[:end]))
        for later in range(end + 1, len(whole) + 1):
            after = wrapper.prompt(asked(whole[:later]))
            begun = before.removesuffix(wrapper.answer_begins())
            assert after.startswith(begun + wrapper.message("assistant", wrapper.written(message)))
            assert after.startswith((before + wrapper.written(message), f"{before} {wrapper.written(message)}"))


@every
def test_a_prompt_is_the_same_each_time(name: str) -> None:
    assert WRAPPERS[name]().prompt(example()) == WRAPPERS[name]().prompt(example())


@whole
def test_told_tersely_a_reply_needs_no_result(name: str) -> None:
    prompt = terse(name).prompt(example())
    assert "Sent." not in prompt and "Saved. human" in prompt
    call = ToolCall("1", SPEAK, '{"message": "x"}')
    failed = [*example().messages, answer("", (call,), "", NOW), result(call, False, "It is too long.", NOW)]
    assert "It is too long." in terse(name).prompt(asked(failed))


@every
def test_a_conversation_without_a_system_message_or_functions_has_a_prompt(name: str) -> None:
    for wrapper in either(name):
        prompt = wrapper.prompt(asked([user_message("Hi there!", NOW)], ()))
        assert prompt.count("Hi there!") == 1 and "function" not in prompt.lower()


# No text breaks out ---------------------------------------------------------------------------------------------------


def marks_of(wrapper: Wrapper) -> set[str]:
    """All that a wrapper puts around texts, in parts."""
    around = wrapper.answer_begins()
    for role in ("system", "user", "assistant", "tool"):
        around += "\n" + wrapper.message(role, "\0").replace("\0", "\n") + "\n"
    call = ToolCall("", "x", '{"y": "z"}')
    around += wrapper.written(Message("assistant", "answer", "", NOW, calls=(call,)))
    around += "\n".join(wrapper.stop)
    return set(re.findall(r"<[^<>\s]+>|\[/?[A-Z_]+\]|[A-Z][A-Z ]+:|### \w+", around))


HOSTILE = sorted({mark for wrapper in WRAPPERS.values() for mark in marks_of(wrapper())})
hostile = st.lists(
    st.sampled_from([*HOSTILE, *(part for mark in HOSTILE for part in (mark[:1], mark[1:])), "\n", " ", "x", "{", '"'])
    | st.text(max_size=3),
    max_size=8,
).map("".join)


def conversation(system: str, user: str, thought: str, value: str, returned: str, kind: str) -> list[Message]:
    call = ToolCall("1", "archival_memory_insert", json.dumps({"content": value, "tags": [value]}))
    arrived = user_message(user, NOW) if kind == "user" else replace(login(NOW, None), content=user, kind="summary")
    return [
        Message("system", "boot", system, NOW),
        arrived,
        answer(thought, (call,), "", NOW),
        result(call, True, returned, NOW),
        answer(thought, (), thought, NOW),
        user_message(user, NOW + timedelta(hours=3)),
    ]


@every
@settings(max_examples=60, deadline=None)
@given(texts=st.tuples(hostile, hostile, hostile, hostile, hostile), kind=st.sampled_from(["user", "other"]))
def test_no_text_ends_its_message_or_begins_another(name: str, texts: tuple[str, ...], kind: str) -> None:
    for wrapper in either(name):
        marks = re.compile("|".join(map(re.escape, sorted(marks_of(wrapper), key=len, reverse=True))))
        told = wrapper.prompt(asked(conversation(*texts, kind)))
        harmless = wrapper.prompt(asked(conversation(*("a" if text else "" for text in texts), kind)))
        assert marks.findall(told) == marks.findall(harmless)


@every
def test_no_description_of_a_function_breaks_out(name: str) -> None:
    wrapper = WRAPPERS[name]()
    marks = re.compile("|".join(map(re.escape, marks_of(wrapper))))

    def found(description: str) -> list[str]:
        parameters = {"type": "object", "properties": {"x": {"type": "string", "description": description}}}
        tool = {"name": "look", "description": description, "parameters": parameters}
        return marks.findall(wrapper.prompt(asked([user_message("Hi", NOW)], [tool])))

    assert found("\n".join(HOSTILE)) == found("harmless")


# What is written is read ----------------------------------------------------------------------------------------------

odd_text = st.text(max_size=12) | st.sampled_from(
    ['"', "}", '"}', "{", "\\", "\n", "\r\n", "\u2028", "\0", "</tool_call>", "}}\n", '", "', "<|im_end|>", "é😀", "'"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(
    st.sampled_from(["message", "name", "content", "query", "page", "tags", "params"]) | odd_text, values, max_size=4
)
called = st.lists(st.tuples(st.sampled_from([str(tool["name"]) for tool in TOOLS]), arguments), min_size=1, max_size=3)
thoughts = st.text("abc é.,'\n☺", max_size=30).map(str.strip)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@calling
@settings(max_examples=80, deadline=None)
@given(calls=called, thought=thoughts, sizes=sizes, speaks=st.booleans())
def test_calls_are_read_as_they_are_written(
    name: str, calls: list[tuple[str, dict[str, Any]]], thought: str, sizes: list[int], speaks: bool
) -> None:
    wrapper = WRAPPERS[name]()
    tools = TOOLS if speaks else PLAIN
    calls = [(tool if speaks else "conversation_search", given) for tool, given in calls]
    message = Message(
        "assistant", "answer", thought, NOW, calls=tuple(ToolCall("", tool, json.dumps(given)) for tool, given in calls)
    )
    pieces, found = read(wrapper, asked((), tools), in_parts(wrapper.written(message), sizes))
    assert [(call.name, json.loads(call.arguments)) for call in found.calls] == [
        (tool, given) for tool, given in json.loads(json.dumps(calls))
    ]
    assert (found.text, found.thoughts) == ((thought, "") if speaks else ("", thought))
    assert heard(pieces, "text").strip() + heard(pieces, "thought").strip() == thought
    for index, (tool, meant) in enumerate(calls):
        mine = [piece for piece in pieces if piece.kind == "arguments" and piece.index == index]
        assert {piece.name for piece in mine} == {tool}
        assert "".join(piece.text for piece in mine) == wrapper.guard.json(meant)


@calling
@settings(max_examples=40, deadline=None)
@given(text=st.text("abc [](){}:*`\n1é", min_size=1, max_size=80), sizes=sizes)
def test_words_without_a_call_are_the_reply(name: str, text: str, sizes: list[int]) -> None:
    pieces, found = read(WRAPPERS[name](), asked((), PLAIN), in_parts(text, sizes))
    assert (found.text, found.calls) == (text.strip(), ())
    assert text.startswith(heard(pieces, "text"))


@every
def test_words_are_shown_as_they_are_written(name: str) -> None:
    reply = "See [1] and `code`:\n- a < b, {x}\n```python\nprint('hi')\n```\n<b>Done</b>."
    pieces, found = read(WRAPPERS[name](), asked((), PLAIN), reply)
    assert heard(pieces, "text") == found.text == reply


@calling
def test_marks_that_a_server_swallows_are_not_missed(name: str) -> None:
    """Many marks are tokens of their own, which servers don't write out."""
    form = WRAPPERS[name].form
    wrapper = WRAPPERS[name]()
    call = ToolCall("", SPEAK, '{"message": "Hi!"}')
    written = wrapper.written(Message("assistant", "answer", "Well.", NOW, calls=(call, call)))
    for mark in re.findall(r"<[^<>\s]+>|\[/?[A-Z_]+\]", form.opens + form.before + form.after):
        written = written.replace(mark, "")
    _, found = read(wrapper, asked(()), [written])
    assert (found.text, found.calls) == ("Well.", (call, call))


@calling
@pytest.mark.parametrize(
    "written",
    [
        '<|python_tag|>{"name": "send_message", "parameters": {"message": "Hi!"}}',
        '[TOOL_CALLS] [{"name": "send_message", "arguments": {"message": "Hi!"}}]',
        '<tool_call>\n{"name": "send_message", "arguments": {"message": "Hi!"}}\n</tool_call>',
        '{"function": "send_message", "params": {"message": "Hi!"}}<|im_end|>',
        '```json\n{"function": "send_message", "params": {"message": "Hi!"}}\n```',
        'send_message({"message": "Hi!"})',
        '{"params": {"message": "Hi!"}, "function": "send_message"}',
        '{"function": "send_message", "params": {"message": "Hi!",}',
    ],
)
def test_the_form_of_another_family_is_read_too(name: str, written: str) -> None:
    _, found = read(WRAPPERS[name](), asked(()), written)
    assert [(call.name, json.loads(call.arguments)) for call in found.calls] == [(SPEAK, {"message": "Hi!"})]


@calling
def test_a_call_that_is_cut_off_is_known_for_one(name: str) -> None:
    wrapper = WRAPPERS[name]()
    call = ToolCall("", SPEAK, '{"message": "Hello to you"}')
    written = wrapper.written(Message("assistant", "answer", "", NOW, calls=(call,)))
    _, found = read(wrapper, asked(()), [written[: written.index("to you")]], "length")
    assert found.finish == "length" and found.calls == (ToolCall("", SPEAK, '{"message": "Hello '),)
    assert read(wrapper, asked(()), [written[: written.index("to you")]])[1].finish == "stop"


@every
def test_a_thinking_model_thinks_first(name: str) -> None:
    wrapper = WRAPPERS[name]()
    pieces, found = read(wrapper, asked((), PLAIN), "<think>Who is it?</think>\n\nHello.")
    assert (found.thoughts, found.text) == ("Who is it?", "Hello.")
    assert (heard(pieces, "thought"), heard(pieces, "text")) == ("Who is it?", "Hello.")


def test_where_nothing_is_called_json_is_text() -> None:
    written = '{"function": "send_message", "params": {"message": "Hi!"}}'
    _, found = read(WRAPPERS["summary"](), asked(()), [written])
    assert (found.text, found.calls) == (written, ())
    assert WRAPPERS["summary"]().grammar(asked(())) == "" and WRAPPERS["summary"]().schema(asked(())) is None


def test_a_thought_inside_is_not_among_the_arguments() -> None:
    written = '{"function":"send_message","params":{ "inner_thoughts" : "Hm \\u00e9\\"" , "message":"Hi!"}}'
    for size in range(1, 12):
        pieces, found = read(WRAPPERS["airoboros-thoughts"](), asked(()), in_parts(written, [size]))
        assert heard(pieces, "arguments").replace(" ", "") == '{"message":"Hi!"}'
        assert (found.text, heard(pieces, "text")) == ('Hm é"', 'Hm é"')
        assert [json.loads(call.arguments) for call in found.calls] == [{"message": "Hi!"}]


# Whatever a model may write -------------------------------------------------------------------------------------------

babble = st.lists(
    st.sampled_from([*HOSTILE, *'{}[]":,\\`\n', '"name":', '"function":', '"params":', '"thoughts":', "\\u", "\ud83d"])
    | st.sampled_from(['"inner_thoughts":', '"arguments":', "send_message", "<think>", "</think>", "NaN", "1e999"])
    | st.text(max_size=4),
    max_size=25,
).map("".join)


@every
@settings(max_examples=80, deadline=None)
@given(text=babble, sizes=sizes, finish=st.sampled_from(["stop", "length"]), speaks=st.booleans())
def test_nothing_that_a_model_writes_upsets_it(
    name: str, text: str, sizes: list[int], finish: str, speaks: bool
) -> None:
    pieces, found = read(WRAPPERS[name](), asked((), TOOLS if speaks else PLAIN), in_parts(text, sizes), finish)
    for said in [found.text, found.thoughts, *(piece.text for piece in pieces), *(c.arguments for c in found.calls)]:
        said.encode()


LONG = {
    "braces": ("chatml", "{" * 500_000),
    "an open string": ("llama3", '{"name": "' + "x" * 500_000),
    "a broken escape": ("qwen", '{"name": "send_message", "arguments": {"message": "' + "\\u12 " * 100_000),
    "half an emoji": ("chatml-thoughts", '{"thoughts": "' + "\\ud83d " * 70_000),
    "no escape": ("dolphin-thoughts", '{"function": "a", "params": {"inner_thoughts": "' + "\\uxyz!" * 80_000),
    "calls": ("airoboros", '{"function": "a", "params": {}}\n' * 8_000),
    "calls and a word": ("qwen", '<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n' * 9_000 + "x"),
    "a key": ("zephyr", '{"' + "a" * 500_000),
    "a key that is held": ("airoboros-thoughts", '{"function": "a", "params": {"' + "a" * 500_000),
    "tags": ("qwen", "<tool_call" * 50_000),
    "brackets": ("mistral", "[\n" * 250_000),
    "a thought": ("chatml", "<think>" + "</thin" * 80_000),
    "backslashes": ("chatml", '{"' + "\\" * 500_000),
}


@pytest.mark.parametrize("what", LONG)
def test_time_grows_with_the_text_and_not_with_its_square(what: str) -> None:
    """It takes a second or less; if each piece were laid to all that came before, it would be minutes."""
    name, text = LONG[what]
    began = time.process_time()
    read(WRAPPERS[name](), asked(()), in_parts(text, [4]), "length")
    assert time.process_time() - began < 6
