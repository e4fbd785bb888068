"""`memagent batch` as people and scripts use it: what it says, how it ends, and that a kill costs nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import MEMAGENT, Memagent

from memagent.llm.script_server import ModelServer, serve

KEY = "sk-canary/0123456789abcdef"
posix = pytest.mark.skipif(os.name == "nt", reason="by signal, or in a terminal")

SCRIPT = [
    {"when": "bad", "error": {"status": 400, "message": f"bad request for {KEY}"}},
    {"when": "limit", "times": 1, "error": {"status": 429, "message": "Slow down", "headers": {"Retry-After": "3"}}},
    {"when": "slow (.+)", "text": "{1}", "delay": 0.05},
    {"when": "stuck", "text": "at last", "delay": 30},
    {"when": "(.+)", "text": "You said {1}"},
]


@pytest.fixture
def server(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """A model over HTTP, which the environment names."""
    with serve(SCRIPT) as running:
        ours = {"PROVIDER": "openai", "ENDPOINT": running.url, "API_KEY": KEY, "MODEL": "scripted", "RETRIES": "0"}
        for name, value in ours.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", value)
            environment[f"MEMAGENT_{name}"] = value
        yield running


def write(*texts: str, name: str = "q.jsonl") -> None:
    lines = [{"messages": [{"role": "user", "content": text}], "metadata": {"n": n}} for n, text in enumerate(texts)]
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def results(name: str = "q.results.jsonl") -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in Path(name).read_text().splitlines()), key=lambda r: int(r["line"]))


def said(result: dict[str, Any]) -> str:
    return str(result["response"]["choices"][0]["message"]["content"])


def asked(server: ModelServer) -> list[str]:
    """What came whole: a kill can cut a request on its way."""
    return [json.loads(body)["messages"][0]["content"] for body in server.requests if body.endswith(b"}")]


# What it says ---------------------------------------------------------------------------------------------------------


def test_all_is_well(memagent: Memagent, server: ModelServer) -> None:
    write("one", "two")
    done = memagent("batch", "q.jsonl")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("2 done, 0 failed; ") and "q.results.jsonl" in done.out
    assert [(said(r), r["metadata"]) for r in results()] == [("You said one", {"n": 0}), ("You said two", {"n": 1})]
    again = memagent("batch", "q.jsonl")
    assert again.code == 0 and again.out.startswith("0 done, 0 failed, 2 before; in ")
    assert len(server.requests) == 2


def test_some_fail(memagent: Memagent, server: ModelServer, home: Path) -> None:
    write("one", "bad one", "bad two")
    with Path("q.jsonl").open("a") as file:
        file.write("{nonsense\n")
    done = memagent("batch", "q.jsonl", "-o", "r.jsonl")
    assert done.code == 3
    assert "1 done, 3 failed;" in done.out and "2 × refused, such as: " in done.out
    assert "1 × unfit, such as: q.jsonl, line 4: it is not JSON" in done.out and "--retry-failed" in done.out
    assert memagent("batch", "q.jsonl", "-o", "r.jsonl").code == 3, "they are still failed"
    summary = json.loads(memagent("batch", "q.jsonl", "-o", "r.jsonl", "--retry-failed", "--json").out)
    del summary["seconds"]
    assert summary == {
        "output": "r.jsonl", "done": 0, "failed": 3, "reasons": {"refused": 2, "unfit": 1}, "done_before": 1,
        "failed_before": 0, "tokens": 0, "complete": True,
    }  # fmt: skip
    everything = [path.read_bytes() for path in home.rglob("*") if path.is_file() and path.name != "script.yaml"]
    assert not any(KEY.encode() in content for content in [*everything, done.out.encode(), done.err.encode()])


def test_from_a_pipe(memagent: Memagent, server: ModelServer) -> None:
    write("one", "bad")
    content = Path("q.jsonl").read_bytes()
    done = memagent("batch", "-", "-o", "out.jsonl", stdin=content)
    assert done.code == 3 and "1 done, 1 failed" in done.out
    assert said(results("out.jsonl")[0]) == "You said one"


@posix
def test_a_pipe_is_answered_as_it_comes(environment: dict[str, str], server: ModelServer, home: Path) -> None:
    write("one")
    with subprocess.Popen(
        [*MEMAGENT, "batch", "-", "-o", "out.jsonl"], env=environment, cwd=home, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        process.stdin.write(Path("q.jsonl").read_text())
        process.stdin.flush()
        wait_until(lambda: len(lines_in(home / "out.jsonl")) == 1)
        process.send_signal(signal.SIGINT)  # while it waits for what the pipe does not say
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Interrupted" in out and err == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl can't be read"),
        (["."], "can't be read"),
        (["-"], "--output"),
        (["q.jsonl", "-o", "-"], "standard output"),
        (["q.jsonl", "-o", "q.jsonl"], "holds the requests"),
        (["q.jsonl", "-o", "nowhere/r.jsonl"], "--output"),
        (["q.jsonl", "-o", "script.yaml"], "not a result of memagent batch"),
        (["q.jsonl", "--provider", "scripted"], "has no address"),
        (["q.jsonl", "--rpm", "0"], "'--rpm'"),
        (["q.jsonl", "--parallel", "5000"], "equal to 1000"),
        (["q.jsonl", "--retries", "99"], "from 0 to 20"),
    ],
)
def test_mistakes(memagent: Memagent, server: ModelServer, words: list[str], told: str) -> None:
    write("one")
    done = memagent("batch", *words)
    assert done.code == 2 and told in done.err and done.out == ""
    assert len(done.err.strip().splitlines()) <= 2 and not server.requests
    assert not list(Path().glob("*.results.jsonl"))


def test_what_would_fail_for_all_is_told_once(memagent: Memagent, server: ModelServer) -> None:
    write("one", "two")
    done = memagent("batch", "q.jsonl", "--endpoint", "http://127.0.0.1:9/v1")
    assert done.code == 3 and done.out.startswith("0 done, 0 failed;")
    assert "Nothing answers at 127.0.0.1:9" in done.err and "it goes on from there" in done.err
    assert memagent("batch", "q.jsonl").code == 0 and len(results()) == 2


# How it ends ----------------------------------------------------------------------------------------------------------


def lines_in(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def wait_until(holds: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_cut_midway_each_is_answered_once_in_the_end(
    environment: dict[str, str], server: ModelServer, home: Path, number: int
) -> None:
    texts = [f"slow {n}" for n in range(60)]
    write(*texts)
    command = [*MEMAGENT, "batch", "q.jsonl", "-p", "4"]
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cut:
        wait_until(lambda: len(lines_in(home / "q.results.jsonl")) >= 15)
        cut.send_signal(number)
        out, err = cut.communicate(timeout=20)
    assert b"Traceback" not in err
    assert cut.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]  # type: ignore[index]
    if number == signal.SIGINT:
        assert b"it goes on from there" in out
    kept = {json.loads(line)["line"] for line in lines_in(home / "q.results.jsonl") if line.endswith(b"}")}
    assert 15 <= len(kept) < 60
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done
    assert f"{len(kept)} before" in done.stdout
    assert [(r["line"], said(r), r["metadata"]) for r in results()] == [
        (n + 1, str(n), {"n": n}) for n in range(60)
    ]  # fmt: skip
    times = Counter(asked(server))
    assert all(times[texts[line - 1]] == 1 for line in kept), "what was done was not asked again"
    assert sum(times.values()) <= 60 + 4
    assert not (home / "q.results.jsonl.lock").exists()


@posix
def test_ctrl_c_twice_leaves_at_once(environment: dict[str, str], server: ModelServer, home: Path) -> None:
    write("one", "stuck")
    with subprocess.Popen(
        [*MEMAGENT, "batch", "q.jsonl", "--json"], env=environment, cwd=home,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        wait_until(lambda: len(lines_in(home / "q.results.jsonl")) == 1 and len(server.requests) == 2)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=4)
    assert (process.returncode, err) == (130, b"")
    summary = json.loads(out)
    assert (summary["done"], summary["complete"]) == (1, False)


@posix
@pytest.mark.slow
def test_two_at_once(environment: dict[str, str], server: ModelServer, memagent: Memagent, home: Path) -> None:
    write("one", "stuck")
    with subprocess.Popen([*MEMAGENT, "batch", "q.jsonl"], env=environment, cwd=home) as first:
        wait_until(lambda: len(lines_in(home / "q.results.jsonl")) == 1)
        done = memagent("batch", "q.jsonl")
        assert done.code == 2 and f"Another process writes to q.results.jsonl ({first.pid})" in done.err
        first.kill()


@posix
@pytest.mark.slow
def test_in_a_terminal_it_shows_how_far_it_is(environment: dict[str, str], server: ModelServer, home: Path) -> None:
    from terminal import Terminal

    write(*(f"slow {n}" for n in range(30)), "limit", "bad")
    with Terminal(["batch", "q.jsonl", "-p", "3", "--retries", "2"], environment) as terminal:
        terminal.expect("/32")
        terminal.expect("waiting 3 s: ")
        terminal.expect("31 done, 1 failed")
        assert terminal.ended() == 3
    assert "/s" in terminal.seen and "tokens/min" in terminal.seen
