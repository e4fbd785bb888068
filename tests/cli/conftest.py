"""What the tests of the command line share: a home of their own, and `memagent` run in it."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import SCRIPT, Done

from memagent.cli import choosing
from memagent.cli.app import main
from memagent.llm import discovery


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "script.yaml").write_text(SCRIPT)
    return home


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a user whose model is a script; they hold in this process too."""
    for name in list(os.environ):
        if name.startswith(("MEMAGENT_", "OPENAI_", "AZURE_OPENAI_")):
            monkeypatch.delenv(name)
    for name, value in {
        "MEMAGENT_HOME": str(home),
        "MEMAGENT_PROVIDER": "scripted",
        "MEMAGENT_SCRIPT": str(home / "script.yaml"),
        "MEMAGENT_EMBEDDER": "off",
        "HOME": str(home),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(discovery, "KINDS", {})  # whatever runs on this machine is none of the tests' business
    monkeypatch.setattr(choosing, "RUNNER", "no_such_module")
    monkeypatch.chdir(home)
    return dict(os.environ)


@pytest.fixture
def memagent(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """Run `memagent` in this process: where nobody sits at a terminal, with `stdin` piped in."""
    before = signal.getsignal(signal.SIGTERM)
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level

    def run(*words: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["memagent", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    yield run
    signal.signal(signal.SIGTERM, before)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
