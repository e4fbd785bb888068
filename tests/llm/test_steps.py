"""Small models are asked one small thing after the other: what is asked, and which calls the answers make."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from gbnf_reader import Gbnf
from hypothesis import given
from hypothesis import strategies as st

from memagent.llm import Answer, Piece, Request, Usage
from memagent.llm.wrappers import Question, Said, excerpts
from memagent.llm.wrappers.likeness import alike, known, mentioned
from memagent.llm.wrappers.steps import Steps
from memagent.messages import Message, ToolCall, alert, answer, boot_messages, heartbeat, result, user_message
from memagent.tools.loader import link
from memagent.tools.quoting import quoted_from

NOW = datetime(2026, 5, 31, 18, 30, tzinfo=UTC)
BASE = [tool.schema for tool in link(["base"], []).values()]
DICE = {
    "name": "roll_dice",
    "description": "Roll a die.",
    "parameters": {
        "type": "object",
        "properties": {"sides": {"type": "integer"}, "request_heartbeat": {"type": "boolean"}},
        "required": ["sides"],
    },
}
SYSTEM = Message(
    "system", "boot", 'Be Juno.\n\n<core_memory>\n<human used="7" limit="2000">\nNew.\n</human>\n</core_memory>', NOW
)


class Model:
    """Answers each part with what is given for it, and keeps the questions."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Generator[str, None, Said]:
        self.asked.append(question)
        text = self.answers[question.part]
        grammar = Gbnf(question.grammar)
        assert grammar.matches(text), (question.part, text)
        for at in range(0, len(text), 3):
            yield text[at : at + 3]
        return Said("stop", Usage(100, len(text), 80))

    @property
    def parts(self) -> list[str]:
        return [question.part for question in self.asked]


def request(*messages: Message, human: str = "", tools: list[dict[str, Any]] | None = None) -> Request:
    blocks = {"human": human, "persona": "I am Juno."}
    return Request((SYSTEM, *messages), tools or BASE, blocks=blocks)


def heard(model: Model, asked: Request, constraint: str = "gbnf") -> tuple[str, Answer]:
    """What was streamed of the reply, and the whole answer."""
    words: list[str] = []

    def listen() -> Iterator[Answer]:
        got = yield from Steps().asked(asked, model, constraint)
        yield got

    found: Answer | None = None
    for item in listen():
        if isinstance(item, Piece):
            words.append(item.text)
        else:
            found = item
    assert isinstance(found, Answer)
    return "".join(words), found


def calls_of(found: Answer) -> list[tuple[str, Mapping[str, Any]]]:
    return [(call.name, json.loads(call.arguments)) for call in found.calls]


def said(text: str) -> Message:
    return user_message(text, NOW)


def test_what_is_told_is_noted_and_something_is_said() -> None:
    model = Model(notes='{"new": ["Name: Tom", "Has a dog"]}', say='Hello "Tom"!')
    words, found = heard(model, request(said("I'm Tom, and I have a dog.")))
    assert calls_of(found) == [
        ("core_memory_append", {"name": "human", "content": "Name: Tom\nHas a dog"}),
        ("send_message", {"message": 'Hello "Tom"!'}),
    ]
    assert words == '{"message": "Hello \\"Tom\\"!'
    assert model.parts == ["notes", "say"]
    assert found.usage == Usage(200, len('{"new": ["Name: Tom", "Has a dog"]}') + 12, 160, 100)


def test_what_changed_takes_the_place_of_the_line_that_it_is_about() -> None:
    human = "Name: Tom\nWorks as a baker\nPlays chess"
    model = Model(notes='{"changed": ["Works as a cook"]}', say="Good luck!")
    _, found = heard(model, request(said("I'm a cook now."), human=human))
    assert calls_of(found)[0] == (
        "core_memory_replace",
        {"name": "human", "old_content": "Works as a baker", "new_content": "Works as a cook"},
    )


def test_a_change_of_nothing_known_is_added() -> None:
    model = Model(notes='{"changed": ["Sold the boat"]}', say="Oh.")
    _, found = heard(model, request(said("I sold the boat."), human="Name: Tom"))
    assert calls_of(found)[0] == ("core_memory_append", {"name": "human", "content": "Sold the boat"})


