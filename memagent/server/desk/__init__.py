"""What the page asks of the server, beside the WebSocket: agents and how they are made, what was said, memory to read,
edit and undo, searches, and sources to read. At `/api`.

Knows nothing of how it is shown.
"""

from __future__ import annotations

from fastapi import APIRouter

from memagent.server.desk import agents, knowledge, login, memory, sources, talk

router = APIRouter()
for part in (login, agents, talk, memory, knowledge, sources):
    router.routes.extend(part.router.routes)
