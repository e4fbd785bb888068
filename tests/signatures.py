"""Functions with any signature of the types there are, and values for their arguments."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from datetime import date, datetime
from typing import Any, Literal

import pydantic
from hypothesis import strategies as st

from memagent.tools.schema import make_tool


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


class Hue(enum.Enum):
    RED = "r"
    DARK_GREEN = "g é"


class Place(typing.TypedDict, total=False):
    city: str
    at: Point


class Order(pydantic.BaseModel):
    count: typing.Annotated[int, pydantic.Field(ge=1, le=12)]
    note: typing.Annotated[str, pydantic.Field(min_length=3, max_length=450)] = ""
    sizes: dict[Literal["s", "m"], pydantic.PositiveInt] = {}
    pair: tuple[int, str] = (0, "")


def everything(
    places: list[Place],
    color: Hue,
    level: Literal["low", 3, True],
    day: date,
    moment: datetime | None,
    order: Order,
    either: int | str | list[bool],
    names: dict[str, float] | None = None,
    numbers: tuple[int, ...] = (),
    words: frozenset[str] = frozenset(),
    three: tuple[bool, bool, bool] = (True, True, True),
    anything: Any = None,
) -> str:
    """Take everything.

    Args:
        places, color, level, day, moment, order, either, names, numbers, words, three, anything: It.
    """
    return ""
