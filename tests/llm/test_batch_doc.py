"""Every example in docs/batch.md is carried out, and does what stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_server import BatchServer, batch_server

TEXT = (Path(__file__).parents[2] / "docs" / "batch.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(REQUESTS,) = (text for kind, text in BLOCKS if kind == "json")
(CODE,) = (text for kind, text in BLOCKS if kind == "python")
SESSIONS = [text.removeprefix("$ ").split("\n", 1) for kind, text in BLOCKS if kind == "console"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchServer]:
    for name in list(os.environ):
        if name.startswith(("MEMAGENT_", "OPENAI_", "AZURE_OPENAI_")):
            monkeypatch.delenv(name)
    with batch_server() as running:
        for name, value in {"HOME": str(tmp_path), "ENDPOINT": running.url, "MODEL": "gpt-4o-mini"}.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", value)
        monkeypatch.chdir(tmp_path)
        yield running


def shown(text: str) -> str:
    """Without what is another each time."""
    return re.sub(r"[\d,]+(?= tokens)|[\d.]+(?= s\.)|(?<=\"seconds\": )[\d.]+", "N", text)


@pytest.mark.skipif(os.name == "nt", reason="in a shell")
def test_the_commands_print_what_is_shown(server: BatchServer, tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text(REQUESTS, "utf-8")
    assert len(SESSIONS) == 3
    ours = f"memagent() {{ '{sys.executable}' -c 'from memagent.cli.app import main; main()' \"$@\"; }}\n"
    for command, expected in SESSIONS:
        done = subprocess.run(["bash", "-c", ours + command], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert shown(done.stdout) == shown(expected)
    assert len(server.asked) == 4
    results = [json.loads(line) for line in Path("requests.results.jsonl").read_text().splitlines()]
    told = {result["line"]: (result["custom_id"], result["metadata"]) for result in results}
    assert told == {1: (None, {"town": "Porto"}), 2: ("ingredients", None), 3: ("k-1", None)}
    fields = set(re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", TEXT.split("## Results")[1].split("| `type`")[0], re.M))
    (first,) = (json.loads(line) for line in Path("first.jsonl").read_text().splitlines())
    assert {name for names in fields for name in names if name} == first.keys()


def test_the_example_in_python_runs(server: BatchServer) -> None:
    names: dict[str, object] = {}
    exec(compile(CODE, "docs/batch.md", "exec"), names)
    assert names["vectors"] == {1: [15.0, 0.5], 2: [23.0, 0.5]}
