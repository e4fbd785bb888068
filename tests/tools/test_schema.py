"""Functions as a model sees them, and its arguments as functions get them."""

# ruff: noqa: UP007, UP045 - users write their types in either way

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, TypedDict, Union
from uuid import UUID

import pydantic
import pytest
from signatures import Color, Shape, Size

from memagent.errors import ToolError, ToolFileError
from memagent.tools import Rules
from memagent.tools.schema import describe, make_tool, read_arguments


@dataclasses.dataclass(frozen=True)
class Point:
    """A place.

    Attributes:
        x: To the right.
        y: Upwards.
    """

    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Route:
    name: str
    stops: list[Point]
    color: Color = Color.RED
    end: Optional[Point] = None

    def __post_init__(self) -> None:
        if self.name == "nowhere":
            raise ValueError("no route leads nowhere")


class Address(pydantic.BaseModel):
    title: str = pydantic.Field(description="A word for it")
    city: str
    zip: int | None = None


class Person(pydantic.BaseModel):
    name: str
    home: Address
    others: list[Address] = []


class Options(TypedDict, total=False):
    """How.

    Args:
        loud: Whether to shout.
    """

    loud: bool


@dataclasses.dataclass
class Node:
    children: list[Node]


class Tree(pydantic.BaseModel):
    children: list[Tree] = []


def of(annotation: Any, default: Any = inspect.Parameter.empty) -> Any:
    """A tool with one parameter `value` of a type; calling it returns the value."""
    return with_parameters({"value": (annotation, default)})


def with_parameters(parameters: dict[str, tuple[Any, Any]]) -> Any:
    def function(**values: Any) -> Any:
        return values

    function.__doc__ = "Do it.\n\nArgs:\n" + "\n".join(f"    {name}: It." for name in parameters)
    kind = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, kind, annotation=a, default=d) for n, (a, d) in parameters.items()]
    )
    return make_tool(function)


def value_schema(annotation: Any, default: Any = inspect.Parameter.empty) -> Any:
    return of(annotation, default).schema["parameters"]["properties"]["value"]


def read(annotation: Any, value: Any, default: Any = inspect.Parameter.empty) -> Any:
    values, _ = read_arguments(of(annotation, default), json.dumps({"value": value}))
    return values["value"]


def refusal(annotation: Any, value: Any) -> str:
    with pytest.raises(ToolError) as caught:
        read(annotation, value)
    return caught.value.message


# Schemas --------------------------------------------------------------------------------------------------------------


def google(self: Any, city: str, days: int = 3) -> str:
    """Forecast the weather.

    For any city.

    Args:
        city: Name of the city,
            as on a map.
        days (int): How many days.

    Returns:
        str: A text.

    Raises:
        ValueError: never.
    """
    return f"{city} {days}"


def numpy(agent: Any, city: str, days: int = 3) -> str:
    """
    Forecast the weather.

    For any city.

    Parameters
    ----------
    city : str
        Name of the city,
        as on a map.
    days : int, optional
        How many days.

    Returns
    -------
    str
        A text.
    """
    return f"{city} {days}"


def rest(city: str, days: int = 3) -> str:
    """Forecast the weather.

    For any city.

    :param city: Name of the city,
        as on a map.
    :param int days: How many days.
    :returns: A text.
    """
    return f"{city} {days}"


@pytest.mark.parametrize("function", [google, numpy, rest])
def test_signature_and_docstring_become_a_schema_in_each_style(function: Any) -> None:
    assert describe(function, Rules()) == {
        "name": function.__name__,
        "description": "Forecast the weather. For any city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city, as on a map."},
                "days": {"type": "integer", "description": "How many days.", "default": 3},
                "request_heartbeat": {"type": "boolean", "description": "true to go on without the user"},
            },
            "required": ["city", "request_heartbeat"],
        },
    }


def test_a_function_that_ends_the_turn_has_no_heartbeat() -> None:
    parameters = describe(google, Rules(ends_turn=True))["parameters"]
    assert list(parameters["properties"]) == ["city", "days"]
    assert parameters["required"] == ["city"]


