"""Which days a question names, and how well a day fits them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.memory.dates import dated, names

NOW = date(2026, 11, 25)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("Where did she go in July 2022?", "2022-07-01", "2022-07-31"),
        ("on 7 May, 2023", "2023-05-07", "2023-05-07"),
        ("what happened on June 3rd 2021", "2021-06-03", "2021-06-03"),
        ("2023-05-31", "2023-05-31", "2023-05-31"),
        ("since 2023-05", "2023-05-01", "2023-05-31"),
        ("what did I do in 2019", "2019-01-01", "2019-12-31"),
        ("yesterday", "2026-11-24", "2026-11-24"),
        ("what did we eat last night?", "2026-11-24", "2026-11-24"),
        ("three days ago", "2026-11-22", "2026-11-22"),
        ("last monday", "2026-11-23", "2026-11-23"),
        ("last wednesday", "2026-11-18", "2026-11-18"),
        ("this week", "2026-11-19", "2026-11-25"),
        ("last month", "2026-09-26", "2026-11-24"),
    ],
)
def test_days_that_are_named(text: str, first: str, last: str) -> None:
    (span,) = dated(text, NOW).spans
    assert (span.first.isoformat(), span.last.isoformat(), span.yearly) == (first, last, False)


@pytest.mark.parametrize("text", ["may I?", "they march on", "31 February 2023", "in 1066", "12 monkeys", "0001-13-01"])
def test_what_names_no_day(text: str) -> None:
    assert dated(text, NOW).spans == ()


def test_a_month_without_a_year_is_that_of_any_year() -> None:
    found = dated("What did she say in May?", NOW)
    assert [found.fit(date(year, 5, 20)) for year in (1999, 2023, 2026)] == [1.0] * 3
    assert found.fit(date(2023, 10, 1)) < 0
    assert dated("on 29 February", NOW).fit(date(2024, 2, 29)) == 1.0


def test_soon_after_fits_less_and_long_after_or_before_not() -> None:
    found = dated("on 10 July 2022", NOW)
    fits = [found.fit(date(2022, 7, day)) for day in (10, 12, 25)]
    assert fits[0] > fits[1] > fits[2] > 0 > found.fit(date(2022, 9, 1))
    assert found.fit(date(2022, 7, 1)) < found.fit(date(2022, 7, 12))
    assert dated("no day", NOW).fit(NOW) == 0


def test_the_words_that_name_it_are_told() -> None:
    assert dated("in July 2022", NOW).words == {"july", "2022"}


@given(st.text(max_size=80), st.dates())
def test_any_text_has_some_answer(text: str, now: date) -> None:
    assert -1 <= dated(text, now).fit(now) <= 1


PIECES = st.sampled_from(
    ["last", "5", "may", "999", "years", "ago", "2023-02-30", "week", "of", "a", "31", "june", ","]
)


@given(st.lists(PIECES, max_size=8).map(" ".join), st.sampled_from([date.min, NOW, date.max]))
def test_times_at_the_ends_of_the_calendar_break_nothing(text: str, now: date) -> None:
    assert -1 <= dated(text, now).fit(now) <= 1


MONDAY = date(2026, 5, 25)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("She comes tomorrow.", date(2026, 5, 26)),
        ("tonight", MONDAY),
        ("on Friday", date(2026, 5, 29)),
        ("next Friday", date(2026, 6, 5)),
        ("in two weeks", date(2026, 6, 8)),
        ("on the 9th", date(2026, 6, 9)),
        ("am 29. Mai", date(2026, 5, 29)),
        ("in July", date(2026, 7, 14)),
        ("on 2027-01-02", date(2027, 1, 2)),
    ],
)
def test_a_day_to_come_that_is_named(text: str, day: date) -> None:
    assert names(text, day, MONDAY)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("She comes tomorrow.", date(2026, 5, 28)),
        ("on Friday", date(2026, 5, 28)),
        ("last Friday", date(2026, 5, 22)),
        ("last week", date(2026, 5, 26)),
        ("on June 1st", date(4566, 6, 1)),
        ("on Friday", date(2026, 7, 3)),
        ("in July", date(2026, 8, 14)),
        ("I like tea.", date(2026, 5, 29)),
    ],
)
def test_a_day_that_is_past_or_not_named(text: str, day: date) -> None:
    assert not names(text, day, MONDAY)
