"""Cutting documents: each passage tells where it stands, and what belongs together stays so where it fits."""

from hypothesis import given
from hypothesis import strategies as st

from memagent.messages import estimate
from memagent.sources import Document, Part
from memagent.sources.chunk import passages_of

WORDS = st.lists(
    st.sampled_from(["one ", "two. ", "three\n", "\n\n", "```\n", "| a | b |\n", "跑步。", "x" * 50]), max_size=60
)
HEADINGS = st.lists(st.sampled_from(["A", "B", "C"]), max_size=3).map(tuple)
PARTS = st.builds(Part, WORDS.map("".join), HEADINGS, st.sampled_from([None, 1, 2]))


@given(st.lists(PARTS, max_size=8).map(tuple), st.integers(8, 60))
def test_nothing_is_lost_no_passage_is_too_long_and_pages_are_kept_apart(parts, tokens):
    found = passages_of(Document("t", parts), "t.md", tokens)
    assert all(estimate(passage.text) <= tokens and passage.text == passage.text.strip() != "" for passage in found)
    for page in {part.page for part in parts}:
        whole = "".join("".join(part.text for part in parts if part.page == page).split())
        at = 0
        for text in ("".join(passage.text.split()) for passage in found if passage.page == page):
            # Where a sentence was cut, the next passage begins some letters before its end.
            begin = next(n for n in range(at, max(-1, at - 4 * tokens), -1) if whole.startswith(text, n))
            at = max(at, begin + len(text))
        assert at == len(whole)
    headings = {part.heading for part in parts}
    assert all(passage.heading in headings for passage in found)


def test_a_passage_says_where_it_stands():
    parts = (Part("word " * 30, ("Install", "Linux"), 3), Part("word " * 30, (), 4))
    first, second = passages_of(Document("Guide", parts), "guide.pdf")
    assert (first.place, first.page, first.heading) == ("guide.pdf, p. 3 › Install › Linux", 3, ("Install", "Linux"))
    assert (second.place, second.page, second.heading) == ("guide.pdf, p. 4", 4, ())


def test_small_sections_are_joined_and_large_ones_are_not():
    small = [Part(f"## S{n}\n\nFew words.", ("Doc", f"S{n}")) for n in range(3)]
    large = [Part(f"## L{n}\n\n" + "word " * 180, ("Doc", f"L{n}")) for n in range(2)]
    found = passages_of(Document("Doc", (*small, *large)), "doc.md")
    assert [passage.heading[-1] for passage in found] == ["S0", "L0", "L1"]
    assert "S2" in found[0].text


def test_a_heading_alone_goes_with_what_it_is_above():
    parts = (Part("# Doc", ("Doc",)), Part("## Long\n\n" + "A sentence. " * 200, ("Doc", "Long")))
    found = passages_of(Document("Doc", parts), "doc.md")
    assert found[0].text.startswith("# Doc\n\n## Long")
    assert {passage.heading for passage in found} == {("Doc", "Long")}


def test_code_and_tables_stay_whole_where_they_fit():
    code = "```python\n" + "call()\n\n" * 25 + "```"
    table = "| a | b |\n" * 30
    text = f"{'Some words. ' * 50}\n\n{code}\n\n{'Other words. ' * 50}\n\n{table}"
    found = [passage.text for passage in passages_of(Document("t", (Part(text),)), "t.md", 150)]
    assert any(code in text for text in found)
    assert any(table.strip() in text for text in found)


def test_what_came_with_embeddings_is_left_as_it_is():
    parts = (Part(" one ", ("A",)), Part("two " * 1000))
    found = passages_of(Document("t", parts, vectors=(b"1", b"2"), model="m"), "row 1")
    assert [passage.text for passage in found] == [part.text for part in parts]
