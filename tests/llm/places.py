"""Places to fetch a model from: a hub on this machine, and a package index of wheels made here; and a small model."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import random
import re
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memagent.llm.store import Hub, Model, Place, Wheels

PIECE = 40_000
FACTS = {"general.architecture": "tiny", "general.name": "Tiny", "tiny.context_length": 2048}


def gguf(pairs: dict[str, Any] | None = None, tail: int = 0) -> bytes:
    """A model file with these facts in its head, and some bytes after it."""
    facts = (
        {"general.architecture": "tiny", "general.name": "Tiny", "tiny.context_length": 2048}
        if pairs is None
        else pairs
    )
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, len(facts))
    for key, value in facts.items():
        head += text(key) + written(value)
    return head + random.Random(7).randbytes(tail)


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def written(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return struct.pack("<IIQ", 9, 5, len(value)) + b"".join(struct.pack("<i", item) for item in value)


DATA = gguf(tail=5 * PIECE)


def sums(data: bytes = DATA) -> tuple[str, ...]:
    return tuple(hashlib.sha256(data[at : at + PIECE]).hexdigest() for at in range(0, len(data), PIECE))


def model(*places: Place, data: bytes = DATA, pieces: bool = True, name: str = "tiny") -> Model:
    whole = hashlib.sha256(data).hexdigest()
    more = (PIECE, sums(data)) if pieces else (0, ())
    return Model(name, "Tiny", "MIT", 2048, len(data), whole, places, *more)


class HubServer(http.server.ThreadingHTTPServer):
    """A hub with one file. `mode` is how it behaves: it is taken from the front of `modes`, the last one stays."""

    def __init__(self, data: bytes, modes: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.modes = modes
        self.asked: list[str] = []
        self.daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asks may be killed while it is answered."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def place(self) -> Hub:
        return Hub(f"{self.address}/ann/tiny-GGUF/resolve/main/tiny-q4_k_m.gguf")


class _Handler(http.server.BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        data = self.server.data
        if self.path.startswith("/api/models/"):
            return self._send(200, json.dumps(described(data)).encode(), "application/json")
        if self.path.startswith("/cdn"):
            return self._file(data, "ok")
        mode = self.server.modes.pop(0) if len(self.server.modes) > 1 else self.server.modes[0]
        self.server.asked.append(self.headers.get("Range", ""))
        if mode.isdigit():
            return self._send(int(mode), b"no")
        if mode == "html":
            return self._send(200, b"<html>Log in to this network</html>" * 9000, "text/html")
        if mode == "page":
            return self._send(200, b"<html>Log in to this network</html>".ljust(len(data)), "application/octet-stream")
        if mode == "silent":
            time.sleep(30)
            return None
        if mode == "redirect":
            self.send_response(302)
            self.send_header("Location", f"{self.server.address}/cdn/file")
            self.end_headers()
            return None
        if mode == "wrong":
            data = data[:PIECE] + bytes([data[PIECE] ^ 1]) + data[PIECE + 1 :]
        return self._file(data, mode)

    def _file(self, data: bytes, mode: str) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked and mode != "no range" else 0
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        rest = data[begin:]
        if mode == "cut":
            rest = rest[: PIECE + 5000]
        for at in range(0, len(rest), 8000):
            self.wfile.write(rest[at : at + 8000])
            self.wfile.flush()
            if mode == "slow":
                time.sleep(0.05)
        if mode == "cut":
            self.close_connection = True

    def _send(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def described(data: bytes) -> dict[str, Any]:
    """What a hub tells of a repository."""
    file = {"lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    names = ("tiny-q8_0.gguf", "tiny-q4_k_m.gguf", "tiny-fp16-00001-of-00002.gguf", "../../q6_k.gguf", "q6_k\x1b.gguf")
    return {
        "siblings": [3, {"rfilename": "README.md"}, *({"rfilename": name, **file} for name in names)],
        "tags": ["gguf", "license:mit"],
        "gguf": {"context_length": 2048},
    }


@contextmanager
def hub(*modes: str, data: bytes = DATA) -> Iterator[HubServer]:
    server = HubServer(data, list(modes) or ["ok"])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# A package index -----------------------------------------------------------------------------------------------------

WHEELS = Wheels("tiny-model-part{part}", "1.0", "tiny_model_part{part}/data/part{part:02}.bin")


def index(folder: Path, data: bytes = DATA, damaged: int = 0) -> Path:
    """A package index of wheels, each with a piece of the data; the piece of that number is another one."""
    for number in range(1, len(sums(data)) + 1):
        piece = data[(number - 1) * PIECE : number * PIECE]
        if number == damaged:
            piece = piece[:-1] + bytes([piece[-1] ^ 1])
        _wheel(folder / f"tiny-model-part{number}", number, piece)
    return folder


def _wheel(folder: Path, number: int, piece: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    package = f"tiny_model_part{number}"
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}/data/part{number:02}.bin": piece,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-model-part{number}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = ("".join(lines) + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(folder / f"{package}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder as a package index, over HTTP."""

    def handler(*args: Any, **kwargs: Any) -> _Quiet:
        return _Quiet(*args, directory=str(folder), **kwargs)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
