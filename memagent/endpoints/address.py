"""Addresses and keys as people write them, checked before anything is sent; and whose certificates to trust.

Knows nothing of what is asked there.
"""

from __future__ import annotations

import re
import ssl
from functools import cache
from urllib.parse import unquote, urlsplit

from memagent.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
_DOOR = re.compile(r"(/api)?(/v1)?/*$")


def address(url: str) -> tuple[str, str]:
    """The URL, if it is one, and the name and password in it: apart, for URLs get into logs."""
    try:
        found = urlsplit(url.strip())
        whole = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        whole = False
    if not whole or found.query or found.fragment or " " in found.netloc:
        raise ConfigError(
            "The address of the model's endpoint is not a URL that can be asked.",
            hint="It looks like http://localhost:8080/v1 or https://host.example/v1, with nothing after the path.",
        )
    login, _, host = found.netloc.rpartition("@")
    return found._replace(netloc=host).geturl().rstrip("/"), unquote(login)


def root(url: str) -> str:
    """The address of a server without the door that people write behind it, as for other programs."""
    return _DOOR.sub("", url)


def checked_key(key: str | None, name: str) -> str:
    """The key without the line feed or blanks that came along when it was pasted."""
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(
            "The API key has characters in it that no key has.", hint=f"Look at {name}: was it copied whole?"
        )
    return key


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates to trust: read once, for it takes a while and some megabytes."""
    import httpx2

    return httpx2.create_ssl_context()
