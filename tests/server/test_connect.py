"""`memagent connect`: a chat with an agent of a server, from a pipe and in a real terminal."""

from __future__ import annotations

import subprocess
import sys

from serving import Serving, environment

PROGRAM = [sys.executable, "-c", "from memagent.cli.app import program; program()"]


def connected(server: Serving, *words: str, typed: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "connect", server.address, *words], input=typed, capture_output=True, text=True, timeout=30,
        env=environment(server.home, **variables), cwd=server.home,
    )  # fmt: skip


def test_a_chat_from_a_pipe(server: Serving) -> None:
    shown = connected(
        server, "--agent", "ada", "--new", typed="hello\nnote I like tea\nfail\n/help\nmore\n/exit\nnever said\n"
    )
    assert shown.returncode == 0, shown.stderr
    for words in ("echo hello", "Noted: I like tea", "no way", "echo more"):
        assert words in shown.stdout, words
    assert "never said" not in shown.stdout and "echo /help" not in shown.stdout and "no command /help" in shown.stdout
    assert "I like tea" in server.rows("SELECT value FROM blocks WHERE label = 'human'")[0][0]


def test_mistakes_are_told_in_a_line(server: Serving) -> None:
    nobody = connected(server, "--agent", "bob")
    assert (
        (nobody.returncode, nobody.stdout) == (3, "") and "no agent 'bob'" in nobody.stderr and "--new" in nobody.stderr
    )
    server.agent("ada")
    key = server.key()
    closed = connected(server, "--agent", "ada")
    assert closed.returncode == 2 and "MEMAGENT_SERVER_KEY" in closed.stderr
    opened = connected(server, "--agent", "ada", typed="hello\n", MEMAGENT_SERVER_KEY=key)
    assert "echo hello" in opened.stdout
    gone = subprocess.run(
        [*PROGRAM, "connect", "http://127.0.0.1:9"], capture_output=True, text=True, env=environment(server.home),
        cwd=server.home, timeout=30,
    )  # fmt: skip
    assert gone.returncode == 3 and "memagent server" in gone.stderr and "Traceback" not in gone.stderr


def test_a_call_is_allowed_from_afar(server: Serving) -> None:
    server.agent("bob", preset="extras")
    shown = connected(server, "--agent", "bob", typed="fetch\nn\n")
    assert "http_request" in shown.stdout and "did not allow" in shown.stdout
