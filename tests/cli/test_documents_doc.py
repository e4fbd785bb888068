"""Every command in docs/documents.md is carried out, and prints what stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import MEMAGENT

TEXT = (Path(__file__).parents[2] / "docs" / "documents.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(CODE,) = (text for kind, text in BLOCKS if kind == "python")
(SCRIPT,) = (text for kind, text in BLOCKS if kind == "yaml")
SESSIONS = [each for kind, text in BLOCKS if kind == "console" for each in re.split(r"^\$ ", text, flags=re.M)[1:]]


def shown(text: str) -> str:
    """Without what is another each time, or in another version of Python."""
    return re.sub(r"(?<!\w)\d[\d,.:-]*(?: \d\d:\d\d)?", "N", text).rstrip()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="in a shell")
def test_the_commands_print_what_is_shown(environment: dict[str, str], home: Path) -> None:
    work = home / "work"
    work.mkdir()
    (work / "stdlib_docs.py").write_text(CODE, "utf-8")
    (work / "librarian.yaml").write_text(SCRIPT, "utf-8")
    environment |= {"MEMAGENT_SCRIPT": str(work / "librarian.yaml"), "MEMAGENT_EMBEDDER": "local"}
    program = f"'{MEMAGENT[0]}' {MEMAGENT[1]} '{MEMAGENT[2]}'"
    ours = f'python3() {{ \'{sys.executable}\' "$@"; }}\nmemagent() {{ {program} "$@"; }}\n'
    assert len(SESSIONS) == 10
    for session in SESSIONS:
        command, expected = session.split("\n", 1)
        done = subprocess.run(["bash", "-c", ours + command], cwd=work, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert shown(done.stdout) == shown(expected), command
