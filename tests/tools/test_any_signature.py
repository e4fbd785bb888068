"""Any signature of the types there are: valid arguments arrive as they were, all else is a `ToolError`."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
from datetime import date, datetime
from typing import Any, Literal

import pydantic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.errors import ToolError
from memagent.tools.schema import make_tool, read_arguments

patient = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


class Color(enum.Enum):
    RED = "r"
    GREEN = "g"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Shape(enum.Enum):
    SQUARE = object()
    ROUND = object()


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True)
class Route:
    name: str
    stops: list[Point]
    color: Color = Color.RED
    end: Point | None = None


class Address(pydantic.BaseModel):
    title: str
    city: str
    zip: int | None = None


def with_parameters(parameters: dict[str, tuple[Any, Any]]) -> Any:
    def function(**values: Any) -> Any:
        return values

    function.__doc__ = "Do it.\n\nArgs:\n" + "\n".join(f"    {name}: It." for name in parameters)
    kind = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, kind, annotation=a, default=d) for n, (a, d) in parameters.items()]
    )
    return make_tool(function)


def read(annotation: Any, value: Any) -> Any:
    tool = with_parameters({"value": (annotation, inspect.Parameter.empty)})
    return read_arguments(tool, json.dumps({"value": value}))[0]["value"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.builds(Point, st.integers(), st.integers())
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXTS),
    (int, st.integers()),
    (float, FLOATS),
    (bool, st.booleans()),
    (date, st.dates()),
    (datetime, st.datetimes()),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (Shape, st.sampled_from(Shape)),
    (Literal["a", "B", 3, True], st.sampled_from(["a", "B", 3, True])),
    (Point, POINTS),
    (Route, st.builds(Route, TEXTS, st.lists(POINTS, max_size=2), st.sampled_from(Color), st.none() | POINTS)),
    (Address, st.builds(Address, title=TEXTS, city=TEXTS, zip=st.none() | st.integers(0, 99999))),
]


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def wrapped(kind: tuple[Any, Any]) -> st.SearchStrategy[Any]:
        annotation, values = kind
        return st.sampled_from(
            [
                (list[annotation], st.lists(values, max_size=3)),
                (dict[str, annotation], st.dictionaries(TEXTS, values, max_size=3)),
                (annotation | None, st.none() | values),
                (tuple[annotation, int], st.tuples(values, st.integers())),
                (tuple[annotation, ...], st.lists(values, max_size=3).map(tuple)),
            ]
        )

    return inner.flatmap(wrapped)


KINDS = st.recursive(st.sampled_from(LEAVES), _containers, max_leaves=4)
NAMES = st.from_regex("[a-z]{1,8}", fullmatch=True).map(lambda name: f"p_{name}")


def jsonable(value: Any) -> Any:
    if isinstance(value, Shape):
        return value.name
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    return value


@patient
@given(st.data(), st.dictionaries(NAMES, KINDS, max_size=4))
def test_any_valid_arguments_arrive_as_they_were(data: st.DataObject, kinds: dict[str, Any]) -> None:
    tool = with_parameters({name: (annotation, inspect.Parameter.empty) for name, (annotation, _) in kinds.items()})
    json.dumps(tool.schema)
    values = {name: data.draw(values) for name, (_, values) in kinds.items()}
    text = json.dumps({name: jsonable(value) for name, value in values.items()} | {"request_heartbeat": True})
    assert read_arguments(tool, text) == (values, True)


KEYS = TEXTS | st.sampled_from(["x", "y", "name", "stops", "city", "title"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["x", "3", "[", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@patient
@given(KINDS, JSON)
def test_anything_else_is_refused_with_a_tool_error_and_nothing_else(kind: Any, value: Any) -> None:
    annotation, _ = kind
    try:
        meant = read(annotation, value)
    except ToolError as error:
        assert "'value" in error.message or "not valid JSON" in error.message
    else:
        again = read(annotation, jsonable(meant))  # what was accepted is of the type
        assert again == meant


def forecast(city: str, days: int = 3) -> str:
    """Forecast the weather.

    Args:
        city: Name of the city.
        days: How many days.
    """
    return f"{city} {days}"


@patient
@given(st.text(max_size=40) | JSON.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_arguments(make_tool(forecast), text)
    except ToolError as error:
        assert error.message.startswith("forecast was not called: ")
