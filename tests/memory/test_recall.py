"""What was said is found by its words or by the day, wherever the clock stood; and what was taken back is not."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_rows import NOW, new_agent, new_database, say

from memagent.errors import ToolError
from memagent.memory.recall import RecallMemory


@pytest.fixture
def db(tmp_path):
    database = new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    database = new_database(tmp_path_factory.mktemp("shared"))
    yield database
    database.close()


@pytest.fixture
def agent(db):
    return new_agent(db)


@pytest.fixture
def recall(db, agent):
    return RecallMemory(db, agent)


def texts(page):
    return [found.text for found in page.results]


def test_a_result_says_who_when_and_which(db, agent, recall):
    say(db, agent, "I like jazz", role="user", created="2026-05-01T10:00:00+02:00")
    say(db, agent, "Jazz it is", role="assistant", created="2026-05-01T10:01:00+02:00")
    say(db, agent, "More jazz", role="tool", created="2026-05-01T10:02:00+02:00")
    found = {result.text: result for result in recall.search("jazz").results}
    assert found["I like jazz"].source == "user"
    assert found["Jazz it is"].source == found["More jazz"].source == "you"
    assert found["Jazz it is"].when == datetime(2026, 5, 1, 8, 1, tzinfo=UTC)
    assert found["Jazz it is"].id == 2


def test_only_what_was_said_and_still_holds(db, agent, recall):
    say(db, agent, "old words", "", "new words")
    assert recall.total() == 2
    with db.write() as tx:
        tx.run("UPDATE messages SET undone = ? WHERE agent = ? AND seq = 3", NOW.isoformat(), agent)
    assert texts(recall.search("words")) == ["old words"]
    assert texts(recall.search_dates(None, None)) == ["old words"]
    assert recall.total() == recall.search("words").total == 1


def test_what_the_model_sees_anyway_can_be_left_out(db, agent, recall):
    say(db, agent, "first cat", "second cat", "third cat")
    assert set(texts(recall.search("cat", before_seq=3))) == {"second cat", "first cat"}
    assert recall.search("cat", before_seq=3).total == 2
    assert texts(recall.search_dates(None, None, before_seq=2)) == ["first cat"]


def test_what_was_said_around_a_message_is_read_within_its_conversation(db, agent, recall):
    say(db, agent, "one", "two", "", "three", "four", "five", "six")
    with db.write() as tx:
        tx.run("UPDATE messages SET place = 'Claude › Soup' WHERE agent = ? AND seq <= 5", agent)

    def around(*numbers, **limits):
        return [found.text for found in recall.around(*numbers, **limits)]

    assert around(4) == ["three"]
    assert around(4, 2, 3) == ["one", "two", "three", "four"]
    assert around(6, 2, 1) == ["five", "six"]
    assert around(4, 1, 4, before_seq=5) == ["two", "three"]
    assert recall.around(4)[0].place == "Claude › Soup"
    for wrong in ((3,), (8,), (0,), (-1,), (10**30,), (4, 5), (4, 0, -1)):
        with pytest.raises(ToolError):
            recall.around(*wrong)
    with pytest.raises(ToolError):
        recall.around(4, before_seq=4)
    with pytest.raises(ToolError):
        RecallMemory(db, new_agent(db)).around(4)


def test_deleting_an_agent_leaves_nothing_to_find(db, agent, recall):
    say(db, agent, "a secret")
    with db.write() as tx:
        tx.run("DELETE FROM agents WHERE id = ?", agent)
    assert recall.search("secret").total == recall.search_dates(None, None).total == 0
    assert db.check() == []


def test_days_are_whole_and_both_included(db, agent, recall):
    for created in (
        "2026-04-30T23:59:59.999999+02:00", "2026-05-01T00:00:00+02:00", "2026-05-02T12:00:00+02:00",
        "2026-05-03T23:59:59.999999+02:00", "2026-05-04T00:00:00+02:00",
    ):  # fmt: skip
        say(db, agent, created, created=created)
    page = recall.search_dates(date(2026, 5, 1), date(2026, 5, 3))
    assert [text[8:10] for text in texts(page)] == ["01", "02", "03"]
    assert page.total == 3
    assert recall.search_dates(None, date(2026, 5, 1)).total == 2
    assert recall.search_dates(date(2026, 5, 4), None).total == 1
    assert recall.search_dates(date.min, date.max).total == 5


def test_a_day_is_the_day_where_it_was_written(db, agent, recall):
    say(db, agent, "in Tokyo", created="2026-05-02T08:00:00+09:00")  # still 1 May in London
    say(db, agent, "in Honolulu", created="2026-05-01T22:00:00-10:00")  # 2 May in London already
    assert texts(recall.search_dates(date(2026, 5, 1), date(2026, 5, 1))) == ["in Honolulu"]
    assert texts(recall.search_dates(date(2026, 5, 2), date(2026, 5, 2))) == ["in Tokyo"]


def test_a_time_without_a_zone_is_the_clock_on_the_wall(db, agent, recall):
    for created in ("2026-05-01T14:59:59+02:00", "2026-05-01T15:00:00.5-07:00", "2026-05-01T15:00:01+02:00"):
        say(db, agent, created, created=created)
    page = recall.search_dates(datetime(2026, 5, 1, 15), datetime(2026, 5, 1, 15))
    assert texts(page) == ["2026-05-01T15:00:00.5-07:00"]


OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 5), timezones=OFFSETS)


LATE = datetime(2026, 1, 1, 0, 0, 0, 999_500, tzinfo=UTC)  # SQLite's own clock would call this the next second


@settings(deadline=None, max_examples=60)
@example(written=[LATE], start=LATE, end=LATE)
@given(written=st.lists(MOMENTS, max_size=8), start=MOMENTS, end=MOMENTS)
def test_a_time_with_a_zone_is_that_instant_in_every_zone(shared, written, start, end):
    start, end = sorted((start, end))
    database = shared
    agent = new_agent(database)
    for moment in written:
        say(database, agent, "x", created=moment.isoformat())
    found = RecallMemory(database, agent).search_dates(start, end, size=50).results
    second = timedelta(seconds=1)
    floor = start.replace(microsecond=0)
    inside = [moment for moment in written if floor <= moment < end.replace(microsecond=0) + second]
    assert [result.when for result in found] == inside


def test_times_at_the_ends_of_the_calendar(db, agent, recall):
    say(db, agent, "here")
    west, east = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))
    first, last = datetime.min.replace(tzinfo=east), datetime.max.replace(tzinfo=west)
    assert recall.search_dates(first, last).total == 1


def test_a_range_that_ends_before_it_begins(recall):
    with pytest.raises(ToolError, match="2026-05-02 is after the end 2026-05-01"):
        recall.search_dates(date(2026, 5, 2), date(2026, 5, 1))


def test_dates_are_read_in_order_page_by_page(db, agent, recall):
    say(db, agent, *(f"line {n}" for n in range(12)), created="2026-05-01T10:00:00+00:00")
    pages = [recall.search_dates(date(2026, 5, 1), None, page) for page in range(4)]
    assert [text for page in pages for text in texts(page)] == [f"line {n}" for n in range(12)]
    assert {page.total for page in pages} == {12}
    assert pages[3].results == []
