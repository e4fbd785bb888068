"""The kinds of files that can be read, and how a file's kind is found: by its name, else by what it begins with.

Each kind is a file beside this one with a function that makes a `Document` of a file's bytes. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from memagent.registry import load
from memagent.sources import Document, Unreadable
from memagent.sources.decode import encoding_of

Format = Callable[[bytes, str], Document]
"""Makes a document of a file's bytes, and its name, which is the title of what has none. Raises `Unreadable`."""

FORMATS = {
    "text": "memagent.sources.formats.plain:document",
    "markdown": "memagent.sources.formats.markdown:document",
}

_BY_NAME = {
    "markdown": ".md .markdown .mdown .mkd .mdx .qmd .rmd",
    "text": ".txt .text .log .rst .adoc .asciidoc .org .tex .srt .vtt .readme .textile .wiki",
}
_KIND_OF = {extension: kind for kind, names in _BY_NAME.items() for extension in names.split()}

_NOT_TEXT = {
    "an image": ".png .jpg .jpeg .gif .bmp .webp .ico .tif .tiff .heic .avif .psd",
    "a sound": ".mp3 .wav .ogg .flac .m4a .aac .opus .mid",
    "a video": ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg",
    "an archive": ".zip .gz .tgz .bz2 .xz .7z .rar .tar .zst .jar .whl .iso .dmg",
    "a font": ".ttf .otf .woff .woff2 .eot",
    "a program": ".exe .dll .so .dylib .o .a .lib .bin .class .pyc .pyo .wasm .msi .deb .rpm .apk",
    "a database": ".db .sqlite .sqlite3 .mdb",
    "a model or data for programs": ".npy .npz .pkl .pickle .pt .pth .onnx .gguf .safetensors .parquet .faiss .h5",
}
_WHAT = {extension: what for what, names in _NOT_TEXT.items() for extension in names.split()}


def kind_of(name: str, head: bytes) -> str:
    """The kind of a file, by its name or by its first bytes; raises `Unreadable` when it is none that is read."""
    extension = PurePath(name).suffix.lower()
    if extension in _KIND_OF:
        return _KIND_OF[extension]
    if extension in _WHAT:
        raise Unreadable(f"is {_WHAT[extension]}")
    encoding_of(head)  # tells if it is none
    return "text"


def format_of(kind: str) -> Format:
    """The function that reads this kind."""
    found: Format = load(FORMATS[kind])
    return found