def test_what_is_known_is_not_noted_again() -> None:
    model = Model(notes='{"new": ["name: tom."]}', say="I know.")
    _, found = heard(model, request(said("I'm Tom."), human="Name: Tom"))
    assert [name for name, _ in calls_of(found)] == ["send_message"]


def test_what_is_not_in_view_is_looked_for_and_found_before_it_is_answered() -> None:
    question = said("Where did I eat gnocchi?")
    model = Model(notes='{"asks": "gnocchi"}', say="At Bella Vista.")
    _, found = heard(model, request(question, human="Name: Tom"))
    assert [name for name, _ in calls_of(found)] == ["conversation_search", "archival_memory_search"]
    assert model.parts == ["notes"]
    searched = [ToolCall(str(i), call.name, call.arguments) for i, call in enumerate(found.calls)]
    later = [
        question, answer("", tuple(searched), "", NOW), result(searched[0], True, "You ate at Bella Vista.", NOW),
        result(searched[1], True, "Nothing was found.", NOW), heartbeat("The user still waits.", NOW),
    ]  # fmt: skip
    _, found = heard(model, request(*later, human="Name: Tom"))
    assert calls_of(found) == [("send_message", {"message": "At Bella Vista."})]
    end = model.asked[-1].prompt.split("<|im_start|>user\n")[-1]
    assert max(end.index("Bella Vista"), end.index("Name: Tom")) < end.index("gnocchi?")
    assert "Nothing was found" not in model.asked[-1].prompt


def test_what_is_in_view_is_answered_at_once_with_what_is_known_before_it() -> None:
    model = Model(notes='{"asks": "dog"}', say="Rex.")
    _, found = heard(model, request(said("What's my dog called?"), human="Dog: Rex"))
    assert calls_of(found) == [("send_message", {"message": "Rex."})]
    assert re.search(r"Dog: Rex\]\n.*What's my dog called\?<\|im_end\|>", model.asked[-1].prompt)


def test_a_text_is_kept_as_it_was_written() -> None:
    text = "Please keep this: 200 g flour, 3 eggs."
    model = Model(notes='{"keep": true}', say="Kept.")
    _, found = heard(model, request(said(text)))
    assert calls_of(found)[0] == ("archival_memory_insert", {"content": text})
    _, found = heard(model, request(said("Is the recipe in your notes?")))
    assert calls_of(found)[0][0] == "conversation_search"


def test_a_function_of_ones_own_is_called_where_the_message_asks_for_it() -> None:
    tools = [*BASE, DICE]
    model = Model(notes='{"new": []}', function='{"function": "roll_dice", "params": {"sides": 6}}', say="Four.")
    _, found = heard(model, request(said("Roll a die!"), tools=tools))
    assert calls_of(found) == [("roll_dice", {"sides": 6})]
    model = Model(notes='{"new": []}', function="none", say="Hello!")
    _, found = heard(model, request(said("Hello!"), tools=tools))
    assert calls_of(found) == [("send_message", {"message": "Hello!"})]


def test_what_was_said_already_is_read_once() -> None:
    talk = [*boot_messages(NOW, "Hello.", ""), said("I'm Tom.")]
    spoken = ToolCall("1", "send_message", '{"message": "Hi Tom!"}')
    noted = ToolCall("2", "core_memory_append", '{"name": "human", "content": "Name: Tom"}')
    later = [
        *talk, answer("", (noted, spoken), "", NOW),
        result(noted, True, "Saved.", NOW), result(spoken, True, "Sent.", NOW), said("How are you?"),
    ]  # fmt: skip
    steps = Steps()
    first = steps.prompt(request(*talk))
    assert steps.prompt(request(*later)).startswith(first + "Hi Tom!<|im_end|>\n")
    assert "Saved" not in steps.prompt(request(*later)) and 'used="' not in first


def test_a_server_that_holds_nothing_to_a_form_is_asked_for_all_at_once() -> None:
    model = Model(say="")
    model.answers["say"] = '{"function": "send_message", "params": {"message": "Hi!"}}'
    asked = request(said("Hello!"))

    def complete(question: Question) -> Generator[str, None, Said]:
        assert "send_message(message)" in question.prompt and not question.grammar
        yield model.answers["say"]
        return Said("stop", None)

    gen = Steps().asked(asked, complete, "")
    with pytest.raises(StopIteration) as ended:
        while True:
            next(gen)
    assert calls_of(ended.value.value) == [("send_message", {"message": "Hi!"})]


