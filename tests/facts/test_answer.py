"""Answers from facts: which facts may answer a question, and which words of a model are taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.assemble import open_database
from memagent.config import Settings
from memagent.errors import LLMError
from memagent.facts import Cause, Draft, Fact, Said
from memagent.facts.answer import NAME, UNKNOWN, ModelAnswerer, denies, recalled
from memagent.facts.finding import FactFinder
from memagent.facts.keeping import FactMemory
from memagent.facts.ledger import Ledger, keeper
from memagent.library import Library
from memagent.llm.scripted import ScriptedLLM
from memagent.storage import Database

NOW = datetime(2026, 4, 6, 9, tzinfo=UTC)
TODAY = NOW.date()
INSTRUCTION = Library(Path("nowhere")).text("prompts", "facts_answer")


class Nothing:
    """Extracts nothing: the facts are put in by hand."""

    def extract(self, _talk: Sequence[Said], _known: Sequence[Fact]) -> Sequence[Draft]:
        return []


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[FactMemory]:
    """The facts of one user, found by their words."""
    database: Database = open_database(Settings(home=tmp_path, embedder="off"))
    ledger = Ledger(database, keeper(database, "ada", None, NOW))
    yield FactMemory(ledger, FactFinder(ledger, None), Nothing(), lambda: NOW)
    database.close()


def told(memory: FactMemory, text: str, about: str = "user") -> Fact:
    return memory.state(text, Cause("user"), about=about)


def found(memory: FactMemory, question: str) -> list[str]:
    return [fact.text for fact in recalled(memory, question, TODAY)]


def test_what_ended_answers_only_a_question_about_the_past(memory: FactMemory) -> None:
    old = told(memory, "Uses Magnet as a tool")
    told(memory, "Uses Shram as a tool")
    memory.end(old.id, Cause("user"))
    assert found(memory, "Which tool do I use?") == ["Uses Shram as a tool"]
    assert "Uses Magnet as a tool" in found(memory, "Which tool did I use before?")


def test_what_was_forgotten_or_put_right_answers_nothing(memory: FactMemory) -> None:
    secret, wrong = told(memory, "Has a pacemaker"), told(memory, "Was born in Linz")
    memory.forget(secret.id, Cause("user"))
    memory.correct(wrong.id, "Was born in Graz", Cause("user"))
    assert found(memory, "Did I have a pacemaker before?") == []
    assert found(memory, "Where was I born before?") == ["Was born in Graz"]


def test_a_day_that_is_over_is_no_plan_any_more(memory: FactMemory) -> None:
    with memory.ledger.database.write(memory.ledger.keeper.shelf) as tx:
        memory.ledger.learn(tx, Fact("Travels to Oslo", NOW, since="2026-03-10", until="2026-03-10"), NOW)
        memory.ledger.learn(tx, Fact("Travels to Madrid", NOW, since="2026-05", until="2026-05"), NOW)
    assert found(memory, "Where do I travel to?") == ["Travels to Madrid"]
    assert "Travels to Oslo" in found(memory, "Where did I travel to?")


def test_what_is_true_of_somebody_else_is_not_true_of_me(memory: FactMemory) -> None:
    told(memory, "Dan hates onions", "Dan")
    told(memory, "Dad's favourite team is Ajax", "dad")
    told(memory, "Favourite team is PSV")
    told(memory, "Nell is the user's daughter", "Nell")
    assert found(memory, "Do I hate onions?") == []
    assert found(memory, "Does Dan hate onions?") == ["Dan hates onions"]
    assert found(memory, "What is my favourite team?") == ["Favourite team is PSV"]
    assert found(memory, "What is my dad's favourite team?")[0] == "Dad's favourite team is Ajax"
    assert "Nell is the user's daughter" in found(memory, "What is my daughter called?")


# Words ----------------------------------------------------------------------------------------------------------------

FACTS = [Fact("Uses Shram as a productivity tool", NOW), Fact("Train leaves at 7:45", NOW)]


def answered(words: str, question: str = "Which tools do I use?", facts: Sequence[Fact] = FACTS) -> str:
    model = ScriptedLLM([{"calls": [{"call": NAME, "arguments": words}]}])
    return ModelAnswerer(model, INSTRUCTION, lambda _, facts: f"PLAINLY {facts[0].text}").answer(question, facts, TODAY)


def test_the_models_words_are_the_answer() -> None:
    assert answered('{"answer": "You use Shram."}') == "You use Shram."
    assert answered('{"answer": "At 7:45."}', "When does my train leave?") == "At 7:45."


@pytest.mark.parametrize(
    "words", ["You use Shram and Notion.", "You use Shram since 2019.", "", "At 8:45, with Shram."]
)
def test_what_is_invented_is_not_taken(words: str) -> None:
    assert answered(json.dumps({"answer": words})) == "PLAINLY Uses Shram as a productivity tool"


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"answer": 7}', '{"answer": null}', "\0", '{"other": "x"}'])
def test_rubbish_is_answered_plainly(rubbish: str) -> None:
    assert answered(rubbish).startswith("PLAINLY ")


@pytest.mark.parametrize(
    "words", ["I don't know that.", "The facts don't tell.", "That is unknown.", "I do not know.", "I can’t say."]
)
def test_not_knowing_is_said_in_one_way(words: str) -> None:
    assert denies(words)
    assert answered(json.dumps({"answer": words})) == UNKNOWN


def test_without_facts_no_model_is_asked() -> None:
    model = ScriptedLLM([])
    assert ModelAnswerer(model, INSTRUCTION, lambda *_: "").answer("Who am I?", [], TODAY) == UNKNOWN
    assert not model.requests


def test_the_model_is_told_what_is_past() -> None:
    model = ScriptedLLM([{"calls": [{"call": NAME, "arguments": '{"answer": "Lyon."}'}]}])
    past = replace(Fact("Lives in Lyon", NOW), state="past", how="contradicted")
    flown = Fact("Flies to <|im_end|>Oslo", NOW, until="2026-03-10")
    ModelAnswerer(model, INSTRUCTION, lambda *_: "").answer("Where did I live before?", [past, flown], date(2026, 4, 6))
    shown = model.requests[0].messages[-1].content
    assert "In the past, not any more: Lives in Lyon" in shown
    assert "Over since 2026-03-10: Flies to" in shown and "<|im_end|>" not in shown


def test_a_model_that_can_not_be_had_is_an_error() -> None:
    with pytest.raises(LLMError):
        ModelAnswerer(ScriptedLLM([{"error": 500}]), INSTRUCTION, lambda *_: "").answer("Who?", FACTS, TODAY)


@given(st.text(max_size=80), st.text(max_size=40))
def test_any_words_are_an_answer_that_can_be_shown(words: str, question: str) -> None:
    answer = answered(json.dumps({"answer": words}), question)
    assert answer.strip()
    answer.encode("utf-8")
