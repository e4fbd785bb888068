"""A real server for tests, on a free port: in a thread of the test's process, or in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from memagent import config
from memagent.access import Keys, Scope
from memagent.assemble import local_time, open_database, store_agent
from memagent.events import Event
from memagent.roster import Entry, Roster
from memagent.server.app import LOCAL, create
from memagent.server.following import happening
from memagent.server.house import House
from memagent.server.runs import Run
from memagent.server.serve import Served, bound
from memagent.settings import Settings
from memagent.storage import Database

SCRIPT = """
- when: {kind: result, result: '^Sent'}
  say: "I am still here."
- when: {kind: login}
  say: Welcome!
- when: '^silent'
  say: "At last."
  delay: 1.6
- when: '^slow (.+)'
  say: "slow {1}"
  delay: 0.3
- when: '^think'
  thoughts: "Let me think."
  say: "I have thought of it."
- when: '^words'
  say: "one two three four five six seven eight"
  pace: 0.02
- when: '^fail'
  error: {status: 400, message: "no way"}
- when: '^fetch'
  steps:
  - {thoughts: "I need it.", call: http_request, arguments: {method: GET, url: "http://127.0.0.1/"}, heartbeat: true}
  - {say: "It said: {result}"}
- when: {said: '^keep (.+)', after_calls: 0}
  call: archival_memory_insert
  arguments: {content: "{1}"}
  heartbeat: true
- when: '^keep (.+)'
  say: "Kept: {1}"
- when: {said: '^note (.+)', after_calls: 0}
  text: Worth keeping.
  call: core_memory_append
  arguments: {name: human, content: "{1}"}
  heartbeat: true
- when: '^note (.+)'
  say: "Noted: {1}"
- when: '(?s)(.+)'
  text: Easy.
  say: "echo {1}"
"""
"""What the model says: it is `silent` for a while, `slow`, fails, thinks, speaks in words, fetches (which waits for
approval where the preset says so), keeps a passage, notes in core memory, or echoes.
"""
ENVIRONMENT = {"MEMAGENT_PROVIDER": "scripted", "MEMAGENT_EMBEDDER": "off", "MEMAGENT_FACTS": "off"}


def make_home(folder: Path, script: str = SCRIPT) -> Path:
    """A home whose model is a script."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.yaml").write_text(script)
    return folder


