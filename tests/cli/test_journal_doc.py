"""Every command in docs/journal.md is carried out, and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from command_line import MEMAGENT

TEXT = (Path(__file__).parents[2] / "docs" / "journal.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(SCRIPT,) = (text for kind, text in BLOCKS if kind == "yaml")
SESSIONS = [each for kind, text in BLOCKS if kind == "console" for each in re.split(r"^\$ ", text, flags=re.M)[1:]]


def shown(text: str) -> str:
    """Without the days, which are others each time."""
    text = re.sub(r"\b(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b(?=,? \d)", "DAY", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text).strip()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="in a shell")
def test_the_commands_print_what_is_shown(environment: dict[str, str], home: Path) -> None:
    (home / "diary.yaml").write_text(SCRIPT, "utf-8")
    environment |= {"MEMAGENT_SCRIPT": str(home / "diary.yaml")}
    ours = f"memagent() {{ '{MEMAGENT[0]}' {MEMAGENT[1]} '{MEMAGENT[2]}' \"$@\"; }}\n"
    assert len(SESSIONS) == 7
    for session in SESSIONS:
        command, expected = session.split("\n", 1)
        done = subprocess.run(["bash", "-c", ours + command], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert shown(done.stdout) == shown(expected), command
