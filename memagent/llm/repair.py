"""Finds what a model meant to call, and with what arguments, in what it wrote: or says what is wrong with it.

Models wrap JSON in talk, thoughts and code fences, break it in many ways, or write a call into their text instead of
calling. What is mended here is what can be meant only one way; the rest is refused, in words that the model can act on.
Knows nothing of what the functions do, nor of which arguments they take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from memagent.errors import JSONParseError
from memagent.llm.patient_json import (
    ANY_KEY,
    KEYLIKE,
    QUOTED_KEY,
    TOKEN,
    read_patiently,
    read_strictly,
    read_unbraced,
    refusal,
    unescaped,
)
from memagent.messages import ToolCall

LONGEST = 1_000_000
"""Characters of valid JSON that are taken."""

MENDABLE = 65_536
"""Characters of anything else that are looked at."""


def mend(text: str) -> dict[str, Any]:
    """The arguments of a function call; nothing at all, or `null`, is no arguments. Raises `JSONParseError`."""
    if len(text) > LONGEST:
        raise refusal(f"they are too long, {len(text)} characters where {LONGEST} are the most")
    if not text.strip():
        return {}
    try:
        value = read_strictly(text)
    except ValueError as error:
        if len(text) > MENDABLE:
            at = error.pos if isinstance(error, json.JSONDecodeError) else 0
            raise refusal("they are not valid JSON", text, at) from None
        value = _only_object(text)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _written_as_string(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", bool: "true or false"}.get(type(value), "a number")
        raise refusal(f"they are {kind}, not an object")
    return value


def _written_as_string(text: str) -> Any:
    try:
        return read_strictly(text)
    except ValueError:
        return text


_OPENING = re.compile(rf"\{{\s*+(?://|/\*|<think|{QUOTED_KEY}|{ANY_KEY})")
_ANOTHER = re.compile(rf"\{{\s*+{QUOTED_KEY}")
_UNBRACED = re.compile(rf"\s*(?:```\w*\s*)?(?={QUOTED_KEY})")
_ESCAPED = re.compile(r'\s*\{\s*\\"')
_LIST = re.compile(r"\s*(?:```\w*\s*)?\[\s*[\[{\"'\d\]-]")
_CONTINUES = re.compile(r"\s*,\s*[^{\s]")
_THOUGHTS_END = re.compile(r"</(?:think|thinking|thought|reasoning)>")


def _only_object(text: str) -> Any:
    """The first object in a text that is not JSON as a whole, provided that no part of it stands outside."""
    start, end = _after_thoughts(text), _before_tokens(text)
    if _LIST.match(text, start):
        return []
    if _ESCAPED.match(text, start):
        text = unescaped(text[start:end])
        start, end = 0, len(text)
    value: Any
    if unbraced := _UNBRACED.match(text, start):
        value, stop = read_unbraced(text, unbraced.end(), end)
    else:
        opening = _OPENING.search(text, start)
        begin = opening.start() if opening else text.find("{", start)
        if begin < 0:
            raise refusal("there is no JSON object in them", text, start)
        if outside := KEYLIKE.search(text, start, begin):
            raise refusal("a part of them is outside of the braces", text, outside.start())
        value, stop = read_patiently(text, begin, end)
    another = _ANOTHER.search(text, stop)
    goes_on = _CONTINUES.match(text, stop) or KEYLIKE.search(text, stop, another.start() if another else len(text))
    if goes_on:
        raise refusal("they go on after the closing brace", text, goes_on.start())
    return value


def _after_thoughts(text: str) -> int:
    """Where the answer begins after thoughts in <think> tags, of which the first may be missing."""
    if text.lstrip().startswith(("{", "[", '"')):
        return 0
    if closing := _THOUGHTS_END.search(text):
        return closing.end()
    return len(text) if text.lstrip().startswith("<think") else 0


def _before_tokens(text: str) -> int:
    """Where the text ends without what models leave behind it, such as <|im_end|>."""
    end = len(text)
    for _ in range(100):
        while end and text[end - 1].isspace():
            end -= 1
        last = [token.start() for token in TOKEN.finditer(text, max(0, end - 40), end) if token.end() == end]
        if not last:
            break
        end = last[0]
    return end


# ---------------------------------------------------------------------------------------- calls written into the text

_NAME = ("name", "function", "function_name", "tool", "tool_name", "action")
_ARGUMENTS = ("arguments", "parameters", "params", "args", "input", "action_input", "tool_input")
_AROUND = ("tool_calls", "tool_call", "function_call", "function")
_LABELS = ("id", "type", "index")
_TAG = r"<tool_call>|<functioncall>|\[TOOL_CALLS\]|<\|python_tag\|>|```(?:json|tool_call)?(?=\s)"
_BETWEEN = re.compile(rf"(?:\s|[,;]|{_TAG}|{TOKEN.pattern})*")
_GAP = r"\s{0,8}"
_TRIES = 3

MOST_CALLS = 100
"""Calls in one text."""


def split_calls(text: str, known: Collection[str]) -> tuple[str, tuple[ToolCall, ...]]:
    """What a model says before the calls of `known` functions that it wrote into its text, and these calls.

    There are none unless that is certain: a known name and its arguments in one of the forms that models are trained
    on, at the beginning of a line or behind a tag, and nothing but such calls up to the end. The arguments may still
    be in need of mending, and the ids are empty.
    """
    if len(text) > MENDABLE or not known:
        return text, ()
    start = _after_thoughts(text)
    names = "|".join(re.escape(name) for name in known)
    named = re.compile(
        rf"(?:<function=|functions\.|Action:[ \t]*)?({names})(?:>|\(|\[ARGS\]|\s?Action Input:)?{_GAP}(?=\{{)"
    )
    begin = re.compile(rf"{_TAG}|<function=|^[ \t]{{0,8}}(?=\[?{_GAP}\{{|{named.pattern})", re.MULTILINE)
    for tries, found in enumerate(begin.finditer(text, start)):
        if tries == _TRIES:
            break
        if calls := _calls_from(text, found.start(), named, known):
            return text[: found.start()].strip(), calls
    return text, ()


def _calls_from(text: str, at: int, named: re.Pattern[str], known: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls that fill the text from `at` to its end; none if there is anything else."""
    calls: list[ToolCall] = []
    while (at := _skip(_BETWEEN, text, at)) < len(text):
        if len(calls) >= MOST_CALLS:
            return ()
        header = named.match(text, at)
        try:
            value, stop = read_patiently(text, header.end() if header else at, len(text))
        except JSONParseError:
            return ()
        found = _calls_in({header[1]: value} if header else value, known)
        if not found:
            return ()
        calls += found
        at = stop + 1 if header and text.startswith(")", stop) else stop
    return tuple(calls)


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _calls_in(value: Any, known: Collection[str]) -> list[ToolCall]:
    """The calls that a JSON value stands for; none if any part of it is something else."""
    if isinstance(value, list):
        each = [_calls_in(item, known) for item in value]
        return [call for calls in each for call in calls] if all(each) else []
    if not isinstance(value, dict):
        return []
    for key in _AROUND:
        if isinstance(value.get(key), dict | list) and value.keys() <= {key, *_LABELS, "role", "content"}:
            return _calls_in(value[key], known)
    if len(value) == 1 and isinstance(arguments := next(iter(value.values())), dict):
        name = next(iter(value))
        return [ToolCall("", name, json.dumps(arguments, ensure_ascii=False))] if name in known else []
    name_key = next((key for key in _NAME if isinstance(value.get(key), str)), "")
    arguments_key = next((key for key in _ARGUMENTS if key in value), "")
    name = str(value.get(name_key, "")).removeprefix("functions.")
    if name not in known or not arguments_key:
        return []
    rest = {key: item for key, item in value.items() if key not in (name_key, arguments_key, *_LABELS)}
    return [ToolCall("", name, written)] if (written := _written(value[arguments_key], rest)) is not None else []


def _written(arguments: Any, rest: dict[str, Any]) -> str | None:
    """Arguments as text, with what stood beside them; None if that can't be done without a loss."""
    if isinstance(arguments, str) and not rest:
        return arguments
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict) or arguments.keys() & rest.keys():
        return None
    return json.dumps({**arguments, **rest}, ensure_ascii=False)
