"""One client of the soak test: a process that talks with agents through every door as chance has it, and may be killed
at any instant.

It writes a journal of what it was promised: a line for each thing, which stays when the process is killed. What it is
told of others, or is told otherwise than it should be, is a fault, and goes into the journal too. Knows nothing of the
database.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

TOKEN = re.compile(r"\bu(\d+)-c(\d+)-n(\d+)x")
"""A word that is said once: by which user, which client, and the how manieth of it."""
KINDS = ("say", "say", "note", "note", "words", "words", "slow", "keep", "fail", "broken")
HOWS = ("crash", "burn", "fork", "hang", "leave", "fill", "well")
GONE = (httpx2.HTTPError, WebSocketException, OSError, EOFError, TimeoutError)
"""How it is seen that the server, or the connection, is not there any more."""
FINE = (*range(200, 500), 502, 503, 507)
"""Statuses that are no fault: 502 is the model's, 503 and 507 say that the server is about to stop, or its database is
not to be had.
"""
PATIENCE = 12.0
TRIES = 40


class Fault(Exception):
    """Something that must not be."""


@dataclass
class Client:
    """A user's client, with keys, and a folder where it learns of the server and keeps its journal."""

    place: Path
    number: int
    user: str
    keys: Mapping[str, str]
    agents: Mapping[str, str]
    chance: random.Random
    count: int = 0
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = os.open(self.place / "journals" / f"{self.number}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    # What is kept -----------------------------------------------------------------------------------------------------

    def keep(self, what: str, **more: Any) -> None:
        """A line of the journal, written at once and whole."""
        line = {"what": what, "at": time.time(), "client": self.number, "user": self.user, **more}
        os.write(self.journal, json.dumps(line).encode() + b"\n")

    def server(self) -> Mapping[str, Any]:
        """Which server there is now."""
        found: Mapping[str, Any] = json.loads((self.place / "where").read_text())
        return found

    @contextmanager
    def http(self, key: str = "admin") -> Iterator[tuple[httpx2.Client, int]]:
        """A connection to the server that there is now, and its number."""
        there = self.server()
        headers = {"authorization": f"Bearer {self.keys[key]}"} if key else {}
        with httpx2.Client(
            base_url=f"http://127.0.0.1:{there['port']}", headers=headers, timeout=PATIENCE, trust_env=False
        ) as client:
            yield client, there["number"]

    def checked(self, response: httpx2.Response, *expected: int) -> httpx2.Response:
        """An answer, after a look at its status and at whose words are in it."""
        fine = expected or FINE
        if response.status_code not in fine and response.status_code not in (502, 503):
            where = f"{response.request.method} {response.request.url.path}"
            raise Fault(f"{response.status_code} for {where}: {response.text[:300]}")
        self.heard(response.text)
        return response

    def heard(self, text: str) -> None:
        """Whatever is told here must be this user's."""
        for user in {found[1] for found in TOKEN.finditer(text)} - {self.user}:
            raise Fault(f"words of user {user} were told to user {self.user}: {text[:300]}")

    def word(self) -> str:
        """A word that nobody has said yet."""
        self.count += 1
        return f"u{self.user}-c{self.number}-n{self.count}x"

    def a_name(self) -> str:
        """One of the agents that all clients of the user talk with."""
        return self.chance.choice([name for name in self.agents if name not in ("eve", "wild")])

    # Saying something -------------------------------------------------------------------------------------------------

    def say(self) -> None:
        """Say something through one of the doors that know a message again."""
        name, word = self.a_name(), self.word()
        self.said(name, f"{self.chance.choice(KINDS)} {word}", word)

    def said(self, name: str, text: str, word: str) -> str:
        """Say a message until it is accepted, unless patience ends: then it is as well that it was said as not."""
        doors: list[Callable[..., str]] = [self._whole, self._stream, self._later, self._page, self._socket]
        self.keep("said", word=word, text=text, agent=name)
        for _ in range(TRIES if self.chance.random() < 0.9 else 1):
            with suppress(*GONE):
                if run := self.chance.choice(doors)(name, text, word):
                    return run
            time.sleep(0.25)
        return ""

    def accepted(self, word: str, run: str, server: int) -> None:
        """The server has promised that this is not lost."""
        self.keep("accepted", word=word, run=run, server=server)

    def _whole(self, name: str, text: str, word: str) -> str:
        with self.http("chat") as (client, server):
            body = {"messages": [{"role": "user", "content": text, "otid": word}]}
            response = self.checked(client.post(f"/v1/agents/agent-{self.agents[name]}/messages", json=body))
            run = response.headers.get("x-memagent-run", "")
            if run:
                self.accepted(word, run, server)
            if response.status_code == 200:
                self.keep("told", run=run, ending=response.json()["stop_reason"]["stop_reason"])
            return run

    def _stream(self, name: str, text: str, word: str) -> str:
        """As it happens; one leaves early, and perhaps comes back by the run."""
        with self.http("chat") as (client, server):
            body = {
                "messages": [{"role": "user", "content": text, "otid": word}], "streaming": True,
                "stream_tokens": self.chance.random() < 0.7,
            }  # fmt: skip
            seen, patience = -1, self.chance.choice([1, 3, 10, 1000])
            with client.stream("POST", f"/v1/agents/agent-{self.agents[name]}/messages", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    self.checked(response)
                    return ""
                run = response.headers["x-memagent-run"]
                self.accepted(word, run, server)
                with suppress(*GONE):
                    for message in self._lines(response):
                        seen = message.get("seq_id", seen)
                        patience -= 1
                        if message.get("message_type") == "stop_reason":
                            self.keep("told", run=run, ending=message["stop_reason"])
                        if not patience:
                            break
            if not patience and self.chance.random() < 0.7:
                self._back(run, seen)
            return run

    def _back(self, run: str, seen: int) -> None:
        """Come back to a stream that was left."""
        with suppress(*GONE), self.http("chat") as (client, _):
            body = {"starting_after": seen}
            with client.stream("POST", f"/v1/runs/{run}/stream", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    self.checked(response, 200)
                    return
                for message in self._lines(response):
                    if message.get("seq_id", seen + 1) <= seen:
                        raise Fault(f"{run} was told again from {message['seq_id']}, after {seen}")
                    if message.get("message_type") == "stop_reason":
                        self.keep("told", run=run, ending=message["stop_reason"])

    def _lines(self, response: httpx2.Response) -> Iterator[dict[str, Any]]:
        for line in response.iter_lines():
            if line.startswith("data:") and "[DONE]" not in line:
                self.heard(line)
                yield json.loads(line[5:])

    def _later(self, name: str, text: str, word: str) -> str:
        with self.http("chat") as (client, server):
            body = {"messages": [{"role": "user", "content": text, "otid": word}]}
            response = self.checked(client.post(f"/v1/agents/agent-{self.agents[name]}/messages/async", json=body))
            if response.status_code != 200:
                return ""
            run = str(response.json()["id"])
            self.accepted(word, run, server)
            with suppress(*GONE):
                for _ in range(self.chance.choice([0, 5, 20])):
                    shown = self.checked(client.get(f"/v1/runs/{run}"), 200)
                    if shown.status_code == 200 and shown.json()["status"] in ("completed", "failed", "cancelled"):
                        self.checked(client.get(f"/v1/runs/{run}/messages"), 200)
                        break
                    time.sleep(0.1)
            return run

    def _page(self, name: str, text: str, word: str) -> str:
        with self.http("chat") as (client, server):
            at = f"/api/agents/{self.agents[name]}"
            response = self.checked(client.post(f"{at}/messages", json={"text": text, "otid": word}))
            if response.status_code != 200:
                return ""
            run = str(response.json()["run"])
            self.accepted(word, run, server)
            with suppress(*GONE):
                for part in ("turns", "window", "blocks", "edits", "notes", "facts"):
                    if self.chance.random() < 0.2:
                        self.checked(client.get(f"{at}/{part}"), 200)
            return run

    def _socket(self, name: str, text: str, word: str) -> str:
        """Over the WebSocket; one breaks off in the middle, and perhaps goes on where one left."""
        there, run, last = self.server(), "", None
        breaks = self.chance.random() < 0.5
        with self._connected(there["port"]) as socket:
            socket.send(json.dumps({"type": "command", "command": "load_agent", "name": name}))
            socket.send(json.dumps({"type": "user_message", "message": text, "agent_name": name, "otid": word}))
            for event in self._events(socket, self.agents[name]):
                last = event.get("number", last)
                if event["type"] == "run":
                    run = str(event["run"])
                    self.accepted(word, run, there["number"])
                if event["type"] == "server_error":
                    return run
                if run and (self._over(event, run) or (breaks and event["type"] == "agent_response_start")):
                    break
        if run and breaks and self.chance.random() < 0.7:
            with suppress(*GONE), self._connected(there["port"]) as socket:
                load = {"type": "command", "command": "load_agent", "name": name, "after": last}
                socket.send(json.dumps(load))
                for event in self._events(socket, self.agents[name]):
                    if self._over(event, run):
                        break
        return run

    @contextmanager
    def _connected(self, port: int) -> Iterator[Any]:
        headers = {"authorization": f"Bearer {self.keys['chat']}"}
        with connect(
            f"ws://127.0.0.1:{port}/ws", additional_headers=headers, open_timeout=PATIENCE, close_timeout=1, proxy=None
        ) as socket:
            yield socket

    def _events(self, socket: Any, agent: str) -> Iterator[dict[str, Any]]:
        """What is told; all of it of the one agent that is looked at."""
        until = time.monotonic() + PATIENCE
        while (left := until - time.monotonic()) > 0:
            try:
                text = socket.recv(left)
            except TimeoutError:
                return
            self.heard(text)
            event = json.loads(text)
            if event.get("agent", agent) != agent:
                raise Fault(f"an event of {event['agent']} came to one who looks at {agent}")
            yield event

    def _over(self, event: Mapping[str, Any], run: str) -> bool:
        over = event["type"] == "agent_response_end" and event["run"] == run
        if over:
            self.keep("told", run=run, ending=event["ending"])
        return over

    def ask_as_openai(self) -> None:
        """A door that knows no message again: it is said once."""
        name, word = self.a_name(), self.word()
        text, streams = f"{self.chance.choice(KINDS)} {word}", self.chance.random() < 0.5
        self.keep("said", word=word, text=text, agent=name)
        with self.http("chat") as (client, server):
            if self.chance.random() < 0.3:
                asked = {"model": name, "input": text, "stream": streams}
                at = "/v1/responses"
            else:
                asked = {"model": name, "messages": [{"role": "user", "content": text}], "stream": streams}
                at = "/v1/chat/completions"
            with client.stream("POST", at, json=asked) as response:
                if run := response.headers.get("x-memagent-run"):
                    self.accepted(word, run, server)
                leaves = self.chance.random() < 0.3
                told = ""
                for line in response.iter_lines():
                    told += line
                    if leaves and streams:
                        return
                self.heard(told)
                if response.status_code not in FINE:
                    raise Fault(f"{response.status_code} for {at}: {told[:300]}")

    def cancel(self) -> None:
        """Ask for something slow of the agent that is there for this, and cancel it."""
        word = self.word()
        run = self.said("eve", f"slow {word}", word)
        self.keep("cancelled", run=run)
        with self.http("chat") as (client, _):
            self.checked(client.post(f"/v1/agents/agent-{self.agents['eve']}/messages/cancel"))

    def go_wild(self) -> None:
        """A function that crashes, burns memory, forks or hangs."""
        word = self.word()
        self.said("wild", f"wild {self.chance.choice(HOWS)} {word}", word)

    def approve(self) -> None:
        """A call that waits for a person is answered, or left to wait."""
        word = self.word()
        self.said("wild", f"fetch {word}", word)
        time.sleep(self.chance.random())
        with self.http("chat") as (client, _):
            shown = self.checked(client.get(f"/api/agents/{self.agents['wild']}"), 200)
            if shown.status_code == 200 and (waiting := shown.json()["waiting"]) and self.chance.random() < 0.8:
                call = {name: waiting[0][name] for name in ("call_id", "digest")}
                body = {**call, "approve": self.chance.random() < 0.5}
                self.checked(client.post(f"/api/agents/{self.agents['wild']}/decide", json=body), 200, 400, 409)

    # Memory -----------------------------------------------------------------------------------------------------------

    def edit(self) -> None:
        """Write a block of core memory, through one door or the other."""
        name, word = self.a_name(), self.word()
        agent = self.agents[name]
        with self.http() as (client, _):
            if self.chance.random() < 0.5:
                at = f"/v1/agents/agent-{agent}/core-memory/blocks/human"
                response = self.checked(client.patch(at, json={"value": word}))
            else:
                blocks = self.checked(client.get(f"/api/agents/{agent}/blocks"), 200)
                if blocks.status_code != 200:
                    return
                version = next(each["version"] for each in blocks.json() if each["label"] == "human")
                body = {"value": word, "version": version}
                response = self.checked(client.put(f"/api/agents/{agent}/blocks/human", json=body))
            if response.status_code == 200:
                self.keep("edited", word=word, agent=name)

    def share(self) -> None:
        """A block that two agents share is changed."""
        word = self.word()
        with self.http() as (client, _):
            found = self.checked(client.get("/v1/blocks/", params={"label": "shared"}), 200)
            if found.status_code != 200:
                return
            if not found.json():
                made = self.checked(client.post("/v1/blocks/", json={"label": "shared", "value": ""}), 200)
                if made.status_code == 200:
                    for name in ("ada", "ben"):
                        at = f"/v1/agents/agent-{self.agents[name]}/core-memory/blocks/attach/{made.json()['id']}"
                        self.checked(client.patch(at))
                return
            block = found.json()[0]["id"]
            if self.checked(client.patch(f"/v1/blocks/{block}", json={"value": word}), 200).status_code == 200:
                self.keep("shared", word=word)

    def archive(self) -> None:
        """Keep a passage, find it, and perhaps take it out again."""
        name, word = self.a_name(), self.word()
        at = f"/v1/agents/agent-{self.agents[name]}/archival-memory"
        with self.http() as (client, _):
            response = self.checked(client.post(at, json={"text": f"{word} is in the drawer"}))
            if response.status_code != 200:
                return
            self.keep("archived", word=word, agent=name)
            self.notes.append((name, response.json()[0]["id"]))
            found = self.checked(client.get(f"{at}/search", params={"query": word}), 200)
            if found.status_code == 200 and word not in found.text:
                raise Fault(f"{word} was kept, and is not found: {found.text[:200]}")
            if self.chance.random() < 0.4:
                self.keep("taking out", word=word)
                if self.checked(client.delete(f"{at}/{self.notes[-1][1]}")).status_code == 200:
                    self.keep("taken out", word=word)

    # Agents -----------------------------------------------------------------------------------------------------------

    def make(self) -> None:
        """An agent of one's own: it is talked with, taken elsewhere and back, and deleted."""
        name, word = f"own {self.number} {self.count}", self.word()
        with self.http() as (client, _):
            made = self.checked(client.post("/api/agents", json={"name": name, "preset": "chat"}))
            if made.status_code != 200:
                return
            agent = made.json()["id"]
            self.keep("made", agent=agent)
            self.checked(client.post(f"/api/agents/{agent}/messages", json={"text": f"note {word}"}))
            time.sleep(self.chance.random())
            out = self.checked(client.get(f"/api/agents/{agent}/export"), 200)
            if out.status_code == 200:
                json.loads(out.text)
                files = {"file": ("one.json", out.content, "application/json")}
                back = self.checked(client.post("/api/agents/file", files=files, data={"name": f"{name} again"}))
                if back.status_code == 200:
                    self.keep("made", agent=back.json()["id"])
                    self._delete(client, back.json()["id"])
            self.checked(client.get(f"/v1/agents/agent-{agent}/export"))
            if self.chance.random() < 0.9:
                self._delete(client, agent)

    def _delete(self, client: httpx2.Client, agent: str) -> None:
        self.keep("deleting", agent=agent)
        if self.checked(client.delete(f"/api/agents/{agent}")).status_code == 200:
            self.keep("deleted", agent=agent)

    # What must be refused ---------------------------------------------------------------------------------------------

    def pry(self) -> None:
        """Other users' agents, wrong keys, what is too long, and what is no question."""
        others = [agent for user, agents in self.server()["agents"].items() if user != self.user for agent in agents]
        agent, theirs = self.agents[self.a_name()], self.chance.choice(others)
        with self.http() as (client, _):
            self.checked(client.post(f"/v1/agents/agent-{theirs}/messages", json={"input": "hello"}), 404)
            self.checked(client.get(f"/api/agents/{theirs}/turns"), 404)
            self.checked(client.put(f"/api/agents/{theirs}/blocks/human", json={"value": "", "version": 1}), 404)
            block = f"/v1/agents/agent-{agent}/core-memory/blocks/human"
            self.checked(client.patch(block, json={"value": "x" * 200_001}), 400)
            self.checked(client.post("/v1/chat/completions", content=b"{nonsense"), 415, 422)
            self.checked(client.post("/v1/tools/", json={"source_code": "import os"}), *range(400, 500))
            self.checked(client.get("/api/agents", headers={"host": "evil.example"}), 421)
            self.checked(client.get("/api/agents", headers={"origin": "http://evil.example"}), 403)
        with self.http("chat") as (client, _):
            self.checked(client.delete(f"/api/agents/{agent}"), 403)

    def hang_up(self) -> None:
        """Sockets that are half closed, that say half of something, or nothing."""
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
        head = f"POST /v1/agents/agent-{self.agents[self.a_name()]}/messages HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        head += f"authorization: Bearer {self.keys['chat']}\r\ncontent-type: application/json\r\n"
        whole = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", self.server()["port"]), timeout=PATIENCE) as raw:
            raw.sendall(whole[: self.chance.choice([0, 10, len(whole) - 5])])
            if self.chance.random() < 0.5:
                raw.shutdown(socket.SHUT_WR)
                raw.settimeout(2)
                with suppress(TimeoutError):
                    raw.recv(1000)

    # For as long as it lives ------------------------------------------------------------------------------------------

    def live(self) -> None:
        """One thing after the other, until somebody ends this process."""
        acts = [
            *[self.say] * 12, *[self.ask_as_openai] * 5, *[self.edit] * 3, *[self.share] * 2, *[self.archive] * 3,
            self.cancel, self.approve, self.go_wild, self.make, self.pry, self.hang_up,
        ]  # fmt: skip
        while True:
            act = self.chance.choice(acts)
            try:
                act()
            except GONE:
                time.sleep(0.3)
            except Fault as fault:
                self.keep("fault", of=act.__name__, text=str(fault))
            time.sleep(self.chance.random() * 0.15)


def main() -> None:
    """Live as the client whose place, number and seed are named."""
    place, number, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    users = json.loads((place / "users").read_text())
    user = str(number % len(users) + 1)
    mine = users[user]
    Client(place, number, user, mine["keys"], mine["agents"], random.Random(f"{seed}/{number}")).live()


if __name__ == "__main__":
    main()