def test_a_small_question_that_was_cut_off_notes_nothing() -> None:
    def complete(question: Question) -> Generator[str, None, Said]:
        yield '{"new": ["Na' if question.part == "notes" else "Hello!"
        return Said("length" if question.part == "notes" else "stop", None)

    gen = Steps().asked(request(said("I'm Tom.")), complete, "gbnf")
    with pytest.raises(StopIteration) as ended:
        while True:
            next(gen)
    assert calls_of(ended.value.value) == [("send_message", {"message": "Hello!"})]


# Answers out of passages ----------------------------------------------------------------------------------------------

QUOTING = [
    tool.schema
    for tool in link(["base.send_message", "documents.search_sources", "documents.answer_with_quotes"], []).values()
]
FOUND = """Results 1-2 of 7 (page 0); more on page 1:

[12] guide.md › Install (lamp):
## Install it

- Run `pip install lamp` first. It needs Python 3.11!

[31] notes.txt (lamp):
The lamp is red, "warm white" or blue. It was
bought in Porto in 2019."""


def searched(text: str, found: str, *, ok: bool = True, page: int = 0) -> list[Message]:
    """A question, and what a search for it has found."""
    call = ToolCall(f"c{page}", "search_sources", json.dumps({"query": text, "page": page}))
    return [answer("", (call,), "", NOW), result(call, ok, found, NOW), heartbeat("The user still waits.", NOW)]


def test_every_question_is_looked_up_where_there_are_sources() -> None:
    question = "Is it red?"
    for notes in ('{"new": []}', '{"asks": "red"}'):
        model = Model(notes=notes, say="Yes.")
        _, found = heard(model, request(said(question), human="Likes red", tools=QUOTING))
        assert calls_of(found) == [("search_sources", {"query": question})]
    _, found = heard(Model(notes='{"new": []}', say="Hello!"), request(said("Hello!"), tools=QUOTING))
    assert calls_of(found) == [("send_message", {"message": "Hello!"})]


@pytest.mark.parametrize(
    ("question", "words", "quote", "passage"),
    [
        ("Which colours?", "It can be red, white or blue.", 'The lamp is red, "warm white" or blue.', "31"),
        ("What do I need?", "Python 3.11", "It needs Python 3.11!", "12"),
        ("Where was it bought?", "In Porto.", "It was bought in Porto in 2019.", "31"),
        ("Is the lamp red?", "Yes.", 'The lamp is red, "warm white" or blue.', "31"),
        ("How do I get the lamp?", "Run pip install lamp!", "Run `pip install lamp` first.", "12"),
        ("In which file are colours?", "In notes.txt.", 'The lamp is red, "warm white" or blue.', "31"),
    ],
)
def test_an_answer_quotes_the_sentence_that_it_is_from(question: str, words: str, quote: str, passage: str) -> None:
    model = Model(say=words)
    heard_words, found = heard(model, request(said(question), *searched(question, FOUND), tools=QUOTING))
    assert calls_of(found) == [
        ("answer_with_quotes", {"message": words, "quotes": [quote], "passages": [passage]})
    ] and not heard_words  # fmt: skip
    prompt = model.asked[0].prompt
    assert prompt.index("warm white") < prompt.index(question) < prompt.index("[Answer in one sentence")
    assert model.asked[0].copied


@pytest.mark.parametrize("words", ["It was made by Afonso Henriques.", "In 2018.", "Python 3.9", "8 legs", "?!"])
def test_what_stands_in_no_sentence_is_not_said_and_the_next_page_is_read(words: str) -> None:
    question = said("Who made it, and when?")
    first = searched("made", FOUND)
    _, found = heard(Model(say=words), request(question, *first, tools=QUOTING))
    assert calls_of(found) == [("search_sources", {"query": "Who made it, and when?", "page": 1})]
    second = searched("made", FOUND.replace("page 0); more on page 1", "page 1); more on page 2"), page=1)
    _, found = heard(Model(say=words), request(question, *first, *second, tools=QUOTING))
    assert calls_of(found) == [("send_message", {"message": "The sources don't say."})]
    model = Model()
    _, found = heard(model, request(question, *searched("", "Nothing was found."), tools=QUOTING))
    assert calls_of(found) == [("send_message", {"message": "The sources don't say."})] and not model.asked


