"""Grammars: what they let through is a valid call, and every valid call is let through."""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
import re
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic
import pytest
from gbnf_reader import Gbnf
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from signatures import KINDS, NAMES, TEXTS, everything, jsonable, with_parameters

from memagent.errors import ToolError
from memagent.library import Library
from memagent.llm.gbnf import Grammar, chars, either, literal, optional, sequence
from memagent.llm.grammars import calls_schema, gbnf, value_of
from memagent.tools.loader import SHIPPED, load_file
from memagent.tools.schema import make_tool, read_arguments

ROOT = Path(__file__).parents[2]
BASE = [tool.schema for tool in load_file(SHIPPED / "base.py").values()]
SEEDS = st.integers(0, 2**32)

patient = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def lets_through(schema: Any, text: str, **more: Any) -> bool:
    return Gbnf(gbnf(schema, **more)).matches(text)


def dumped(value: Any) -> list[str]:
    return [json.dumps(value, ensure_ascii=ascii) for ascii in (False, True)]


# Parts of a grammar


def test_a_grammar_is_put_together_from_parts() -> None:
    grammar = Grammar()
    word = grammar.add("Word!", grammar.repeated(chars("a-z"), 1, 5))
    says = sequence(literal('<say>\n"'), word, optional(sequence(literal(", "), word)), literal('"</say>\t\\'))
    text = grammar.text(either(says, literal("nothing")))
    assert text == ('root ::= "<say>\\n\\"" word (", " word)? "\\"</say>\\t\\\\" | "nothing"\nword ::= [a-z]{1,5}\n')
    assert Gbnf(text).matches('<say>\n"abc, de"</say>\t\\') and Gbnf(text).matches("nothing")


def test_what_is_added_twice_is_one_rule_and_what_has_a_taken_name_gets_a_number() -> None:
    grammar = Grammar()
    same = [grammar.add(name, literal("x")) for name in ("one", "other")]
    other = grammar.add("one", literal("y"))
    root = grammar.add("root", literal("z"))
    assert same[0] == same[1] and same[0].text == "one" and other.text == "one-2" and root.text == "root-2"


@given(st.text(max_size=8), st.text(max_size=8))
def test_a_literal_is_exactly_its_text(text: str, other: str) -> None:
    assume("\0" not in text)
    grammar = Gbnf(Grammar().text(sequence(literal(text), literal(other))))
    assert grammar.matches(text + other) and not grammar.matches(text + other + "x")


