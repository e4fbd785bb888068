"""`memagent memories` as people and scripts use it: add, show, edit, undo, forget; and what it says to mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Memagent


def added(memagent: Memagent, *words: str) -> int:
    done = memagent("memories", "add", *words, "--json")
    assert done.code == 0, done.err
    return int(json.loads(done.out)["number"])


def test_a_person_is_added_shown_edited_and_taken_back(memagent: Memagent) -> None:
    assert "There are none yet" in memagent("memories", "list").out
    added(memagent, "person", "name=Anna", "relation=sister", "relationships=Bob: husband")
    added(memagent, "person", "name=Bob")
    added(memagent, "fact", "note=Anna plays the cello.", "--about", "my sister")
    shown = memagent("memories", "show", "my sister").out
    for line in ("relation: sister", "sister of the user", "Bob: husband", "Anna plays the cello."):
        assert line in shown
    assert "husband of Anna" in memagent("memories", "show", "Bob").out
    changed = memagent("memories", "edit", "anna", "details+=Likes tea; and cake", "alive=no").out
    assert "details: (nothing) → Likes tea; and cake" in changed and "alive: yes → no" in changed
    assert "reads like that already" in memagent("memories", "edit", "anna", "alive=no").out
    assert "alive: yes → no" in memagent("memories", "history", "Anna").out
    assert "alive: yes" in memagent("memories", "undo", "Anna").out
    number = json.loads(memagent("memories", "show", "Anna", "--json").out)["number"]
    assert f"restore {number}" in memagent("memories", "forget", "Anna").out
    assert "Anna" not in memagent("memories", "list", "--kind", "people").out
    assert memagent("memories", "restore", str(number)).code == 0
    rows = memagent("memories", "list", "-k", "person").out.splitlines()
    assert [row.split()[2] for row in rows[1:]] == ["Bob", "Anna"]


def test_scripts_get_all_of_it(memagent: Memagent) -> None:
    added(memagent, "person", "name=Anna", "relationships=Bob: husband")
    added(memagent, "fact", "note=Anna sings.", "--about", "Anna")
    data = json.loads(memagent("memories", "show", "Anna", "--json").out)
    assert data["fields"]["relationships"] == {"Bob": "husband"}
    assert data["relations"] == [{"of": "Anna", "other": "Bob", "what": "husband"}]
    assert [fact["text"] for fact in data["facts"]] == ["Anna sings."]
    edited = json.loads(memagent("memories", "edit", "Anna", "personality=warm", "--json").out)
    assert edited["changed"] == {"personality": ["", "warm"]}
    steps = json.loads(memagent("memories", "history", "Anna", "--json").out)
    assert [(step["state"], step["changed"]) for step in steps] == [("past", {}), ("holds", edited["changed"])]
    listed = json.loads(memagent("memories", "list", "--json").out)
    assert (listed["total"], listed["results"][0]["name"]) == (1, "Anna")
    kinds = json.loads(memagent("memories", "kinds", "--json").out)
    assert [kind["name"] for kind in kinds] == ["person", "event", "fact", "conversation"]
    assert "name: a text" in memagent("memories", "kinds").out


def test_agents_and_users_have_their_own(memagent: Memagent) -> None:
    memagent("ask", "hello", "--agent", "ada")
    added(memagent, "person", "name=Ada", "relation=self", "--agent", "ada")
    assert memagent("memories", "edit", "Ada", "personality=bold", "--agent", "ada").code == 0
    assert "from nothing to “bold”" in memagent("memories", "list", "--kind", "event", "--agent", "ada").out
    assert "There are none yet" in memagent("memories", "list").out
    assert "There are none yet" in memagent("memories", "list", "--user", "eva").out


def test_a_conversation_names_the_messages_of_an_agent(memagent: Memagent) -> None:
    memagent("ask", "hello there", "--agent", "ada")
    memagent("rename", "ada", "eva")
    log = ("agent=eva", "first=1", "last=6")
    refused = memagent("memories", "add", "conversation", "summary=A greeting", "agent=eva", "first=1", "last=99")
    assert "eva has no message 99" in refused.err
    added(memagent, "conversation", "summary=A greeting", *log)
    shown = memagent("memories", "show", "A greeting").out
    assert "user: hello there" in shown and "agent: eva" in shown
    assert "eva has no message 99" in memagent("memories", "edit", "A greeting", "last=99").err
    memagent("delete", "agent", "eva", "--yes")
    assert "agent: one that is deleted" in memagent("memories", "show", "A greeting").out


def test_kinds_of_ones_own_are_used_like_the_others(memagent: Memagent, home: Path) -> None:
    (home / "kinds").mkdir()
    begins = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\n"
    (home / "kinds" / "books.py").write_text(f"{begins}class Book:\n    title: str\n    pages: int = 0\n")
    added(memagent, "book", "title=Dune", "pages=412")
    assert "pages: 412" in memagent("memories", "show", "dune").out
    assert "Book: Dune. Pages: 412." in memagent("memories", "list").out
    (home / "kinds" / "books.py").write_text("class Book(\n")
    broken = memagent("memories", "list")
    assert broken.code == 2 and "books.py:1: the file of kinds can't be loaded" in broken.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "Anna"], "no memory called 'Anna'"),
        (["show", "7"], "no fact 7"),
        (["show", "Anna", "--kind", "pet"], "no kind of memory 'pet'"),
        (["add", "person", "nam=Anna"], "Did you mean 'name'?"),
        (["add", "person", "Anna"], "'Anna' names no field"),
        (["add", "person", "name=Anna", "alive=perhaps"], "alive must be yes or no"),
        (["add", "person", "name=Anna", "details+=x"], "Write: details=…"),
        (["add", "person", "relation=sister"], "name is missing"),
        (["add", "pet", "name=Rex"], "There are: person, event, fact, conversation"),
        (["add", "conversation", "summary=x", "agent=nobody"], "no agent 'nobody'"),
        (["edit", "Anna", "alive=no"], "no memory called 'Anna'"),
        (["list", "--agent", "nobody"], "no agent 'nobody'"),
        (["restore", "7"], "no fact 7"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(memagent: Memagent, words: list[str], told: str) -> None:
    done = memagent("memories", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err and "Traceback" not in done.err
    assert len(done.err.strip().splitlines()) == 2, done.err


def test_what_a_terminal_would_act_on_is_shown_as_text(memagent: Memagent) -> None:
    added(memagent, "person", "name=Anna", "personality=\x1b[31mred\x1b]0;title\x07", "details=a\u202eb")
    for words in (["show", "Anna"], ["list"], ["history", "Anna"], ["edit", "Anna", "personality=x\x1b[2J"]):
        out = memagent("memories", *words).out
        assert not {"\x1b", "\x07", "\u202e"} & set(out), words
