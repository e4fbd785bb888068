"""The line to a text server: where it is, by its kind and by what people write for its address.

Knows nothing of what is asked.
"""

from __future__ import annotations

from memagent.endpoints.address import address, checked_key, root
from memagent.endpoints.failures import Endpoint
from memagent.endpoints.line import Line
from memagent.llm.servers import TextServer


def line_to(
    server: TextServer, model: str = "", *, base_url: str = "", api_key: str | None = None, timeout: float = 180.0,
    key_name: str = "MEMAGENT_API_KEY",
) -> Line:  # fmt: skip
    """The line to a server of this kind; on this machine, at its usual port, where no address is given."""
    url, login = address(base_url or f"http://127.0.0.1:{server.port}")
    key = checked_key(api_key, key_name)
    kind = f"a server of {server.title}'s kind"
    return Line(
        Endpoint(
            root(url), model, key, key_name, timeout, login=login, kind=kind, title=server.title, start=server.start
        )
    )