@pytest.mark.parametrize(
    ("least", "most"),
    [(0, 0), (0, 1), (1, 1), (3, 200), (0, 201), (0, 300), (250, 250), (7, 451), (301, 1999), (2000, 5000), (0, 1000)],
)
def test_any_number_of_times_is_counted_exactly(least: int, most: int) -> None:
    grammar = Grammar()
    text = grammar.text(sequence(grammar.repeated(chars("a"), least, most, "letter"), literal("!")))
    read = Gbnf(text)
    for times in {0, 1, least - 1, least, least + 1, (least + most) // 2, most - 1, most, most + 1} - {-1}:
        assert read.matches("a" * times + "!") == (least <= times <= most), times


def test_without_a_most_there_is_no_end() -> None:
    for least, most in ((0, None), (1, None), (450, None), (2, 10**9)):
        grammar = Grammar()
        read = Gbnf(grammar.text(grammar.repeated(literal("ab"), least, most)))
        assert read.matches("ab" * 3000) and read.matches("ab" * least) and not read.matches("ab" * (least - 1) + "a")


# JSON by hand

NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
    "required": ["value"],
    "additionalProperties": False,
}
SHAPES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (
        {"type": "string"},
        ['""', '"é\\n\\u00e9\\ud83e\\udd8a\x7f"'],
        ['"\n"', '"\\ud83e"', '"\\udd8a"', '"\\x"', "a", '"\\ud83eb"'],
    ),
    ({"type": "string", "minLength": 1, "maxLength": 2}, ['"a"', '"\\n🦊"', '"\\ud83e\\udd8a1"'], ['""', '"abc"']),
    ({"type": "string", "maxLength": 10**7}, ['""', '"' + "a" * 5000 + '"'], []),
    ({"type": "string", "pattern": "^a+$", "format": "email"}, ['"b"'], []),
    (
        {"type": "string", "format": "date"},
        ['"2026-05-31"', '"2024-02-29"', '"2026-11-30"'],
        ['"tomorrow"', '"2026-13-01"', '"2026-02-30"', '"2026-04-31"', '"2026-05-32"'],
    ),
    (
        {"type": "string", "format": "date-time"},
        ['"2026-05-31T18:30:00"', '"2026-05-31 18:30"', '"2026-05-31T18:30:00.123456+02:00"', '"2026-05-31T18:30:00Z"'],
        ['"18:30"', '"2026-05-31T25:00"'],
    ),
    ({"type": "integer"}, ["0", "-1", "12345678901234567890"], ["01", "1.0", "1e3", "+1", "1" * 21]),
    ({"type": "integer", "minimum": 1, "maximum": 5}, ["1", "5"], ["0", "6", "-1", "12"]),
    ({"type": "integer", "minimum": 0, "maximum": 1000}, ["0", "1000"], ["-1", "10000"]),
    ({"type": "integer", "exclusiveMinimum": -1}, ["0", "7"], ["-1"]),
    ({"type": "integer", "minimum": -3, "exclusiveMaximum": 0}, ["-3", "-1"], ["0", "1"]),
    ({"type": "number"}, ["0.5", "-1e-7", "1E5", "1.5e+300", "-0"], [".5", "1.", "1e999", "NaN", "00", "1" * 21]),
    ({"type": "number", "minimum": 0}, ["0", "0.5"], ["-0.5"]),
    ({"type": "boolean"}, ["true", "false"], ["True", "1"]),
    ({"type": "null"}, ["null"], ["None"]),
    ({"enum": ["a", "é", 1, None, {"x": [1, 2]}]}, ['"a"', '"é"', '"\\u00e9"', "1", "null", '{"x": [1, 2]}'], ["2"]),
    ({"const": "a b"}, ['"a b"'], ['"a"']),
    ({"type": ["string", "null"], "maxLength": 1}, ['"a"', "null"], ['"ab"', "1"]),
    ({"type": "integer", "nullable": True}, ["1", "null"], ['""']),
    ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, ["1", "true"], ['"a"']),
    ({"type": "array"}, ["[]", '[1, "a", [null]]'], ["[1,2]", "[ 1]", "[1, ]"]),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
        ["[1, 2]", "[1, 2, 3]"],
        ["[1]", "[]", "[1, 2, 3, 4]"],
    ),
    ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, ["[1, 1]"], ["[true]"]),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1, "maxItems": 2},
        ["[1]", '[1, "a"]'],
        ["[]", '["a"]', '[1, "a", 2]'],
    ),
    (
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
        ["[]", "[1]", '[1, "a", "b"]'],
        ["[1, 2]"],
    ),
    ({"type": "array", "items": [{"type": "integer"}], "additionalItems": False}, ["[]", "[1]"], ["[1, 2]"]),
    ({"type": "object", "properties": {}}, ["{}"], ['{"a": 1}']),
    ({"type": "object"}, ["{}", '{"a": 1, "b": {"c": []}}'], ['{"a":1}', "{ }", "{1: 2}"]),
    ({"type": "object", "required": ["a"], "additionalProperties": False}, ['{"a": []}'], ["{}"]),
    (
        {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
        ['{"a": 1}'],
        ['{"a": "b"}', "{}"],
    ),
    (
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "integer"}},
        ['{"a": 1, "b": 2}', "{}"],
        ['{"c": 1}'],
    ),
    (
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False},
        ['{"x": 1}'],
        ['{"x": "a"}'],
    ),
    (
        {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": {"type": "boolean"}},
        ["{}", '{"a": 1}', '{"b": true}', '{"a": 1, "b": true, "c": false}'],
        ['{"a": 1, "b": 2}'],
    ),
    (
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["b"], "additionalProperties": True},
        ['{"b": 1}', '{"a": 1, "b": 1, "c": 1}'],
        ['{"a": 1}', '{"b": 1, }'],
    ),
    (
        {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
        ['{"value": 1, "next": {"value": 2, "next": null}}'],
        ['{"next": null}'],
    ),
    (
        {"$ref": "#/$defs/Node", "minProperties": 1, "$defs": {"Node": NODE}},
        ['{"value": 1, "next": {"value": 2, "next": null}}'],
        ['{"next": null}'],
    ),
    ({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}, ['{"a": 1, "b": 2}'], ['{"b": "x"}']),
    ({"properties": {"inner": {"$ref": "#"}}}, ['{"inner": {"inner": {}}}'], ['{"inner": 1}']),
    (
        {
            "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}],
            "$defs": {"A": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}},
        },
        ['{"a": 1, "b": "x"}'],
        ['{"a": 1}', '{"b": "x"}'],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        ['{"a": 1}', '{"b": 1}'],
        ["{}"],
    ),
    ({"$ref": "#/$defs/~0A~1B%20", "$defs": {"~A/B ": {"type": "boolean"}}}, ["true"], ["1"]),
    ({}, ["1", '{"a": [null]}', '"x"'], ["", "nope"]),
    ({"not": {"type": "string"}, "if": {}, "unheard-of": 1}, ['"x"', "1"], []),
    # What can't be followed is anything.
    ({"$ref": "#/$defs/gone"}, ["1", "[]"], []),
    ({"$ref": "other.json"}, ["1", "[]"], []),
    (
        {
            "$ref": "#/$defs/A",
            "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}},
        },
        ["1", "null"],
        [],
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: json.dumps(shape[0])[:60])
def test_what_a_schema_lets_through(shape: tuple[dict[str, Any], list[str], list[str]]) -> None:
    schema, let_through, refused = shape
    grammar = Gbnf(gbnf(schema))
    assert [text for text in let_through if not grammar.matches(text)] == []
    assert [text for text in refused if grammar.matches(text)] == []
    for seed in range(10):
        json.loads(grammar.draw(random.Random(seed)))


