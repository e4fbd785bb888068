"""Cutting texts: nothing is lost, no passage is too long, and cuts are where a reader would make them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.messages import estimate
from memagent.sources.chunk import TOKENS, passages, spans

PIECES = st.sampled_from(
    [
        "word",
        "another ",
        "The end. ",
        "Really?! ",
        "\n",
        "\n\n",
        "\r\n \r\n",
        "    ",
        "我喜欢跑步",
        "。",
        "🎉🎉",
        "x" * 97,
        "e\u0301" * 40,
        "\t",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=120).map("".join), st.text(max_size=400))


@given(TEXTS, st.integers(2, 60))
def test_nothing_is_lost_and_the_limit_is_held(text, tokens):
    covered, last = set(), (-1, -1)
    for start, end in spans(text, tokens):
        assert start > last[0] and end > last[1]
        assert text[start:end] == text[start:end].strip() != ""
        assert estimate(text[start:end]) <= tokens
        covered |= set(range(start, end))
        last = start, end
    assert all(char.isspace() for place, char in enumerate(text) if place not in covered)


@given(st.lists(st.text("abc de.", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=8))
def test_what_fits_is_not_cut(lines):
    text = "\n".join(lines)
    assert passages(text, 400) == [text.strip()]


def test_cuts_are_after_paragraphs_then_sentences_then_words():
    paragraph = "One sentence here. Another sentence there."
    assert passages(f"{paragraph}\n\n{paragraph}\n\n{paragraph}", 15) == [paragraph] * 3
    assert passages("First things come first. " * 4, 8) == ["First things come first."] * 4
    for passage in passages("some words that never come to an end " * 20, 12):
        assert set(passage.split()) <= {"some", "words", "that", "never", "come", "to", "an", "end"}


def test_only_a_cut_sentence_is_repeated():
    whole = "\n\n".join("A sentence. " * 10 for _ in range(20))
    assert sum(len(passage) for passage in passages(whole)) <= len(whole)
    words = [f"w{n}" for n in range(2000)]
    found = passages(" ".join(words))
    for one, next_one in pairwise(found):
        assert next_one.split()[0] in one.split()[-60:]


def test_chinese_is_cut_after_its_full_stops():
    sentence = "我每天早上都在公园里跑步。"
    assert passages(sentence * 10, 30) == [sentence * 2] * 5


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "跑" * 200_000, "a" + "\u0301" * 200_000], ids=["word", "cjk", "marks"]
)
def test_an_endless_word_is_cut_all_the_same(text):
    found = spans(text)
    assert found[0][0] == 0 and found[-1][1] == len(text)
    assert all(following[0] <= before[1] for before, following in pairwise(found))
    assert all(estimate(text[start:end]) <= TOKENS for start, end in found)


@pytest.mark.parametrize("text", ["", " ", "\n" * 100_000])
def test_white_space_is_no_passage(text):
    assert passages(text) == []