def test_where_the_model_finds_nothing_the_nearest_sentence_is_quoted_for_what_it_is() -> None:
    question, found = said("Is it red, or warm and white?"), FOUND.replace("; more on page 1", "")
    _, answered = heard(Model(say="It is 8."), request(question, *searched("red", found), tools=QUOTING))
    ((name, given),) = calls_of(answered)
    assert name == "answer_with_quotes" and given["message"].startswith("I am not sure.")
    assert (given["quotes"], given["passages"]) == (['The lamp is red, "warm white" or blue.'], ["31"])


SAID = """Results 1-4 of 4 (page 0):

[m90] our conversation, 30 May 2026, the user:
When did I tell you about Porto?

[m91] our conversation, 30 May 2026, you:
You told me about Porto on 9 July 2019.

[m7] Claude › A weekend, 2 December 2025, the user:
Hi! Next month I fly to Porto with my sister Ines. My bike's frame number is GZ48813.

[m8] Claude › A weekend, 2 December 2025, the answer:
Have fun! The flight costs about 1,340 euros."""
PORTO = "Next month I fly to Porto with my sister Ines."
BOTH = [*QUOTING, link(["documents.search_conversations"], [])["search_conversations"].schema]


def looked_up(question: str, sources: str = FOUND, said_before: str = SAID, page: int = 0) -> list[Message]:
    """What is found where sources and conversations are searched at once."""
    given = json.dumps({"query": question, "page": page})
    calls = [ToolCall(f"{name}{page}", name, given) for name in ("search_sources", "search_conversations")]
    found = [result(call, True, text, NOW) for call, text in zip(calls, (sources, said_before), strict=True)]
    return [answer("", tuple(calls), "", NOW), *found, heartbeat("The user still waits.", NOW)]


def test_a_question_is_looked_up_in_the_sources_and_in_what_was_said() -> None:
    question = "When did I tell you about Porto?"
    _, found = heard(Model(notes='{"asks": "Porto"}'), request(said(question), tools=BOTH))
    query = {"query": question}
    assert calls_of(found) == [("search_sources", query), ("search_conversations", query)]


@pytest.mark.parametrize(
    ("question", "words", "quote", "number"),
    [
        ("When did I tell you of Porto?", "On December 2nd, 2025.", PORTO, "m7"),
        ("With whom do I fly?", "You fly with your sister Ines.", PORTO, "m7"),
        ("What's my bike's number?", "Your bike's number is GZ48813.", "My bike's frame number is GZ48813.", "m7"),
        ("What does it cost?", "There were 1340 euros to pay.", "The flight costs about 1,340 euros.", "m8"),
        ("What does it cost?", "It costs 1340 euros.", "The flight costs about 1,340 euros.", "m8"),
        ("What do I need for the lamp?", "You need Python 3.11.", "It needs Python 3.11!", "12"),
    ],
)  # fmt: skip
def test_what_was_said_is_quoted_like_a_passage(question: str, words: str, quote: str, number: str) -> None:
    model = Model(say=words)
    _, found = heard(model, request(said(question), *looked_up(question), tools=BOTH))
    given = {"message": words, "quotes": [quote], "passages": [number]}
    assert calls_of(found) == [("answer_with_quotes", given)]
    assert "9 July 2019" not in model.asked[0].prompt and "[m90]" not in model.asked[0].prompt
    assert "warm white" in model.asked[0].prompt


def test_the_next_page_is_read_where_there_is_one() -> None:
    question = "Who made it?"
    _, found = heard(Model(say="Afonso Henriques."), request(said(question), *looked_up(question), tools=BOTH))
    assert calls_of(found) == [("search_sources", {"query": question, "page": 1})]
    nothing = "Nothing was found."
    _, found = heard(Model(), request(said(question), *looked_up(question, nothing, nothing), tools=BOTH))
    assert calls_of(found) == [("send_message", {"message": "The sources don't say."})]


def test_an_alert_after_the_answer_is_taken_in_silence() -> None:
    spoken = ToolCall("1", "send_message", '{"message": "Hi Tom!"}')
    later = [
        said("I'm Tom."), answer("", (spoken,), "", NOW), result(spoken, True, "Sent.", NOW, "Hi Tom!"),
        alert("The window is nearly full.", NOW),
    ]  # fmt: skip
    _, found = heard(Model(), request(*later))
    assert not found.calls and found.text
    _, found = heard(Model(notes="{}", say="Hello!"), request(later[0], later[-1]))
    assert calls_of(found) == [("send_message", {"message": "Hello!"})]