def test_optional_parts_may_be_left_out_in_any_way_but_keep_their_order() -> None:
    names = ["a", "b", "c", "d"]
    for required in ([], ["a"], ["c"], ["b", "d"]):
        schema = {"type": "object", "properties": {name: {"const": 1} for name in names}, "required": required}
        grammar = Gbnf(gbnf(schema))
        for choice in range(16):
            some = [name for place, name in enumerate(names) if choice >> place & 1]
            assert grammar.matches(json.dumps(dict.fromkeys(some, 1))) == (set(required) <= set(some))
        assert not grammar.matches('{"b": 1, "a": 1, "c": 1, "d": 1}')


def test_parts_can_be_put_in_another_order_and_strings_be_bounded() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {}, "c": {"type": "string", "minLength": 5}},
    }
    text = '{"c": "12345", "a": "123", "b": {"123": "123"}}'
    assert lets_through(schema, text, order=("c", "nowhere"), longest_string=3)
    assert not lets_through(schema, text)
    for longer in ('{"a": "1234"}', '{"b": "1234"}', '{"b": {"1234": 1}}', '{"c": "123456"}'):
        assert lets_through(schema, longer) and not lets_through(schema, longer, longest_string=3)


def test_several_values_share_the_rules_of_one_grammar() -> None:
    grammar = Grammar()
    values = [value_of(grammar, tool["parameters"], tool["name"]) for tool in BASE]
    text = grammar.text(either(*values))
    assert text.count("string ::=") == text.count("char ::=") == 1
    again = Grammar()
    assert text == again.text(either(*[value_of(again, tool["parameters"], tool["name"]) for tool in BASE]))


