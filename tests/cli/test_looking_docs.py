"""Every example in docs/typed-memories.md and docs/looking.md is carried out, and prints what stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from command_line import Memagent

from memagent import assemble
from memagent.facts import Cause, Fact
from memagent.facts.ledger import Ledger, keeper
from memagent.storage.sqlite import SqliteDatabase

DOCS = Path(__file__).parents[2] / "docs"


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def sessions(page: str) -> list[tuple[str, str]]:
    """The commands of a page, each with what it prints."""
    blocks = re.findall(r"^```console\n(.*?)^```", text_of(page), re.M | re.S)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.M) if part]
    return [(command, printed) for command, _, printed in (part.partition("\n") for part in parts)]


def shown(text: str) -> list[str]:
    """Without what is another each time."""
    text = re.sub(r"\b20\d\d-\d\d-\d\d( \d\d:\d\d)?", "DAY", text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def carried_out(memagent: Memagent, page: str) -> None:
    for command, printed in sessions(page):
        done = memagent(*shlex.split(command)[1:])
        assert (done.code, shown(done.out)) == (0, shown(printed)), command


def test_typed_memories_are_as_they_are_described(memagent: Memagent, home: Path) -> None:
    assert len(sessions("typed-memories.md")) == 12
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text_of("typed-memories.md"), re.M | re.S)
    files = dict(blocks)
    (home / "kinds").mkdir()
    (home / "kinds" / "books.py").write_text(files["books.py"])
    (home / "try_records.py").write_text(files["try_records.py"])
    memagent("ask", "hello", "--agent", "ada")
    carried_out(memagent, "typed-memories.md")
    assert "a book has a page at least" in memagent("memories", "add", "book", "title=None", "pages=0").err
    subprocess.run([sys.executable, "try_records.py"], cwd=home, check=True)


def test_looking_is_as_it_is_described(memagent: Memagent, home: Path) -> None:
    memagent("add", "persona", "sky", "--text", "I am Ada. I look at the moon.")
    memagent("add", "human", "me", "--text", "Name: Noor.")
    memagent("ask", "hello", "--agent", "ada", "--persona", "sky", "--human", "me")
    for words in (
        ["person", "name=Anna", "relation=sister", "relationships=Bob: husband; Mila: daughter"],
        ["person", "name=Bob", "details=Fixes old radios"],
        ["fact", "note=Bob is afraid of geese.", "--about", "Bob"],
        ["event", "note=Moved to Bonn", "dates=2024-05"],
    ):
        assert memagent("memories", "add", *words).code == 0
    from_talk(home, assemble.local_time)
    memagent("memories", "add", "person", "name=Ada", "relation=self", "personality=shy", "--agent", "ada")
    memagent("memories", "edit", "Ada", "personality=bold", "--agent", "ada")
    carried_out(memagent, "looking.md")
    assert (home / "graph.svg").read_text("utf-8") == text_of("graph.svg"), "the picture of the page"


def from_talk(home: Path, now: Callable[[], datetime]) -> None:
    """What was learned from talk, as the facts of an extractor are kept."""
    database = SqliteDatabase(home / "memagent.db")
    ledger = Ledger(database, keeper(database, "local", None, now()))
    with database.write() as tx:
        magnet = Fact("The user keeps lists with Magnet.", now(), subject="tools", cause=Cause("talk"))
        old = ledger.learn(tx, magnet, now())
        shram = Fact("The user keeps lists with Shram.", now(), subject="tools", cause=Cause("talk"))
        new = ledger.learn(tx, shram, now(), heir_of=old)
        ledger.end(tx, old, "contradicted", Cause("talk"), now(), heir=new.id)
        ledger.learn(tx, Fact("The user visits Joana in Porto.", now(), "plan", cause=Cause("talk")), now())
    database.close()
