"""What holds for every test: nothing is timed, and nothing calls out of this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import postgres_server
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


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


def pytest_sessionfinish() -> None:
    """A server that tests have started is stopped."""
    postgres_server.stop()
