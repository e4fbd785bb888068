"""Patterns from strangers find what Python's own would find, and never take long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.memory.patterns import MOST_STATES, Unfit, pattern

LETTERS = st.sampled_from("ab1 _-.")
ATOMS = st.sampled_from(
    ["a", "b", "1", ".", r"\w", r"\d", r"\s", r"\W", "[ab]", "[^a]", "[a-z1]", r"[\d_]", r"\.", r"\b", r"\B", "^", "$"]
)


def repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["", "?", "*", "+", "{2}", "{0,2}", "{1,}", "*?", "+?"])
    some = st.lists(st.tuples(inner, times), min_size=1, max_size=3)
    sequence = some.map(lambda parts: "".join(f"(?:{part}){times}" for part, times in parts))
    return st.lists(sequence, min_size=1, max_size=2).map(lambda choices: f"({'|'.join(choices)})")


@given(st.recursive(ATOMS, repeated, max_leaves=6), st.text(LETTERS, min_size=1, max_size=12))
def test_it_finds_what_python_finds(written: str, text: str) -> None:
    """But in an empty text, where Python finds no \\B and JavaScript does."""
    try:
        expected = re.search(written, text, re.IGNORECASE | re.DOTALL)
    except re.error:
        return
    assert pattern(written).found(text) == (expected is not None)


@pytest.mark.parametrize(
    ("written", "text", "found"),
    [
        ("/dra(g|k)on/i", "the DRAKON", True),
        ("/dragon/", "the Dragon", False),
        ("/colou?r/i", "my Color", True),
        (r"/\bcat\b/", "concat", False),
        (r"/[\[\]\/]/", "a/b", True),
        ("/(?<name>elf)ish/", "elfish", True),
        (r"/\u0041\x42/", "AB", True),
        ("/東京|大阪/", "大阪へ", True),
        ("/x{3,}/", "xx", False),
        ("/^$/", "", True),
    ],
)
def test_patterns_as_books_have_them(written: str, text: str, found: bool) -> None:
    assert pattern(written).found(text) is found


@pytest.mark.parametrize(
    "written",
    [
        "/(?=a)b/", "/(?!a)b/", "/(?<=a)b/", r"/(a)\1/", r"/\k<x>/", "/(a/", "/a)/", "/[a/", "/*a/", "/a{3,1}/",
        r"/\p{L}/", "/a{9999}/", "/((a{99}){99}){99}/", "/" + "(" * 200 + "a" + ")" * 200 + "/", "/" + "a" * 511 + "/",
        r"/[b-a]/",
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_said_at_once(written: str) -> None:
    with pytest.raises(Unfit):
        pattern(written)


@pytest.mark.parametrize(
    "written", ["/^(a+)+$/", "/(a|a)*b/", "/(a*)*b/", "/(.*a){20}$/", "/([a-z]+)*!x/", "/(a|aa)+$/", "/(x+x+)+y/"]
)
def test_no_pattern_takes_long(written: str) -> None:
    """An engine that goes back and tries again would not come to an end here."""
    assert pattern(written).found("a" * 20_000 + "x" * 50 + "!") is False


def test_a_large_pattern_is_refused_and_not_built() -> None:
    with pytest.raises(Unfit, match="too large"):
        pattern(f"/(ab|cd){{{MOST_STATES}}}/")
