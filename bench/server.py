"""What the server costs: its start, a turn through it beside the same turn in process, many agents at once, and many
who look on.

The server is a process of its own, with a model that answers by script; those who ask share its machine, and count too.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from uuid import UUID

from bench.model import ANSWER, message
from bench.table import Row, compared

COMMAND = (sys.executable, "-c", "from memagent.cli.app import program; program()", "server", "--port", "0")
AT_ONCE, MANY, LOOKERS = 64, 500, 1000
LATENCY = 1.0


@dataclass
class Server:
    """A server that runs, and how long it took to be ready."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    seconds: float

    def memory(self) -> float:
        """Megabytes that are its own now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def cpu(self) -> float:
        """CPU seconds that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    return [
        *_start(3 if quick else 9),
        *_one_turn(40 if quick else 200),
        *_at_once(5 if quick else 20),
        *_waiting(2 if quick else 4),
        *_looking_on(LOOKERS // 5 if quick else LOOKERS),
    ]


# The rows -------------------------------------------------------------------------------------------------------------


def _start(times: int) -> list[Row]:
    seconds, memory = [], []
    for _ in range(times):
        with _served() as server:
            seconds.append(server.seconds)
            time.sleep(0.5)
            memory.append(server.memory())
    ready, idle = median(seconds), median(memory)
    return [
        Row("server, start to ready", f"{ready:.2f} s", "", ready, 2.0, "s"),
        Row("server, memory when idle", f"{idle:.0f} MB", "", idle, 120, "MB"),
    ]


def _one_turn(turns: int) -> list[Row]:
    """The same turns through the server and in process, each on a database of its own, one after the other."""
    from memagent.assemble import load_agent, open_database

    here: list[float] = []
    there: list[float] = []
    cpu: list[float] = []
    warm = turns // 10
    with _served(agents=1) as server, tempfile.TemporaryDirectory() as folder:
        home = _home(Path(folder), 1)
        settings = _settings(home)
        with closing(open_database(settings)) as database:
            agent = load_agent(settings, database, "agent 0")

            async def alternate() -> None:
                ask = await _rest_asker(server, "agent 0")
                before = 0.0
                for number in range(turns):
                    if number == warm:
                        before = server.cpu()
                    begun = time.perf_counter()
                    await ask(message(number))
                    there.append(time.perf_counter() - begun)
                    begun, busy = time.perf_counter(), time.thread_time()
                    for _ in agent.turn(message(number)):
                        pass
                    here.append(time.perf_counter() - begun)
                    cpu.append(time.thread_time() - busy)
                cpu.append(server.cpu() - before)

            asyncio.run(alternate())
    p50 = [1000 * median(of[warm:]) for of in (there, here)]
    busy = [1000 * seconds / (turns - warm) for seconds in (cpu.pop(), sum(cpu[warm:]))]
    return [
        compared("a turn through the server, p50", *p50, 2.0, against="in process"),
        compared("CPU of a turn through the server", *busy, None, against="in process"),
    ]


def _at_once(turns: int) -> list[Row]:
    with _served(agents=AT_ONCE) as server:
        seconds, each = asyncio.run(_all_talk(server, AT_ONCE, turns))
        lost = _out_of_order(server, AT_ONCE, turns)
    rate = AT_ONCE * turns / seconds
    p95 = 1000 * quantiles(each, n=20)[-1]
    what = f"turns a second, {AT_ONCE} agents at once"
    return [
        Row(what, f"{rate:.0f}", f"p95 {p95:.0f} ms", rate, 60, "", at_least=True),
        Row(f"{what}: lost or out of order", str(lost), "", lost, 0, ""),
    ]


def _waiting(turns: int) -> list[Row]:
    with _served(delay=LATENCY, agents=MANY) as server:
        asyncio.run(_all_talk(server, MANY, 1))  # all agents are open, and their threads there
        before = server.cpu()
        seconds, _ = asyncio.run(_all_talk(server, MANY, turns))
        busy, memory = (server.cpu() - before) / seconds, server.memory()
    share = LATENCY * turns / seconds
    what = f"{MANY} agents at once, model latency {LATENCY:g} s"
    return [
        Row(
            f"{what}: share of the ideal, or of a core", f"{100 * share:.0f} %", f"CPU {100 * busy:.0f} % of one core",
            100 * max(share, busy), 90, "%", at_least=True,
        ),
        Row(f"{what}: memory", f"{memory:.0f} MB", "", memory, 400, "MB"),
    ]  # fmt: skip


def _looking_on(lookers: int) -> list[Row]:
    with _served(agents=1, script=[{"when": {}, "say": ANSWER, "pace": 0.002}]) as server:
        before = server.memory()
        told, seconds, more = asyncio.run(_watched(server, lookers, lambda: server.memory() - before))
    missed = sum(max(told) - each for each in told)
    what = f"{lookers} WebSocket clients look on"
    return [
        Row(f"{what}: events that one missed", str(missed), f"{max(told)} each, in {seconds:.1f} s", missed, 0, ""),
        Row(f"{what}: memory", f"{more:.0f} MB more", "", more, 200, "MB"),
    ]


# How they are taken ---------------------------------------------------------------------------------------------------


@contextmanager
def _served(
    delay: float = 0.0, agents: int = 0, script: Sequence[dict[str, Any]] = ()
) -> Iterator[Server]:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        home = _home(Path(folder), agents, script or [{"when": {}, "say": ANSWER, "delay": delay}])
        own = {name: value for name, value in os.environ.items() if not name.startswith("MEMAGENT_")}
        variables = {
            "MEMAGENT_HOME": str(home), "MEMAGENT_PROVIDER": "scripted", "MEMAGENT_EMBEDDER": "off",
            "MEMAGENT_FACTS": "off",  # they are read in silence, of which there is none
            "MEMAGENT_SCRIPT": str(home / "script.yaml"),
        }  # fmt: skip
        begun = time.perf_counter()
        with subprocess.Popen(COMMAND, cwd=home, env={**own, **variables}, stdout=subprocess.PIPE) as process:
            assert process.stdout
            port = int(process.stdout.readline().split()[3].rpartition(b":")[2])
            server = Server(home, port, process, time.perf_counter() - begun)
            try:
                yield server
            finally:
                process.terminate()
                process.wait(30)


def _home(folder: Path, agents: int, script: Sequence[dict[str, Any]] = ({"when": {}, "say": ANSWER},)) -> Path:
    from memagent.assemble import open_database, store_agent

    (folder / "script.yaml").write_text(json.dumps(list(script)))
    settings = _settings(folder)
    with closing(open_database(settings)) as database:
        for number in range(agents):
            store_agent(settings, database, f"agent {number}")
    return folder


def _settings(home: Path) -> Any:
    from memagent.config import Settings

    return Settings(home=home, provider="scripted", script=str(home / "script.yaml"), embedder="off", facts="off")


async def _asker(server: Server) -> Callable[[str, str], Awaitable[None]]:
    """Something that asks an agent, over a connection of its own that is kept."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def ask(agent: str, text: str) -> None:
        said = {"model": agent, "messages": [{"role": "user", "content": text}]}
        answer = await _posted(reader, writer, "/v1/chat/completions", said)
        assert ANSWER.encode() in answer, answer

    return ask


async def _rest_asker(server: Server, agent: str) -> Callable[[str], Awaitable[None]]:
    """Something that asks one agent through REST, over a connection of its own that is kept."""
    from memagent.assemble import open_database
    from memagent.roster import Roster

    with closing(open_database(_settings(server.home))) as database:
        path = f"/v1/agents/agent-{UUID(Roster(database, 'local').find(agent).id)}/messages"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    async def ask(text: str) -> None:
        answer = await _posted(reader, writer, path, {"messages": [{"role": "user", "content": text}]})
        assert ANSWER.encode() in answer, answer

    return ask


async def _posted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, said: dict[str, Any]
) -> bytes:  # fmt: skip
    """What is answered."""
    body = json.dumps(said).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), answer
    length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def _all_talk(server: Server, agents: int, turns: int) -> tuple[float, list[float]]:
    """So many agents are talked with at once; returns how long it took in all, and each turn."""
    each: list[float] = []
    askers = [await _asker(server) for _ in range(agents)]

    async def talk(number: int) -> None:
        for turn in range(turns):
            begun = time.perf_counter()
            await askers[number](f"agent {number}", f"{turn} {message(turn)}")
            each.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(talk(number) for number in range(agents)))
    return time.perf_counter() - begun, each


def _out_of_order(server: Server, agents: int, turns: int) -> int:
    """How many agents have something else stored than what they were told, in its order, and an answer to each."""
    from memagent.assemble import open_database
    from memagent.roster import Roster

    wrong = 0
    expected = [line for turn in range(turns) for line in (f"{turn} {message(turn)}", ANSWER)]
    with closing(open_database(_settings(server.home))) as database:
        for number in range(agents):
            agent = Roster(database, "local").find(f"agent {number}").id
            query = "SELECT said FROM messages WHERE agent = ? AND turn > 0 AND said <> '' ORDER BY seq"
            wrong += [row[0] for row in database.rows(query, agent)] != expected
    return wrong


async def _watched(
    server: Server, lookers: int, memory: Callable[[], float]
) -> tuple[list[int], float, float]:  # fmt: skip
    """So many look on while one agent speaks; returns how many events each was told, how long it took, and memory."""
    from websockets.asyncio.client import connect

    url = f"ws://127.0.0.1:{server.port}/ws"
    loaded = json.dumps({"type": "command", "command": "load_agent", "name": "agent 0"})
    sockets = []
    for _ in range(lookers):
        sockets.append(await connect(url, proxy=None, compression=None))
        await sockets[-1].send(loaded)
        await sockets[-1].recv()

    async def listen(socket: Any) -> int:
        told = 0
        while True:
            told += 1
            if json.loads(await socket.recv())["type"] == "agent_response_end":
                return told

    begun = time.perf_counter()
    listening = [asyncio.create_task(listen(socket)) for socket in sockets]
    await (await _asker(server))("agent 0", "hello")
    told = await asyncio.gather(*listening)
    seconds, more = time.perf_counter() - begun, memory()
    for socket in sockets:
        await socket.close()
    return told, seconds, more
