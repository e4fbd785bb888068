"""Any signature of the types there are: valid arguments arrive as they were, all else is a `ToolError`."""

from __future__ import annotations

import inspect
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signatures import KINDS, NAMES, TEXTS, jsonable, with_parameters

from memagent.errors import ToolError
from memagent.tools.schema import make_tool, read_arguments

patient = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def read(annotation: Any, value: Any) -> Any:
    tool = with_parameters({"value": (annotation, inspect.Parameter.empty)})
    return read_arguments(tool, json.dumps({"value": value}))[0]["value"]


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
