"""`memagent show`, `timeline` and `graph` as people use them: in the terminal, for scripts, and as files."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from command_line import Memagent


@pytest.fixture
def ada(memagent: Memagent) -> str:
    """An agent of a user who has a sister."""
    assert memagent("ask", "hello", "--agent", "ada").code == 0
    add = ("memories", "add")
    memagent(*add, "person", "name=Anna", "relation=sister", "relationships=Bob: husband")
    memagent(*add, "fact", "note=Anna plays the cello.", "--about", "Anna")
    memagent(*add, "event", "note=Moved to Bonn", "dates=2024-05")
    memagent(*add, "person", "name=Ada", "relation=self", "personality=shy", "--agent", "ada")
    memagent("memories", "edit", "Ada", "personality=bold", "--agent", "ada")
    return "ada"


def test_show_tells_all_that_an_agent_remembers(memagent: Memagent, ada: str) -> None:
    out = memagent("show", ada).out
    for line in ("2 messages, 0 notes in archival memory", "human  (", "Who I am", "personality: bold", "Anna  sister"):
        assert line in out
    assert "  Anna plays the cello.  2" in out and "2024-05  Moved to Bonn" in out
    data = json.loads(memagent("show", ada, "--json").out)
    assert [block["label"] for block in data["blocks"]] == ["persona", "human"]
    assert [section["title"] for section in data["memories"]] == ["Who I am", "People", "Facts", "Last events"]
    assert "past all" in memagent("show", ada, "--page", "3").out


def test_the_timeline_tells_what_became_of_it(memagent: Memagent, ada: str) -> None:
    out = memagent("timeline").out
    assert out.index("happened  Moved to Bonn") < out.index("changed  Ada: personality: shy → bold")
    assert "Moved" not in memagent("timeline", ada, "--since", "2025-01-01").out
    about = memagent("timeline", ada, "--about", "my sister").out
    assert "Anna plays the cello." in about and "Bonn" not in about
    data = json.loads(memagent("timeline", ada, "--until", "2024-12-31", "--json").out)
    assert [section["title"] for section in data["sections"]] == ["2024-05"]
    assert "Nothing yet." in memagent("timeline", ada, "--until", "2000-01-01").out


def test_the_graph_tells_who_is_connected(memagent: Memagent, ada: str) -> None:
    assert "You\n  Ada\n  Anna  sister\n    Bob  husband\n" in memagent("graph", ada).out
    data = json.loads(memagent("graph", ada, "--json").out)
    assert {"begin": "user", "end": "person anna", "label": "sister"} in data["edges"]
    assert [node["label"] for node in data["nodes"]][:2] == ["You", "Ada"]


@pytest.mark.parametrize("command", ["show", "timeline", "graph"])
def test_a_page_is_one_file_for_a_browser(memagent: Memagent, home: Path, ada: str, command: str) -> None:
    file = home / "page.html"
    for _ in range(2):  # an earlier page of ours is replaced
        assert memagent(command, ada, "--html", str(file)).out == f"Wrote {file}.\n"
    text = file.read_text("utf-8")
    assert "Anna" in text and text.startswith("<!doctype html>") and text.endswith("</html>\n")
    assert "<script" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert os.name == "nt" or stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("my notes")
    done = memagent(command, ada, "--html", str(file))
    assert done.code == 2 and "is something else" in done.err and file.read_text() == "my notes"


@pytest.mark.parametrize("command", ["timeline", "graph"])
def test_a_picture_is_one_file(memagent: Memagent, home: Path, ada: str, command: str) -> None:
    for _ in range(2):
        assert memagent(command, ada, "--svg", "picture.svg", "--html", "page.html").code == 0
    assert (home / "picture.svg").read_text("utf-8").startswith("<svg")
    assert (home / "picture.svg").read_text("utf-8") in (home / "page.html").read_text("utf-8")


def test_a_new_agent_can_be_looked_at(memagent: Memagent, home: Path) -> None:
    memagent("ask", "hello", "--agent", "ada")
    assert "human" in memagent("show", "ada").out
    assert "Nothing yet." in memagent("timeline", "ada").out
    assert "You\n  ada\n" in memagent("graph", "ada").out
    assert memagent("timeline", "ada", "--svg", "empty.svg").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["timeline", "nobody"], "no agent 'nobody'"),
        (["graph", "nobody"], "no agent 'nobody'"),
        (["timeline", "ada", "--since", "soon"], "'soon' is not a day"),
        (["timeline", "ada", "--since", "2026-02-01", "--until", "2026-01-01"], "--since is the earlier day"),
        (["graph", "ada", "--svg", "nowhere/at/all.svg"], "can't be written"),
        (["show", "ada", "--html", "."], "can't be written"),
        (["show", "persona", "companion", "--html", "x.html"], "--html and --page are for an agent"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(memagent: Memagent, words: list[str], told: str) -> None:
    memagent("ask", "hello", "--agent", "ada")
    done = memagent(*words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err and "Traceback" not in done.err


def test_what_a_terminal_would_act_on_is_shown_as_text(memagent: Memagent, ada: str) -> None:
    memagent("memories", "add", "person", "name=Eve", "relation=\x1b[31mboss\x1b]0;title\x07", "details=a\u202eb")
    for words in (["show", ada], ["timeline", ada], ["graph", ada]):
        assert not {"\x1b", "\x07", "\u202e"} & set(memagent(*words).out), words
