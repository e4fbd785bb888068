"""Pages and pictures hold nothing but what belongs there, whatever was written into a memory: no scripts, no requests,
no elements but ours. A real browser sees the same, if one is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen import HAND, START, Seen

from memagent.facts import Cause, Fact
from memagent.looking import Line, Section, Sheet
from memagent.looking.drawing import clipped, picture_of_graph, picture_of_spans
from memagent.looking.graph import Edge, Graph, Node, connected, graph_sheet
from memagent.looking.html import made_by_us, page
from memagent.looking.timeline import Span, Window, spans
from memagent.storage.sqlite import SqliteDatabase

ATTACKS = (
    "<img src=x onerror=alert(1)>",
    '"><script>document.title="broken"</script>',
    "</style><script>document.title=1</script>",
    "javascript:alert(1)",
    "]]><!--",
    "</title></svg><iframe src='http://127.0.0.1:9/'>",
    "&lt;b&gt;",
    "a\x1b[31m\x00b",
    "\u202eevil",
)
TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "nav", "a", "div", "section", "details",
    "summary", "ul", "li", "span", "svg", "rect", "path", "text", "circle", "g",
}  # fmt: skip
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Read(HTMLParser):
    """What a file is made of, as a browser would see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def harmless(text: str) -> Read:
    """A file in which nothing can run or be fetched."""
    read = Read(text)
    assert read.tags <= TAGS
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "srcset", "xlink:href")]
    assert all(value.startswith("#") for name, value in read.attributes if name == "href")
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert "url(" not in styles and "@import" not in styles and "<" not in styles
    return read


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Seen]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield Seen(database)
    database.close()


def attacked(seen: Seen) -> Seen:
    for attack in ATTACKS:
        seen.learn(f"{attack} is a fact", attack, attack)
    for number, attack in enumerate(ATTACKS[:5]):
        person = {"name": f"{attack} {number}", "relation": attack, "relationships": {f"{attack} 0": attack}}
        seen.shared.create("person", person, HAND)
    return seen


def page_of(seen: Seen) -> str:
    graph = connected(attacked(seen).sight)
    lines = [Line(attack, attack, attack, 2) for attack in ATTACKS]
    sheet = graph_sheet(seen.sight, graph, picture_of_graph(graph))
    return page(
        Sheet(sheet.title + ATTACKS[1], ATTACKS[0], [*sheet.sections, Section(ATTACKS[0], lines)], sheet.picture)
    )


def test_attacks_stay_text(seen: Seen) -> None:
    text = page_of(seen)
    read = harmless(text)
    for attack in ATTACKS[:7]:
        assert attack in read.words, "it is there, as text"
    assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text
    assert ("http-equiv", "Content-Security-Policy") in read.attributes
    assert any(value.startswith("default-src 'none';") for name, value in read.attributes if name == "content")


def test_pictures_are_sound_xml(seen: Seen) -> None:
    attacked(seen)
    held, today = spans(seen.sight, Window(), 60)[0], date(2026, 11, 25)
    alone = Graph({"user": Node("user", "You", "user")})
    graphs = [picture_of_graph(graph) for graph in (connected(seen.sight), alone)]
    for picture in (*graphs, picture_of_spans(held, today), picture_of_spans([], today)):
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
        harmless(picture)
        assert made_by_us(picture.encode()[:1000])


TEXT = st.text(max_size=40) | st.sampled_from(ATTACKS)


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=4), TEXT)
def test_whatever_was_written_stays_text(lines: list[tuple[str, str, str]], title: str) -> None:
    text = page(Sheet(title, title, [Section(title, [Line(*line) for line in lines], title)]))
    harmless(text)
    assert made_by_us(text.encode()[:1000])


@given(st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_whatever_is_connected_can_be_drawn(pairs: list[tuple[str, str]]) -> None:
    graph = Graph({"user": Node("user", "You", "user")})
    for number, (label, tie) in enumerate(pairs):
        graph.add(Node(str(number), label, "person", number))
        graph.connect("user" if number % 2 else str(number - 1) if number else "user", str(number), tie)
        graph.edges.append(Edge(str(number), "user", tie))
    picture = picture_of_graph(graph)
    ET.fromstring(picture)
    harmless(picture)


DAY = st.dates(date(1000, 1, 1)).map(str)
WHEN = DAY | DAY.map(lambda day: day[:7]) | DAY.map(lambda day: day[:4])


@given(st.lists(st.tuples(TEXT, WHEN, st.none() | WHEN), max_size=5), st.dates(date(2000, 1, 1)))
def test_whenever_it_held_it_can_be_drawn(held: list[tuple[str, str, str | None]], today: date) -> None:
    drawn = [Span(Fact(text, START, cause=Cause("talk")), begin, end) for text, begin, end in held]
    ET.fromstring(picture_of_spans(drawn, today))


@given(st.text(max_size=80), st.integers(4, 40))
def test_what_is_too_long_is_cut_to_its_room(text: str, most: int) -> None:
    short = clipped(text, most)
    assert len(short) <= most and "\n" not in short


@pytest.mark.skipif(not BROWSER, reason="no Chromium here")
@pytest.mark.slow
def test_a_real_browser_runs_nothing_of_it(seen: Seen, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page_of(seen), encoding="utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=2000", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    read = harmless(done.stdout)
    assert "<title>ada: who and what is connected" in done.stdout, done.stderr
    assert "script" not in read.tags and "img" not in read.tags and "iframe" not in read.tags
    assert "<img src=x onerror=alert(1)>" in read.words
