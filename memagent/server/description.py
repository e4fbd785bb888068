"""What the server says of its routes at `/openapi.json`: beside what each takes and answers, which key it needs.

Knows nothing of how that is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from memagent.access import Scope
from memagent.server.callers import Needs

SCHEME = "key"
SCOPE = "x-scope"
"""Where a route says which scope a key must have for it."""


class Described(FastAPI):
    """An application whose description says who may ask for what."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        made = super().openapi()
        schemes = made.setdefault("components", {}).setdefault("securitySchemes", {})
        if SCHEME not in schemes:
            schemes[SCHEME] = {"type": "http", "scheme": "bearer"}
            for path, method, scope in _needed(self):
                if operation := made["paths"].get(path, {}).get(method):
                    operation |= {SCOPE: scope, "security": [{SCHEME: []}]}
        return made


def _needed(app: FastAPI) -> Iterator[tuple[str, str, Scope]]:
    """Path, method and scope of each route that needs a key."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        for scope in _scopes(dependant) if dependant else ():
            yield from ((str(route.path_format), method.lower(), scope) for method in route.methods or ())


def _scopes(dependant: Dependant) -> Iterator[Scope]:
    for each in dependant.dependencies:
        if isinstance(each.call, Needs):
            yield each.call.scope
        yield from _scopes(each)
