"""Broken JSON is mended to exactly what it meant, or refused in words that a model can act on; in linear time."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from memagent.errors import JSONParseError
from memagent.llm.repair import LONGEST, MENDABLE, mend, split_calls

CORPUS = yaml.safe_load((Path(__file__).parent / "repair_corpus.yaml").read_text(encoding="utf-8"))
KNOWN = {"send_message", "core_memory_append", "archival_memory_insert"}


def test_corpus_is_large_and_each_case_is_named_once() -> None:
    names = [case["case"] for case in CORPUS["arguments"]]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CORPUS["arguments"], ids=lambda case: case["case"])
def test_corpus_of_arguments(case: dict[str, Any]) -> None:
    if "means" in case:
        assert mend(case["wrote"]) == case["means"]
    else:
        with pytest.raises(JSONParseError) as refused:
            mend(case["wrote"])
        assert refused.value.message == case["refused"]
        assert "double quotes" in refused.value.hint


@pytest.mark.parametrize("case", CORPUS["calls"], ids=lambda case: case["case"])
def test_corpus_of_calls_written_into_the_text(case: dict[str, Any]) -> None:
    before, calls = split_calls(case["wrote"], KNOWN)
    assert [[call.name, mend(call.arguments)] for call in calls] == case["calls"]
    assert before == (case.get("before", "") if calls else case["wrote"])


def test_arguments_of_a_written_call_stay_as_the_model_wrote_them() -> None:
    _, (call,) = split_calls('{"name": "send_message", "arguments": "{\'message\': \'Hi\'"}', KNOWN)
    assert call.arguments == "{'message': 'Hi'"
    assert mend(call.arguments) == {"message": "Hi"}


# ------------------------------------------------------------------------------------------ what holds for any text

quick = settings(max_examples=50, deadline=None, database=None)
thorough = settings(max_examples=200, deadline=None, database=None)

keys = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
objects = st.dictionaries(st.text(), values, max_size=6)
plain = st.text("abcXYZ019 .;!?#%&()~_-…éßжλ漢字한😀", max_size=20)
simple_objects = st.dictionaries(keys, plain | st.booleans() | st.integers(-999, 999) | st.lists(plain), min_size=1)

PARTS = [
    *"{}[]\"'`“”‘’:,=+-/*\\ \n\t\0()<>|#.…01aé\ud800",
    *('{"a": ', '", "', '": "', '"}', '{"', '"]', '["', '\\"', "\\u00", "true", "None", "NaN", "1.5e9", "1e999"),
    *("<think>", "</think>", "<|im_end|>", "</s>", "```json\n", "<tool_call>", "[TOOL_CALLS]", "// ", "/* ", "*/"),
    *("send_message(", '{"name": "send_message", "arguments": ', "<function=send_message>", "functions.", "Action: "),
]
soup = st.lists(st.sampled_from(PARTS), max_size=60).map("".join)


@quick
@given(objects, st.booleans(), st.sampled_from([None, 1, 4]))
def test_valid_objects_come_back_unchanged(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    mended = mend(json.dumps(value, ensure_ascii=ascii_only, indent=indent))
    assert json.dumps(mended) == json.dumps(value)


@thorough
@given(soup | st.text())
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    try:
        mended = mend(text)
    except JSONParseError as refused:
        assert len(str(refused)) < 600
    else:
        assert isinstance(mended, dict)
        json.dumps(mended, allow_nan=False)
    before, calls = split_calls(text, KNOWN)
    assert all(call.name in KNOWN for call in calls)
    assert before == text or calls


DAMAGE: dict[str, Callable[[str], str]] = {
    "fence": lambda text: f"```json\n{text}\n```",
    "talk": lambda text: f"Here you are: {text} That should do.",
    "thoughts": lambda text: f"<think>Hm, {{x: 1}}?</think>{text}",
    "token": lambda text: text + "<|im_end|>",
    "twice": lambda text: text + text,
    "no closing brace": lambda text: text[:-1],
    "no opening brace": lambda text: text[1:],
    "no braces": lambda text: text[1:-1],
    "brace too many": lambda text: text + "}",
    "comma at the end": lambda text: text[:-1] + ",}",
    "single quotes": lambda text: text.replace('"', "'"),
    "keys without quotes": lambda text: re.sub(r'"([a-z_]+)":', r"\1:", text),
    "Python": lambda text: repr(json.loads(text)),
    "JSON in JSON": lambda text: json.dumps(text),
    "all escaped": lambda text: json.dumps(text)[1:-1],
    "no commas": lambda text: "{\n" + "\n".join(text[1:-1].splitlines()).replace(",\n", "\n") + "\n}",
    "as a call": lambda text: f"send_message({text})",
}


@thorough
@given(st.sampled_from(list(DAMAGE)), simple_objects)
def test_damage_to_the_marks_is_undone(damage: str, value: dict[str, Any]) -> None:
    assert (
        mend(DAMAGE[damage](json.dumps(value, ensure_ascii=False, indent=1 if damage == "no commas" else None)))
        == value
    )


quoting = st.lists(st.sampled_from(["word", '"', '"', ",", " ", "it's", "}", "]", ": ", "\n", "{"]), max_size=12).map(
    "".join
)


@thorough
@given(quoting, quoting, st.booleans())
def test_unescaped_quotes_never_lose_a_key(first: str, second: str, truncated: bool) -> None:
    text = f'{{"alpha": "{first}", "beta": "{second}", "gamma": true}}'
    two_objects, python_string = re.search(r'\}[^{]*\{\s*"', text), '"""' in text
    assume(not two_objects and not python_string)  # these have another reading, which counts
    try:
        mended = mend(text[:-1] if truncated else text)
    except JSONParseError:
        return
    assert mended.keys() >= {"alpha", "beta", "gamma"}
    if len(mended) == 3:  # more is for the function's own check: it doesn't know them
        assert mended == {"alpha": first, "beta": second, "gamma": True}