# Size


def nested(depth: int, schema: Any) -> Any:
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a_rather_long_name": schema, "more": {"type": "string"}}}
    return schema


def test_a_schema_can_be_deep() -> None:
    value: Any = 1
    for _ in range(50):
        value = {"a_rather_long_name": value}
    text = gbnf(nested(50, {"type": "integer"}))
    assert Gbnf(text).matches(json.dumps(value)) and not Gbnf(text).matches(json.dumps(value).replace("1", "true"))
    assert len(text) < 20_000
    assert len(gbnf(nested(150, {"type": "integer"}))) < 30_000, "beyond a depth it may be anything"


@pytest.mark.parametrize("required", [[], ["p150"]])
def test_a_schema_can_be_wide(required: list[str]) -> None:
    def wide(count: int) -> Any:
        parts = {f"p{place}": {"type": "array", "items": {"enum": [place, "x"]}} for place in range(count)}
        return {"type": "object", "properties": parts, "required": required}

    text = gbnf(wide(200))
    assert len(text) < 2.2 * len(gbnf(wide(100))) and max(map(len, text.splitlines())) < 20_000
    grammar = Gbnf(text)
    for some in (["p0", "p150", "p199"], [f"p{place}" for place in range(200)], ["p150"]):
        assert grammar.matches(json.dumps({name: ["x"] for name in some}))


def test_a_type_that_refers_to_itself_in_many_ways_stays_small() -> None:
    node = {"$ref": "#/$defs/Node", "minProperties": 1}
    parts = {name: {"anyOf": [node, {"type": "array", "items": node}]} for name in "abcdef"}
    text = gbnf({"allOf": [node], "$defs": {"Node": {"type": "object", "properties": parts}}})
    assert len(text) < 6000 and Gbnf(text).matches('{"a": {"b": [{"c": {}}]}}')


# Any function


def sent(value: Any) -> Any:
    """A value as it stands in valid arguments, where null is not said for what may as well be left out."""
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(exclude_none=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: (getattr(value, part.name), part.default) for part in dataclasses.fields(value)}
        return {name: sent(of) for name, (of, default) in parts.items() if of is not None or default is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [sent(item) for item in value]
    if isinstance(value, dict):
        return {key: sent(item) for key, item in value.items()}
    return jsonable(value)


def too_large(value: Any) -> bool:
    """The one thing that is valid and that no grammar lets through: numbers beyond 20 digits or 1e308."""
    if isinstance(value, dict):
        return any(map(too_large, value.values()))
    if isinstance(value, list):
        return any(map(too_large, value))
    return isinstance(value, int | float) and abs(value) >= (10**20 if isinstance(value, int) else 1e308)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | TEXTS,
    lambda some: st.lists(some, max_size=2) | st.dictionaries(TEXTS, some, max_size=2),
    max_leaves=4,
)
SETS: list[Any] = [
    (set[int], st.sets(st.integers(), max_size=3)),
    (frozenset[str], st.frozensets(TEXTS, max_size=3)),
    (Any, ANYTHING),
    (int | str | list[bool], st.integers() | TEXTS | st.lists(st.booleans())),
]
PARAMETERS = st.dictionaries(NAMES, st.tuples(KINDS | st.sampled_from(SETS), st.booleans()), max_size=4)


def tool_of(parameters: dict[str, Any]) -> Any:
    missing = inspect.Parameter.empty
    return with_parameters({name: (of, missing if must else ()) for name, ((of, _), must) in parameters.items()})


def mixed(annotation: Any) -> bool:
    """A tuple of different types, whose schema does not say which stands where."""
    parts = typing.get_args(annotation)
    own = typing.get_origin(annotation) is tuple and Ellipsis not in parts and len(set(parts)) > 1
    return own or any(mixed(part) for part in parts if part is not Ellipsis)