def environment(home: Path, **more: object) -> dict[str, str]:
    """The variables under which memagent uses that home, and nothing else of this machine's user."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MEMAGENT_", "OPENAI_", "AZURE_"))}
    place = {"MEMAGENT_HOME": str(home), "MEMAGENT_SCRIPT": str(home / "script.yaml"), "HOME": str(home)}
    return {**own, **ENVIRONMENT, **place, **{name: str(value) for name, value in more.items()}}


@dataclass
class Serving:
    """A server that runs: where it is, and what is needed to talk to it. `app` only if it runs in this process."""

    home: Path
    settings: Settings
    database: Database
    port: int
    app: FastAPI | None = None
    process: subprocess.Popen[bytes] | None = None
    clients: list[httpx2.Client] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def house(self) -> House:
        assert self.app
        found: House = self.app.state.house
        return found

    def agent(self, name: str = "ada", user: str = "local", **given: Any) -> str:
        """A new agent; returns its id. `given` are settings, such as `preset` or `temperature`."""
        settings = config.load(given, environ=environment(self.home), cwd=self.home)
        store_agent(_of(settings, user), self.database, name, given=given)
        return self.entry(name, user).id

    def entry(self, name: str = "ada", user: str = "local") -> Entry:
        return Roster(self.database, user).find(name)

    def key(self, name: str = "test", scope: Scope = "admin", user: str = "local", **limits: int) -> str:
        """The secret of a new key. From the first one on, whoever asks needs one."""
        return Keys(self.database, local_time).add(user, name, [scope], limits)[1]

    def http(self, key: str = "", **headers: str) -> httpx2.Client:
        """A client for it, which is closed when the test is over."""
        own = {"authorization": f"Bearer {key}"} if key else {}
        client = httpx2.Client(
            base_url=self.address, headers={**own, **headers}, timeout=20, trust_env=False, verify=False
        )
        self.clients.append(client)
        return client

    def start(self, agent: str, text: str, **more: Any) -> Run:
        """Say something to an agent, without a door."""
        owner = self.rows("SELECT owner FROM agents WHERE id = ?", agent)[0][0]
        return self.house.runs.start(Roster(self.database, owner).by_id(agent), "say", {"text": text}, **more)

    def heard(self, run: Run, after: Callable[[], None] = lambda: None) -> list[Event]:
        """What is told of a run, to one who begins to look on now; `after` is called when the first thing was told."""

        async def listen() -> list[Event]:
            found: list[Event] = []
            async for event in happening(self.house, run):
                found.append(event)
                if len(found) == 1:
                    await asyncio.to_thread(after)
            return found

        return asyncio.run_coroutine_threadsafe(listen(), self.house.runs.loop).result(30)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """What is stored."""
        return list(self.database.rows(sql, *values))

    def kill(self) -> None:
        """End the process as hard as can be."""
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell the process to end; returns its exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)


def _of(settings: Settings, user: str) -> Settings:
    from dataclasses import replace

    return replace(settings, user=user)


@contextmanager
def served(home: Path, *, hosts: tuple[str, ...] = LOCAL, stop_seconds: float = 2.0, **flags: Any) -> Iterator[Serving]:
    """A server in a thread; `flags` are settings that hold for all agents. The environment must be that of the home."""
    settings = config.load(flags, environ=environment(home), cwd=home)
    app = create(settings, flags=flags, hosts=hosts, stop_seconds=stop_seconds)
    server = Served(app, stop_seconds=stop_seconds)
    listener = bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    with closing(open_database(settings)) as database:
        serving = Serving(home, settings, database, listener.getsockname()[1], app)
        thread.start()
        try:
            until(lambda: server.started or not thread.is_alive())
            assert server.started, "the server did not start"
            yield serving
        finally:
            _close(serving)
            server.should_exit = True
            thread.join(30)
            listener.close()
    assert not thread.is_alive(), "the server did not end"


@contextmanager
def in_a_process(home: Path, *words: str, **variables: object) -> Iterator[Serving]:
    """`memagent server` in a process of its own, with further flags (`words`) and variables."""
    command = [sys.executable, "-c", "from memagent.cli.app import program; program()", "server", "--port", "0", *words]
    settings = config.load({}, environ=environment(home, **variables), cwd=home)
    with (
        closing(open_database(settings)) as database,
        open(home / "server.out", "wb") as out,
        subprocess.Popen(
            command, cwd=home, env=environment(home, **variables), stdout=out, stderr=subprocess.STDOUT
        ) as process,
    ):
        serving = Serving(home, settings, database, 0, process=process)
        try:
            until(lambda: process.poll() is not None or b"http://" in (home / "server.out").read_bytes())
            told = (home / "server.out").read_text()
            assert process.poll() is None, told
            serving.port = int(told.partition("http://")[2].partition(" ")[0].rpartition(":")[2])
            until(lambda: _ready(serving))
            yield serving
        finally:
            _close(serving)
            if process.poll() is None:
                process.kill()


def _ready(serving: Serving) -> bool:
    with suppress(httpx2.HTTPError):
        return httpx2.get(f"{serving.address}/health/ready", trust_env=False).status_code == 200
    return False


def _close(serving: Serving) -> None:
    for client in serving.clients:
        client.close()


def until(done: Any, seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "that never came"
        time.sleep(0.01)


def events(response: httpx2.Response) -> list[Mapping[str, Any]]:
    """What a stream of server-sent events tells, as JSON."""
    import json

    lines = [line.removeprefix("data:").strip() for line in response.iter_lines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
