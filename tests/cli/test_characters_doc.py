"""Every example in docs/characters.md is carried out, and prints what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from command_line import Memagent

TEXT = (Path(__file__).parents[2] / "docs" / "characters.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(SCRIPT,) = (text for kind, text in BLOCKS if kind == "yaml")
(SESSION,) = (text for kind, text in BLOCKS if kind == "console")
CODES = [text for kind, text in BLOCKS if kind == "python"]


@pytest.fixture(autouse=True)
def script(environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cast.yaml").write_text(SCRIPT, "utf-8")
    monkeypatch.setenv("MEMAGENT_SCRIPT", str(home / "cast.yaml"))


def test_the_commands_print_what_is_shown_and_the_code_runs(
    memagent: Memagent, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.split(r"^\$ ", SESSION, flags=re.MULTILINE)[1:]
    assert len(commands) == 4
    for each in commands:
        command, expected = each.split("\n", 1)
        program, *words = shlex.split(command)
        done = memagent(*words)
        assert (program, done.code, done.out) == ("memagent", 0, expected), command
    assert len(CODES) == 3
    for code in CODES:
        exec(compile(code, "docs/characters.md", "exec"), {})
    assert capsys.readouterr().out == "Bo: Aye.\nCy: Aye.\n"
    assert memagent("show", "Cyrus").code == 0
