"""Saved indexes of other tools: what LlamaIndex keeps in a folder, and FAISS indexes with their texts beside them.

Nothing is unpickled: a pickle is a program, and would do whatever it was made to do. Knows nothing of what becomes of
the vectors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from memagent.errors import NotFound, UserError
from memagent.sources.arrays import stamp_of, texts_in
from memagent.sources.directory import shown
from memagent.sources.entries import BATCH, Columns, Entry, Store, numbers
from memagent.sources.vectors import EntriesReader

LARGEST_JSON = 4_000_000_000
_AGAIN = "Load its texts with --texts-only, which embeds them again."
_SOURCE = "1"
"""The relation of a LlamaIndex node to the document that it was cut from."""


class SavedIndex(EntriesReader):
    """Reads a folder of LlamaIndex (docstore.json and its vectors), or a FAISS index with its texts in JSON. `model` is
    what made the vectors; with `texts_only` the texts alone are read, to be embedded again.
    """

    kind = "index"

    def __init__(
        self, path: Path, *, texts: Path | str | None = None, text: str = "", model: str = "", texts_only: bool = False
    ) -> None:
        path = path.expanduser().absolute()
        if not path.exists():
            raise NotFound(f"There is no file or folder {str(path)!r}.")
        beside = Path(texts).expanduser().absolute() if texts else None
        super().__init__(_opened(path, beside, Columns(text), texts_only), model, texts_only)


def _opened(path: Path, texts: Path | None, columns: Columns, texts_only: bool) -> Store:
    if path.is_dir() and (path / "docstore.json").is_file():
        return LlamaIndex(path, texts_only)
    if path.is_dir():
        found = sorted([*path.glob("*.faiss"), *path.glob("*.index")])
        if len(found) != 1:
            raise UserError(
                f"{path.name} is no saved index that is known.",
                hint="Known are: folders of LlamaIndex with a docstore.json, and FAISS indexes with their texts.",
            )
        path = found[0]
    return Faiss(path, texts or _beside(path), columns, texts_only)


class LlamaIndex:
    """The nodes of a folder that LlamaIndex has kept."""

    model = ""

    def __init__(self, folder: Path, texts_only: bool) -> None:
        self.name, self.about = shown(folder.name), shown(str(folder))
        documents = folder / "docstore.json"
        vectors = next((path for path in map(folder.joinpath, _VECTOR_FILES) if path.is_file()), None)
        self.stamp = " ".join(stamp_of(path) for path in (documents, vectors) if path)
        nodes = _json(documents).get("docstore/data")
        if not isinstance(nodes, Mapping):
            raise UserError(f"{self.name}/docstore.json is not what LlamaIndex writes.")
        self._nodes: Mapping[str, Any] = nodes
        self._vectors: Mapping[str, Any] = {}
        if not texts_only:
            found = _json(vectors).get("embedding_dict") if vectors else None
            if not isinstance(found, Mapping) or not found:
                raise UserError(
                    f"There are no vectors in {self.about}.",
                    hint=_AGAIN,
                )
            self._vectors = found

    def batches(self) -> Iterator[Sequence[Entry]]:
        """The nodes that have vectors; with the texts only, all of them."""
        wanted = self._vectors or self._nodes
        entries = (self._entry(key) for key in wanted)
        while batch := list(islice(entries, BATCH)):
            yield batch

    def close(self) -> None:
        """Let go of what was read."""
        self._nodes = self._vectors = {}

    def _entry(self, key: str) -> Entry:
        node = self._nodes.get(key)
        data = node.get("__data__") if isinstance(node, Mapping) else None
        data = _json_text(data) if isinstance(data, str) else data
        if not isinstance(data, Mapping):
            return Entry(key, "", self._vectors.get(key, ()))
        resource = data.get("text_resource")
        text = data.get("text") or (resource.get("text") if isinstance(resource, Mapping) else "") or ""
        about = dict(_mapping(data.get("metadata")) or _mapping(data.get("extra_info")))
        source = _mapping(_mapping(data.get("relationships")).get(_SOURCE))
        if source.get("node_id"):
            about.setdefault("title", source["node_id"])
        return Entry(key, str(text), self._vectors.get(key, ()), about)


_VECTOR_FILES = ("default__vector_store.json", "vector_store.json")


def _json(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > LARGEST_JSON:
        raise UserError(f"{path.name} is larger than {LARGEST_JSON // 1_000_000_000} GB.")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        hint = "If it is a FAISS index, load that file itself." if path.name in _VECTOR_FILES else ""
        raise UserError(f"{path.name} can't be read: {error}", hint=hint) from error
    return _mapping(found)


def _json_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


# FAISS ----------------------------------------------------------------------------------------------------------------


def _beside(path: Path) -> Path:
    """The texts of an index, by their usual names."""
    for name in (path.stem, f"{path.stem}_texts", "texts", "documents", "docstore"):
        for end in (".jsonl", ".json"):
            if (found := path.with_name(name + end)).is_file():
                return found
    pickled = [each.name for each in path.parent.iterdir() if each.suffix in (".pkl", ".pickle")]
    if pickled:
        raise UserError(
            f"The texts of {path.name} seem to be in {pickled[0]}, a pickle. A pickle can run any program when it is "
            "read, so it is not.",
            hint="Let the tool that wrote it write the texts as JSON in lines, in order, and name them with --texts.",
        )
    raise UserError(f"Where the texts of {path.name} are is not known.", hint="Name the file, with --texts.")


class Faiss:
    """A FAISS index and the texts in the order of its vectors."""

    model = ""

    def __init__(self, path: Path, texts: Path, columns: Columns, texts_only: bool) -> None:
        if not texts.is_file():
            raise NotFound(f"There is no file {str(texts)!r}.")
        self.name, self.about = shown(path.name), shown(str(path))
        self.stamp = f"{stamp_of(path)} {stamp_of(texts)}"
        self._texts, self._columns = texts, columns
        self._vectors = None if texts_only else _vectors(path)

    def batches(self) -> Iterator[Sequence[Entry]]:
        """Some vectors at a time, with their texts."""
        with ExitStack() as opened:
            entries, count = texts_in(self._texts, self._columns, opened), 0
            while batch := list(islice(entries, BATCH)):
                if self._vectors is None:
                    yield batch
                    continue
                rows = self._vectors[count : count + len(batch)]
                count += len(batch)
                if len(rows) < len(batch):
                    break
                yield [Entry(e.key, e.text, row, e.about) for e, row in zip(batch, rows, strict=True)]
            if self._vectors is not None and count != len(self._vectors):
                said = f"{count} or more" if batch else str(count)
                raise UserError(f"{self.name} has {len(self._vectors)} vectors, but there are {said} texts.")

    def close(self) -> None:
        """Let go of the vectors."""
        self._vectors = None


def _vectors(path: Path) -> Any:
    """The vectors of an index that holds them as they are; others need FAISS itself, if it is there."""
    numpy = numbers()
    with path.open("rb") as file:
        head = file.read(200)
    start = 0
    if head[:4] in (b"IxMp", b"IxM2"):  # around another one, with numbers that were given to the vectors
        start = 37
    size = path.stat().st_size
    if head[start : start + 4] in (b"IxF2", b"IxFI", b"IxFl") and len(head) >= start + 45:
        dimension, count = struct.unpack_from("<iq", head, start + 4)
        (numbers_in,) = struct.unpack_from("<Q", head, start + 37)
        in_bytes = start + 45 + 4 * dimension * count <= size
        if (
            0 < dimension <= 100_000
            and count >= 0
            and in_bytes
            and numbers_in in (dimension * count, 4 * dimension * count)
        ):
            return numpy.memmap(path, "<f4", "r", start + 45, (count, dimension))
    return _by_faiss(path)


def _by_faiss(path: Path) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            f"{path.name} does not hold its vectors as they are.",
            hint="Install faiss-cpu to read it, or load its texts with --texts-only, which embeds them again.",
        ) from error
    try:
        index = faiss.read_index(str(path))
        if hasattr(index, "make_direct_map"):
            index.make_direct_map()
        return index.reconstruct_n(0, index.ntotal)
    except RuntimeError as error:
        raise UserError(
            f"FAISS can't give back the vectors of {path.name}.",
            hint=_AGAIN,
        ) from error
