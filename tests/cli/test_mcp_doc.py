"""Every command in docs/mcp.md is carried out, and prints what stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import MEMAGENT

from memagent.tools.mcp.declared import Servers

TEXT = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(PROGRAM,) = (text for kind, text in BLOCKS if kind == "python")
(PRESET,) = (text for kind, text in BLOCKS if kind == "yaml")
SESSIONS = [each for kind, text in BLOCKS if kind == "console" for each in re.split(r"^\$ ", text, flags=re.M)[1:]]
SCRIPT = """
- when: {said: 'Where is (.+)\\?', after_calls: 0}
  call: library_find_book
  arguments: {title: "{1}"}
  heartbeat: true
- when: 'Where is (.+)\\?'
  say: "{1} is on {result}."
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="in a shell")
def test_the_commands_print_what_is_shown(environment: dict[str, str], home: Path) -> None:
    (home / "script.yaml").write_text(SCRIPT, "utf-8")
    (home / "library.py").write_text(PROGRAM, "utf-8")
    (home / "presets").mkdir()
    (home / "presets" / "reader.yaml").write_text(PRESET, "utf-8")
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    ours = f"memagent() {{ '{MEMAGENT[0]}' {MEMAGENT[1]} '{MEMAGENT[2]}' \"$@\"; }}\n"
    assert len(SESSIONS) == 7
    for session in SESSIONS:
        command, expected = session.split("\n", 1)
        done = subprocess.run(["bash", "-c", ours + command], cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stderr)
        assert done.stdout.strip() == expected.strip(), command


def test_what_can_be_pasted_can_be_read(tmp_path: Path) -> None:
    for text in (text for kind, text in BLOCKS if kind == "json"):
        (tmp_path / "mcp.json").write_text(text, "utf-8")
        (server,) = Servers(tmp_path).all().values()
        assert server.name in json.loads(text)["mcpServers"] and server.place