@patient
@given(PARAMETERS, SEEDS)
def test_whatever_is_let_through_are_valid_arguments(parameters: dict[str, Any], seed: int) -> None:
    assume(not any(mixed(annotation) for (annotation, _), _ in parameters.values()))
    tool = tool_of(parameters)
    text = Gbnf(gbnf(tool.schema["parameters"])).draw(random.Random(seed))
    json.loads(text)
    try:
        _, heartbeat = read_arguments(tool, text)
    except ToolError as error:
        # No grammar can count days, or remember the keys that were written.
        assert "must be a date" in error.message or "a date and time" in error.message or "twice" in error.message
    else:
        assert heartbeat == json.loads(text)["request_heartbeat"]


@patient
@given(st.data(), PARAMETERS)
def test_all_valid_arguments_are_let_through(data: st.DataObject, parameters: dict[str, Any]) -> None:
    tool = tool_of(parameters)
    given = {
        name: data.draw(values) for name, ((_, values), must) in parameters.items() if must or data.draw(st.booleans())
    }
    value = sent(given) | {"request_heartbeat": data.draw(st.booleans())}
    assume(not too_large(value))
    grammar = Gbnf(gbnf(tool.schema["parameters"]))
    for text in dumped(value):
        assert read_arguments(tool, text)[0] == given
        assert grammar.matches(text)


def test_a_function_that_takes_everything() -> None:
    tool = make_tool(everything)
    grammar = Gbnf(gbnf(tool.schema["parameters"]))
    value = {
        "places": [{"city": "Ulm", "at": {"x": 1}}, {}],
        "color": "g é",
        "level": 3,
        "day": "2026-05-31",
        "moment": None,
        "order": {"count": 12, "note": "abc", "sizes": {"s": 1}, "pair": [1, "a"]},
        "either": [True],
        "names": {"a": 0.5},
        "three": [True, False, True],
        "anything": {"x": [None]},
        "request_heartbeat": True,
    }
    assert all(read_arguments(tool, text)[1] and grammar.matches(text) for text in dumped(value))
    for wrong in ({"color": "x"}, {"order": {"count": 13}}, {"order": {"count": 1, "note": "ab"}}, {"three": [True]}):
        assert not grammar.matches(json.dumps({**value, **wrong})), wrong
    for seed in range(200):
        text = grammar.draw(random.Random(seed), 150)
        try:
            read_arguments(tool, text)
        except ToolError as error:
            assert "a date" in error.message or "twice" in error.message


# Any schema


def conforms(schema: Any, value: Any, root: Any) -> bool:
    """Whether a value is valid, by the words that the schemas below are made of."""
    if "$ref" in schema:
        return conforms(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(conforms(one, value, root) for one in schema["anyOf"])
    if "enum" in schema:
        return json.dumps(value) in map(json.dumps, schema["enum"])
    if "const" in schema:
        return json.dumps(value) == json.dumps(schema["const"])
    kind = schema.get("type")
    if kind == "string":
        return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
    if kind == "integer":
        return type(value) is int and schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if kind == "array":
        firsts = schema.get("prefixItems", [])
        rest = [schema["items"]] * (len(value) - len(firsts)) if isinstance(value, list) else []
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
            and all(conforms(of, item, root) for of, item in zip([*firsts, *rest], value, strict=False))
        )
    if kind == "object":
        parts, extra = schema.get("properties", {}), schema.get("additionalProperties", False)
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= value.keys()
            and all(extra is not False or key in parts for key in value)
            and all(conforms(parts.get(key, extra), item, root) for key, item in value.items())
        )
    return True


