"""Each kind of file becomes a text with its structure: headings, pages, rows with their columns' names."""

import json
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import docx, paragraph, pdf, table

from memagent.sources import Document, Unreadable
from memagent.sources.chunk import passages_of
from memagent.sources.directory import Directory
from memagent.sources.formats import code, markdown


@pytest.fixture
def read(tmp_path):
    """Reads a file of this name with this content, as a folder's reader does."""
    made = []

    def read(name, content):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        reader = Directory(tmp_path / name)
        made.append(reader)
        (item,) = reader.items()
        return item.read()

    yield read
    for reader in made:
        reader.close()


def texts(document):
    return [part.text for part in document.parts]


def headings(document):
    return [part.heading for part in document.parts]


def test_pdf_pages_and_their_headings(read):
    pages = ["First page.\nWith a line.", "", "Third page.", "Fourth page."]
    data = pdf(pages, [("Start", 0), ("Middle", 2)], "/Title (The guide) /ModDate (D:20240305101530Z)")
    document = read("guide.pdf", data)
    assert document.title == "The guide"
    assert document.when and document.when.date().isoformat() == "2024-03-05"
    assert [part.page for part in document.parts] == [1, 3, 4]
    assert headings(document) == [("Start",), ("Middle",), ("Middle",)]
    assert texts(document)[0].split("\n") == ["First page.", "With a line."]
    places = [passage.place for passage in passages_of(document, "guide.pdf")]
    assert places == ["guide.pdf, p. 1 › Start", "guide.pdf, p. 3 › Middle", "guide.pdf, p. 4 › Middle"]


def test_a_pdf_is_known_by_its_beginning(read):
    assert texts(read("paper", pdf(["Words."]))) == ["Words."]


def test_a_pdf_of_pictures_is_told(read):
    with pytest.raises(Unreadable, match="pictures"):
        read("scan.pdf", pdf([""]))


def test_docx_headings_lists_and_tables(read):
    body = (
        paragraph("Before.")
        + paragraph("Install &amp; run", "berschrift1")
        + paragraph("one", more='<w:numPr><w:ilvl w:val="0"/></w:numPr>')
        + paragraph("two", more="<w:numPr/>")
        + "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
        + paragraph("Linux", "Heading2")
        + table([["name", "size"], ["a|b", "1"]])
        + '<w:p><w:r><mc:AlternateContent xmlns:mc="mc"><mc:Choice><w:t>shown</w:t></mc:Choice>'
        "<mc:Fallback><w:t>again</w:t></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    styles = '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    core = '<c xmlns:d="d"><d:title>My thesis</d:title><d:modified>2024-05-01T10:00:00Z</d:modified></c>'
    document = read("thesis.docx", docx(body, styles, core))
    assert (document.title, document.when) == ("My thesis", datetime(2024, 5, 1, 10, tzinfo=UTC))
    assert headings(document) == [(), ("Install & run",), ("Install & run", "Linux")]
    before, install, linux = texts(document)
    assert before == "Before."
    assert install == "# Install & run\n\n- one\n- two\nkept"
    assert "| name | size |\n| --- | --- |\n| a\\|b | 1 |" in linux
    assert "shown" in linux and "again" not in linux and "deleted" not in install


PAGE = """<!doctype html><html><head><title>A site - The page</title>
<meta property="article:published_time" content="2023-04-05T06:07:08Z"></head><body>
<nav><a href="/">Home</a> <a href="/x">Other things that are elsewhere</a></nav>
<div class="sidebar"><p>Buy this now, it is cheap, and comes with a free gift.</p></div>
<main><h1>The page<a class="headerlink">¶</a></h1>
<p>First paragraph, with <b>bold</b> and <a href="#">a link</a>.<br>Next line.</p>
<script>var hidden = "no";</script>
<h2>Steps</h2><ol><li>Open it</li><li>Close it</li></ol>
<pre>code {
    kept
}</pre>
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>
<div style="display: none">not shown, not shown, not shown</div>
<p>Last words of the page, which are many, so that it is a page.</p></main>
<footer>Imprint and contact</footer></body></html>"""


def test_html_is_read_without_what_is_around_it(read):
    document = read("page.html", PAGE)
    assert document.title == "The page"
    assert document.when == datetime(2023, 4, 5, 6, 7, 8, tzinfo=UTC)
    assert headings(document) == [("The page",), ("The page", "Steps")]
    whole = "\n".join(texts(document))
    assert "First paragraph, with bold and a link.\nNext line." in whole
    assert "- Open it\n- Close it" in whole
    assert "```\ncode {\n    kept\n}\n```" in whole
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in whole
    for gone in ("Home", "Buy", "hidden", "Imprint", "not shown"):
        assert gone not in whole


def test_a_page_of_lists_and_links_is_not_empty(read):
    document = read("index.html", "<html><body><ul><li><a href=a>One</a></li><li><a href=b>Two</a></li></ul>Few words.")
    assert "Few words." in texts(document)[0]


@pytest.mark.parametrize("charset", ["windows-1251", "shift_jis", "utf-8"])
def test_html_says_in_which_letters_it_is(read, charset):
    words = {"windows-1251": "Привет, мир, как дела у всех", "shift_jis": "こんにちは、世界", "utf-8": "Grüße, 世界"}[
        charset
    ]
    page = f'<html><head><meta charset="{charset}"></head><body><p>{words}</p></body></html>'.encode(charset)
    assert texts(read("page.html", page)) == [words]


@pytest.mark.parametrize("charset", ["rot13", "zip", "idna", "punycode", "no-such", "undefined"])
def test_a_strange_charset_does_no_harm(read, charset):
    page = f'<meta charset="{charset}"><p>Words and words.</p>'
    assert texts(read("page.html", page)) == ["Words and words."]


def test_rows_are_read_with_the_names_of_their_columns(read):
    document = read("people.csv", 'name,age,note\nAnn,30,"likes, commas"\n\nBob,,\n')
    assert texts(document) == ["name: Ann; age: 30; note: likes, commas", "name: Bob"]
    assert headings(document) == [("row 2",), ("row 4",)]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ";"), ("a.tsv", "\t"), ("a.csv", "|")])
