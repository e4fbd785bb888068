"""CHARX: a zip with a card and the files that belong to it, read with limits and written.

Nothing is ever unpacked to the disk: a name in the zip is only a name. Knows nothing of what the card says.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from memagent.bridges.cards.written import LARGEST_JSON
from memagent.errors import UserError

CARD = "card.json"
MOST_FILES = 2_000
LARGEST_FILE = 50_000_000
LARGEST_WHOLE = 100_000_000
_PACKED_ALREADY = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".mp3", ".ogg", ".mp4", ".webm", ".zip")


def files(data: bytes, where: str) -> dict[str, bytes]:
    """The files in a zip by their names, the card among them; those with names that lead elsewhere are left out."""
    found: dict[str, bytes] = {}
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            listed = [info for info in archive.infolist() if not info.is_dir()]
            if len(listed) > MOST_FILES:
                raise UserError(f"{where} has more than {MOST_FILES:,} files in it; a character needs fewer.")
            if CARD not in archive.namelist():
                raise UserError(f"{where} is not a character card: there is no {CARD} in it.")
            room = LARGEST_WHOLE
            for info in listed:
                if stays_inside(info.filename):
                    found[info.filename] = _read(archive, info, room, where)
                    room -= len(found[info.filename])
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{where} is a broken or protected file: {error}.", hint="Get it again.") from error
    return found


def stays_inside(name: str) -> bool:
    """Whether a name is one within a folder: nothing that leads out of it, or to a place of its own."""
    steps = name.replace("\\", "/").split("/")
    return all(step not in ("", ".", "..") for step in steps) and ":" not in name and "\0" not in name


def _read(archive: ZipFile, info: ZipInfo, room: int, where: str) -> bytes:
    """One file, as long as it does not unfold into too much: what it says of its size is not believed."""
    most = min(LARGEST_JSON if info.filename == CARD else LARGEST_FILE, room)
    with archive.open(info) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UserError(f"{where}: {info.filename[:60]!r} in it unfolds to more than {most // 1_000_000} MB.")
    return data


def archive(held: Mapping[str, bytes]) -> bytes:
    """A zip of these files, the same for the same files."""
    written = io.BytesIO()
    with ZipFile(written, "w") as zipped:
        for name, data in held.items():
            info = ZipInfo(name)
            info.compress_type = ZIP_STORED if name.lower().endswith(_PACKED_ALREADY) else ZIP_DEFLATED
            zipped.writestr(info, data)
    return written.getvalue()