SMALL = ANYTHING.filter(lambda value: not too_large(value))
DEFS = {"Node": {"type": "object", "properties": {"v": {"type": "integer"}, "n": {"$ref": "#/$defs/Node"}}}}
NODES = st.recursive(
    st.sampled_from([{}, {"v": 1}]),
    lambda some: (
        st.builds(lambda v, n: {"v": v, "n": n}, st.integers(0, 9), some) | st.builds(lambda n: {"n": n}, some)
    ),
    max_leaves=4,
)
Pair = tuple[Any, st.SearchStrategy[Any]]


@st.composite
def simple(draw: st.DrawFn) -> Pair:
    low, more = draw(st.integers(0, 300)), draw(st.integers(0, 400))
    few = draw(st.lists(SMALL, min_size=1, max_size=3))
    text = st.text(st.characters(codec="utf-8"), min_size=low, max_size=low + more)
    near = st.integers(low - 150, low - 150 + more % 50)
    return draw(
        st.sampled_from(
            [
                ({"type": "string", "minLength": low, "maxLength": low + more}, text),
                ({"type": "integer", "minimum": low - 150, "maximum": low - 150 + more % 50}, near),
                ({"type": "integer"}, st.integers(-(10**19), 10**19)),
                ({"enum": few}, st.sampled_from(few)),
                ({"const": few[0]}, st.just(few[0])),
                ({"$ref": "#/$defs/Node"}, NODES),
                ({}, SMALL),
            ]
        )
    )


