"""Memory as a library: what is told is kept, answered from, taken back, and kept apart by user."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memagent import Memory
from memagent.embeddings import packed
from memagent.errors import NotFound, UserError
from memagent.facts import Cause, Draft, Fact, Said
from memagent.facts.finding import Match
from memagent.facts.kinds import Kinds
from memagent.facts.policy import Policy
from memagent.facts.records import Records
from memagent.facts.telling import UNKNOWN
from memagent.llm import Answer, Request
from memagent.messages import ToolCall
from memagent.storage.closeness import Vectors
from memagent.storage.sqlite import SqliteDatabase

MONDAY = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime = MONDAY) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class TwoNumbers:
    """An embedder for tests: how many letters and how many vowels a text has."""

    model, dimension = "two", 2

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        return [packed([len(text) + 1.0, 1.0 + sum(char in "aeiou" for char in text)]) for text in texts]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMAGENT_EMBEDDER", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(user="ada", clock=clock)


def texts(facts: Sequence[Fact]) -> list[str]:
    return [fact.text for fact in facts]


def test_tools_are_told_one_is_taken_back_and_the_right_one_is_answered(memory: Memory, home: Path) -> None:
    with memory:
        memory.add("I use Shram and Magnet as productivity tools")
        memory.add("I don't use Magnet anymore")
        question = "What productivity tools do I use?"
        assert texts(memory.search(question)) == ["The user uses Shram as a productivity tool"]
        assert memory.ask(question) == "You use Shram."
        assert memory.ask("What did I use before?") == "You used Magnet as a productivity tool until 1 June 2026."
        assert [step.change.what for step in memory.history("Magnet")] == ["learned", "ended"]
        assert "Magnet" not in repr(memory.list()) + repr(memory.search("Magnet"))
    assert (home / "memagent.db").exists()


IN_A_PROCESS = """
import sys
from datetime import datetime
from memagent import Memory
day, *said = sys.argv[1:]
with Memory(user="ada", clock=lambda: datetime.fromisoformat(day)) as memory:
    for text in said:
        print(memory.ask(text) if text.endswith("?") else len(memory.add(text)))
