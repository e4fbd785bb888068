"""The page itself: a handful of files, served as they are. There is nothing to build, and nothing is loaded from
elsewhere.

Knows nothing of what the page does.
"""

from __future__ import annotations

from functools import cache
from gzip import compress
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from memagent.server.callers import open_to_all
from memagent.server.problems import Refused

router = APIRouter(include_in_schema=False, dependencies=[Depends(open_to_all)])
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may load and do: less than what holds for the rest of the server. No text can become an element."""
QUIET = {"x-dns-prefetch-control": "off", "permissions-policy": "camera=(), geolocation=(), microphone=()"}
"""Without the first, a browser looks up the hosts of links that nobody has clicked."""
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@router.get("/")
async def page(request: Request) -> Response:
    """The page."""
    return _sent(request, "index.html")


@router.get("/docs")
async def reference(request: Request) -> Response:
    """The reference of all routes."""
    return _sent(request, "reference.html")


@router.get("/ui/{name}")
async def part(request: Request, name: str) -> Response:
    """A file of the page."""
    return _sent(request, name)


def _sent(request: Request, name: str) -> Response:
    if name not in _names():
        raise Refused(404, "Not Found")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    content, mark = _content(name, packed)
    headers = {"vary": "accept-encoding"} | ({"content-encoding": "gzip"} if packed else {})
    headers |= {"etag": mark, "cache-control": "no-cache", "content-security-policy": POLICY, **QUIET}
    if request.headers.get("if-none-match") == mark:
        return Response(status_code=304, headers=headers)
    kind = KINDS[name.rpartition(".")[2]]
    return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)


@cache
def _names() -> frozenset[str]:
    return frozenset(each.name for each in files("memagent.server").joinpath("ui").iterdir())


@cache
def _content(name: str, packed: bool) -> tuple[bytes, str]:
    content = files("memagent.server").joinpath("ui", name).read_bytes()
    if packed:
        content = compress(content, mtime=0)
    return content, f'"{sha256(content).hexdigest()[:16]}"'
