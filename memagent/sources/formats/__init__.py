"""The kinds of files that can be read, and how a file's kind is found: by its name, else by what it begins with.

Each kind is a file beside this one with a function that makes a `Document` of a file's bytes. Knows nothing of folders.
"""

from __future__ import annotations

import re
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
    "code": "memagent.sources.formats.code:document",
    "html": "memagent.sources.formats.html:document",
    "pdf": "memagent.sources.formats.pdf:document",
    "docx": "memagent.sources.formats.docx:document",
    "csv": "memagent.sources.formats.table:document",
    "json": "memagent.sources.formats.json_text:document",
    "jsonl": "memagent.sources.formats.json_text:lines",
    "notebook": "memagent.sources.formats.notebook:document",
    "mail": "memagent.sources.formats.mail:document",
    "mailbox": "memagent.sources.formats.mail:mailbox",
}
HARMLESS = frozenset({"text", "markdown", "code"})
"""Kinds that nothing can go wrong with: they are read in this process, all others apart."""
SEPARATORS = {"text": b"\n", "code": b"\n", "csv": b"\n", "jsonl": b"\n", "mailbox": b"\nFrom "}
"""Kinds that can be read piece by piece when they are very large, and where such a piece may begin."""

_BY_NAME = {
    "markdown": ".md .markdown .mdown .mkd .mdx .qmd .rmd",
    "text": ".txt .text .log .rst .adoc .asciidoc .org .tex .srt .vtt .textile .wiki .ini .cfg .conf .toml "
    ".yaml .yml .xml",
    "html": ".html .htm .xhtml .shtml",
    "pdf": ".pdf",
    "docx": ".docx .docm",
    "csv": ".csv .tsv .tab",
    "json": ".json .geojson .jsonld .webmanifest",
    "jsonl": ".jsonl .ndjson .jsonlines",
    "notebook": ".ipynb",
    "mail": ".eml",
    "mailbox": ".mbox .mbx",
    "code": ".py .pyi .pyx .js .mjs .cjs .jsx .ts .tsx .c .h .cc .cpp .cxx .hpp .hh .hxx .cs .java .kt .kts .scala "
    ".groovy .go .rs .rb .php .swift .m .mm .dart .lua .pl .pm .r .jl .ex .exs .erl .hs .ml .mli .fs .clj .cljs .el "
    ".lisp .scm .sh .bash .zsh .fish .ps1 .sql .vue .svelte .css .scss .less .zig .nim .v .sv .vhd .proto .graphql .tf "
    ".gradle .cu .glsl .asm .s .f90 .pas .vb .d .cr .sol",
}
_KIND_OF = {extension: kind for kind, names in _BY_NAME.items() for extension in names.split()}

_NOT_TEXT = {
    "an image": ".png .jpg .jpeg .gif .bmp .webp .ico .tif .tiff .heic .avif .psd .svg .eps",
    "a sound": ".mp3 .wav .ogg .flac .m4a .aac .opus .mid",
    "a video": ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg",
    "an archive": ".zip .gz .tgz .bz2 .xz .7z .rar .tar .zst .jar .whl .iso .dmg .epub",
    "an older or other office document: save it as docx or PDF": ".doc .odt .rtf .ppt .pptx .odp .pages .key",
    "a spreadsheet: save it as CSV": ".xls .xlsx .ods .numbers",
    "a font": ".ttf .otf .woff .woff2 .eot",
    "a program": ".exe .dll .so .dylib .o .a .lib .bin .class .pyc .pyo .wasm .msi .deb .rpm .apk",
    "a database: load it with `memagent load database`": ".db .sqlite .sqlite3",
    "data for programs": ".npy .npz .pkl .pickle .pt .pth .onnx .gguf .safetensors .parquet .arrow .faiss .h5 .mdb",
}
_WHAT = {extension: what for what, names in _NOT_TEXT.items() for extension in names.split()}

_BEGINNINGS = (
    (re.compile(rb"[\s\S]{0,1000}?%PDF-\d"), "pdf"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--[\s\S]{0,500}?-->\s*)?<(?:!doctype\s+html|html)\b", re.I), "html"),
    (re.compile(rb"From [^\n]*\d\d:\d\d"), "mailbox"),
    (re.compile(rb"#!"), "code"),
)
_MAGIC = ((b"\x89PNG", "an image"), (b"\xff\xd8\xff", "an image"), (b"GIF8", "an image"), (b"\x1f\x8b", "an archive"),
          (b"PK\x03\x04", "an archive"), (b"\x7fELF", "a program"), (b"SQLite format 3\0", "a database"))  # fmt: skip


def kind_of(name: str, head: bytes) -> str:
    """The kind of a file, by its name or by its first bytes; raises `Unreadable` when it is none that is read."""
    extension = PurePath(name).suffix.lower()
    if extension in _WHAT:
        raise Unreadable(f"is {_WHAT[extension]}")
    kind = _KIND_OF.get(extension, "")
    if kind in ("pdf", "docx"):
        return kind
    if head.startswith(b"%PDF-"):
        return "pdf"
    if head.startswith(b"PK\x03\x04") and b"word/" in head:
        return "docx"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise Unreadable(f"is {what}")
    encoding_of(head)  # tells if it is no text
    if kind:
        return kind
    return next((found for beginning, found in _BEGINNINGS if beginning.match(head)), "text")


def format_of(kind: str) -> Format:
    """The function that reads this kind."""
    found: Format = load(FORMATS[kind])
    return found
