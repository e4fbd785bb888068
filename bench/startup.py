"""What the command line costs in CPU before it does anything, beside an interpreter that does nothing.

User and system time of whole processes, taken in turns, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.model import settings_for
from bench.table import Row, compared

BARS = {"--help": 10.0, "version": 10.0, "list agents": 16.0}
AGENTS = ("Ada", "Bo", "Chidi", "Dora", "Emil")


def measure(quick: bool = False) -> Sequence[Row]:
    """The rows of the table."""
    memagent = Path(sys.executable).with_name("memagent")
    nothing = [sys.executable, "-c", "pass"]
    commands = {words: [str(memagent), *words.split()] for words in BARS}
    with tempfile.TemporaryDirectory() as home:
        _home_with_agents(Path(home))
        environment = _environment(Path(home))
        spent: dict[str, list[float]] = {words: [] for words in ["", *commands]}
        for run in range(6 if quick else 26):  # the first is not counted: it compiles
            for words, command in {"": nothing, **commands}.items():
                seconds = _cpu_of(command, environment, home)
                if run:
                    spent[words].append(1000 * seconds)
    baseline = median(spent.pop(""))
    return [
        compared(f"CPU of memagent {words}", median(times), baseline, BARS[words], against="python -c pass")
        for words, times in spent.items()
    ]


def _environment(home: Path) -> dict[str, str]:
    """That of a user with an installed memagent: pip has compiled all files. Here the first run does it, in home."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MEMAGENT_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, "MEMAGENT_HOME": str(home), "PYTHONPYCACHEPREFIX": str(home / "compiled")}


def _cpu_of(command: Sequence[str], environment: Mapping[str, str], directory: str) -> float:
    """CPU seconds, user and system, of one process from start to end."""
    process = subprocess.Popen(command, env=environment, cwd=directory, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime


def _home_with_agents(home: Path) -> None:
    from memagent.assemble import make_agent, open_database
    from memagent.llm.scripted import ScriptedLLM

    settings = settings_for(home)
    database = open_database(settings)
    for name in AGENTS:
        make_agent(settings, database, name, llm=ScriptedLLM([]))
    database.close()