def test_what_was_found_for_earlier_questions_is_not_read_again() -> None:
    call = ToolCall(
        "q", "answer_with_quotes", json.dumps({"message": "Three.", "quotes": ["It is red."], "passages": [3]})
    )
    earlier = [
        said("Which colours?"),
        *searched("", FOUND),
        answer("", (call,), "", NOW),
        result(call, True, "Sent.", NOW),
    ]
    prompt = Steps().prompt(request(*earlier, said("Thanks!"), tools=QUOTING))
    assert "warm white" not in prompt and "Three.\n> It is red.<|im_end|>" in prompt


def test_what_was_cut_is_not_quoted_and_a_page_is_read_in_part() -> None:
    long = "\n\n".join(f"[{n}] a.txt (s):\nSentence number {n} is here. {'More of it. ' * 130}" for n in range(1, 6))
    passages = excerpts.read([f"Results 1-5 of 9 (page 0); more on page 1:\n\n{long}"])
    numbers = {stands.number for stands in excerpts.sentences(passages).values()}
    assert len(passages) <= excerpts.LONGEST_READ and numbers == {"1", "2"}
    both = excerpts.read(
        [f"Results:\n\n{long}", "Results:\n\n[m7] Claude, 2 May 2025, the user:\nIt is short and clear."]
    )
    numbers = {stands.number for stands in excerpts.sentences(both).values()}
    assert len(both) <= excerpts.LONGEST_READ + 2 and numbers == {"1", "2", "m7"}
    shown = "[1] a.txt (s):\nIt is whole. It breaks o… (36 more characters)"
    assert list(excerpts.sentences(shown)) == ["It is whole."]


@given(st.text(max_size=300), st.integers(1, 10**9))
def test_only_what_stands_in_a_passage_can_be_quoted(text: str, number: int) -> None:
    shown = f"Results 1-1 of 1 (page 0):\n\n[{number}] a.txt (s):\n{text}"
    passages = excerpts.read([shown])
    for sentence, of in excerpts.sentences(passages).items():
        assert sentence in " ".join(text.split())
        assert of.number == str(number) or re.search(rf"^\[{of.number}\] .*:$", text, re.M)
        assert quoted_from(text, sentence)
        assert excerpts.source_of(sentence, "", {sentence: of}) in (sentence, "")


@given(st.text(), st.lists(st.text(min_size=1)))
def test_likeness_takes_any_text(text: str, lines: list[str]) -> None:
    assert alike(text, lines) in ("", *lines)
    assert known(text, [*lines, text])
    assert mentioned(text, [text]) or not re.search(r"[^\W_]{3}", text)


def test_the_line_that_shares_most_is_alike() -> None:
    lines = ["Works as a nurse", "Lives in Porto", "Has a son, Max", "Has a dog, Rex"]
    assert alike("My son is called Marc. Son: Marc", lines) == "Has a son, Max"
    assert alike("Lives in Braga", lines) == "Lives in Porto"
    assert alike("Has a cat", lines) == ""
    assert alike("Anything", []) == ""


def test_a_form_is_filled_in_by_itself_and_exactly() -> None:
    """What is asked for by one function alone, such as facts, is nothing that is said: it has a place of its own."""
    form = {
        "name": "note_facts",
        "description": "Note.",
        "parameters": {
            "type": "object",
            "properties": {"new": {"type": "array", "items": {"type": "string", "minLength": 1}}},
            "required": ["new"],
        },
    }
    model = Model(form='{"new": ["Likes tea"]}')
    said = Message("user", "user", "Said: I like tea.", NOW)
    _, answer = heard(model, Request([SYSTEM, said], [form], force="note_facts", max_tokens=50))
    [question] = model.asked
    assert (question.part, question.copied, question.most) == ("form", True, 50)
    assert "note_facts" not in question.prompt and "Said: I like tea." in question.prompt
    assert [(call.name, call.arguments) for call in answer.calls] == [("note_facts", '{"new": ["Likes tea"]}')]
    assert answer.usage and answer.usage.aside == answer.usage.prompt
