"""The functions that answer from documents: found page by page, read on, and quoted only as it stands there."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attached_source import attach_texts
from hypothesis import given
from hypothesis import strategies as st

from memagent.assemble import make_agent
from memagent.config import Settings
from memagent.embeddings.local import LocalEmbedder
from memagent.events import Called, Failed, Reply
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.archival import ArchivalMemory
from memagent.memory.core import Draft
from memagent.memory.recall import RecallMemory
from memagent.stage import Door, Stage, StagedArchive, StagedCore, StagedFacts, StagedRecall
from memagent.storage.sqlite import SqliteDatabase
from memagent.tools import Outcome, Tool
from memagent.tools.loader import link
from memagent.tools.quoting import quoted_from
from memagent.tools.run import run

NOW = datetime(2026, 5, 31, 18, tzinfo=UTC)
GUIDE = """# Guide

## Install

Run `pip install lamp` in a **fresh** environment.
It needs Python 3.11.

## Colours

The lamp can be red, "warm white" or blue.
"""
Call = Callable[..., Outcome]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    with closing(SqliteDatabase(tmp_path / "memory.db")) as opened:
        with opened.write() as tx:
            for agent in ("a", "b"):
                tx.run(
                    "INSERT INTO agents (id, owner, name, created, settings, system) VALUES (?, 'me', ?, ?, '{}', '')",
                    agent, agent, NOW.isoformat(),
                )  # fmt: skip
        yield opened


@pytest.fixture
def agent(database: SqliteDatabase, tmp_path: Path) -> Stage:
    return stage_of(database, tmp_path)


def stage_of(database: SqliteDatabase, files: Path, name: str = "a", embedder: Any = None) -> Stage:
    door = Door()
    archive = StagedArchive(ArchivalMemory(database, name, embedder), door)
    recall = StagedRecall(RecallMemory(database, name), 1000)
    return Stage(
        "Eva",
        NOW,
        files,
        "key",
        (),
        StagedCore(Draft({}), door),
        recall,
        archive,
        StagedFacts(None, "", [], door),
        str,
        door,
    )


@pytest.fixture(scope="module")
def tools() -> Mapping[str, Tool]:
    return link(["documents"], [])


@pytest.fixture
def call(tools: Mapping[str, Tool], agent: Stage) -> Call:
    def calling(name: str, /, **arguments: Any) -> Outcome:
        return run(tools[name], json.dumps(arguments), agent)

    return calling


def number_of(text: str, words: str) -> int:
    """The number of the passage in a result that has these words."""
    found = re.search(rf"\[(\d+)\][^\[]*{re.escape(words)}", text)
    assert found, text
    return int(found[1])


def test_the_set_is_small_and_safe_to_run_again(tools: Mapping[str, Tool]) -> None:
    assert list(tools) == [
        "search_sources", "search_conversations", "read_around", "list_sources", "answer_with_quotes",
    ]  # fmt: skip
    assert all(tool.rules.inside and tool.rules.after_cut == "retry" for tool in tools.values())
    assert [name for name, tool in tools.items() if tool.rules.ends_turn] == ["answer_with_quotes"]
    schemas = json.dumps([tool.schema for tool in tools.values()], separators=(",", ":"))
    assert len(schemas) / 4 <= 500


def test_results_tell_their_number_and_place_and_show_lines_as_they_are(call: Call, database: SqliteDatabase) -> None:
    attach_texts(database, "a", "lamp", {"guide.md": GUIDE}, tokens=40)
    found = call("search_sources", query="install").text
    number = number_of(found, "pip install")
    assert found == (
        f"Results 1-1 of 1 (page 0):\n\n[{number}] guide.md › Guide › Install (lamp):\n"
        "# Guide\n\n## Install\n\nRun `pip install lamp` in a **fresh** environment.\nIt needs Python 3.11."
    )
    assert call("search_sources", query="zebra").text == "Nothing was found."


def test_results_are_read_page_by_page(call: Call, database: SqliteDatabase) -> None:
    attach_texts(database, "a", "log", {f"day-{n:02}.txt": f"On day {n} the lamp was lit." for n in range(12)})
    heads = [call("search_sources", query="lamp", page=page).text.splitlines()[0] for page in range(4)]
    assert heads == [
        "Results 1-5 of 12 (page 0); more on page 1:",
        "Results 6-10 of 12 (page 1); more on page 2:",
        "Results 11-12 of 12 (page 2):",
        "There is no page 3. The 12 results are on pages 0 to 2.",
    ]
    shown = " ".join(call("search_sources", query="lamp", page=page).text for page in range(3))
    assert len(set(re.findall(r"day-\d+\.txt", shown))) == 12


def test_a_search_can_be_held_to_one_source(call: Call, agent: Stage, database: SqliteDatabase) -> None:
    attach_texts(database, "a", "east", {"e.txt": "The lamp of the east."})
    attach_texts(database, "a", "west", {"w.txt": "The lamp of the west."})
    archive = agent.archival._archival
    with database.write() as tx:
        archive.store(tx, archive.prepare("My own lamp.", ["home"]), turn=1, now=NOW)
    assert call("search_sources", query="lamp").text.startswith("Results 1-3 of 3")
    assert "e.txt (east)" in call("search_sources", query="lamp", source="east").text
    own = call("search_sources", query="lamp", source="you").text
    assert own.startswith("Results 1-1 of 1") and "you, Sun 2026-05-31 (home):\nMy own lamp." in own
    refused = call("search_sources", query="lamp", source="north")
    assert (refused.ok, refused.text) == (False, "There is no source 'north'. There are: you, east, west.")


def test_long_passages_and_places_share_the_room(call: Call, database: SqliteDatabase) -> None:
    heading = "## " + "Long heading " * 20
    texts = {f"{'n' * 180}-{n}.md": f"{heading}\n\n{n} {'word ' * 2000}" for n in range(5)}
    attach_texts(database, "a", "long", texts, tokens=20_000)
    found = call("search_sources", query="word")
    assert len(found.text) <= 6000 and found.text.count("more characters)") == 5


def test_sources_are_listed(call: Call, database: SqliteDatabase) -> None:
    assert call("list_sources").text == "No source is attached. There are only your own notes."
    attach_texts(database, "a", "lamp", {"guide.md": GUIDE, "more.txt": "More."}, tokens=40)
    assert call("list_sources").text == "lamp: 2 documents, 3 passages, such as guide.md, more.txt\nyou: your own notes"


def test_what_stands_around_a_passage_is_read(call: Call, database: SqliteDatabase) -> None:
    log = "\n\n".join(f"Part {n} of the log." for n in range(9))
    attach_texts(database, "a", "log", {"a.txt": "Before all.", "log.txt": log}, tokens=8)
    number = number_of(call("search_sources", query="4").text, "Part 4")
    around = call("read_around", passage=number, before=2, after=1).text
    assert around.startswith("Passages 3-6 of the 9 of this document:\n\n[")
    assert re.findall(r"Part \d", around) == ["Part 2", "Part 3", "Part 4", "Part 5"]
    end = call("read_around", passage=number_of(around, "Part 5"), before=0, after=2).text
    assert end.startswith("Passages 6-8 of the 9 ") and "Part 7" in end
    assert call("read_around", passage=number_of(end, "Part 7"), after=2).text.startswith("Passages 7-9 of the 9 ")
    assert call("read_around", passage=number, before=0, after=0).text.startswith("Passage 5 of the 9 ")
    for wrong in ({"before": -1}, {"after": 3}):
        assert not call("read_around", passage=number, **wrong).ok


def test_nothing_is_read_that_is_not_attached(call: Call, tools: Any, database: SqliteDatabase, tmp_path: Path) -> None:
    attach_texts(database, "b", "secret", {"s.txt": "The safe opens with 1234."})
    other = stage_of(database, tmp_path, "b")
    number = number_of(run(tools["search_sources"], '{"query": "safe"}', other).text, "1234")
    assert run(tools["read_around"], json.dumps({"passage": number}), other).ok
    assert call("search_sources", query="safe").text == "Nothing was found."
    for wrong in (number, 0, -1, 10**30):
        refused = call("read_around", passage=wrong)
        assert not refused.ok and refused.text.startswith("There is no passage ")
    assert not call("answer_with_quotes", message="x", quotes=["1234"], passages=[number]).ok


def test_an_answer_shows_its_quotes_with_their_places(call: Call, agent: Stage, database: SqliteDatabase) -> None:
    attach_texts(database, "a", "lamp", {"guide.md": GUIDE}, tokens=40)
    found = call("search_sources", query="install lamp python red").text
    install, colours = number_of(found, "pip install"), number_of(found, "warm white")
    done = call(
        "answer_with_quotes",
        message="With pip. It can be red.",
        quotes=["run pip install lamp in a fresh environment.", 'The lamp can be red, "warm white" or blue.'],
        passages=[install, colours],
    )
    assert done.ok
    assert agent.said == [
        "With pip. It can be red.\n\n"
        "“Run `pip install lamp` in a **fresh** environment.”\n— guide.md › Guide › Install (lamp)\n\n"
        '“The lamp can be red, "warm white" or blue.”\n— guide.md › Guide › Colours (lamp)'
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"quotes": ["It needs Python 3.9."]}, "These words don't stand in passage"),
        ({"quotes": ["warm white"]}, "These words don't stand in passage"),
        ({"quotes": ["  "]}, "These words don't stand in passage"),
        ({"quotes": []}, "Give a passage for each quote: there are 0 quotes and 1 passages."),
        ({"quotes": ["Install"] * 2}, "Give a passage for each quote: there are 2 quotes and 1 passages."),
        ({"quotes": ["Install"] * 9, "many": 9}, "Quote 8 times at most"),
        ({"quotes": ["Install"], "message": " "}, "The message is empty."),
    ],
)
def test_what_does_not_stand_there_is_not_said(
    call: Call, agent: Stage, database: SqliteDatabase, arguments: dict[str, Any], told: str
) -> None:
    attach_texts(database, "a", "lamp", {"guide.md": GUIDE}, tokens=40)
    number = number_of(call("search_sources", query="install").text, "pip install")
    passages = [number] * arguments.pop("many", 1)
    refused = call("answer_with_quotes", **{"message": "Yes.", "passages": passages} | arguments)
    assert not refused.ok and refused.text.startswith(told)
    assert agent.said == []


TALK = [
    ("user", "I cook leek soup for Ravi. How many leeks do I need?", "2025-05-03T10:00:00+02:00", "Claude › Soup"),
    ("assistant", "Twelve leeks.", "2025-05-03T10:01:00+02:00", "Claude › Soup"),
    ("user", "Hello! I had leeks.", "2026-05-30T09:00:00+02:00", ""),
    ("assistant", "Good for you, leeks!", "2026-05-30T09:01:00+02:00", ""),
]


@pytest.fixture
def talk(database: SqliteDatabase) -> None:
    with database.write() as tx:
        for seq, (role, said, created, place) in enumerate(TALK, 1):
            tx.run(
                "INSERT INTO messages (agent, seq, turn, role, kind, content, said, created, place) "
                "VALUES ('a', ?, 1, ?, 'user', ?, ?, ?, ?)",
                seq, role, said, said, created, place,
            )  # fmt: skip


@pytest.mark.usefixtures("talk")
def test_what_was_said_is_found_with_its_place_and_day(call: Call) -> None:
    found = call("search_conversations", query="leeks").text
    assert found.startswith("Results 1-4 of 4 (page 0):\n\n[m")
    assert f"[m1] Claude › Soup, 3 May 2025, the user:\n{TALK[0][1]}" in found
    assert "[m2] Claude › Soup, 3 May 2025, the answer:\nTwelve leeks." in found
    assert "[m3] our conversation, 30 May 2026, the user:\nHello! I had leeks." in found
    assert "[m4] our conversation, 30 May 2026, you:\nGood for you, leeks!" in found
    assert call("search_conversations", query="zebra").text == "Nothing was found."
    assert call("search_conversations", query="leeks", page=1).text.startswith("There is no page 1.")


@pytest.mark.usefixtures("talk")
def test_what_was_said_is_read_on_within_its_conversation(call: Call) -> None:
    read = call("read_around", passage="m2", before=2, after=2).text
    assert read.startswith("What was said there:\n\n[m1] Claude › Soup, 3 May 2025, the user:\nI cook")
    assert read.endswith("[m2] Claude › Soup, 3 May 2025, the answer:\nTwelve leeks.")
    for wrong in ("m9", "m-1", "m", "", "mm2", "²", "9" * 30):
        refused = call("read_around", passage=wrong)
        assert not refused.ok and refused.text.startswith("There is no "), wrong


@pytest.mark.usefixtures("talk")
def test_what_was_said_is_quoted_with_its_place_and_day(call: Call, agent: Stage, database: SqliteDatabase) -> None:
    attach_texts(database, "a", "lamp", {"guide.md": GUIDE}, tokens=40)
    passage = number_of(call("search_sources", query="install").text, "pip install")
    done = call(
        "answer_with_quotes",
        message="Twelve; and with pip.",
        quotes=["i cook leek soup for ravi", "Twelve leeks.", "I had leeks.", "It needs Python 3.11."],
        passages=["m1", "[m2]", "m3", passage],
    )
    assert done.ok
    assert agent.said == [
        "Twelve; and with pip.\n\n"
        "“I cook leek soup for Ravi”\n— Claude › Soup, 3 May 2025\n\n"
        "“Twelve leeks.”\n— Claude › Soup, 3 May 2025 (the answer)\n\n"
        "“I had leeks.”\n— our conversation, 30 May 2026\n\n"
        "“It needs Python 3.11.”\n— guide.md › Guide › Install (lamp)"
    ]
    refused = call("answer_with_quotes", message="Ten.", quotes=["Ten leeks."], passages=["m2"])
    assert not refused.ok and refused.text.startswith("These words don't stand in passage m2")


@given(st.text(max_size=200), st.text(max_size=60))
def test_a_quote_is_a_part_of_its_text_or_nothing(text: str, quote: str) -> None:
    found = quoted_from(text, quote)
    assert found in " ".join(text.split())
    words = re.findall(r"[^\W_]+", quote.casefold())
    if found and words:
        assert re.findall(r"[^\W_]+", found.casefold()) == words


@given(st.text(max_size=200), st.data())
def test_any_sentence_of_a_text_can_be_quoted(text: str, data: st.DataObject) -> None:
    plain = " ".join(text.split())
    start = data.draw(st.integers(0, len(plain)))
    part = plain[start : data.draw(st.integers(start, len(plain)))].strip(" \"'“”„‘’«»…")
    assert quoted_from(text, part) == part


# Keys that lead to keys -------------------------------------------------------------------------------------------


def pairs_of(seed: int, count: int = 140) -> dict[str, str]:
    """UUIDs by UUID. Those of the first five lead to each other."""
    chance = random.Random(seed)

    def new() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    keys = [new() for _ in range(count)]
    pairs = {key: new() for key in keys}
    pairs.update(pairwise(keys[:5]))
    return pairs


def files_of(pairs: Mapping[str, str]) -> dict[str, str]:
    lines = [f"Key: {key}, value: {value}." for key, value in pairs.items()]
    random.Random(0).shuffle(lines)
    return {f"pairs-{n}.txt": "\n".join(lines[n::7]) for n in range(7)}


@pytest.mark.parametrize("meaning", [False, True])
def test_a_key_is_found_first_by_its_letters(
    database: SqliteDatabase, tools: Any, tmp_path: Path, meaning: bool
) -> None:
    embedder = LocalEmbedder() if meaning else None
    pairs = pairs_of(1)
    attach_texts(database, "a", "pairs", files_of(pairs), embedder=embedder)
    agent = stage_of(database, tmp_path, embedder=embedder)
    for key, value in pairs.items():
        found = run(tools["search_sources"], json.dumps({"query": key}), agent).text
        passages = re.split(r"\n\n(?=\[\d+\])", found)[1:]
        assert key in passages[0]
        assert any(f"Key: {key}, value: {value}." in passage for passage in passages[:2])


def test_keys_that_lead_to_keys_are_followed_to_the_end(tmp_path: Path) -> None:
    pairs = pairs_of(2)
    key, *chain = list(pairs)[:5]
    last = pairs[chain[-1]]
    script: list[dict[str, Any]] = [
        {"when": {"kind": "user"}, "call": "search_sources", "arguments": {"query": key}, "heartbeat": True}
    ]
    for steps, known in enumerate([key, *chain], 1):  # the last value is looked up too, to see whether it leads on
        script.append({
            "when": {"result": rf"Key: {known}, value: ([\w-]+)", "after_calls": steps},
            "call": "search_sources", "arguments": {"query": "{1}"}, "heartbeat": True,
        })  # fmt: skip
    quote = rf"\[(\d+)\](?:[^\[]*)(Key: {chain[-1]}, value: ([\w-]+))"
    script.append({
        "when": {"result": quote}, "call": "answer_with_quotes",
        "arguments": {"message": "It ends at {3}.", "quotes": ["{2}"], "passages": ["{1}"]},
    })  # fmt: skip
    settings = Settings(home=tmp_path, preset="documents", embedder="off", verify_first=False)
    with closing(SqliteDatabase(tmp_path / "memory.db")) as database:
        agent = make_agent(settings, database, "eva", llm=ScriptedLLM(script), clock=lambda: NOW)
        attach_texts(database, agent.state.entry.id, "pairs", files_of(pairs), owner="local")
        events = list(agent.turn(f"Follow {key} to the end."))
    assert not [event for event in events if isinstance(event, Failed)]
    asked = [event.arguments["query"] for event in events if isinstance(event, Called) and "query" in event.arguments]
    assert asked == [key, *chain, last]
    (said,) = [event.text for event in events if isinstance(event, Reply)]
    assert said.startswith(f"It ends at {last}.\n\n“Key: {chain[-1]}, value: {last}”\n— pairs-")
    assert said.endswith(".txt (pairs)")


def test_it_reads_page_after_page_until_it_has_the_answer(tmp_path: Path) -> None:
    notes = {f"note-{n:02}.txt": f"The lamp was lit by keeper {n}." for n in range(14)}
    script: list[dict[str, Any]] = [
        {"when": {"kind": "user"}, "call": "search_sources", "arguments": {"query": "lamp keeper"}, "heartbeat": True},
        {
            "when": {"result": r"\[(\d+)\][^\[]*(The lamp was lit by keeper 3\.)"},
            "call": "answer_with_quotes",
            "arguments": {"message": "Keeper 3 did.", "quotes": ["{2}"], "passages": ["{1}"]},
        },
        {
            "when": {"result": r"more on page (\d)"}, "call": "search_sources",
            "arguments": {"query": "lamp keeper", "page": "{1}"}, "heartbeat": True,
        },
    ]  # fmt: skip
    settings = Settings(home=tmp_path, preset="documents", embedder="off", verify_first=False)
    with closing(SqliteDatabase(tmp_path / "memory.db")) as database:
        agent = make_agent(settings, database, "eva", llm=ScriptedLLM(script), clock=lambda: NOW)
        attach_texts(database, agent.state.entry.id, "lighthouse", notes, owner="local")
        events = list(agent.turn("Who lit the lamp as the third one?"))
    asked = [event.arguments.get("page", 0) for event in events if isinstance(event, Called)]
    assert asked == [0, *map(str, range(1, len(asked) - 1)), 0] and len(asked) > 2
    (said,) = [event.text for event in events if isinstance(event, Reply)]
    assert said == "Keeper 3 did.\n\n“The lamp was lit by keeper 3.”\n— note-03.txt (lighthouse)"
