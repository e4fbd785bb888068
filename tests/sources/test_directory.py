"""Reading folders: which files are read, how they are named, and that nothing in them stops the others."""

import os
import sys

import pytest

from memagent.errors import NotFound
from memagent.sources import Unreadable
from memagent.sources.chunk import passages_of
from memagent.sources.directory import Directory


@pytest.fixture
def tree(tmp_path):
    def make(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return make


def places(folder, **options):
    return [item.place for item in Directory(folder, **options).items()]


def test_every_file_is_found_in_order_but_hidden_ones(tree):
    folder = tree({"b.md": "b", "a/z.txt": "z", "a/b/c.md": "c", ".git/config": "x", "a/.secret": "x", "c.txt": "c"})
    assert places(folder) == ["a/b/c.md", "a/z.txt", "b.md", "c.txt"]
    assert places(folder, hidden=True) == [".git/config", "a/.secret", "a/b/c.md", "a/z.txt", "b.md", "c.txt"]


def test_patterns_choose(tree):
    folder = tree({"a.md": "", "b.txt": "", "docs/c.md": "", "docs/d/e.md": "", "old/f.md": ""})
    assert places(folder, include=["*.md"]) == ["a.md", "docs/c.md", "docs/d/e.md", "old/f.md"]
    assert places(folder, include=["docs/**"]) == ["docs/c.md", "docs/d/e.md"]
    assert places(folder, include=["*.md"], exclude=["old/"]) == ["a.md", "docs/c.md", "docs/d/e.md"]
    assert places(folder, include=["*.md", "!a.md"]) == ["docs/c.md", "docs/d/e.md", "old/f.md"]


def test_ignore_files_are_read_as_git_does(tree):
    folder = tree(
        {
            ".gitignore": "*.log\nbuild/\n/top.md\n",
            "top.md": "",
            "x.log": "",
            "build/y.md": "",
            "sub/.gitignore": "!keep.log\n",
            "sub/keep.log": "",
            "sub/other.log": "",
            "sub/top.md": "",
            "sub/deep/.memagentignore": "*\n!yes.md\n",
            "sub/deep/yes.md": "",
            "sub/deep/no.md": "",
        }
    )
    assert places(folder) == ["sub/deep/yes.md", "sub/keep.log", "sub/top.md"]
    assert "build/y.md" in places(folder, ignore_files=False)


def test_what_programs_keep_for_themselves_is_left_out(tree):
    folder = tree({"a/__pycache__/b.pyc": b"x", "node_modules/c/d.md": "", "e.md": ""})
    assert places(folder) == ["e.md"]
    assert len(places(folder, ignore_files=False)) == 3


def test_a_single_file_is_a_source(tree):
    folder = tree({"one.md": "# One\n\nText.", "two.md": ""})
    (item,) = Directory(folder / "one.md").items()
    assert (item.place, item.read().title) == ("one.md", "One")


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(NotFound, match="nothing"):
        Directory(tmp_path / "nothing")


def test_a_changed_file_has_another_stamp(tree):
    folder = tree({"a.md": "one", "b.md": "one"})
    before = {item.place: item.stamp for item in Directory(folder).items()}
    os.utime(folder / "a.md", ns=(1, 1))
    after = {item.place: item.stamp for item in Directory(folder).items()}
    assert before["a.md"] != after["a.md"] and before["b.md"] == after["b.md"]


def test_links_are_left_out_and_never_go_in_circles(tree, tmp_path_factory):
    folder = tree({"a/b.md": "b"})
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.md").write_text("s")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "out").symlink_to(outside)
    (folder / "gone.md").symlink_to(folder / "nowhere")
    assert places(folder) == ["a/b.md"]
    found = {item.place: item for item in Directory(folder, links=True).items()}
    assert list(found) == ["a/b.md", "gone.md", "out/secret.md"]
    with pytest.raises(Unreadable, match="can't be opened"):
        found["gone.md"].read()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders")
def test_a_pipe_is_not_waited_for(tree):
    folder = tree({"a.md": "a"})
    os.mkfifo(folder / "pipe.md")
    _, pipe = Directory(folder).items()
    with pytest.raises(Unreadable, match="not a file"):
        pipe.read()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="everything can be read")
def test_what_may_not_be_opened_is_told_and_the_rest_is_read(tree):
    folder = tree({"a/b.md": "b", "c.md": "c", "d.md": "d"})
    (folder / "a").chmod(0)
    (folder / "c.md").chmod(0)
    try:
        shut, c, d = Directory(folder).items()
        for item in (shut, c):
            with pytest.raises(Unreadable, match="Permission denied"):
                item.read()
        assert (shut.place, d.read().parts[0].text) == ("a/", "d")
    finally:
        (folder / "a").chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_that_are_no_text_are_shown_escaped(tmp_path):
    for name in (b"line\nbreak.md", b"caf\xe9.md", "smile 😀.md".encode()):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"text")
    found = list(Directory(tmp_path).items())
    assert [item.place for item in found] == ["caf\\xe9.md", "line\\nbreak.md", "smile 😀.md"]
    assert [item.read().parts[0].text for item in found] == ["text"] * 3


@pytest.mark.parametrize(
    "data",
    [
        "Grüße, “Zoë”\nz".encode(),
        "\ufeffGrüße, “Zoë”\nz".encode(),
        "\ufeffGrüße, “Zoë”\nz".encode("utf-16-le"),
        "\ufeffGrüße, “Zoë”\r\nz".encode("utf-16-be"),
        "Grüße, “Zoë”\nz".encode("utf-16-le"),
        "\ufeffGrüße, “Zoë”\nz".encode("utf-32"),
        "Grüße, “Zoë”\rz".encode("cp1252"),
    ],
)
def test_texts_are_read_whatever_wrote_them(tree, data):
    (item,) = Directory(tree({"a.txt": data})).items()
    assert item.read().parts[0].text.removeprefix("\ufeff") == "Grüße, “Zoë”\nz"


def test_one_broken_letter_does_not_spoil_a_text(tree):
    (item,) = Directory(tree({"a.txt": "äöü éèê ".encode() * 9 + b"\xff"})).items()
    assert item.read().parts[0].text == "äöü éèê " * 9 + "\ufffd"


@pytest.mark.parametrize(("name", "why"), [("a.png", "an image"), ("b.unknown", "not text"), ("noname", "not text")])
def test_what_is_no_text_is_told_why(tree, name, why):
    (item,) = Directory(tree({name: bytes(range(256)) * 40})).items()
    with pytest.raises(Unreadable, match=why):
        item.read()


def test_what_no_database_takes_is_replaced(tree):
    (item,) = Directory(tree({"a.md": "# Head\0ing\n\nA text with a\0NUL in it, and more words."})).items()
    (passage,) = passages_of(item.read(), item.place)
    assert "\0" not in passage.text + passage.place and "\ufffd" in passage.text


MANUAL = """---
title: "The manual"
---
Before all.

# Install

First words.

```bash
# no heading
```

## Linux

Type this.

Windows
-------

Click there, and `## this` is no heading.

# Use
#hashtag
"""


def test_markdown_is_read_in_sections(tree):
    (item,) = Directory(tree({"manual.md": MANUAL})).items()
    document = item.read()
    assert document.title == "The manual"
    headings = [part.heading for part in document.parts]
    assert headings == [(), ("Install",), ("Install", "Linux"), ("Install", "Windows"), ("Use",)]
    text = "".join(part.text for part in document.parts)
    assert text == MANUAL.split("---\n", 2)[2]
    assert [passage.place for passage in passages_of(document, item.place, 12)][-1] == "manual.md › Use"