@quick
@given(simple_objects, st.data())
def test_a_cut_loses_no_key_and_invents_no_word(value: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps(value, ensure_ascii=False)
    part = whole[: data.draw(st.integers(1, len(whole)))]
    try:
        mended = mend(part)
    except JSONParseError:
        return
    seen = [key for key in value if f'"{key}"' in part]
    assert set(mended) <= set(value)
    assert [key for key in seen if key not in mended] == [] or any(key in str(value.values()) for key in seen)
    for key, item in mended.items():
        if isinstance(item, str):
            assert str(value[key]).startswith(item)


# ------------------------------------------------------------------------------------------------ runaway output

RUNAWAY = {
    "5 MB of valid JSON": '{"a": "' + "x" * 5_000_000 + '"}',
    "1 MB without an end": '{"a": "' + "x" * 1_000_000,
    "objects 50,000 deep": '{"a":' * 50_000,
    "lists 50,000 deep": "[" * 50_000,
    "closed, 500 deep": '{"a":' * 500 + "1" + "}" * 500,
    "valid, too long": '{"a": "' + "x" * LONGEST + '"}',
    "an endless list": '{"a": [' + "1," * 32_000,
    "calls without end": '{"name": "send_message", "arguments": {}}\n' * 100_000,
    "a number without end": '{"a": ' + "9" * 60_000 + "}",
}


@pytest.mark.parametrize("text", RUNAWAY.values(), ids=RUNAWAY)
def test_runaway_output_is_refused(text: str) -> None:
    with pytest.raises(JSONParseError) as refused:
        mend(text)
    assert len(str(refused.value)) < 600
    assert split_calls(text, KNOWN) == (text, ())


def test_long_valid_arguments_are_taken() -> None:
    text = "long " * 100_000
    assert mend(json.dumps({"content": text})) == {"content": text}


def test_a_broken_string_of_any_mendable_length_is_mended() -> None:
    content = "line\n" * 12_000
    assert mend(f"{{'content': '{content}', }}") == {"content": content}


RUNS = [
    *(
        '"',
        "\n",
        " ",
        "{",
        "[",
        "{\n",
        '{"a": ',
        ", ",
        '",\n',
        ',"',
        "a ",
        "1,",
        "[],",
        '"",',
        "x,",
        "a:1,",
        '"x"\n',
        "''",
        "\\",
    ),
    *(
        '"}',
        '"} ,',
        '", "b": "',
        "<think>",
        "/*",
        "```",
        "</s>",
        "<|",
        "// \n",
        "functions.",
        "\n{",
        "<tool_call>\n",
        "'s ",
    ),
    *("<function=send_message>{}", "\nsend_message\n", "[TOOL_CALLS]", 'He said "x", ', '{"a":"b"}', "\\u", '": '),
]


@pytest.mark.parametrize("start", ["", '{"a": "', '{"a": ["', '{"a": ")",'])
def test_time_is_linear_in_the_length(start: str) -> None:
    """Twenty times what it takes is allowed, for busy machines; quadratic takes hundreds of times."""
    for part in RUNS:
        text = start + part * (MENDABLE // 4 // len(part))
        begun = time.process_time()
        split_calls(text, KNOWN)
        with contextlib.suppress(JSONParseError):
            mend(text)
        assert time.process_time() - begun < 0.6, (start, part)