def test_tables_have_other_marks_too(read, name, mark):
    document = read(name, f"name{mark}size, in m\nA, B{mark}1,5\n")
    assert texts(document) == ["name: A, B; size, in m: 1,5"]


def test_a_table_without_names_gets_some(read):
    assert texts(read("a.csv", "1,2\n3,4\n")) == ["column 1: 1; column 2: 2", "column 1: 3; column 2: 4"]


def test_small_rows_share_a_passage(read):
    document = read("a.csv", "name,age\n" + "".join(f"P{n},{n}\n" for n in range(100)))
    found = passages_of(document, "a.csv")
    assert len(found) < 15 and found[0].place == "a.csv › row 2"


def test_json_records(read):
    data = '[{"title": "One", "tags": ["a", "b"], "by": {"name": "Ann"}, "none": null}, {"id": 7, "ok": true}, "text"]'
    document = read("a.json", data)
    assert texts(document) == ["title: One; tags: a, b; by.name: Ann", "id: 7; ok: yes", "text"]
    assert headings(document) == [("item 1: One",), ("item 2: 7",), ("item 3",)]


def test_json_objects(read):
    document = read("a.json", '{"name": "N", "list": [{"a": 1}, {"a": 2}], "deep": {"x": {"y": [1, {"z": 2}]}}}')
    assert texts(document) == ["name: N", "a: 1", "a: 2", "deep.x.y[1]: 1; deep.x.y[2].z: 2"]
    assert headings(document) == [(), ("list", "item 1"), ("list", "item 2"), ("deep",)]


def test_json_lines(read):
    document = read("a.jsonl", '{"a": 1}\n\nbroken {\n{"a": 2}\n')
    assert texts(document) == ["a: 1", "broken {", "a: 2"]
    assert headings(document) == [("line 1",), ("line 3",), ("line 4",)]


def test_a_notebook_is_its_texts_and_its_code(read):
    cells = [
        {"cell_type": "markdown", "source": ["# Study\n", "We look."]},
        {"cell_type": "code", "source": "# load\nx = 1", "outputs": [{"data": {"image/png": "iVBOR"}}]},
        {"cell_type": "markdown", "source": "## End"},
        {"cell_type": "code", "source": []},
    ]
    notebook = {"cells": cells, "metadata": {"kernelspec": {"language": "python"}}}
    document = read("a.ipynb", json.dumps(notebook))
    assert (document.title, headings(document)) == ("Study", [("Study",), ("Study", "End")])
    assert "".join(texts(document)) == "# Study\nWe look.\n\n```python\n# load\nx = 1\n```\n\n## End"
    with pytest.raises(Unreadable, match="no notebook"):
        read("b.ipynb", '{"cells": [7]}')


def mail(**headers):
    message = EmailMessage()
    for name, value in headers.items():
        message[name] = value
    message.set_content("Hello Bob,\n\nthe plain text.\n")
    message.add_alternative("<p>the other text</p>", subtype="html")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="plan für alle.pdf")
    return message.as_bytes()


