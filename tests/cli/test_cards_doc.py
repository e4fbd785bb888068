"""Every example in docs/cards.md is carried out, and prints what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import Memagent

from memagent import config
from memagent.assemble import open_database
from memagent.roster import Roster

TEXT = (Path(__file__).parents[2] / "docs" / "cards.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(CARD,) = (text for kind, text in BLOCKS if kind == "json")
(SCRIPT,) = (text for kind, text in BLOCKS if kind == "yaml")
(CODE,) = (text for kind, text in BLOCKS if kind == "python")
(SESSION,) = (text for kind, text in BLOCKS if kind == "console")
(LEAVING,) = (text for kind, text in BLOCKS if kind == "text")


@pytest.fixture(autouse=True)
def files(environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "mira.json").write_text(CARD, "utf-8")
    (home / "mira.yaml").write_text(SCRIPT, "utf-8")
    monkeypatch.setenv("MEMAGENT_SCRIPT", str(home / "mira.yaml"))


def test_the_commands_print_what_is_shown(memagent: Memagent) -> None:
    commands = re.split(r"^\$ ", SESSION, flags=re.MULTILINE)[1:]
    assert len(commands) == 4
    for each in commands:
        command, expected = each.split("\n", 1)
        program, *words = shlex.split(command)
        done = memagent(*words)
        assert (program, done.code, done.out) == ("memagent", 0, expected), command


def test_it_leaves_in_every_form(memagent: Memagent, home: Path) -> None:
    memagent("import", "mira.json")
    lines = [line.split("   ")[0].split() for line in LEAVING.splitlines()]
    assert len(lines) == 4
    for _, *words in lines:
        done = memagent(*words, "--overwrite")
        assert (done.code, done.err) == (0, ""), words
        assert memagent("import", words[2], "--as", "again").code == 0
        assert memagent("delete", "agent", "again", "--yes").code == 0


def test_the_code_runs() -> None:
    settings = config.load({})
    database = open_database(settings)
    roster = Roster(database, settings.user)
    exec(compile(CODE, "docs/cards.md", "exec"), {"settings": settings, "database": database, "roster": roster})
    database.close()
