"""Passages in a file: every text of a tree is there, whole or not at all, and is read again as it was cut."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.errors import UserError
from memagent.sources import Unreadable
from memagent.sources.chunk import passages_of
from memagent.sources.directory import Directory
from memagent.sources.passages_file import PassagesFile
from memagent.sources.prepared import Count, prepare, read_lines, text_key

TEXTS = st.lists(
    st.sampled_from(
        ["# One\n", "## Two\n", "some words. ", "\n\n", "```\ncode\n```\n", "跑步。", "\ud800", '"\\"\t\u2028']
    ),
    min_size=1,
    max_size=30,
).map("".join)


def untold(_count: Count, _items: int) -> None:
    """Nobody watches."""


def prepared(tree: Path, out: Path, tokens: int = 280) -> Count:
    return prepare(Directory(tree), tokens, out, tree, untold)


@settings(max_examples=50)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.(md|txt)", fullmatch=True), TEXTS, min_size=1, max_size=4))
def test_every_passage_of_a_tree_is_in_the_file_and_read_again_as_it_was_cut(texts: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        tree, out = Path(folder, "tree"), Path(folder, "out.jsonl")
        tree.mkdir()
        for name, text in texts.items():
            (tree / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        (tree / "always.txt").write_text("Always.")
        count = prepared(tree, out, tokens=40)
        wanted = [
            (item.place, passage)
            for item in Directory(tree).items()
            for passage in passages_of(item.read(), item.place, 40)
        ]
        lines = [json.loads(line) for line in out.read_bytes().splitlines()]
        assert [(line["document"], line["text"], line["place"], line["page"]) for line in lines] == [
            (document, passage.text, passage.place, passage.page) for document, passage in wanted
        ]
        assert count.passages == len(lines) == len({line["id"] for line in lines})
        assert all(line["id"].split("-")[0] == text_key(line["text"]) for line in lines)
        assert [line.fields for line in read_lines(out)] == lines
        again = [
            (item.place, passage)
            for item in PassagesFile(out).items()
            for passage in passages_of(item.read(), item.place)
        ]
        assert again == wanted


def test_a_file_that_is_written_to_is_not_read_and_takes_the_place_of_the_old_one_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Words.")
    out = tmp_path / "passages.txt"
    for _ in range(2):
        assert prepared(tmp_path, out).passages == 1
    old = out.read_bytes()
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="There is no text to prepare"):
        prepared(tmp_path, out)
    assert out.read_bytes() == old and sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "passages.txt"]


def test_documents_are_put_together_from_wherever_their_lines_stand(tmp_path: Path) -> None:
    lines = [
        {"text": "a1", "document": "a.md", "heading": ["A"], "page": 2, "title": "The A"},
        {"text": "loose"},
        {"text": "b1", "document": "b.md"},
        {"text": "a2", "document": "a.md", "heading": "no list", "page": "no number"},
    ]
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\nnonsense\n{}\n")
    reader = PassagesFile(file)
    items = list(reader.items())
    assert [item.place for item in items] == ["a.md", "p.jsonl", "b.md", "p.jsonl, line 6", "p.jsonl, line 7"]
    first = items[0].read()
    assert [part.text for part in first.parts] == ["a1", "a2"] and first.title == "The A" and not first.vectors
    assert [passage.place for passage in passages_of(first, "a.md")] == ["a.md, p. 2 › A", "a.md"]
    for item in items[3:]:
        with pytest.raises(Unreadable, match='is no object with a "text"'):
            item.read()
    stamps = [item.stamp for item in items]
    file.write_text(file.read_text().replace("a2", "a3"))
    assert [item.stamp == stamp for item, stamp in zip(reader.items(), stamps, strict=True)] == [False, *[True] * 4]


@pytest.mark.parametrize(
    ("vectors", "found"),
    [
        (([3.0, 4.0], [0, 2]), 2),
        (([3.0, 4.0], None), 0),
        (([0.0, 0.0], [1, 0]), 2),
        (([1.0], [1.0, 2.0]), None),
        (([1.0], ["x"]), None),
        (([1.7e308, 1.7e308], [1, 2]), None),
        (([10**400, 1], [1, 2]), None),
    ],
)
def test_vectors_come_along_if_every_passage_has_one(tmp_path: Path, vectors: tuple[object], found: int | None) -> None:
    file = tmp_path / "p.jsonl"
    lines = [{"text": f"t{n}", "model": "m", "embedding": vector} for n, vector in enumerate(vectors)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (item,) = PassagesFile(file).items()
    if found is None:
        with pytest.raises(Unreadable, match="has "):
            item.read()
        return
    document = item.read()
    assert len(document.vectors) == found and document.model == ("m" if found else "")
    assert document.cut and len(document.parts) == 2
    if vectors[0] == [3.0, 4.0] and found:
        import struct

        assert struct.unpack("<2f", document.vectors[0]) == pytest.approx((0.6, 0.8))
