"""What a request of a batch costs, beside a bare loop with the same HTTP library: same server, same requests.

Ours reads the requests from a file, and writes each result to one; the loop has its requests ready and only reads the
answers. It is written as people write it, with one client for all; a second row has a client for each that is under
way, which is quicker when there are many. The server is a process of its own and takes a tenth of a second to answer,
so that as many are under way as there may be.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from bench.table import Row, compared

DELAY = 0.1
BAR = 1.5
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes. " * 40}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140},
    }
).encode()  # fmt: skip


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    rows: list[Row] = []
    with _server() as url, tempfile.TemporaryDirectory() as folder:
        for parallel, number in ((50, 500), (500, 2000)):
            requests = [_question(n) for n in range(number)]
            ways = [
                partial(_ours, url, requests, parallel, Path(folder)),
                partial(_loop, url, requests, parallel, own=False),
                partial(_loop, url, requests, parallel, own=True),
            ]
            spent = [[_spent(way) for way in ways] for _ in range(2 if quick else 5)]
            cpu = [1000 * median(run[i][0] for run in spent) / number for i in range(3)]
            passed = [number / median(run[i][1] for run in spent) for i in range(3)]
            what = f"CPU of a request in a batch, {parallel} at once"
            rows += [
                compared(what, cpu[0], cpu[1], BAR, against="asyncio and httpx2"),
                compared(what, cpu[0], cpu[2], None, against="a client each"),
                compared(f"requests a second, {parallel} at once", passed[0], passed[1], None, unit="/s"),
            ]
    return rows


def _question(number: int) -> bytes:
    text = f"Is {number} a number? " + "Think about it. " * 10
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


def _spent(work: Callable[[], None]) -> tuple[float, float]:
    """CPU of this process, all threads, and time."""
    cpu, start = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - start


def _ours(url: str, requests: Sequence[bytes], parallel: int, folder: Path) -> None:
    """As the command does it, but for the bar."""
    from memagent.config import Settings
    from memagent.llm.batch import Limits, door_to, run_batch
    from memagent.llm.batch.lines import Lines
    from memagent.llm.batch.results import Results

    (folder / "q.jsonl").write_bytes(b"\n".join(requests))
    target = folder / "r.jsonl"
    target.unlink(missing_ok=True)
    limits = Limits(parallel, rpm=10_000_000, tpm=10_000_000_000)
    with (folder / "q.jsonl").open("rb") as file, Results(target) as results:
        lines = Lines(file, "q.jsonl", "", results.done)
        ending = run_batch(lines, door_to(Settings(endpoint=url, api_key="none")), limits, results.add)
        results.tidy(lines.number)
    assert not ending.stopped
    assert target.read_bytes().count(b'"error":null') == len(requests)


def _loop(url: str, requests: Sequence[bytes], parallel: int, *, own: bool) -> None:
    asyncio.run(_asked(url, requests, parallel, own))


async def _asked(url: str, requests: Sequence[bytes], parallel: int, own: bool) -> None:
    import httpx2

    limits = httpx2.Limits(max_connections=parallel, max_keepalive_connections=parallel)
    context = httpx2.create_ssl_context()
    headers = {"Content-Type": "application/json"}
    left, answers = iter(requests), []

    def client() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(limits=limits, verify=context, timeout=60, headers=headers)

    async def work(client: httpx2.AsyncClient) -> None:
        for body in left:
            response = await client.post(f"{url}/chat/completions", content=body)
            answers.append(response.json()["choices"][0]["message"]["content"])

    clients = [client() for _ in range(parallel if own else 1)]
    await asyncio.gather(*(work(clients[n % len(clients)]) for n in range(parallel)))
    for each in clients:
        await each.aclose()
    assert len(answers) == len(requests)


# The server -----------------------------------------------------------------------------------------------------------


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.batch"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    ) as server:
        assert server.stdout and server.stdin
        yield server.stdout.readline().strip()
        server.kill()


class _Connection(asyncio.Protocol):
    """Answers every request with the same, a little later. It reads just what the length says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, found, body = self._unread.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]) if found else 0
        if found and len(body) >= length:
            self._unread = body[length:]
            asyncio.get_running_loop().call_later(DELAY, self._answer)

    def _answer(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
        self._transport.write(head + ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
