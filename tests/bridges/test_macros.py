"""Macros are text for text: replaced once, never run, and left alone where they are not known."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.bridges.cards.macros import Cast, filled, hidden_keys, names_user

ADA = Cast("Ada", "Bo", Random(1))


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("{{char}}, {{CHAR}}, {{ char }}, <BOT>, <char>", "Ada, Ada, Ada, Ada, Ada"),
        ("{{user}} <USER> <user>", "Bo Bo Bo"),
        ("a{{// not shown, never}}b", "ab"),
        ("a{{comment: for authors}}b{{hidden_key:moon}}c", "abc"),
        ("{{reverse:Hello}}", "olleH"),
        ("{{random:x,x}} {{random::y::y}} {{pick:z\\,z,z\\,z}}", "x y z,z"),
        ("{{roll:1}}{{roll:d1}}{{roll: D1 }}", "111"),
        ("{{exec}} {{exec:rm -rf /}} {{getvar::x}} {{__import__('os')}}", None),
        ("{{}} {{ }} {{char", None),
        ("{{char x}} {{roll:}} {{roll:0}} {{roll:d}} {{roll:9999999999}} {{roll:6d6}} {{random}}", None),
        ("{char} {0} %s ${char} {{{{char}}", "{char} {0} %s ${char} {{Ada"),
        ("{{original}}", None),
    ],
)
def test_what_a_macro_becomes(text: str, becomes: str | None) -> None:
    assert filled(text, ADA) == (text if becomes is None else becomes)


def test_a_name_brings_in_no_other_macro() -> None:
    assert filled("{{user}} {{reverse:}}rahc{{}}", Cast("Ada", "{{char}}")) == "{{char}} rahc{{}}"


def test_the_original_stands_where_it_means_something() -> None:
    assert filled("{{original}} Be brief.", ADA, original="Be kind.") == "Be kind. Be brief."


def test_chance_chooses_and_a_pick_stays() -> None:
    assert {filled("{{random:a,b,c}}", ADA) for _ in range(200)} == {"a", "b", "c"}
    assert {filled("{{roll:d6}}", ADA) for _ in range(200)} == set("123456")
    assert len({filled("{{pick:a,b,c}} and {{pick:a,b,c}}", ADA) for _ in range(50)}) == 1


def test_hidden_keys_are_found() -> None:
    assert hidden_keys("a {{hidden_key:moon}} {{// no}} {{ Hidden_Key: sun }}") == "moon\nsun"


def test_whether_the_user_is_spoken_of() -> None:
    assert names_user("no", "a {{ USER }}") and names_user("<user>") and not names_user("user {{char}}")


@given(st.text(alphabet="{}: a/charuse,\\d6\n", max_size=200))
def test_any_text_can_be_filled(text: str) -> None:
    again = filled(text, ADA)
    assert "{{" in text or "<" in text or again == text
