"""What tests of torture share: disks of their own, for processes that are to find them full or closed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is one: what is killed is the process and not the machine."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def mounts(tmp_path: Path) -> tuple[str, ...]:
    """What stands before a command that may mount disks of its own, which are gone when it ends."""
    try:
        tried = subprocess.run(
            [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True, text=True, timeout=20
        )
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here to mount a small disk with")
    if tried.returncode:
        pytest.skip(f"no disk may be mounted here: {tried.stderr.strip()}")
    return OWN_MOUNTS
