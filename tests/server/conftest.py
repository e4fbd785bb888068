"""What the tests of the server share: a real one on a free port, with a home of its own and a scripted model.

`server` is one in this process. `serving.in_a_process(home)` is one that can be killed, `serving.served(home, …)` one
with settings of its own. All of them hand out `serving.Serving`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Serving, environment, make_home, served


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, which this process uses too."""
    home = make_home(tmp_path / "home")
    for name in set(os.environ) - set(environment(home)):
        monkeypatch.delenv(name)
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def server(home: Path) -> Iterator[Serving]:
    """A server in this process, without agents or keys."""
    with served(home) as serving:
        yield serving
