"""`memagent` as a command: how it is run, what comes of it, and the script of the model that it talks to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
- when: {kind: result, result: '^Sent'}
  say: "I am still here."
- when: {kind: login}
  say: Welcome!
- when: slow
  steps:
  - {call: core_memory_append, arguments: {name: human, content: "Is patient."}, heartbeat: true}
  - {say: "one two three four five six seven eight nine ten", pace: 5, delay: 5}
- when: moment
  steps:
  - {call: core_memory_append, arguments: {name: human, content: "Has a moment."}, heartbeat: true}
  - {say: "That took a moment.", delay: 1}
- when: {said: later, after_calls: 1}
  call: http_request
  delay: 1
  arguments: {method: GET, url: "http://127.0.0.1/"}
  heartbeat: true
- when: {said: later, after_calls: 0}
  call: core_memory_append
  arguments: {name: human, content: "Waits for it."}
  heartbeat: true
- when: {said: later}
  say: "It said: {result}"
- when: fail
  error: {status: 400, message: "no way"}
- when: fetch
  steps:
  - {thoughts: "I need it.", call: http_request, arguments: {method: GET, url: "http://127.0.0.1/"}, heartbeat: true}
  - {say: "It said: {result}"}
- when: roll
  steps:
  - {call: roll, arguments: {}, heartbeat: true}
  - {say: "It shows {result}."}
- when: {said: 'note (.+)', after_calls: 0}
  text: Worth keeping.
  call: core_memory_append
  arguments: {name: human, content: "{1}"}
  heartbeat: true
- when: 'note (.+)'
  say: "Noted: {1}"
- when: '(?s)(.+)'
  text: Easy.
  say: "echo {1}"
"""


MEMAGENT = (sys.executable, "-c", "from memagent.cli.app import program; program()")
"""The command, whether or not it is on the path."""


@dataclass
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str


Memagent = Callable[..., Done]


def bare(folder: Path, runner: str = "no_such_module") -> str:
    """A PYTHONPATH with which a process finds no model server, and `runner` as what runs the embedded model."""
    lines = ("from memagent.cli import choosing", "from memagent.llm import discovery", "discovery.KINDS.clear()")
    (folder / "sitecustomize.py").write_text("\n".join((*lines, f"choosing.RUNNER = {runner!r}\n")))
    return str(folder)
