"""The grammar of a whole answer: it lets through whatever a wrapper writes of calls that the rules allow, and whatever
it lets through is read as such calls.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from gbnf_reader import Gbnf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent import registry
from memagent.llm import Request
from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.form import LONGEST_THOUGHT, MOST_QUIET, Form
from memagent.messages import SPEAK, ToolCall, answer, user_message
from memagent.tools.loader import link
from memagent.tools.schema import read_arguments

NOW = datetime(2026, 5, 31, 18, 30, tzinfo=UTC)
TOOLS = link(["base"], [])
QUIET = [name for name, tool in TOOLS.items() if tool.rules.quiet]
LOUD = [name for name, tool in TOOLS.items() if not tool.rules.quiet]
ALL = Request([user_message("Hi", NOW)], [tool.schema for tool in TOOLS.values()], quiet=QUIET)
CHOICES = {
    ("core_memory_append", "name"): ["persona", "human"],
    ("core_memory_replace", "name"): ["persona", "human"],
    ("core_memory_replace", "old_content"): ['She says "hi".', "Likes tea\\coffee\t", "Ä ist <|im_end|> groß"],
}
FORMS = {
    name: wrapper for name, wrapper in ((name, registry.load(place)) for name, place in registry.WRAPPERS.items())
    if wrapper.calls
}  # fmt: skip
SEEDS = st.integers(0, 2**32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
"""Words with anything in them, marks of every family among them."""
WORDS = TEXTS | st.sampled_from(["<|im_end|>", "</tool_call>", "[/INST]", '"}]</s>', "\u2028\\n\x7f", "### Result"])

every = pytest.mark.parametrize("name", FORMS)
patient = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@cache
def grammar_of(name: str, force: str | None = None, held: bool = False, plain: bool = False) -> Gbnf:
    """The grammar that a wrapper makes of the base functions, as llama.cpp reads it."""
    return Gbnf(wrapper_of(name).grammar(request(force, held=held, plain=plain)))


def request(force: str | None = None, *, held: bool = False, plain: bool = False) -> Request:
    tools = [tool for tool in ALL.tools if not plain or tool["name"] != SPEAK]
    return replace(ALL, tools=tools, force=force, choices=CHOICES if held else {})


def wrapper_of(name: str) -> Wrapper:
    wrapper: Wrapper = FORMS[name]()
    return wrapper


def arguments(name: str) -> st.SearchStrategy[str]:
    """Arguments of a base function, in the order of its parameters; what need not be there is there or not."""
    schema = TOOLS[name].schema["parameters"]
    keys = [key for key in schema["properties"] if key != "request_heartbeat"]
    kinds = {"integer": st.integers(0, 99), "array": st.lists(WORDS, max_size=2), "string": WORDS}
    values = {key: kinds[schema["properties"][key].get("type", "array")] for key in keys}
    needed = {key: values[key] for key in keys if key in schema["required"]}
    free = {key: values[key] for key in keys if key not in needed}
    drawn = st.fixed_dictionaries(needed, optional=free)
    return drawn.map(lambda found: json.dumps({key: found[key] for key in keys if key in found}, ensure_ascii=False))


def calls(names: Sequence[str]) -> st.SearchStrategy[ToolCall]:
    return st.sampled_from(names).flatmap(lambda name: arguments(name).map(lambda given: ToolCall("", name, given)))


ANSWERS = st.tuples(st.lists(calls(QUIET), max_size=MOST_QUIET), calls(LOUD)).map(lambda found: (*found[0], found[1]))


def written(wrapper: Wrapper, of: Sequence[ToolCall], thought: str) -> str:
    return wrapper.written(answer(thought if wrapper.form.thoughts else "", tuple(of), "", NOW))


def read(wrapper: Wrapper, text: str) -> tuple[str, tuple[ToolCall, ...]]:
    return wrapper.form.read(text, list(TOOLS))


# What is written is let through ---------------------------------------------------------------------------------------


@every
@patient
@given(of=ANSWERS, thought=WORDS.filter(lambda text: len(text.strip()) > 0))
def test_what_a_wrapper_writes_is_let_through_and_read_as_it_was(
    name: str, of: tuple[ToolCall, ...], thought: str
) -> None:
    wrapper = wrapper_of(name)
    text = written(wrapper, of, thought)
    assert grammar_of(name).matches(text), text
    said, found = read(wrapper, text)
    assert [call.name for call in found] == [call.name for call in of]
    for call, was in zip(found, of, strict=True):
        assert as_the_eye_sees(json.loads(call.arguments)) == as_the_eye_sees(json.loads(was.arguments))
    assert bool(said) == bool(wrapper.form.thoughts)


def as_the_eye_sees(value: Any) -> Any:
    """Marks in texts are taken apart by what is not seen, and what no text can hold is left out."""
    from memagent.messages import storable

    return json.loads(storable(json.dumps(value, ensure_ascii=False)).replace("\u200b", ""))


@every
def test_an_answer_has_one_call_at_its_end_that_must_be_heard(name: str) -> None:
    wrapper, grammar = wrapper_of(name), grammar_of(name)
    quiet = ToolCall("", "core_memory_append", '{"name": "human", "content": "Ada"}')
    loud = ToolCall("", SPEAK, '{"message": "Hello"}')
    search = ToolCall("", "conversation_search", '{"query": "tea", "page": 2}')
    for right in ([loud], [search], [quiet, loud], [quiet] * MOST_QUIET + [search]):
        assert grammar.matches(written(wrapper, right, "Hm.")), right
    for wrong in ([quiet], [loud, loud], [loud, quiet], [search, loud], [quiet] * (MOST_QUIET + 1) + [loud]):
        assert not grammar.matches(written(wrapper, wrong, "Hm.")), wrong
    assert not grammar.matches("Hello") and not grammar.matches("")
    assert not grammar.matches(written(wrapper, [ToolCall("", "shout", '{"message": "Hello"}')], "Hm."))
    assert not grammar.matches(written(wrapper, [ToolCall("", SPEAK, "{}")], "Hm."))


@every
def test_who_speaks_plainly_may_write_text_instead(name: str) -> None:
    wrapper, grammar = wrapper_of(name), grammar_of(name, plain=True)
    search = ToolCall("", "conversation_search", '{"query": "tea"}')
    assert grammar.matches("Hello, Ada.\nHow are you?") and grammar.matches(written(wrapper, [search], "Hm."))
    forced = grammar_of(name, force="conversation_search", plain=True)
    assert forced.matches(written(wrapper, [search], "Hm.")) and not forced.matches("Hello, Ada.")


# What is let through is read ------------------------------------------------------------------------------------------


@every
@patient
@given(seed=SEEDS, held=st.booleans())
def test_what_is_let_through_is_read_as_valid_calls(name: str, seed: int, held: bool) -> None:
    wrapper = wrapper_of(name)
    text = grammar_of(name, held=held).draw(random.Random(seed), 60)
    said, found = read(wrapper, text)
    assert found, text
    *before, last = [call.name for call in found]
    assert set(before) <= set(QUIET) and len(before) <= MOST_QUIET and last in LOUD, text
    for call in found:
        given, _ = read_arguments(TOOLS[call.name], call.arguments)
        for key, value in given.items() if held else ():
            assert value in CHOICES.get((call.name, key), [value]), text
    assert len(said) <= LONGEST_THOUGHT + len("\n") and (wrapper.form.thoughts or not said)


@every
@patient
@given(seed=SEEDS, force=st.sampled_from(list(TOOLS)))
def test_the_call_that_is_due_is_the_only_one(name: str, seed: int, force: str) -> None:
    text = grammar_of(name, force=force).draw(random.Random(seed), 60)
    assert [call.name for call in read(wrapper_of(name), text)[1]] == [force], text


@every
def test_choices_hold_and_are_written_as_they_are(name: str) -> None:
    wrapper, grammar = wrapper_of(name), grammar_of(name, held=True)
    loud = ToolCall("", SPEAK, '{"message": "Hello"}')
    for old in CHOICES["core_memory_replace", "old_content"]:
        given = {"name": "human", "old_content": old, "new_content": "New"}
        for changed, right in (({}, "<|" not in old), ({"name": "rules"}, False), ({"old_content": "Other"}, False)):
            call = ToolCall("", "core_memory_replace", json.dumps({**given, **changed}))
            assert grammar.matches(written(wrapper, [call, loud], "Hm.")) is right, (old, changed)


def test_a_thought_comes_first_once_and_has_an_end() -> None:
    call = ToolCall("", "core_memory_append", '{"name": "human", "content": "Ada"}')
    loud = ToolCall("", SPEAK, '{"message": "Hello"}')
    for form in (Form(thoughts="thinks"), Form(thoughts="thinks", thoughts_inside=True)):
        grammar = Gbnf(form.grammar(ALL))
        for thought, right in (("x" * LONGEST_THOUGHT, True), ("x" * (LONGEST_THOUGHT + 1), False), ("", False)):
            text = form.written(answer(thought, (call, loud), "", NOW))
            assert grammar.matches(text) is right, text
        text = form.written(answer("Hm.", (call, loud), "", NOW))
        assert text.count('"thinks"') == 1 and text.index("Hm.") < text.index("Ada")
        assert form.read(text, list(TOOLS)) == ("Hm.", (call, loud))
        assert grammar.begins(text[: text.index("Hm.")]) and not grammar.begins("Hm.")


def test_where_all_functions_are_quiet_one_of_them_is_called() -> None:
    tools = [tool for tool in ALL.tools if tool["name"] in QUIET]
    form = Form()
    grammar = Gbnf(form.grammar(replace(ALL, tools=tools)))
    call = ToolCall("", "core_memory_append", '{"name": "human", "content": "Ada"}')
    assert grammar.matches(form.written(answer("", (call,), "", NOW)))
    assert not grammar.matches(form.written(answer("", (call, call), "", NOW)))
