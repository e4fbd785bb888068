"""The journal: an entry for each conversation that is over, once, checked against what was said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import ANSWERS, NOON, House, filled, house, say, written

from memagent.agent import Agent
from memagent.errors import NotFound
from memagent.journal import FORM
from memagent.llm import Request
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.journal import Entry, Item, Quote
from memagent.messages import told_by, user_message

KATE = "My sister Kate visits me on Friday, and I have to buy a new lamp by Thursday."
WHOLE = filled(
    "The user told me that Kate visits on Friday. I promised to ask about the lamp.",
    highlights=["Kate visits on Friday"],
    quotes=["sister kate visits ME on Friday", "I love my dentist"],
    commitments=[{"what": "ask about the lamp", "day": "2026-05-28"}],
    action_items=[{"what": "buy a new lamp", "day": "2026-05-29"}, {"what": "slay dragons"}],
    dates=[
        {"day": "2026-05-29", "what": "Kate visits"},
        {"day": "2026-02-31", "what": "Kate leaves"},
        {"day": "2026-07-07", "what": "Kate comes again"},
        {"day": "2026-05-22", "what": "Kate was here"},
    ],
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as here:
        yield here


def requests(agent: Agent) -> list[Request]:
    assert isinstance(agent.llm, ScriptedLLM)
    return [request for request in agent.llm.requests if request.force == "write_entry"]


def covered(home: House) -> list[tuple[int, int]]:
    return home.rows("SELECT first, last FROM journal WHERE undone IS NULL ORDER BY first")


# What is written ------------------------------------------------------------------------------------------------------


def test_a_conversation_that_is_over_is_written_by_the_model_in_one_call(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    say(agent, "Good night!")
    (entry,) = written(home.writer(agent))
    assert entry.text.startswith("The user told me that Kate visits") and not entry.plain
    assert entry.highlights == ("Kate visits on Friday",)
    assert entry.commitments == (Item("ask about the lamp", "2026-05-28"),)
    assert len(requests(agent)) == 1
    (request,) = requests(agent)
    assert request.tools == [FORM] and "Monday, 2026-05-25" in request.messages[0].content
    assert "User: My sister Kate" in request.messages[1].content and "ada: I see." in request.messages[1].content
    journal = home.writer(agent).journal
    assert journal.entries() == [entry] and journal.get(entry.id) == entry
    assert [m.said for m in journal.transcript(entry) if m.kind == "user"] == [KATE, "Good night!"]


def test_others_in_a_chat_are_told_of_by_their_names(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    list(agent.turn([user_message(KATE, NOON), told_by("coder", "I will bring a lamp to your sister Kate.", NOON)]))
    say(agent, "Good night!")
    assert written(home.writer(agent))
    lines = requests(agent)[0].messages[1].content.splitlines()
    assert f"User: {KATE}" in lines and "coder: I will bring a lamp to your sister Kate." in lines


def test_what_was_not_said_is_not_kept(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    assert entry.quotes == (Quote("user", "sister Kate visits me on Friday", 1),), "as it was said, and nothing else"
    assert entry.action_items == (Item("buy a new lamp", "2026-05-29"),)
    assert entry.dates == (Item("Kate visits", "2026-05-29"),), "the others are none, not named, or past"
    said = home.rows("SELECT said FROM messages WHERE seq = ?", entry.quotes[0].seq)
    assert said == [KATE]


def test_an_entry_is_in_the_agents_own_words(home: House) -> None:
    copied = filled(
        f'My sister Kate visits me on Friday. User: hello. I was glad for the user and Kate. "{KATE}"',
        highlights=["my sister Kate visits soon", "the sister Kate visits soon"],
        commitments=["buy a lamp"], action_items=["buy a lamp", "see Kate"],
    )  # fmt: skip
    agent = home.agent([copied, *ANSWERS])
    say(agent, KATE.replace(", and", ". And"))
    (entry,) = written(home.writer(agent))
    assert entry.text == f'I was glad for the user and Kate. "{KATE}"', "where the user says my, it is not the agent's"
    assert entry.highlights == ("the sister Kate visits soon",)
    assert (entry.commitments, entry.action_items) == ((Item("buy a lamp"),), (Item("see Kate"),))


def test_no_message_is_written_of_twice(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    writer = home.writer(agent)
    for _ in range(3):
        say(agent, KATE)
        written(writer)
        written(writer)
    ranges = covered(home)
    assert len(ranges) == 3 == len(requests(agent))
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))


def test_of_two_processes_one_writes(home: House) -> None:
    agent, other = home.agent([WHOLE, *ANSWERS]), home.agent([filled("Kate again, by another."), *ANSWERS])
    say(agent, KATE)
    (entry,) = home.writer(agent).close(over=True)
    assert home.writer(other).close(over=True) == []
    works = [home.writer(each).write(entry) for each in (agent, other)]
    done: list[Any] = []
    while works:  # both are asked at the same time
        for work in [*works]:
            try:
                next(work)
            except StopIteration as ended:
                done.append(ended.value)
                works.remove(work)
    assert [bool(each) for each in done] == [True, False]
    assert [each.text for each in home.writer(agent).journal.entries()] == [done[0].text]


def test_where_little_was_said_nothing_is_written_until_there_is_more(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, "Hello!")
    assert written(home.writer(agent)) == []
    home.passes(hours=5)
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    assert [m.said for m in home.writer(agent).journal.transcript(entry) if m.kind == "user"] == ["Hello!", KATE]


def test_silence_ends_a_conversation_and_parts_it_from_the_next(home: House) -> None:
    agent = home.agent()
    writer = home.writer(agent)
    say(agent, KATE)
    home.passes(minutes=29)
    assert writer.close() == []
    say(agent, "And the lamp must be green.")
    home.passes(minutes=31)
    say(agent, "There was a storm last night, and the old tree fell.")
    (first,) = writer.close()
    assert "lamp must be green" in first.text and "storm" not in first.text
    home.passes(minutes=31)
    (second,) = writer.close()
    assert "storm" in second.text and second.first > first.last


def test_a_turn_that_is_not_at_its_end_is_left_for_later(home: House) -> None:
    agent = home.agent()
    say(agent, KATE)
    going_on = agent.turn("A second one, which is long enough to be written of as well.")
    next(going_on)
    (entry,) = home.writer(agent).close(over=True)
    assert "second" not in entry.text
    list(going_on)
    (entry,) = home.writer(agent).close(over=True)
    assert "second" in entry.text


def test_a_long_conversation_is_read_in_portions_that_fit(home: House) -> None:
    part = filled("The user talked of the weather.", highlights=["about the weather"])
    model = ScriptedLLM([part, *ANSWERS], window=4096)
    agent = home.agent(model)
    for number in range(30):
        say(agent, f"Number {number}: we talked on and on about the weather. " * 8)
    (entry,) = written(home.writer(agent))
    asked = requests(agent)
    assert (
        len(asked) > 2
        and entry.text == "The user talked of the weather."
        and entry.highlights == ("about the weather",)
    )
    assert all("The entry so far" in request.messages[1].content for request in asked[1:])
    assert all(sum(m.tokens for m in request.messages) < 4096 // 2 for request in asked)
    told = "\n".join(request.messages[1].content for request in asked)
    assert all(f"Number {number}:" in told for number in range(30))


# A model that fails ---------------------------------------------------------------------------------------------------

RUBBISH = [
    {"text": "I had a lovely day."},
    {"call": "write_entry", "arguments": "{nothing of this is JSON"},
    {"call": "write_entry", "arguments": {"entry": ""}},
    {"call": "write_entry", "arguments": {"entry": ["no", "text"], "quotes": 7}},
    {"call": "write_entry", "arguments": {"entry": "Quantum foam bubbles everywhere."}},
    {"call": "send_message", "arguments": {"message": KATE}},
    {"text": ""},
    {"error": {"status": 500, "message": "down"}},
    {"text": "half", "cut": 0},
]


@pytest.mark.parametrize("reply", RUBBISH, ids=str)
def test_a_model_that_fails_leaves_a_plain_entry_that_is_written_later(home: House, reply: dict[str, Any]) -> None:
    agent = home.agent([{"when": {"forced": "write_entry"}, **reply}, *ANSWERS])
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    assert entry.plain and entry.tries == 1 and "Kate visits me on Friday" in entry.text
    again = home.agent([WHOLE, *ANSWERS])
    (better,) = written(home.writer(again))
    assert better.id == entry.id and not better.plain and covered(home) == [(entry.first, entry.last)]


def test_what_a_model_fails_at_again_and_again_is_tried_only_when_asked_for(home: House) -> None:
    agent = home.agent([{"when": {"forced": "write_entry"}, "text": "No."}, *ANSWERS])
    say(agent, KATE)
    writer = home.writer(agent)
    assert [entry.tries for _ in range(3) for entry in written(writer)] == [1, 2, 3]
    assert writer.waiting() == []
    assert [entry.tries for entry in writer.waiting(asked=True)] == [3]


def test_a_model_that_writes_too_much_is_cut(home: House) -> None:
    much = filled("Kate! " * 5000, highlights=["Kate " * 500] * 300, quotes=["Kate"] * 300, dates=[None, 3, {}])
    agent = home.agent([much, *ANSWERS])
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    assert len(entry.text) <= 900 and len(entry.highlights) == 1 and len(entry.quotes) == 1 and not entry.dates


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("Kate visits me"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["what", "day", "x"]), inner),
    max_leaves=6,
)
FORMS = st.dictionaries(st.sampled_from([*FORM["parameters"]["properties"], "more"]), JSON)  # type: ignore[index]


@given(form=FORMS)
def test_whatever_a_form_says_only_what_was_said_is_kept(
    tmp_path_factory: pytest.TempPathFactory, form: dict[str, Any]
) -> None:
    call = {"when": {"forced": "write_entry"}, "call": "write_entry", "arguments": form}
    with house(tmp_path_factory.mktemp("home")) as home:
        agent = home.agent([call, *ANSWERS])
        say(agent, KATE)
        (entry,) = written(home.writer(agent))
        assert home.writer(agent).journal.get(entry.id) == entry
        assert all(quote.text in KATE for quote in entry.quotes)
        for item in (*entry.commitments, *entry.action_items, *entry.dates):
            assert item.day is None or date.fromisoformat(item.day)


# Taken back -----------------------------------------------------------------------------------------------------------


def test_an_entry_of_what_was_taken_back_is_taken_back_and_written_anew(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    say(agent, "Forget that I said this: the tree is rotten.")
    (entry,) = written(home.writer(agent))
    agent.state.undo_turn()
    journal = home.writer(agent).journal
    assert journal.entries() == [] and journal.get(entry.id).undone
    (anew,) = written(home.writer(agent))
    assert anew.first == entry.first and anew.last < entry.last
    assert "rotten" not in requests(agent)[-1].messages[1].content


def test_entries_before_what_was_taken_back_stand(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    say(agent, "There was a storm last night, and the old tree fell.")
    agent.state.undo_turn()
    assert home.writer(agent).journal.entries() == [entry]


def test_what_is_taken_back_while_it_is_written_of_stays_away(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    writer = home.writer(agent)
    (plain,) = writer.close(over=True)
    work = writer.write(plain)
    next(work)
    agent.state.undo_turn()
    with pytest.raises(StopIteration) as ended:
        while True:
            next(work)
    assert ended.value.value is None and writer.journal.entries() == []


# What is open ---------------------------------------------------------------------------------------------------------


def test_what_was_promised_is_open_until_it_is_done_or_past(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    written(home.writer(agent))
    journal = home.writer(agent).journal
    assert [(item.what, item.mine) for item in journal.open(NOON.date())] == [
        ("ask about the lamp", True), ("buy a new lamp", False),
    ]  # fmt: skip
    assert [item.what for item in journal.open(date(2026, 5, 29))] == ["buy a new lamp"]
    assert journal.open(date(2026, 5, 30)) == []
    home.passes(hours=1)
    later = home.agent([filled("I asked about the lamp, which the user bought.", done=[1, 9]), *ANSWERS])
    say(later, "I have bought the lamp now, and it is green like a frog.")
    (entry,) = written(home.writer(later))
    told = requests(later)[0].messages[1].content
    assert told.startswith("Open items:\n1. ask about the lamp\n2. buy a new lamp\n")
    assert len(entry.done) == 1 and [item.what for item in journal.open(NOON.date())] == ["buy a new lamp"]
    later.state.undo_turn()
    assert len(journal.open(NOON.date())) == 2, "what settled it was taken back"


# Finding --------------------------------------------------------------------------------------------------------------


def test_entries_are_found_by_their_days_and_numbers(home: House) -> None:
    agent = home.agent()
    for number in range(5):
        say(agent, f"Day {number} was a good day for me, and I slept well.")
        home.passes(days=1)
        home.writer(agent).close()
    journal = home.writer(agent).journal
    entries = journal.entries()
    assert [entry.began for entry in entries] == [NOON + timedelta(days=day) for day in (4, 3, 2, 1, 0)]
    assert journal.entries(2) == entries[:2]
    assert journal.entries(2, until=date(2026, 5, 27)) == entries[2:4]
    assert journal.entries(since=date(2026, 5, 27), until=date(2026, 5, 28)) == entries[1:3]
    with pytest.raises(NotFound, match="no journal entry 999"):
        journal.get(999)


def test_the_journal_goes_with_its_agent(home: House) -> None:
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    written(home.writer(agent))
    with home.database.write() as tx:
        tx.run("DELETE FROM agents WHERE name = 'ada'")
    assert home.rows("SELECT count(*) FROM journal") == [0]


def test_an_entry_goes_on_equal_to_itself(home: House) -> None:
    """What is stored and read again is the same, or two processes could not tell whether they mean the same."""
    agent = home.agent([WHOLE, *ANSWERS])
    say(agent, KATE)
    (entry,) = written(home.writer(agent))
    assert isinstance(entry, Entry) and home.writer(agent).journal.entries()[0] == entry