"""


def test_on_two_days_in_two_processes() -> None:
    def run(day: str, *said: str) -> list[str]:
        command = [sys.executable, "-c", IN_A_PROCESS, f"{day}T12:00:00+00:00", *said]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    question = "What productivity tools do I use?"
    assert run("2026-05-25", "I use Shram and Magnet as productivity tools", question) == [
        "2",
        "You use Shram and Magnet.",
    ]
    told = run("2026-06-01", "I don't use Magnet anymore", question, "Do I use Magnet?")
    assert told == ["1", "You use Shram.", "You used Magnet as a productivity tool until 1 June 2026."]


@pytest.mark.parametrize(
    ("said", "question", "answer"),
    [
        (["I live in Porto", "I moved to Lisbon"], "Where do I live?", "You live in Lisbon."),
        (["I live in Porto", "I moved to Lisbon"], "Where did I live before?", "You lived in Porto until June 2026."),
        (["I live in Porto", "My sister Anna lives in Faro"], "Where do I live?", "You live in Porto."),
        (["My sister Anna lives in Faro"], "Where does my sister live?", "Your sister Anna lives in Faro."),
        (["I like tea and coffee", "I hate coffee"], "What do I like?", "You like tea."),
        (["My cat is called Tom", "No, I meant Tim, not Tom."], "What is my cat's name?", "Your cat is called Tim."),
        (["I have an exam tomorrow"], "When is my exam?", "You have an exam on 2 June 2026."),
        (["If I were rich I would buy a yacht"], "Do I have a yacht?", UNKNOWN),
        ([], "What is the capital of France?", UNKNOWN),
    ],
)  # fmt: skip
def test_answers(memory: Memory, said: list[str], question: str, answer: str) -> None:
    for text in said:
        memory.add(text)
    assert memory.ask(question) == answer


def test_a_plan_whose_day_has_passed_is_in_the_past(memory: Memory, clock: Clock) -> None:
    memory.add("I'm flying to Rome on Friday.")
    assert memory.ask("When do I fly to Rome?") == "You are flying to Rome on 5 June 2026."
    clock.now += timedelta(days=7)
    assert texts(memory.search("Rome")) == []
    (fact,) = memory.search("Rome", past=True)
    assert (fact.how, memory.history(fact)[-1].change.cause.why) == ("expired", "it held until 2026-06-05")


def test_the_same_again_makes_it_surer(memory: Memory) -> None:
    memory.add("I like tea")
    (first,) = memory.list()
    memory.add("I like tea!")
    (again,) = memory.list()
    assert (again.id, again.confirmed) == (first.id, 2)
    assert again.confidence > first.confidence


def test_what_is_forgotten_leaves_no_trace_but_in_its_history_and_comes_back(memory: Memory) -> None:
    memory.add("I like tea. I live in Porto.")
    memory.forget("Porto")
    assert memory.ask("Where do I live?") == UNKNOWN
    assert "Porto" not in repr(memory.list()) + repr(memory.list(past=True)) + memory.ask("Where did I live before?")
    assert [step.change.what for step in memory.history("Porto")] == ["learned", "forgotten"]
    memory.restore("Porto")
    assert memory.ask("Where do I live?") == "You live in Porto."


def test_by_hand_outranks_talk(memory: Memory) -> None:
    memory.state("The user lives in Porto")
    memory.add("I live in Lisbon")
    assert "The user lives in Porto" in texts(memory.list())
    memory.add("I don't live in Porto anymore")
    assert "The user lives in Porto" not in texts(memory.list())


def test_why_and_which(memory: Memory) -> None:
    memory.add("I like green tea. I like black tea.")
    assert "“I like green tea.”" in memory.why("green tea")
    with pytest.raises(UserError, match="in 2 facts"):
        memory.forget("tea")
    with pytest.raises(NotFound, match="no fact with 'coffee'"):
        memory.forget("coffee")
    corrected = memory.correct("green tea", "The user likes white tea")
    assert [fact.text for fact in memory.facts.ledger.line(corrected.id)] == [
        "The user likes green tea",
        "The user likes white tea",
    ]


def test_messages_and_what_an_agent_says(memory: Memory) -> None:
    memory.add(
        [{"role": "user", "content": "I live in Porto"}, {"role": "assistant", "content": "I live in a computer"}]
    )
    assert texts(memory.list()) == ["The user lives in Porto"]
    assert list(memory.add("")) == []
    memory.add([{"role": "user", "content": [{"type": "text", "text": "I like tea"}, {"type": "image_url"}]}])
    memory.add({"role": "assistant", "content": None, "tool_calls": []})
    assert texts(memory.list()) == ["The user likes tea", "The user lives in Porto"]
    for wrong in (5, [5], {"content": 5}, {"content": [5]}):
        with pytest.raises(UserError, match="message"):
            memory.add(wrong)  # type: ignore[arg-type]


def test_what_makes_no_sense_is_refused_and_changes_nothing(memory: Memory) -> None:
    memory.add("I like tea")
    (before,) = memory.list()
    for wrong in (lambda: memory.state("  "), lambda: memory.state_many(["a fact", ""]), lambda: memory.correct(1, ""),
                  lambda: memory.end(1, "tomorrow"), lambda: memory.end(1, "2026-02-31")):  # fmt: skip
        with pytest.raises(UserError, match=r"needs words|is not a day"):
            wrong()
    assert list(memory.list()) == [before]
    assert memory.end(1, "2026-05").until == "2026-05"
    for url in ("mysql://localhost/x", "notes.db"):
        with pytest.raises(UserError, match="at that url"):
            Memory(url=url)


def test_a_typed_memory_is_told_as_it_stands_and_put_right_by_its_fields(memory: Memory, tmp_path: Path) -> None:
    records = Records(memory.facts.ledger, Kinds(tmp_path), memory.facts.clock)
    anna = records.create("person", {"name": "Anna", "details": ["Paints boats"]}, Cause("user"))
    assert memory.ask("Who is Anna?") == "Anna. Paints boats."
    with pytest.raises(UserError, match="by its fields"):
        memory.correct(anna.number, "Anna paints houses")
    assert records.find("Anna") == anna


def test_users_on_one_store_know_nothing_of_each_other(memory: Memory, tmp_path: Path) -> None:
    bob = memory.of("bob")
    memory.add("I live in Porto")
    bob.add("I live in Lisbon")
    assert (memory.ask("Where do I live?"), bob.ask("Where do I live?")) == (
        "You live in Porto.",
        "You live in Lisbon.",
    )
    bob.add("I don't live in Porto anymore")
    assert memory.ask("Where do I live?") == "You live in Porto."
    assert len(bob.history("Porto")) == 0
    with pytest.raises(NotFound):
        bob.forget(memory.list()[0].id)


def test_a_file_of_ones_own(tmp_path: Path, home: Path) -> None:
    with Memory(path=tmp_path / "own.db") as memory:
        memory.add("I live in Porto")
    with Memory(path=tmp_path / "own.db") as memory:
        assert memory.ask("Where do I live?") == "You live in Porto."
    assert not (home / "memagent.db").exists()
    with pytest.raises(UserError, match="in one place"):
        Memory(path=tmp_path / "own.db", url="postgresql://localhost/x")


def test_many_threads_on_one_memory(memory: Memory) -> None:
    failed: list[BaseException] = []

    def tell(number: int) -> None:
        try:
            memory.add(f"I like food{number}. I like tea.")
            memory.ask("What do I like?")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=tell, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(texts(memory.list())) == sorted(
        ["The user likes tea", *(f"The user likes food{n}" for n in range(8))]
    )


def test_without_blocking(memory: Memory) -> None:
    async def talk() -> tuple[str, int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await memory.aadd("I live in Porto")
        answer = await memory.aask("Where do I live?")
        ticking.cancel()
        await memory.aforget("Porto")
        await memory.arestore("Porto")
        return answer, len(await memory.asearch("Porto")), len(await memory.ahistory("Porto"))

    assert asyncio.run(talk()) == ("You live in Porto.", 1, 3)


def test_every_part_can_be_handed_in(tmp_path: Path) -> None:
    class Whole:
        def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
            return [Draft(said.text, kind="note") for said in talk]

    class Count:
        def answer(self, question: str, holding: Sequence[Match], past: Sequence[Match]) -> str:
            return f"{len(holding)} facts"

    opened: list[tuple[str, str, int]] = []
    database = SqliteDatabase(tmp_path / "own.db")

    def store(table: str, model: str, dimension: int) -> Vectors:
        opened.append((table, model, dimension))
        return Everything(database, table, model, dimension)

    class Everything(Vectors):
        """Compares with every vector."""

        def near(
            self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None = None
        ) -> dict[int, float]:
            every = [row[0] for row in database.rows("SELECT item FROM facts_vectors")]
            found = self.closeness([query], every if among is None else among, shelves)[0]
            return dict(sorted(found.items(), key=lambda one: -one[1])[:count])

        def save(self) -> None: ...

    memory = Memory("ada", database=database, embedder=TwoNumbers(), vectors=store, extractor=Whole(), answerer=Count(),
                    policy=Policy(least=0.5), clock=Clock())  # fmt: skip
    memory.add("blue whales sing")
    assert texts(memory.search("blue whales sing")) == ["blue whales sing"]
    assert memory.ask("whales?") == "1 facts"
    assert opened == [("facts", "two", 2)]
    memory.close()
    assert database.rows("SELECT count(*) FROM facts") == [(1,)]  # what was handed in stays open
    database.close()


class Says:
    """A model that notes one fact, and answers what it is told to."""

    model, window = "says", 4096

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def ask(self, request: Request) -> Iterator[Answer]:
        noting = request.tools[0]["name"] == "note_facts"
        arguments = {"new": ["Uses Shram as a tool"]} if noting else {"answer": self.answer}
        yield Answer(calls=[ToolCall("1", request.tools[0]["name"], json.dumps(arguments))])

    def close(self) -> None: ...


@pytest.mark.parametrize("answer", ["Shram is what you use.", "You use Word 97."])
def test_a_model_notes_facts_and_answers_with_nothing_that_they_do_not_tell(clock: Clock, answer: str) -> None:
    memory = Memory("ada", llm=Says(answer), clock=clock)
    memory.add("I use Shram as a tool")
    assert texts(memory.list()) == ["The user uses Shram as a tool"]
    assert memory.ask("Which tool do I use?") == ("You use Shram." if "Word" in answer else answer)


def test_importing_it_is_light() -> None:
    code = "import memagent, sys; print(json.dumps([name for name in sys.modules]))".replace(
        "import memagent", "import json, memagent"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert "memagent.remembering" not in loaded and "sqlite3" not in loaded
    with pytest.raises(ImportError):
        exec("from memagent import Nothing")
