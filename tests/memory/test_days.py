"""Which days a sentence names: what a person means by them, on whatever day they say it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.memory.days import Tense, every, iso_day, lasted, named, over, spoken, tense_of
from memagent.memory.phrases import MONTHS, WEEKDAYS

WEDNESDAY = date(2026, 5, 27)
SAID = st.dates(date(1950, 1, 1), date(2090, 12, 31))
DATES = st.builds(
    lambda form, day, month: form.format(day=day, month=MONTHS[month].title()),
    st.sampled_from(["on {day} {month}", "on the {day}th of {month}", "on {month} {day}", "by {month} {day}th"]),
    st.integers(1, 28),
    st.integers(0, 11),
) | st.just("on 29 February")
WEEKDAY = st.builds("on {}".format, st.sampled_from([day.title() for day in WEEKDAYS]))
MONTH = st.builds("in {}".format, st.sampled_from([month.title() for month in MONTHS]))
LEFT_OPEN = DATES | WEEKDAY | MONTH
"""What may have been or may come."""
COMING = st.sampled_from(
    ["tomorrow", "tonight", "the day after tomorrow", "in three days", "in a week", "in two months", "in two years"]
    + [f"next {unit}" for unit in ("week", "weekend", "month", "year", *WEEKDAYS)]
    + [f"this coming {unit}" for unit in ("weekend", *WEEKDAYS)]
)  # fmt: skip
PAST = st.sampled_from(
    ["yesterday", "last night", "the day before yesterday", "three days ago", "two weeks ago", "a month ago"]
    + ["ten years ago"]
    + [f"last {unit}" for unit in ("week", "weekend", "month", "year", *WEEKDAYS, *MONTHS)]
)  # fmt: skip


@given(LEFT_OPEN | COMING, SAID)
def test_what_will_be_is_not_before_the_day_it_is_said(words: str, said: date) -> None:
    found = named(f"I will see Ada {words}", said)
    assert found and found.coming and found.last >= said.isoformat()[: len(found.last)]


@given(LEFT_OPEN | PAST, SAID)
def test_what_was_is_not_after_the_day_it_is_said(words: str, said: date) -> None:
    found = named(f"I met Ada {words}", said)
    assert found and not found.coming and found.first <= said.isoformat()[: len(found.first)]


@given(LEFT_OPEN, SAID, st.sampled_from(["past", "coming"]))
def test_of_all_such_days_it_is_the_nearest_one(words: str, said: date, tense: Tense) -> None:
    found = named(words, said, tense)
    assert found
    around = 8 * 366 if "29" in words else 366 if "day" not in words.lower() else 7
    farthest = said + timedelta(days=around if tense == "coming" else -around)
    low, high = sorted([said, farthest])
    assert low.isoformat()[: len(found.first)] <= found.first <= found.last <= high.isoformat()[: len(found.last)]


@given(st.tuples(LEFT_OPEN | COMING, st.just("coming")) | st.tuples(LEFT_OPEN | PAST, st.just("past")), SAID, SAID)
def test_what_is_told_for_ever_means_the_same_days_whenever_it_is_read(
    told_of: tuple[str, Tense], said: date, later: date
) -> None:
    words, tense = told_of
    found = named(f"Ada {words}", said, tense)
    assert found
    told = f"Ada {found.lasting}"
    again = named(told, later)
    assert again and (again.first, again.last) == (found.first, found.last), told
    assert again.lasting == found.lasting or "the " in told  # "on the evening of 3 June 2026" is "of 3 June 2026"


@given(SAID)
def test_a_day_that_is_spoken_is_read_as_the_same_day(day: date) -> None:
    for length, before in ((10, "on"), (7, "in"), (4, "in")):
        found = named(f"I saw it {before} {spoken(day.isoformat()[:length])}", WEDNESDAY)
        assert found and found.first == found.last == day.isoformat()[:length]


@pytest.mark.parametrize(
    ("text", "first", "lasting"),
    [
        ("I fly next Friday", "2026-06-05", "on 5 June 2026"),  # that of next week
        ("I fly this Friday", "2026-05-29", "on 29 May 2026"),
        ("I fly this Wednesday", "2026-05-27", "on 27 May 2026"),  # which is today
        ("I fly on Wednesday", "2026-06-03", "on 3 June 2026"),
        ("I fly on Friday next week", "2026-06-05", "on 5 June 2026"),
        ("Friday I fly", "2026-05-29", "On 29 May 2026"),
        ("I must be there by Friday", "2026-05-29", "by 29 May 2026"),
        ("I flew last Friday", "2026-05-22", "on 22 May 2026"),
        ("I need to go on 3 May", "2027-05-03", "on 3 May 2027"),
        ("I'm getting married on 3 May", "2027-05-03", "on 3 May 2027"),
        ("I booked a flight on 3 May", "2027-05-03", "on 3 May 2027"),
        ("I was there from 3 to 5 May", "2026-05-03", "from 3 to 5 May 2026"),
        ("Tomorrow evening I fly", "2026-05-28", "On the evening of 28 May 2026"),
        ("I slept badly last night", "2026-05-26", "on the night of 26 May 2026"),
        ("We cooked this weekend", "2026-05-23", "on the weekend of 23 May 2026"),
        ("We cook this weekend", "2026-05-30", "on the weekend of 30 May 2026"),
        ("I have an exam next week", "2026-06-01", "in the week of 1 June 2026"),
        ("I moved here two weeks ago", "2026-05", "in May 2026"),
        ("I have lived here since May", "2026-05", "since May 2026"),
        ("I have lived here since October", "2025-10", "since October 2025"),
        ("I ran it last October", "2025-10", "in October 2025"),
        ("I start in early June", "2026-06", "in early June 2026"),
        ("I work here until March", "2027-03", "until March 2027"),
        ("She came in 2019-05", "2019-05", "in May 2019"),
    ],
)
def test_what_a_person_means(text: str, first: str, lasting: str) -> None:
    found = named(text, WEDNESDAY)
    assert found and (found.first, found.lasting) == (first, lasting)


@pytest.mark.parametrize(
    "text",
    [
        "I swim every Friday", "I swim on Fridays", "I work from Monday to Friday", "It was a Friday",
        "the Friday club", "Roses bloom in May", "I may go", "They march on", "My sister June sings",
        "I own 2000 books", "in 5 minutes", "I read it in two days", "on 31 June", "room 101, 12:30", "",
    ],
)  # fmt: skip
def test_what_names_no_day(text: str) -> None:
    assert named(text, WEDNESDAY) is None


def test_the_most_exact_comes_first() -> None:
    text = "In 2019 we met, last year we moved, and on Monday, 1 June, we marry"
    assert [found.first for found in every(text, WEDNESDAY, "coming")][:2] == ["2026-06-01", "2026-06-01"]


@pytest.mark.parametrize(
    ("text", "tense"),
    [("I will go", "coming"), ("I'm flying", "coming"), ("I went", "past"), ("I have lived", "past"), ("I go", "open")],
)
def test_the_tense_of_a_text(text: str, tense: Tense) -> None:
    assert tense_of(text) == tense


def test_since_when_something_lasts() -> None:
    assert lasted("I have lived here for three years now", WEDNESDAY) == "2023"
    assert lasted("for the last two weeks", WEDNESDAY) == "2026-05"
    assert lasted("for you", WEDNESDAY) == ""
    assert lasted("for 999 years", date.min) == "0001"


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-05-31", "2026-05-31"), ("2026-05", "2026-05"), ("2026", "2026"), ("2026-05-31T12:00", "2026-05-31"),
        ("2026-02-30", None), ("soon", None), ("", None), (2026, None), (None, None), ("२०२६", None),
    ],
)  # fmt: skip
def test_what_is_an_iso_day(value: object, day: str | None) -> None:
    assert iso_day(value) == day


def test_a_month_is_over_when_the_next_one_begins() -> None:
    assert over("2026-04", WEDNESDAY) and over("2026-05-26", WEDNESDAY) and over("2025", WEDNESDAY)
    assert not any(over(day, WEDNESDAY) for day in ("2026-05", "2026-05-27", "2026", None, ""))


PIECES = st.sampled_from(
    [
        "last", "next", "5", "may", "999", "years", "ago", "2023-02-30", "week", "of", "a", "31", "june", "on",
        "friday", "in", "the", "to", "since", "29", "february", ",",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=9).map(" ".join) | st.text(max_size=60), st.sampled_from([date.min, date.max]))
def test_the_ends_of_the_calendar_break_nothing(text: str, said: date) -> None:
    for found in every(text, said):
        assert found.first <= found.last and iso_day(found.first) and spoken(found.first) and found.added


@pytest.mark.parametrize("much", ["on the ", "3 May ", "to Friday ", "a week ", "19", "- ", "in early "])
def test_nothing_that_is_said_takes_long(much: str) -> None:
    assert sum(1 for _ in every(much * 500, WEDNESDAY)) <= 501