def test_mail_is_read_with_what_is_attached(read):
    document = read(
        "a.eml", mail(Subject="Grüße", From="ann@x.org", To="b@x.org", Date="Tue, 2 Jan 2024 10:00:00 +0100")
    )
    (text,) = texts(document)
    assert (document.title, document.when) == ("Grüße", datetime(2024, 1, 2, 9, tzinfo=UTC))
    assert text.startswith("Subject: Grüße\nFrom: ann@x.org\nTo: b@x.org\nDate: Tue, 02 Jan 2024 10:00:00 +0100\n")
    assert "Attached: plan für alle.pdf" in text and text.endswith("the plain text.") and "other" not in text


def test_mail_that_is_only_html(read):
    message = EmailMessage()
    message["From"] = "a@x.org"
    message.set_content("<html><body><p>Only <b>this</b>.</p></body></html>", subtype="html")
    assert texts(read("a.eml", message.as_bytes()))[0].endswith("Only this.")


def test_a_mailbox_is_all_its_messages(read):
    letters = [mail(Subject=f"No {n}", From="a@x.org", Date="Tue, 2 Jan 2024 10:00:00 +0100") for n in range(3)]
    box = b"".join(b"From a@x.org Tue Jan  2 10:00:00 2024\n" + letter + b"\n" for letter in letters)
    document = read("all.mbox", box)
    assert headings(document) == [(f"No {n} (2024-01-02)",) for n in range(3)]


LINES = st.sampled_from(
    ["# One", "## Two ##", "text", "", "Title", "===", "---", "```", "~~~", "    # code", "- item", "> said", "#no",
     "class A:", "    def f(self):", "def g():", "int h(int a) {", "}", "// why", "@x", "\tfunc (a) b() {"]
)  # fmt: skip


@given(st.lists(LINES, max_size=40).map("\n".join), st.booleans())
def test_sections_and_functions_lose_nothing(text, typed):
    for parts in (markdown.sections(text), code.parts(text, typed=typed)):
        assert "".join("".join(part.text for part in parts).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "line",
    [
        "#",
        "# a ",
        "`",
        "|",
        "a|",
        "- ",
        "[a](",
        "def ",
        "int ",
        "(",
        "a:",
        "class a<",
        "template <",
        " ",
        "\t",
        "x=",
        "=",
        "\n",
    ],
)
def test_endless_lines_are_read_in_no_time(line):
    text = line * (1_000_000 // len(line))
    document = Document("", (*markdown.sections(text), *code.parts(text, typed=True)))
    assert sum(len(passage.text) for passage in passages_of(document, "x")) >= len("".join(text.split()))


CODE = '''"""What it is for."""

import os


# Says why.
@decorated
def first(a):
    def inner():
        pass
    return inner


class Big:
    """A class."""

    def method(self):
        return 1

    async def other(self):
        return 2
'''


def test_code_is_cut_at_its_functions(read):
    document = read("a.py", CODE)
    assert headings(document) == [(), ("first",), ("Big",), ("Big", "method"), ("Big", "other")]
    assert "".join(texts(document)) == CODE
    assert texts(document)[1].startswith("# Says why.\n@decorated\ndef first") and "inner" in texts(document)[1]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.go", "package a\n\n// F does.\nfunc (s *Server) F(x int) error {\n\treturn nil\n}\n", [(), ("F",)]),
        ("a.rs", "use x;\nimpl S for T {\n    pub fn show(&self) {}\n}\n", [(), ("S for T",), ("S for T", "show")]),
        ("a.ts", "import x\nexport const f = async (a: number) => {\n}\nexport class A<T> {}\n", [(), ("f",), ("A",)]),
        ("a.c", "#include <a.h>\n\nstatic int add(int a, int b)\n{\n    if (a) return b;\n}\n", [(), ("add",)]),
        ("A.java", "package a;\npublic class A {\n    int size() {\n    }\n}\n", [(), ("A",), ("A", "size")]),
        ("a.rb", "module M\n  class C\n    def go!\n    end\n  end\nend\n", [("M",), ("M", "C"), ("M", "C", "go!")]),
        ("a.php", "<?php\nfunction f() {}\n", [(), ("f",)]),
        ("a.sh", "#!/bin/sh\nx=1\nfunction go {\n}\n", [(), ("go",)]),
    ],
)  # fmt: skip
def test_code_of_many_languages(read, name, text, found):
    document = read(name, text)
    assert headings(document) == found
    assert "".join(texts(document)) == text
