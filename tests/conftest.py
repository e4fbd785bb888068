"""What holds for every test: nothing is timed, nothing waits for a disk, and nothing calls out of this machine."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import postgres_server
import pytest
from hypothesis import HealthCheck, settings

from memagent.storage import sqlite

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if sys.dont_write_bytecode:  # as in many containers: each worker and each process of a test would compile everything
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as there are cores: many tests wait for a process or a connection."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True, scope="session")
def no_call_leaves_this_machine() -> Iterator[None]:
    """A test that needs the network fails at once, also where there is one."""
    connect = socket.socket.connect

    def near_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] != "localhost":
            assert ip_address(address[0].split("%")[0]).is_loopback, f"a test called out, to {address[0]}"
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", near_only)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_disk_is_waited_for() -> Iterator[None]:
    """Tests end processes and never the machine: what was written is there, whether the disk has it yet or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        patch.setattr(sqlite, "SYNCHRONOUS", "OFF")
        yield


@pytest.fixture(autouse=True, scope="session")
def new_databases_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The steps that lead to the newest tables are gone once; each new file begins as a copy of what they led to."""
    first = tmp_path_factory.mktemp("database") / "new.db"
    sqlite.SqliteDatabase(first).close()
    content, steps, made = first.read_bytes(), sqlite.MIGRATIONS, sqlite._make_file

    def copied(path: Path) -> None:
        if sqlite.MIGRATIONS is not steps:  # a test has others
            made(path)
            return
        part = path.with_name(f"{path.name}.{threading.get_ident()}")
        part.touch(0o600)
        part.write_bytes(content)
        try:
            os.link(part, path)  # so nobody finds half of it
        finally:
            part.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "_make_file", copied)
        yield


def pytest_sessionfinish() -> None:
    """A server that tests have started is stopped."""
    postgres_server.stop()
