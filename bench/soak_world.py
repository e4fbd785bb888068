"""The world of the soak test: what its model says, its agents, and a server as it is started and looked at.

Knows nothing of what is done with them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEASE = 5
"""Seconds that a server holds an agent without a sign of life; so short that it is worth while to wait for its end."""
SERVER = """
import socket
socket.gethostname = lambda: "host-{host}"
import memagent.lease
memagent.lease.LEASE_SECONDS = {lease}
import memagent.server.idle
memagent.server.idle.MINUTE = {lease}
import collections
import memagent.llm.scripted
memagent.llm.scripted.deque = lambda maxlen: collections.deque(maxlen=1)
from memagent.cli.app import program
program()
"""
"""A server that takes itself to be on some host, and looks more often than once a minute for what others have left.
What the scripted model remembers is not its memory.
"""
READY = 120.0
"""Seconds to be ready."""
AGENTS = {"ada": "chat", "ben": "chat", "cas": "chat", "eve": "chat", "wild": "wild"}
SCRIPT: Sequence[Mapping[str, Any]] = (
    {"when": {"kind": "summary"}, "text": "There was a lot of talk."},
    {"when": {"kind": "login"}, "say": "Welcome!"},
    {"when": "^slow (.+)", "say": "slow {1}", "delay": 1.2},
    {"when": "^words (.+)", "say": "one two three four five six seven eight nine ten, {1}", "pace": 0.05},
    {"when": "^fail", "error": {"status": 400, "message": "no way"}},
    {"when": "^broken", "say": "A sentence that nobody hears to its end.", "cut": 3},
    {"when": {"said": r"^note (\S+)", "after_calls": 0}, "call": "core_memory_append",
     "arguments": {"name": "human", "content": "{1}"}, "heartbeat": True},
    {"when": r"^note (\S+)", "say": "Noted: {1}"},
    {"when": {"said": r"^keep (\S+)", "after_calls": 0}, "call": "archival_memory_insert",
     "arguments": {"content": "{1}"}, "heartbeat": True},
    {"when": r"^keep (\S+)", "say": "Kept: {1}"},
    {"when": {"said": r"^wild (\w+) (\S+)", "after_calls": 0}, "call": "go_wild",
     "arguments": {"how": "{1}", "word": "{2}"}, "heartbeat": True},
    {"when": {"said": r"^fetch (\S+)", "after_calls": 0}, "call": "http_request",
     "arguments": {"method": "GET", "url": "http://127.0.0.1/{1}"}, "heartbeat": True},
    {"when": r"^(wild|fetch) (.+)", "say": "That went: {result}"},
    {"when": "(?s)(.+)", "say": "echo {1}"},
)  # fmt: skip
PRESET = """
system: [chat, extras]
functions: [base, wild.go_wild, extras.http_request]
rules:
  http_request: {approval: true}
"""


@dataclass
class Server:
    """A server that was started, by its number."""

    number: int
    process: subprocess.Popen[bytes]
    out: Path
    port: int = 0

    @classmethod
    def begun(cls, number: int, host: int, place: Path, environment: Mapping[str, str]) -> Server:
        """One that starts."""
        out = place / f"server-{number}.out"
        command = [sys.executable, "-c", SERVER.format(host=host, lease=LEASE), "server", "--port", "0"]
        with out.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=place, env=environment, stdout=file, stderr=subprocess.STDOUT
            )  # fmt: skip
        return cls(number, process, out)

    def ready(self) -> bool:
        """Whether it serves; waits for that."""
        until = time.monotonic() + READY
        while time.monotonic() < until and self.process.poll() is None:
            if b"http://" in (told := self.out.read_bytes()):
                self.port = int(told.partition(b"http://")[2].split()[0].rpartition(b":")[2])
                return True
            time.sleep(0.05)
        return False

    def memory(self) -> float:
        """Megabytes that are its own now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def files(self) -> tuple[int, int]:
        """How many files it has open, and how many of them are sockets."""
        names = []
        for file in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                names.append(os.readlink(file))
        return len(names), sum(name.startswith("socket:") for name in names)
