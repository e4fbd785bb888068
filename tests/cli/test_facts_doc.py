"""Every command in docs/facts.md is carried out, and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from command_line import MEMAGENT

TEXT = (Path(__file__).parents[2] / "docs" / "facts.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(SCRIPT,) = (text for kind, text in BLOCKS if kind == "yaml")
(SESSION,) = (re.split(r"^\$ ", text, flags=re.M)[1:] for kind, text in BLOCKS if kind == "console")


def shown(text: str) -> str:
    """Without what is another each time."""
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", "WHEN", text).rstrip()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="in a shell")
def test_the_commands_print_what_is_shown(environment: dict[str, str], home: Path) -> None:
    (home / "script.yaml").write_text(SCRIPT, "utf-8")
    ours = f"memagent() {{ '{MEMAGENT[0]}' {MEMAGENT[1]} '{MEMAGENT[2]}' \"$@\"; }}\n"
    assert len(SESSION) == 13
    for each in SESSION:
        command, expected = each.split("\n", 1)
        done = subprocess.run(["bash", "-c", ours + command], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert shown(done.stdout) == shown(expected), command
