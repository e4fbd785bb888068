"""A program that speaks MCP by hand, over its standard input and output, and does whatever a bad server might do.

Its tools stand in a JSON file, its only argument, so that a test can change them while it runs.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TOOLS = [
    {
        "name": name,
        "description": about,
        "inputSchema": {"type": "object", "properties": parts, "required": list(parts)},
    }
    for name, about, parts in (
        ("echo", "Says it again.", {"text": {"type": "string", "description": "What."}}),
        ("die", "Dies.", {}),
        ("hang", "Never answers.", {}),
        ("flood", "Says much.", {}),
        ("endless", "Never comes to an end.", {}),
        ("rubbish", "Says rubbish, and then something.", {}),
        ("nonsense", "Answers in no form.", {}),
        ("refuse", "Says no.", {}),
        ("variables", "Tells its variables.", {}),
        ("picture", "Shows a picture.", {}),
        ("number", "Tells its process.", {}),
    )
]


def say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def text(said: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": said}]}


def call(name: str, arguments: dict[str, str]) -> object:
    if name == "die":
        os._exit(3)
    if name == "hang":
        time.sleep(1000)
    if name == "endless":
        while True:
            sys.stdout.write("x" * 1_000_000)
    if name == "rubbish":
        for line in ("not JSON", "{half", "[]", '{"jsonrpc": "2.0", "id": 987654, "result": {}}', "\x00\xff", ""):
            sys.stdout.write(line + "\n")
    picture = {"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}
    results = {
        "flood": text("x" * 10_000_000),
        "rubbish": text("at last"),
        "nonsense": {"content": "no list"},
        "refuse": {**text("not today"), "isError": True},
        "variables": {**text(json.dumps(dict(os.environ))), "structuredContent": dict(os.environ)},
        "picture": {"content": [picture, {"type": "text", "text": "of a cat"}]},
        "number": text(str(os.getpid())),
    }
    return results.get(name) or text(str(arguments.get("text")))


def answer(method: str, asked: dict[str, object]) -> object:
    if method == "initialize":
        info = {"name": "by hand", "version": "1"}
        capabilities = {"tools": {"listChanged": True}}
        return {"protocolVersion": asked["protocolVersion"], "capabilities": capabilities, "serverInfo": info}
    if method == "tools/list":
        return {"tools": json.loads(Path(sys.argv[1]).read_text())}
    if method == "tools/call":
        return call(str(asked["name"]), dict(asked.get("arguments") or {}))  # type: ignore[call-overload]
    return None


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        if "old" in sys.argv and asked["method"] == "server/discover":
            sys.exit("what is that?")
        result = answer(asked["method"], asked.get("params", {}))
        if result is None:
            say({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "unknown"}})
        else:
            say({"jsonrpc": "2.0", "id": asked["id"], "result": result})
        if (changed := Path(sys.argv[1] + ".new")).exists():
            changed.replace(sys.argv[1])
            say({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})


if __name__ == "__main__":
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "1000"])
        Path(sys.argv[1] + ".child").write_text(f"{os.getpid()} {child.pid}")
    main()
    if "stubborn" in sys.argv:
        time.sleep(1000)