def test_the_agent_is_no_parameter() -> None:
    assert make_tool(google).takes_agent and make_tool(numpy).takes_agent and not make_tool(rest).takes_agent


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (Any, {}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[int | None], {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Color, {"type": "string", "enum": ["r", "g"]}),
        (Size, {"type": "integer", "enum": [1, 2]}),
        (Shape, {"type": "string", "enum": ["SQUARE", "ROUND"]}),
        (date, {"type": "string", "format": "date"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (Annotated[int, pydantic.Field(ge=1)], {"type": "integer", "minimum": 1}),
        (
            Point,
            {
                "type": "object",
                "properties": {
                    "x": {"type": "integer", "description": "To the right."},
                    "y": {"type": "integer", "description": "Upwards.", "default": 0},
                },
                "required": ["x"],
                "additionalProperties": False,
            },
        ),
        (
            Options,
            {
                "type": "object",
                "properties": {"loud": {"type": "boolean", "description": "Whether to shout."}},
                "additionalProperties": False,
            },
        ),
        (
            Address,
            {
                "type": "object",
                "properties": {
                    "title": {"type": "string", "description": "A word for it"},
                    "city": {"type": "string"},
                    "zip": {"type": "integer"},
                },
                "required": ["title", "city"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_types(annotation: Any, schema: Any) -> None:
    shown = value_schema(annotation)
    assert shown.pop("description") == "It."
    assert shown == schema


def test_models_within_models_stand_where_they_are_used() -> None:
    text = json.dumps(value_schema(Person))
    assert "$ref" not in text and "$defs" not in text
    assert text.count('"A word for it"') == 2


@pytest.mark.parametrize(
    ("annotation", "default", "shown"),
    [
        (int, 3, 3),
        (str, "", ""),
        (Color, Color.GREEN, "g"),
        (list[str], ["a"], ["a"]),
        (date, date(2026, 5, 31), "2026-05-31"),
    ],
)
def test_defaults_are_shown_and_make_a_parameter_optional(annotation: Any, default: Any, shown: Any) -> None:
    tool = of(annotation, default)
    assert tool.schema["parameters"]["properties"]["value"]["default"] == shown
    assert tool.schema["parameters"]["required"] == ["request_heartbeat"]
    assert read_arguments(tool, "{}") == ({}, False)


def test_null_is_not_offered_where_it_means_the_same_as_leaving_it_out() -> None:
    assert value_schema(Optional[int], None) == {"type": "integer", "description": "It."}
    assert read(Optional[int], None, None) is None
    assert "anyOf" in value_schema(Optional[int], 5)


# Functions that can't be tools ----------------------------------------------------------------------------------------


def no_type(city) -> None:  # type: ignore[no-untyped-def]
    """Do it.

    Args:
        city: The city.
    """


def no_description(city: str, days: int) -> None:
    """Do it.

    Args:
        city: The city.
    """


def no_docstring(city: str) -> None: ...


def many(*city: str) -> None:
    """Do it.

    Args:
        city: The city.
    """


def named(**city: str) -> None:
    """Do it.

    Args:
        city: The city.
    """


def positional(city: str, /) -> None:
    """Do it.

    Args:
        city: The city.
    """


def unknown_type(city: Cityy) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Do it.

    Args:
        city: The city.
    """


def strange_type(city: threading_lock) -> None:  # type: ignore[valid-type]
    """Do it.

    Args:
        city: The city.
    """


class threading_lock:
    def __init__(self, a: int) -> None: ...


def contains_itself(city: Node) -> None:
    """Do it.

    Args:
        city: The city.
    """


def model_contains_itself(city: Tree) -> None:
    """Do it.

    Args:
        city: The city.
    """


def reserved(request_heartbeat: bool) -> None:
    """Do it.

    Args:
        request_heartbeat: The city.
    """


def yields(city: str) -> Any:
    """Do it.

    Args:
        city: The city.
    """
    yield city


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_type, "the parameter 'city' has no type"),
        (no_description, "the parameter 'days' has no description"),
        (no_docstring, "it has no docstring"),
        (many, "the parameter 'city' is one for any number of arguments"),
        (named, "the parameter 'city' is one for any number of arguments"),
        (positional, "the parameter 'city' is positional-only"),
        (unknown_type, "the parameter 'city' has a type that can't be used: name 'Cityy' is not defined"),
        (strange_type, "the parameter 'city' has a type that can't be used: threading_lock has no form in JSON"),
        (contains_itself, "the parameter 'city' has a type that can't be used: Node contains itself"),
        (model_contains_itself, "the parameter 'city' has a type that can't be used: Tree contains itself"),
        (reserved, "the parameter 'request_heartbeat' has a name that memagent uses itself"),
        (yields, "it yields"),
    ],
)
def test_a_function_that_can_not_be_a_tool_is_named_with_parameter_file_and_line(function: Any, said: str) -> None:
    with pytest.raises(ToolFileError) as caught:
        describe(function, Rules())
    line = inspect.getsourcelines(function)[1]
    assert caught.value.message.startswith(f"{__file__}:{line}: {function.__name__}: {said}")
    assert caught.value.hint


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "given", "meant"),
    [
        (int, "3", 3),
        (int, 1.0, 1),
        (int, " 4.0 ", 4),
        (float, "2.5", 2.5),
        (float, 2, 2.0),
        (bool, "true", True),
        (bool, "No", False),
        (bool, 1, True),
        (str, 42, "42"),
        (list[str], "one", ["one"]),
        (list[str], '["one", "two"]', ["one", "two"]),
        (list[str], "[draft", ["[draft"]),
        (list[int], ["1", 2.0], [1, 2]),
        (list[Point], {"x": 1}, [Point(1)]),
        (dict[str, int], '{"a": "1"}', {"a": 1}),
        (dict[int, str], {"1": "one"}, {1: "one"}),
        (set[int], [1, 1, 2], {1, 2}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (Color, "g", Color.GREEN),
        (Color, "GREEN", Color.GREEN),
        (Color, "green", Color.GREEN),
        (Size, "2", Size.LARGE),
        (Size, "large", Size.LARGE),
        (Shape, "ROUND", Shape.ROUND),
        (Literal["a", "b"], "B", "b"),
        (Literal[1, 2], "2", 2),
        (Optional[int], None, None),
        (Optional[int], "null", None),
        (Optional[str], "null", "null"),
        (Union[int, str], "3", "3"),
        (Union[int, str], 3, 3),
        (Union[str, Point], {"x": 1}, Point(1)),
        (Union[str, float], 3, 3.0),
        (date, "2026-05-31", date(2026, 5, 31)),
        (datetime, "2026-05-31T18:30:00+02:00", datetime.fromisoformat("2026-05-31T18:30:00+02:00")),
        (Point, {"x": "1"}, Point(1)),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (Route, {"name": "r", "stops": [{"x": 1}], "end": {"x": 2}}, Route("r", [Point(1)], Color.RED, Point(2))),
        (Options, {"loud": "true"}, {"loud": True}),
        (Address, {"title": "home", "city": "Bonn", "zip": "53113"}, Address(title="home", city="Bonn", zip=53113)),
        (Address, '{"title": "home", "city": "Bonn"}', Address(title="home", city="Bonn")),
        (Decimal, "1.5", Decimal("1.5")),
        (int, 10**400, 10**400),
        (str, "a\0b\ud800", "a\ufffdb\ufffd"),
    ],
)
def test_arguments_are_read_as_they_are_meant(annotation: Any, given: Any, meant: Any) -> None:
    value = read(annotation, given)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("annotation", "given", "said"),
    [
        (int, "three", "'value' must be a whole number, not \"three\""),
        (int, 1.5, "'value' must be a whole number, not 1.5"),
        (int, True, "'value' must be a whole number, not true"),
        (int, "9" * 5000, "'value' must be a whole number"),
        (float, "nan", "'value' must be a number"),
        (float, "inf", "'value' must be a number"),
        (float, 10**400, "'value' must be a number"),
        (str, None, "'value' must be a string, not null"),
        (str, {"a": 1}, "'value' must be a string, not an object"),
        (bool, "maybe", "'value' must be true or false"),
        (list[int], [1, "x", {}], "'value[1]' must be a whole number, not \"x\"; 'value[2]' must be a whole number"),
        (tuple[int, int], [1], "'value' must be a list of 2"),
        (dict[str, int], {"a": "b"}, "'value[\"a\"]' must be a whole number"),
        (dict[int, int], {"1": 1, "01": 2}, "'value' has the same key twice"),
        (Color, "blue", '\'value\' must be one of "r", "g"'),
        (Literal["a"], "c", "'value' must be one of \"a\""),
        (date, "tomorrow", "'value' must be a date like 2026-05-31"),
        (Point, {"y": 1}, "'value.x' is missing (a whole number)"),
        (Point, {"x": 1, "z": 1}, "'value.z' is not known"),
        (Route, {"name": "r", "stops": [{"x": "a"}]}, "'value.stops[0].x' must be a whole number"),
        (Route, {"name": "nowhere", "stops": []}, "'value' is refused: no route leads nowhere"),
        (Person, {"name": "A", "home": {"title": "h", "city": "B", "zip": "x"}}, "'value.home.zip' is wrong: "),
        (Person, {"name": "A", "home": {"title": "h", "city": "B", "q": 1}}, "'value.home.q' is wrong: Extra inputs"),
        (Union[int, Point], {"x": "a"}, "'value.x' must be a whole number"),
        (Union[int, bool], "a", "'value' must be a whole number or true or false"),
        (Annotated[int, pydantic.Field(ge=1)], 0, "'value' is wrong: Input should be greater than or equal to 1"),
    ],
)
def test_what_is_wrong_is_said_so_that_the_model_can_mend_it(annotation: Any, given: Any, said: str) -> None:
    message = refusal(annotation, given)
    assert said in message
    assert "It takes: value (" in message
    assert len(message) < 500


def test_an_unknown_argument_is_told_with_the_one_that_is_meant_and_what_is_missing() -> None:
    with pytest.raises(ToolError) as caught:
        read_arguments(make_tool(google), '{"citty": "Bonn", "day": 2, "request_heartbeat": true}')
    assert caught.value.message == (
        "google was not called: 'citty' is not known; did you mean 'city'?; 'day' is not known; did you mean 'days'?; "
        "'city' is missing (a string). It takes: city (a string), days (a whole number, optional)."
    )


def test_very_many_wrong_arguments_make_a_short_message() -> None:
    with pytest.raises(ToolError) as caught:
        read_arguments(make_tool(google), json.dumps({f"x{i}" * 20: "y" * 100 for i in range(5_000)}))
    assert "and 4993 more" in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize("wanted", [True, "true", 1, "yes"])
def test_the_heartbeat_is_read_and_kept_from_the_function(wanted: Any) -> None:
    text = json.dumps({"city": "B", "request_heartbeat": wanted})
    assert read_arguments(make_tool(rest), text) == ({"city": "B"}, True)


def test_a_heartbeat_that_is_missing_or_pointless_is_none() -> None:
    assert read_arguments(make_tool(rest), '{"city": "B"}') == ({"city": "B"}, False)
    ends = make_tool(rest, Rules(ends_turn=True))
    assert read_arguments(ends, '{"city": "B", "request_heartbeat": true}') == ({"city": "B"}, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"city": "a", "city": "b"}', "given twice"),
        ('{"city": NaN}', "NaN is not a number"),
        ('{"city": -Infinity}', "-Infinity is not a number"),
        ('{"city": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"city": ' + "[" * 100_000, "nested too deeply"),
        ('{"city"', "not valid JSON"),
        ("[1]", "must be one JSON object"),
        ("7", "must be one JSON object"),
        ("", "'city' is missing"),
        ("null", "'city' is missing"),
    ],
)
def test_arguments_that_are_no_object(text: str, said: str) -> None:
    with pytest.raises(ToolError, match="rest was not called") as caught:
        read_arguments(make_tool(rest), text)
    assert said in caught.value.message


def test_an_object_in_a_string_is_unpacked() -> None:
    assert read_arguments(make_tool(rest), json.dumps(json.dumps({"city": "B"}))) == ({"city": "B"}, False)


def test_null_for_what_may_be_left_out_means_left_out() -> None:
    assert read_arguments(make_tool(rest), '{"city": "B", "days": null}') == ({"city": "B"}, False)


def test_pydantic_and_docstring_parser_wait_until_they_are_needed() -> None:
    code = (
        "import sys; from memagent.tools.loader import link; from memagent.tools.schema import read_arguments\n"
        "assert 'docstring_parser' not in sys.modules\n"
        "read_arguments(link(['base'], [])['send_message'], '{\"message\": \"hi\"}')\n"
        "assert not {'pydantic', 'asyncio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
