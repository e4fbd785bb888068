"""What the server survives: all doors at once, clients that are killed in the middle, servers that are killed, told to
end or frozen, and functions that run wild; in the end all that any client was promised is held against the database.

    python -m bench.soak --minutes 24 --seed 1 [--database postgresql://…]

After a storm in which the servers end in all ways come some quiet minutes, in which only clients do: there memory and
open files are looked at. The same seed does the same things; how they fall together is up to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from bench.soak_ledger import Ledger
from bench.soak_world import AGENTS, LEASE, PRESET, SCRIPT, Server
from bench.table import Row, markdown, show

USERS, CLIENTS = 3, 8
STORM = 0.6
"""The part of the time in which servers end."""
END, SETTLED = 40.0, 120.0
"""Seconds to end when told to, and for all runs to come to their end."""
HELD = "is in use by another program"
"""What is said where nobody else can write, since one was frozen while it did."""
REST = 15.0
"""Seconds after which a thread that has nothing to do is gone, with its connections."""


@dataclass(frozen=True)
class Sample:
    """How the server was at a moment."""

    minute: float
    server: int
    memory: float
    files: int
    sockets: int
    runs: int


@dataclass
class Soak:
    """One soak test: a place of its own, servers, clients, and what came of it."""

    place: Path
    database: str
    seed: str
    seconds: float
    told: Callable[[str], None]
    counted: count[int] = field(default_factory=lambda: count(1))
    clients: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    frozen: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    killed: int = 0
    host: int = 1

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.begun = time.monotonic()
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("MEMAGENT_", "OPENAI_", "AZURE_"))
        } | {
            "MEMAGENT_HOME": str(self.place), "HOME": str(self.place), "MEMAGENT_PROVIDER": "scripted",
            "MEMAGENT_EMBEDDER": "off", "MEMAGENT_SCRIPT": str(self.place / "script.yaml"),
            "MEMAGENT_DATABASE": self.database,
        }  # fmt: skip

    # Before and after -------------------------------------------------------------------------------------------------

    def furnish(self) -> None:
        """Users with keys and agents."""
        from memagent.access import Keys
        from memagent.assemble import local_time, open_database, store_agent
        from memagent.roster import Roster

        for folder in ("journals", "presets", "functions"):
            (self.place / folder).mkdir()
        (self.place / "script.yaml").write_text(json.dumps(SCRIPT))
        (self.place / "presets" / "wild.yaml").write_text(PRESET)
        shutil.copy(Path(__file__).with_name("functions") / "wild.py", self.place / "functions")
        settings, users = self.settings(), {}
        with closing(open_database(settings)) as database:
            keys = Keys(database, local_time)
            for user in map(str, range(1, USERS + 1)):
                owner = f"user{user}"
                for name, preset in AGENTS.items():
                    store_agent(replace(settings, user=owner, preset=preset), database, name, given={"preset": preset})
                users[user] = {
                    "keys": {"chat": keys.add(owner, "chat", ["chat"], {})[1],
                             "admin": keys.add(owner, "admin", ["admin"], {})[1]},
                    "agents": {entry.name: entry.id for entry in Roster(database, owner).all()},
                }  # fmt: skip
        (self.place / "users").write_text(json.dumps(users))
        self.agents = {user: list(of["agents"].values()) for user, of in users.items()}

    def settings(self) -> Any:
        """The settings of the place."""
        from memagent import config

        return config.load({}, environ=self.environment, cwd=self.place)

    def ledger(self) -> Ledger:
        """The journals and the database as they are now. The caller closes the database."""
        from memagent.assemble import open_database

        return Ledger.read(open_database(self.settings()), self.place, self.frozen)

    # Servers ----------------------------------------------------------------------------------------------------------

    def started(self) -> Server:
        """A server that is ready, and the one that clients go to from now on."""
        while True:
            if server := self._tried():
                return server

    def _tried(self) -> Server | None:
        """The same, unless it is killed before it is there, or can't start."""
        server = Server.begun(next(self.counted), self.host, self.place, self.environment)
        if self.chance.random() < 0.07 and self.clients:
            time.sleep(self.chance.random() * 1.5)
            self._count("killed at its start")
        elif server.ready():
            where = {"number": server.number, "port": server.port, "agents": self.agents}
            (self.place / "where.new").write_text(json.dumps(where))
            (self.place / "where.new").replace(self.place / "where")
            return server
        elif HELD in server.out.read_text():
            self._count("kept from starting by one that was frozen in the middle of a write")
        else:
            self.wrong.append(f"server {server.number} did not start: {server.out.read_text()[-500:]}")
        server.process.kill()
        server.process.wait()
        return None

    def _count(self, what: str) -> None:
        self.ends[what] = self.ends.get(what, 0) + 1
        self.told(f"{self.minute():5.1f} min: {what}")

    def minute(self) -> float:
        """Minutes since it began."""
        return (time.monotonic() - self.begun) / 60

    def kill(self, server: Server) -> Server:
        """The hardest end."""
        server.process.kill()
        server.process.wait()
        self._count("killed")
        return self.started()

    def terminate(self, server: Server) -> Server:
        """Told to end, it ends by itself."""
        self.end(server, signal.SIGTERM)
        self._count("told to end")
        return self.started()

    def interrupt(self, server: Server) -> Server:
        """Ctrl-C, twice."""
        server.process.send_signal(signal.SIGINT)
        time.sleep(self.chance.random() * 0.5)
        self.end(server, signal.SIGINT)
        self._count("Ctrl-C twice")
        return self.started()

    def freeze(self, server: Server) -> Server:
        """It stands still for longer than its hold on any agent lasts; another one takes over; then it goes on."""
        server.process.send_signal(signal.SIGSTOP)
        self.frozen[server.number] = server.process.pid
        self.host += len(self.frozen) % 2  # every other time the one that takes over is on another host
        other = self._tried() or self._tried()
        self.storm(2 * LEASE + 3 * self.chance.random())
        server.process.send_signal(signal.SIGCONT)
        other = other or self.started()
        self.storm(1 + 2 * self.chance.random())
        self.end(server, signal.SIGTERM)
        self._count("frozen, and taken over from")
        return other

    def end(self, server: Server, number: int) -> None:
        """Tell a server to end, and wait for that."""
        with suppress(ProcessLookupError):
            server.process.send_signal(number)
        try:
            code = server.process.wait(END)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"server {server.number} did not end within {END:g} s")
            server.process.kill()
            server.process.wait()
        else:
            if code not in (0, -signal.SIGINT if number == signal.SIGINT else 0):  # it came when all was over
                self.wrong.append(f"server {server.number} ended with {code}")

    # Clients ----------------------------------------------------------------------------------------------------------

    def _client(self) -> None:
        number = len(list((self.place / "journals").iterdir())) + 1
        command = [sys.executable, "-m", "bench.soak_client", str(self.place), str(number), self.seed]
        (self.place / "journals" / f"{number}.jsonl").touch()
        with (self.place / "clients.out").open("ab") as out:
            self.clients[number] = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=out, stderr=out)

    def storm(self, seconds: float) -> None:
        """Let time pass, in which clients are killed and new ones come."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            for number, process in list(self.clients.items()):
                if process.poll() is not None:
                    self.wrong.append(f"client {number} ended by itself with {process.returncode}")
                    del self.clients[number]
            if len(self.clients) == CLIENTS and self.chance.random() < 0.12:
                number = self.chance.choice(sorted(self.clients))
                process = self.clients.pop(number)
                process.kill()
                process.wait()
                self.killed += 1
            if len(self.clients) < CLIENTS:
                self._client()

    def leave(self) -> None:
        """All clients are gone."""
        for process in self.clients.values():
            process.kill()
            process.wait()
        self.clients.clear()

    # The test ---------------------------------------------------------------------------------------------------------

    def run(self) -> Mapping[str, list[str]]:
        """All of it; what is wrong, by what was looked for."""
        self.furnish()
        server = self.started()
        try:
            ways = [self.kill, self.terminate, self.freeze, self.kill, self.interrupt]
            pause, left = min(30.0, self.seconds / 24), list[Callable[[Server], Server]]()
            while time.monotonic() - self.begun < STORM * self.seconds:
                self._watched(server, pause * (0.4 + self.chance.random()))
                left = left or self.chance.sample(ways, len(ways))
                server = left.pop()(server)
                self._nothing_lost(server)
            self.end(server, signal.SIGTERM)
            server = self.started()
            self._watched(server, self.seconds - (time.monotonic() - self.begun))
            self.leave()
            self._settle()
            time.sleep(REST)
            self._sample(server)
            found = self._found()
            self.end(server, signal.SIGTERM)
        finally:
            self.leave()
            with suppress(ProcessLookupError):
                server.process.kill()
            server.process.wait()
        return found

    def _watched(self, server: Server, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.storm(min(left, 5))
            self._sample(server)

    def _sample(self, server: Server) -> None:
        with suppress(OSError):  # it has ended, which is found elsewhere
            files, sockets = server.files()
            with closing(self.ledger().database) as database:
                runs = database.rows("SELECT count(*) FROM runs")[0][0]
            self.samples.append(Sample(self.minute(), server.number, server.memory(), files, sockets, runs))

    def _nothing_lost(self, server: Server) -> None:
        ledger = self.ledger()
        with closing(ledger.database):
            self.wrong += [f"lost when server {server.number} came: {each}" for each in ledger.lost()]

    def _settle(self) -> None:
        until = time.monotonic() + SETTLED
        with closing(self.ledger().database) as database:
            while time.monotonic() < until:
                if not database.rows("SELECT 1 FROM runs WHERE state IN ('queued', 'running') LIMIT 1"):
                    return
                time.sleep(0.5)

    def _found(self) -> Mapping[str, list[str]]:
        ledger = self.ledger()
        with closing(ledger.database):
            found = {**ledger.all(), "servers and clients that did not do as they were told": self.wrong}
        logs = [*self.place.glob("server-*.out"), *self.place.glob("clients.out"), *self.place.rglob("*.log*")]
        bad = [f"{path.name}: {line[:3000]}" for path in logs for line in path.read_text(errors="replace").splitlines()
               if "Traceback" in line and HELD not in line]  # fmt: skip
        self.counts = {what: len(list(ledger.of(what))) for what in ("said", "accepted", "told", "edited", "archived")}
        return {**found, "logs with a traceback": bad}

    # What is told of it -----------------------------------------------------------------------------------------------

    def rows(self, found: Mapping[str, Sequence[str]]) -> list[Row]:
        """The rows of the table."""
        told = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        ends = ", ".join(f"{number} {what}" for what, number in sorted(self.ends.items()))
        steady = [sample for sample in self.samples if sample.server == self.samples[-1].server]
        busy, last = steady[: len(steady) - 1] or steady, steady[-1]
        early, late = busy[len(busy) // 3], busy[-1]
        grown = max(sample.memory for sample in busy[-3:]) / early.memory
        rows = [
            Row(f"soak, {self.seconds / 60:.3g} min: promised", told, "", 0),
            Row("soak: ends of servers; clients that were killed", f"{ends}; {self.killed}", "", 0),
        ]
        rows += [Row(f"soak: {what}", str(len(wrong)), "", len(wrong), 0, "") for what, wrong in found.items()]
        rows += [
            Row("soak: memory, the end of the quiet time against its first third", f"{late.memory:.0f} MB",
                f"{early.memory:.0f} MB", grown, 1.25),
            Row("soak: sockets that are left when all clients are gone", str(last.sockets), f"{late.sockets} before",
                last.sockets, 8, ""),  # with PostgreSQL four of them are kept for it
            Row("soak: open files then", str(last.files), f"{late.files} before", last.files, 80, ""),
        ]  # fmt: skip
        return rows


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    return soaked(45 if quick else 24 * 60, secrets.token_hex(4), "")[0]


def soaked(
    seconds: float, seed: str, database: str, told: Callable[[str], None] | None = None, keep: Path | None = None
) -> tuple[list[Row], Mapping[str, list[str]], list[Sample]]:
    """A soak test of so many seconds: the rows of its table, what is wrong, and how the server was meanwhile."""
    told = told or (lambda line: print(line, file=sys.stderr, flush=True))
    told(f"soak, seed {seed}")
    place = keep or Path(tempfile.mkdtemp(prefix="memagent-soak-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        soak = Soak(place, database, seed, seconds, told)
        found = soak.run()
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    return soak.rows(found), found, soak.samples


def main() -> None:
    """Soak, print the tables, and end with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=24)
    parser.add_argument("--seed", default=secrets.token_hex(4), help="does the same again")
    parser.add_argument("--database", default="", metavar="URL", help="an empty PostgreSQL; SQLite if none is named")
    parser.add_argument("--keep", type=Path, metavar="PATH", help="where the home with its journals and logs is kept")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    chosen = parser.parse_args()
    rows, found, samples = soaked(60 * chosen.minutes, chosen.seed, chosen.database, keep=chosen.keep)
    for what, wrong in found.items():
        for each in wrong[:20]:
            print(f"{what}: {each}")
    print(markdown(rows)) if chosen.markdown else show(rows)
    print("minute  server  memory  files  sockets  runs")
    for sample in samples[:: max(1, len(samples) // 40)] + samples[-1:]:
        print(f"{sample.minute:6.1f}  {sample.server:6}  {sample.memory:3.0f} MB  {sample.files:5}  {sample.sockets:7}"
              f"  {sample.runs:4}")  # fmt: skip
    sys.exit(any(not row.ok for row in rows))


if __name__ == "__main__":
    main()