@st.composite
def made_of(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    (one, ones), (other, others) = draw(inner), draw(inner)
    least, most, must = draw(st.integers(0, 2)), draw(st.integers(2, 5)), draw(st.booleans())
    array = {"type": "array", "items": one, "minItems": least, "maxItems": most}
    first = {"type": "array", "prefixItems": [one], "items": other, "minItems": 1}
    parts = {"type": "object", "properties": {"é": one, "b": other}, "required": ["b"] if must else []}
    have = st.fixed_dictionaries({"b": others} if must else {}, optional={"é": ones, **({} if must else {"b": others})})
    return draw(
        st.sampled_from(
            [
                ({"anyOf": [one, other]}, ones | others),
                (array, st.lists(ones, min_size=least, max_size=most)),
                (first, st.builds(lambda head, tail: [head, *tail], ones, st.lists(others, max_size=2))),
                (parts, have.map(lambda found: {key: found[key] for key in ("é", "b") if key in found})),
                ({"type": "object", "additionalProperties": one}, st.dictionaries(TEXTS, ones, max_size=2)),
            ]
        )
    )


SCHEMAS = st.recursive(simple(), made_of, max_leaves=5)


class TwiceError(Exception):
    """A key was written twice."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise TwiceError
    return dict(pairs)


@patient
@given(st.data(), SCHEMAS, SEEDS)
def test_any_schema_lets_through_what_is_valid_and_nothing_else(data: st.DataObject, pair: Pair, seed: int) -> None:
    schema, values = {**pair[0], "$defs": DEFS}, pair[1]
    grammar = Gbnf(gbnf(schema))
    value = data.draw(values)
    assert conforms(schema, value, schema)
    assert all(grammar.matches(text) for text in dumped(value))
    text = grammar.draw(random.Random(seed))
    with suppress(TwiceError):
        assert conforms(schema, json.loads(text, object_pairs_hook=once), schema), text
    assert gbnf(schema) == gbnf(schema)


KEYWORDS = re.findall(
    r"\w+|\$\w+",
    """type enum const format minLength maxLength minimum maximum exclusiveMinimum items prefixItems additionalItems
    minItems maxItems properties required additionalProperties patternProperties propertyNames minProperties allOf anyOf
    oneOf $ref nullable""",
)
WORDS = ANYTHING | st.sampled_from(
    ["string", "integer", "number", "array", "object", "date", "#", "#/$defs/Node", "#/items"]
)
ODD = st.recursive(
    st.dictionaries(st.sampled_from(KEYWORDS), WORDS, max_size=3),
    lambda some: st.dictionaries(st.sampled_from(KEYWORDS), WORDS | some | st.lists(some, max_size=3), max_size=4),
    max_leaves=6,
)


@patient
@given(ODD, SEEDS)
def test_a_schema_that_is_nonsense_makes_a_grammar_all_the_same(schema: Any, seed: int) -> None:
    json.loads(Gbnf(gbnf({"$defs": DEFS, **schema})).draw(random.Random(seed)))
    calls_schema([{"name": "odd", "parameters": schema}])


def test_alternatives_can_be_deep() -> None:
    schema: Any = {"type": "integer"}
    for _ in range(400):
        schema = {"anyOf": [schema, {"type": "null"}], "type": ["string", "integer"]}
    assert lets_through(schema, "1")
    for _ in range(400):
        schema = {"allOf": [schema], "type": ["string", "integer"]}
    assert lets_through(schema, "1")
    woven = {str(place): {"oneOf": [{"$ref": f"#/$defs/{place + 1}"}] * 3, "minimum": 1} for place in range(60)}
    assert lets_through({"$ref": "#/$defs/0", "maximum": 5, "$defs": woven}, "1")


# One call of one of many functions


def test_one_schema_for_the_calls_of_all_tools() -> None:
    thoughts = {"thoughts": {"type": "string", "maxLength": 20}}
    schema = calls_schema(BASE, "function", "params", first=thoughts, last={"on": {"type": "boolean"}})
    call = {"thoughts": "hm", "function": "send_message", "params": {"message": "Hi"}, "on": True}
    grammar = Gbnf(gbnf(schema))
    assert grammar.matches(json.dumps(call)) and conforms(schema, call, schema)
    for wrong in ({"function": "nothing"}, {"params": {"query": "x"}}, {"thoughts": "h" * 21}):
        assert not grammar.matches(json.dumps({**call, **wrong})), wrong


def test_references_hold_in_the_schema_of_all_calls() -> None:
    def tool(name: str, value: Any) -> dict[str, Any]:
        parts = {
            "first": {"$ref": "#/$defs/Value"},
            "same": {"$ref": "#/properties/first"},
            "$ref": {"enum": [{"$ref": "#/$defs/Value"}]},
        }
        return {"name": name, "parameters": {"type": "object", "properties": parts, "$defs": {"Value": value}}}

    tree = {"type": "array", "items": {"$ref": "#/$defs/Value"}}
    schema = calls_schema([tool("a", {"type": "integer"}), tool("b", tree)])
    text = json.dumps(schema)
    assert (
        [*schema] == ["anyOf", "$defs"]
        and text.count("$defs") == 1 + text.count('"#/$defs/')
        and "definitions" not in text
    )
    for one in (schema, json.loads(text)):
        grammar = Gbnf(gbnf(one))
        assert grammar.matches('{"name": "a", "arguments": {"first": 1, "same": 2, "$ref": {"$ref": "#/$defs/Value"}}}')
        assert grammar.matches('{"name": "b", "arguments": {"first": [[], []], "same": [[[]]]}}')
        assert not grammar.matches('{"name": "b", "arguments": {"first": 1}}')
        assert not grammar.matches('{"name": "a", "arguments": {"same": []}}')


# Grammars that are shipped


@pytest.mark.parametrize(
    ("name", "schema"),
    [("json", {"type": "object"}), ("json_list", {"type": "array"}), ("calls", calls_schema(BASE))],
)
def test_the_shipped_grammars_are_those_that_are_generated(tmp_path: Path, name: str, schema: Any) -> None:
    text = gbnf(schema)
    assert (ROOT / "grammars" / f"{name}.gbnf").read_text(encoding="utf-8") == text, f"write it anew:\n{text}"
    assert Library(tmp_path).text("grammars", name) == text.rstrip()


def test_your_own_grammar_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "grammars").mkdir()
    (tmp_path / "grammars" / "json.gbnf").write_text('root ::= "{}"\n')
    assert Library(tmp_path).text("grammars", "json") == 'root ::= "{}"'
