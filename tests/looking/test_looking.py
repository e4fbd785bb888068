"""What is looked at is what is remembered: a page of all of it, what became of it over time, and how it is connected;
without what was forgotten, and readable however much there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from seen import HAND, Seen

from memagent.looking import Line, Section, Sheet
from memagent.looking.graph import PEOPLE, SUBJECTS, connected, graph_sheet, tree, walk
from memagent.looking.overview import FACTS, overview
from memagent.looking.timeline import SIZE, Window, moments, spans, timeline
from memagent.memory.core import Block
from memagent.memory.log import MessageLog
from memagent.messages import summary
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


@pytest.fixture
def seen(db: SqliteDatabase) -> Seen:
    return Seen(db)


def page_of(seen: Seen, page: int = 0) -> dict[str, Section]:
    blocks = [Block("persona", "I am Ada.\nI sing.")]
    sheet = overview(seen.db, seen.sight, blocks, {"messages": 2, "notes_there": 0}, ["papers"], NOW, page=page)
    assert (sheet.title, sheet.about) == ("ada", "2 messages, 0 notes there; can search: papers")
    return {section.title: section for section in sheet.sections}


def texts(section: Section) -> list[str]:
    return [line.text for line in section.lines]


# The page of an agent -------------------------------------------------------------------------------------------------


def test_a_page_tells_all_that_an_agent_remembers(seen: Seen) -> None:
    sections = page_of(seen.fill())
    assert list(sections) == [
        "persona  (17 of 2000 characters)", "Who I am", "People", "Facts", "Open plans", "Last events",
    ]  # fmt: skip
    assert texts(sections["Who I am"]) == ["Ada", "personality: bold"]
    assert sections["People"].lines[0] == Line("Noor", "user")
    assert Line("Bob", "husband of Anna, no longer alive") in sections["People"].lines
    facts = texts(sections["Facts"])
    assert facts.index("You: tools") + 1 == facts.index("Uses Shram.")
    assert "Works day shifts." in facts and Line("Likes fado.", "2024", depth=1) in sections["Facts"].lines
    assert texts(sections["Open plans"]) == ["learn Portuguese", "Visits Joana in Porto."], (
        "what has passed is not open"
    )
    assert [line.mark for line in sections["Last events"].lines] == ["2026-03-17", "2024-05"]


def test_nothing_forgotten_or_past_is_on_it(seen: Seen) -> None:
    shown = str(page_of(seen.fill()))
    for gone in ("secret", "Magnet", "night shifts", "shy."):
        assert gone not in shown


def test_an_agent_without_memories_has_a_page(seen: Seen) -> None:
    assert list(page_of(seen)) == ["persona  (17 of 2000 characters)"]
    assert overview(seen.db, seen.sight, [], {}, [], NOW) == Sheet("ada", "", [])


def test_sessions_are_told_by_their_summaries(seen: Seen) -> None:
    with seen.db.write() as tx:
        MessageLog(seen.db, seen.agent).append(tx, [summary("We spoke of soup.", 3, 4, NOW)], 1)
        tx.run(
            "INSERT INTO journal (agent, first, last, entry, details, created) VALUES (?, 1, 2, ?, '{}', ?)",
            seen.agent, "Noor told me of her sister.", NOW.isoformat(),
        )  # fmt: skip
    seen.shared.create("conversation", {"summary": "We planned Porto."}, HAND)
    sections = page_of(seen)
    assert sections["Summaries"].lines == [Line("We spoke of soup.", mark="2026-11-25 12:00")]
    assert texts(sections["Journal"]) == ["Noor told me of her sister."]
    assert texts(sections["Conversations"]) == ["We planned Porto."]


def test_a_fact_is_on_one_line_that_can_be_read(seen: Seen) -> None:
    seen.learn("Likes\nlists:" + " and so on" * 900)
    (line,) = page_of(seen)["Facts"].lines[1:]
    ((moment,),) = [section.lines for section in timeline(seen.sight, Window()).sections]
    for text in (line.text, moment.text):
        assert text.startswith("Likes lists: and so on") and len(text) == 500


def test_of_many_facts_one_page_is_shown_and_the_rest_is_told(seen: Seen) -> None:
    for number in range(FACTS + 5):
        seen.learn(f"Fact {number}.", f"subject {number % 7}")
    first, second = page_of(seen)["Facts"], page_of(seen, 1)
    assert first.note == "1-100 of 105; more with --page 1"
    assert list(second) == ["Facts"] and second["Facts"].note == "101-105 of 105"
    shown = {line.text for section in (first, second["Facts"]) for line in section.lines if line.depth}
    assert len(shown) == FACTS + 5
    assert page_of(seen, 7)["Facts"].note == "page 7 is past all 105"


# Over time ------------------------------------------------------------------------------------------------------------


def told(seen: Seen, **window: object) -> list[tuple[str, str, str]]:
    return [(m.when[:10], m.what, m.text) for m in moments(seen.sight, Window(**window))[0]]  # type: ignore[arg-type]


def test_what_was_learned_changed_and_ended_is_told_day_by_day(seen: Seen) -> None:
    found = told(seen.fill())
    assert found[0] == ("2024-05", "happened", "Moved to Bonn"), "an event stands where it happened"
    assert ("2026-03-04", "learned", "Uses Magnet.") in found and ("2026-03-05", "ended", "Uses Magnet.") in found
    assert found[-1] == ("2026-03-17", "changed", "Ada: personality: shy → bold")
    sheet = timeline(seen.sight, Window())
    lines = {line.text: line for section in sheet.sections for line in section.lines}
    assert lines["Works day shifts."] == Line("Works day shifts.", "was: Works night shifts.", mark="changed")
    assert [text for _, what, text in found if what == "ended"] == ["Uses Magnet."], "a change is told once"
    assert "secret" not in str(sheet)
    assert [section.title for section in sheet.sections] == sorted({when for when, _, _ in found})


def test_a_time_and_somebody_can_be_chosen(seen: Seen) -> None:
    seen.fill()
    day = date(2026, 3, 5)
    assert {when for when, _, _ in told(seen, since=day, until=day)} == {"2026-03-05"}
    assert ("2024-05", "happened", "Moved to Bonn") in told(seen, since=date(2024, 5, 20), until=date(2024, 5, 30))
    assert told(seen, until=date(2024, 4, 30)) == []
    about = [text for _, _, text in told(seen, about="my sister")]
    assert "Anna plays the cello." in about and "Likes fado." not in about
    assert [text for _, _, text in told(seen, about="FADO")] == ["Likes fado."]
    assert told(seen, about="100%_nothing") == []


def test_pages_follow_each_other_without_a_gap(seen: Seen) -> None:
    for number in range(2 * SIZE + 7):
        seen.learn(f"Fact {number}.")
    pages = [moments(seen.sight, Window(page=page)) for page in range(4)]
    assert [len(found) for found, _ in pages] == [SIZE, SIZE, 7, 0]
    assert {total for _, total in pages} == {2 * SIZE + 7}
    joined = [moment.text for found, _ in reversed(pages) for moment in found]
    assert joined == [f"Fact {number}." for number in range(2 * SIZE + 7)]
    assert timeline(seen.sight, Window()).about == f"1-{SIZE} of {2 * SIZE + 7}; more with --page 1"


def test_what_holds_again_is_told(seen: Seen) -> None:
    fact = seen.learn("Uses Magnet.")
    seen.end(fact)
    with seen.db.write() as tx:
        seen.shared.ledger.restore(tx, fact, HAND, seen.clock())
    assert [what for _, what, _ in told(seen)] == ["learned", "ended", "holds again"]


def test_spans_tell_from_when_to_when(seen: Seen) -> None:
    seen.fill()
    seen.learn("Lives by the sea.", since="since ever", until="one day")
    found, total = spans(seen.sight, Window(), 60)
    by_text = {span.fact.text: (span.begin, span.end) for span in found}
    assert by_text["Uses Magnet."] == ("2026-03-04", "2026-03-05")
    assert by_text["Likes fado."] == ("2024", None)
    assert by_text["Lives by the sea."] == ("2026-03-18", None), "what is no day is no day"
    assert total == len(found) and "A secret." not in by_text
    assert len(spans(seen.sight, Window(), 3)[0]) == 3
    late = [span.fact.text for span in spans(seen.sight, Window(since=date(2026, 3, 6)), 60)[0]]
    assert "Uses Magnet." not in late and "Uses Shram." in late


# Connected ------------------------------------------------------------------------------------------------------------


def test_the_graph_tells_who_and_what_is_connected(seen: Seen) -> None:
    graph = connected(seen.fill().sight)
    edges = {(graph.nodes[one.begin].label, graph.nodes[one.end].label, one.label) for one in graph.edges}
    assert {("You", "Anna", "sister"), ("Anna", "Bob", "husband"), ("Bob", "Carl", "brother")} <= edges
    assert {("Anna", "music", ""), ("You", "music", ""), ("You", "Ada", "")} <= edges
    assert "Noor" not in {node.label for node in graph.nodes.values()}, "that is You"
    sheet = graph_sheet(seen.sight, graph)
    lines = {line.text: (line.depth, line.aside) for line in sheet.sections[0].lines}
    assert (lines["You"], lines["Anna"], lines["Carl"]) == ((0, ""), (1, "sister"), (3, "brother"))
    assert sheet.sections[1].lines == [Line("Anna – music")]


def test_who_is_only_spoken_of_is_connected_too(seen: Seen) -> None:
    seen.learn("Eva sings.", about="Eva")
    seen.learn("Sings.")
    graph = connected(seen.sight)
    assert [graph.nodes[one.end].label for one in graph.edges] == ["ada", "Eva"]


def test_everybody_is_reached_whoever_they_are_connected_with(seen: Seen) -> None:
    for name, other in (("A", "B"), ("B", "C"), ("C", "A"), ("D", "E")):
        seen.shared.create("person", {"name": name, "relationships": {other: "friend"}}, HAND)
    graph = connected(seen.sight)
    reached = [branch.node.key for branch in walk(tree(graph)[0])]
    assert sorted(reached) == sorted(graph.nodes), "each once"


def test_of_very_many_the_graph_shows_the_most_important_and_tells_the_rest(seen: Seen) -> None:
    for number in range(PEOPLE + 10):
        seen.shared.create("person", {"name": f"P{number}", "relation": "" if number % 2 else "friend"}, HAND)
    for number in range(SUBJECTS + 4):
        seen.learn(f"Fact {number}.", f"subject {number}")
    graph = connected(seen.sight)
    assert len(graph.nodes) == 2 + PEOPLE + SUBJECTS
    assert graph.left == "10 more people and 4 more subjects"
    labels = {node.label for node in graph.nodes.values()}
    assert {f"P{number}" for number in range(0, PEOPLE + 10, 2)} <= labels, "those who are something to the user"
    assert graph_sheet(seen.sight, graph).sections[0].note == "10 more people and 4 more subjects are not shown"
