"""Finds presets, prompts, personas, humans and grammars by name: your own in your home first, then those that are
shipped.

One is one file: `<home>/personas/<name>.txt`, `<home>/presets/<name>.yaml` … A file of yours takes the place of the
shipped one of that name. Knows nothing of agents, and nothing of where home is.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from memagent.config_file import write_whole
from memagent.errors import NotFound, UserError
from memagent.preset import Preset, parse

Kind = Literal["presets", "prompts", "personas", "humans", "grammars"]
Origin = Literal["yours", "shipped"]

MOST_BYTES = 1_000_000
LONGEST_NAME = 64

_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|(COM|LPT)\d)(\..*)?", re.IGNORECASE)
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


class Item(NamedTuple):
    """One text or preset, and where its file is."""

    name: str
    origin: Origin
    path: Path


def check_name(name: str, what: str = "name") -> str:
    """The name in its one spelling, if it is fit for a file, a command line and an address; else a UserError.

    Letters and digits of any script, and between them spaces, - _ and dots. No emoji: many look alike that are not.
    """
    plain = unicodedata.normalize("NFKC", name) if len(name) <= LONGEST_NAME else name
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
    if not plain.strip():
        raise UserError(f"The {what} is empty.", hint="Give it at least one letter or digit.")
    if len(plain) > LONGEST_NAME or len(plain.encode("utf-8", "replace")) > 3 * LONGEST_NAME:
        raise UserError(f"The {what} {shown!r} is too long.", hint=f"Use at most {LONGEST_NAME} characters.")
    if _DEVICES.fullmatch(plain):
        raise UserError(f"The {what} {shown!r} means a device on Windows.", hint="Choose another one.")
    fit = all(char in " -_." or unicodedata.category(char)[0] in "LMN" for char in plain)
    if not fit or _INVISIBLE.search(plain) or not plain[0].isalnum() or plain[-1] in " .":
        raise UserError(
            f"{shown!r} can't be used as a {what}.",
            hint="Use letters and digits, and between them spaces, - _ or dots.",
        )
    return plain


class Library:
    """All presets, prompts, personas, humans and grammars within reach."""

    def __init__(self, home: Path) -> None:
        inside = Path(__file__).parent / "shipped"  # in a source checkout they stand beside the package instead
        shipped = inside if inside.is_dir() else Path(__file__).parent.parent
        self._places: tuple[tuple[Origin, Path], ...] = (("yours", home), ("shipped", shipped))
        self._home = home

    def names(self, kind: Kind) -> list[Item]:
        """Everything of a kind, by name; what you put in the place of a shipped one is listed as yours."""
        return [items[0] for _, items in sorted(self._found(kind).items())]

    def text(self, kind: Kind, key: str) -> str:
        """The text of a prompt, persona, human, grammar, or of a preset's file."""
        return _read(self._item(kind, key).path)

    def preset(self, key: str) -> Preset:
        """A preset, checked: whatever it names of the library is there."""
        item = self._item("presets", key)
        return self._parsed(_read(item.path), item.name, item.path)

    def system_text(self, preset: Preset) -> str:
        """The system prompt of a preset: the prompts it names, one after the other."""
        return "\n\n".join(self.text("prompts", key) for key in preset.system)

    def add(self, kind: Kind, name: str, text: str, *, overwrite: bool = False) -> Path:
        """Store a text of yours; a preset is checked first. Returns its file."""
        name = check_name(name, f"name for a {kind[:-1]}")
        taken = [item for found in self._found(kind).values() for item in found if item.origin == "yours"]
        same = [item for item in taken if item.name.casefold() == name.casefold()]
        if same and not overwrite:
            raise UserError(
                f"You have a {kind[:-1]} {same[0].name!r} already: {same[0].path}", hint="Use another name."
            )
        path = same[0].path if same else self._home / kind / f"{name}{_suffixes(kind)[0]}"
        if kind == "presets":
            self._parsed(text, name, path)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{path.parent} can't be written: {error.strerror}.", hint="Check the disk and its rights."
            ) from error
        write_whole(path, text.rstrip() + "\n")
        return path

    def delete(self, kind: Kind, name: str) -> Path:
        """Delete a text of yours. A shipped one of the same name is seen again afterwards."""
        item = self._item(kind, name)
        if item.origin == "shipped":
            raise UserError(
                f"The {kind[:-1]} {item.name!r} comes with memagent and can't be deleted.",
                hint="Add one of your own under the same name to take its place.",
            )
        try:
            item.path.unlink()
        except OSError as error:
            raise UserError(f"{item.path} can't be deleted: {error.strerror}.") from error
        return item.path

    def _found(self, kind: Kind) -> dict[str, list[Item]]:
        """All files of a kind by name, those that win first."""
        found: dict[str, list[Item]] = {}
        for origin, place in self._places:
            for path in _files(place / kind, _suffixes(kind)):
                try:
                    name = check_name(path.stem)
                except UserError:
                    continue  # a file that nobody can name is none of ours
                found.setdefault(name, []).append(Item(name, origin, path))
        return found

    def _item(self, kind: Kind, key: str) -> Item:
        name = check_name(key, f"name of a {kind[:-1]}")
        found = self._found(kind)
        if name not in found:
            near = get_close_matches(name, found, 1)
            listed = f"There are: {', '.join(sorted(found))}." if found else f"Put one into {self._home}."
            hint = f"Did you mean {near[0]!r}? {listed}" if near else listed
            raise NotFound(f"There is no {kind[:-1]} {name!r}.", hint=hint)
        first, *others = found[name]
        for other in others:
            if other.origin == first.origin:
                raise UserError(f"There are two: {first.path} and {other.path}", hint="Remove or rename one.")
        return first

    def _parsed(self, text: str, name: str, path: Path) -> Preset:
        preset = parse(text, name, path, _read)
        named: list[tuple[str, Kind, str]] = [("system", "prompts", key) for key in preset.system]
        named += [("persona", "personas", preset.persona), ("human", "humans", preset.human)]
        for key, kind, value in named:
            try:
                self._item(kind, value)
            except UserError as error:
                raise type(error)(f"{path}: {key!r}: {error.message}", hint=error.hint) from error
        return preset


def get_system_text(key: str, home: Path) -> str:
    """The text of a system prompt, by name."""
    return Library(home).text("prompts", key)


def get_persona_text(key: str, home: Path) -> str:
    """The text of a persona, by name."""
    return Library(home).text("personas", key)


def get_human_text(key: str, home: Path) -> str:
    """The text of a human, by name."""
    return Library(home).text("humans", key)


def _suffixes(kind: Kind) -> tuple[str, ...]:
    return {"presets": (".yaml", ".yml"), "grammars": (".gbnf",)}.get(kind, (".txt", ".md"))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder} can't be read: {error.strerror}.", hint="Check who may read it.") from error


def _read(path: Path) -> str:
    """A text file, whatever its line ends; without blank space at its end."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.", hint="Check who may read it.") from error
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is too large to be a text for an agent.", hint=f"At most {MOST_BYTES} bytes are read.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip()
