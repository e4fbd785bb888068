"""The scripted model as a real HTTP server that speaks OpenAI's chat completions: for tests of whole programs.

Streams or not as it is asked, lists its model, and fails in all the ways that a script tells it to. Knows nothing of
which reply fits a request: that is for `memagent.llm.script`.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from memagent.errors import LLMError, UserError
from memagent.llm import Piece, Usage
from memagent.llm.script import Fault, Reply, Script, Seen, look
from memagent.llm.script_file import load_script, read_script

LONGEST_BODY = 64_000_000


class ModelServer:
    """A running server. `url` is what an endpoint is set to; `requests` are the last bodies that came, oldest first."""

    def __init__(self, script: Script, host: str, port: int, model: str, window: int, keep: int) -> None:
        self.requests: deque[bytes] = deque(maxlen=keep)
        try:
            self._server = _Server((host, port), script, self.requests, model, window)
        except OSError as error:
            raise UserError(
                f"Nothing can listen on {host}:{port}: {error.strerror}.", hint="Take another port."
            ) from None
        self.url = f"http://{host}:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop at once: answers that are still being written break off."""
        self._server.hang_up()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(
    script: Script | Sequence[Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    model: str = "scripted",
    window: int = 8192,
    keep: int = 1000,
) -> ModelServer:
    """Serve a script until `close`; port 0 is any free one. Without a script it is the demo."""
    if not isinstance(script, Script):
        script = load_script() if script is None else read_script(list(script))
    return ModelServer(script, host, port, model, window, keep)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], script: Script, requests: deque[bytes], model: str, window: int
    ) -> None:
        self.script, self.requests, self.model, self.window = script, requests, model, window
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        logging.getLogger(__name__).debug("A request from %s broke off.", client_address, exc_info=True)

    def hang_up(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for request in self._open.copy():
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Whoever wants to know what was asked looks at `requests`."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0].endswith("/models"):
            model = {"id": self.server.model, "object": "model", "created": 0, "owned_by": "memagent"}
            self.answer(200, {"object": "list", "data": [{**model, "max_model_len": self.server.window}]})
        else:
            self.refuse(Fault(404, f"There is nothing at {self.path}."))

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > LONGEST_BODY:
            self.close_connection = True
            return self.refuse(Fault(413, "The request is too long."))
        body = self.rfile.read(max(0, length))
        if not self.path.partition("?")[0].endswith("/chat/completions"):
            return self.refuse(Fault(404, f"There is nothing at {self.path}."))
        self.server.requests.append(body)
        try:
            asked = json.loads(body)
            seen = _seen(asked)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            return self.refuse(Fault(400, f"This is not a chat completion request: {error!r}"))
        try:
            reply = self.server.script.reply(seen)
        except LLMError as error:
            return self.refuse(Fault(400, str(error)))
        self.wait(reply.delay)
        if reply.fault and reply.fault.after is None:
            return self.refuse(reply.fault)
        if asked.get("stream"):
            return self.stream(reply, asked)
        if reply.fault and not reply.fault.cut:
            return self.refuse(reply.fault)
        return self.whole(reply, asked)

    def refuse(self, fault: Fault) -> None:
        if fault.body is not None:
            kind = "text/html" if fault.body.lstrip().startswith("<") else "application/json"
            return self.send(fault.status, {"Content-Type": kind, **fault.headers}, fault.body.encode())
        return self.answer(fault.status, _error(fault), fault.headers)

    def answer(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self.send(status, {"Content-Type": "application/json", **(headers or {})}, _packed(body))

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.wfile.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)

    def whole(self, reply: Reply, asked: Mapping[str, Any]) -> None:
        """The reply as one object; half of it where the script cuts it off."""
        body = _packed(_completion(reply, asked))
        head = _head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.close_connection = bool(reply.fault)
        self.wfile.write(head + (body[: len(body) // 2] if reply.fault else body))

    def stream(self, reply: Reply, asked: Mapping[str, Any]) -> None:
        """The reply as events: all in one go, or one after the other where the script sets a pace."""
        framing = {"Connection": "close"} if reply.close else {"Transfer-Encoding": "chunked"}
        events = _events(reply, asked)
        cut = bool(reply.fault and reply.fault.cut)
        self.close_connection = reply.close or cut
        waiting = [_head(200, {"Content-Type": "text/event-stream", **framing})]
        for event in events if reply.pace else filter(None, [b"".join(events)]):
            if reply.pace:
                self.wfile.write(b"".join(waiting))
                self.wait(reply.pace)
                waiting = []
            waiting.append(event if reply.close else b"%x\r\n%b\r\n" % (len(event), event))
        if not (reply.close or cut):
            waiting.append(b"0\r\n\r\n")
        self.wfile.write(b"".join(waiting))

    def wait(self, seconds: float) -> None:
        if seconds and self.server.closing.wait(seconds):
            raise ConnectionAbortedError("the server was closed")


# --- reading a request ---------------------------------------------------------------------------------------------


def _seen(asked: Mapping[str, Any]) -> Seen:
    messages = [(message["role"], _text(message.get("content"))) for message in asked["messages"]]
    choice = asked.get("tool_choice")
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    return look(messages, [tool["function"] for tool in asked.get("tools") or ()], forced)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content or "")


# --- writing a reply -------------------------------------------------------------------------------------------------


def _head(status: int, headers: Mapping[str, Any]) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _packed(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _error(fault: Fault) -> dict[str, Any]:
    message = fault.message or HTTPStatus(fault.status).phrase
    return {"error": {"message": message, "type": "scripted_error", "param": None, "code": fault.code}}


def _completion(reply: Reply, asked: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.thoughts:
        message["reasoning_content"] = reply.thoughts
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(asked, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(reply.calls)
        ]
    choices = [{"index": 0, "message": message, "finish_reason": reply.finish}]
    usage = {"usage": _usage(reply.usage)} if reply.usage else {}
    return {**_frame(asked, "chat.completion"), "choices": choices, **usage}


def _events(reply: Reply, asked: Mapping[str, Any]) -> Iterator[bytes]:
    """Server-sent events: the pieces, why it ended, the usage if it was asked for; up to where the reply fails."""
    frame = _frame(asked, "chat.completion.chunk")

    def event(choices: list[Any], **fields: Any) -> bytes:
        return b"data: " + _packed({**frame, "choices": choices, **fields}) + b"\n\n"

    def choice(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return event([{"index": 0, "delta": delta, "finish_reason": finish}])

    def pieces() -> Iterator[bytes]:
        yield choice({"role": "assistant", "content": None if reply.calls else ""})
        for piece in reply.pieces():
            yield choice(_delta(piece, asked))

    fault = reply.fault
    for number, piece in enumerate(pieces()):
        if fault and number == fault.after:
            break
        yield piece
    if fault:
        if not fault.cut:
            yield b"data: " + _packed(_error(fault)) + b"\n\n"
        return
    if reply.finish:
        yield choice({}, reply.finish)
    if reply.usage and (asked.get("stream_options") or {}).get("include_usage"):
        yield event([], usage=_usage(reply.usage))
    if reply.done:
        yield b"data: [DONE]\n\n"


def _delta(piece: Piece, asked: Mapping[str, Any]) -> dict[str, Any]:
    if piece.kind != "arguments":
        return {"content" if piece.kind == "text" else "reasoning_content": piece.text}
    function: dict[str, Any] = {"arguments": piece.text}
    call: dict[str, Any] = {"index": piece.index, "function": function}
    if not piece.text:  # its first piece
        call |= {"id": _call_id(asked, piece.index), "type": "function"}
        function["name"] = piece.name
    return {"tool_calls": [call]}


def _call_id(asked: Mapping[str, Any], index: int) -> str:
    return f"call_{len(asked['messages'])}_{index}"


def _frame(asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": asked.get("model")}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
