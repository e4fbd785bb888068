"""Who may ask what: every route against every kind of key, and one key wherever it may stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts
from serving import Serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from memagent.access import SCOPES, Keys
from memagent.assemble import local_time
from memagent.bridges.socket.wire import KEY as PROTOCOL
from memagent.server import limits, websocket
from memagent.server.callers import COOKIE, Needs, open_to_all

OPEN = {"/openapi.json"}
"""What FastAPI itself serves: it tells of the routes and of nobody's agents."""
WRONG = f"ma-{'0' * 12}-{'x' * 43}"
SECRET = "Likes tea above all."


def policies(dependant: Dependant) -> Iterator[Any]:
    """What a route says of who may ask it."""
    for each in dependant.dependencies:
        if isinstance(each.call, Needs) or each.call is open_to_all:
            yield each.call
        yield from policies(each)


def routes(server: Serving) -> list[RouteContext]:
    """All that can be asked for, but for what FastAPI itself serves."""
    assert server.app
    found = [route for route in iter_route_contexts(server.app.routes) if route.path not in OPEN]
    assert all(isinstance(route.original_route, APIRoute | APIWebSocketRoute) for route in found)
    return found


def is_socket(route: RouteContext) -> bool:
    return isinstance(route.original_route, APIWebSocketRoute)


def needs(route: RouteContext) -> str:
    """The scope that a route needs; empty if it needs no key."""
    return next((call.scope for call in policies(route.dependant) if isinstance(call, Needs)), "")


def asked(server: Serving, route: RouteContext, key: str, ids: dict[str, str]) -> Iterator[tuple[str, httpx2.Response]]:
    """Every method of a route, asked with a key."""
    client, path = server.http(key), str(route.path)
    path = re.sub(r"{(\w+)(:\w+)?}", lambda found: ids.get(found[1], ids[""]), path)
    for method in sorted(route.methods or ()):
        body = {} if method in ("GET", "HEAD", "DELETE") else {"json": {}}
        yield f"{method} {route.path}", client.request(method, path, **body)


def socket(server: Serving, path: str, key: str = "", protocol: str = "", **headers: str) -> ClientConnection:
    more = {"authorization": f"Bearer {key}"} if key else {}
    address = server.address.replace("http", "ws") + path
    subprotocols: Any = [protocol, "memagent"] if protocol else None
    return connect(address, additional_headers={**more, **headers}, subprotocols=subprotocols, proxy=None)


def test_every_route_says_who_may_ask_it(server: Serving) -> None:
    without = [route.path for route in routes(server) if len(list(policies(route.dependant))) != 1]
    assert without == [], "each needs exactly one of Needs(…) and open_to_all"
    assert len(routes(server)) >= 5


def test_no_key_a_wrong_one_and_one_that_was_revoked_open_nothing(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRIES", 10_000)
    server.key("good")
    revoked, ids = server.key("bad"), {"": server.agent()}
    Keys(server.database, local_time).revoke("local", "bad")
    for key in ("", WRONG, revoked, "something", "ma-", "ma-0-0"):
        for route in routes(server):
            if not needs(route):
                continue
            if is_socket(route):
                with pytest.raises(InvalidStatus) as refused:
                    socket(server, str(route.path), key)
                assert refused.value.response.status_code in (401, 403)
                continue
            for which, response in asked(server, route, key, ids):
                assert response.status_code == 401, (which, key)
                assert response.headers["www-authenticate"] == "Bearer"


def test_a_scope_opens_what_those_before_it_open_and_nothing_more(server: Serving) -> None:
    ids = {"": server.agent()}
    for scope in SCOPES:
        key = server.key(scope, scope)
        for route in routes(server):
            needed = needs(route)
            enough = not needed or SCOPES.index(needed) <= SCOPES.index(scope)  # type: ignore[arg-type]
            if is_socket(route) or (enough and "DELETE" in (route.methods or ())):
                continue
            for which, response in asked(server, route, key, ids):
                assert (response.status_code == 403) is not enough, (which, scope, response.text)
                assert response.status_code < 500 or response.status_code in (501, 503), (which, response.text)


def test_another_users_key_finds_nothing_that_is_not_his(server: Serving) -> None:
    agent = server.agent()
    with server.database.write() as tx:
        tx.run("UPDATE blocks SET value = ? WHERE agent = ? AND label = 'human'", SECRET, agent)
    run = server.start(agent, f"note {SECRET}")
    run.over.wait(5)
    message = str(server.rows("SELECT max(id) FROM messages WHERE agent = ?", agent)[0][0])
    ids = {"": agent, "run_id": run.id, "run": run.id, "message_id": message}
    key, before = server.key("other", user="other"), everything(server, agent)
    for route in routes(server):
        if not is_socket(route) and needs(route):
            for which, response in asked(server, route, key, ids):
                assert SECRET not in response.text, which
                if "{" in str(route.path):
                    assert response.status_code >= 400, which
    assert everything(server, agent) == before


def everything(server: Serving, agent: str) -> list[Any]:
    tables = {
        "agents": "id",
        "blocks": "agent",
        "messages": "agent",
        "passages": "shelf",
        "turns": "agent",
        "runs": "agent",
    }
    return [server.rows(f"SELECT * FROM {table} WHERE {of} = ?", agent) for table, of in tables.items()]


def test_the_same_key_opens_the_same_wherever_it_may_stand(server: Serving) -> None:
    key, path = server.key("chat", "chat"), "/v1/models"
    server.agent()
    places = (
        {"headers": {"authorization": f"Bearer {key}"}}, {"headers": {"authorization": f"bearer  {key}"}},
        {"headers": {"x-api-key": key}}, {"cookies": {COOKIE: key}},
    )  # fmt: skip
    for place in places:
        client = httpx2.Client(base_url=server.address, trust_env=False, **place)  # type: ignore[arg-type]
        with client:
            assert client.get(path).status_code == 200, place
            assert client.get("/metrics").status_code == 403, place
    for where in ({"key": key}, {"protocol": f"{PROTOCOL}{key}"}, {"x-api-key": key}, {"cookie": f"{COOKIE}={key}"}):
        with socket(server, "/ws", **where) as opened:
            assert opened.protocol.state
    for where in ({"protocol": f"{PROTOCOL}{WRONG}"}, {"x-api-key": WRONG}, {"cookie": f"{COOKIE}={WRONG}"}):
        with pytest.raises(InvalidStatus):
            socket(server, "/ws", **where)


def test_a_key_in_the_address_is_refused_even_if_it_is_right(server: Serving) -> None:
    key = server.key()
    for name in ("key", "api_key", "token", "access_token"):
        response = server.http(key).get("/v1/models", params={name: key})
        assert response.status_code == 401 and "address" in response.json()["detail"]
        with pytest.raises(InvalidStatus):
            socket(server, f"/ws?{name}={key}", key)


def test_whoever_guesses_is_not_listened_to_for_a_while(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    key = server.key()
    codes = [server.http(WRONG).get("/v1/models").status_code for _ in range(limits.TRIES + 3)]
    assert codes == [401] * limits.TRIES + [429] * 3
    refused = server.http(key).get("/v1/models")
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    assert server.http().get("/v1/health/").status_code == 200
    monkeypatch.setattr(limits, "PAUSE", 0.0)
    assert server.http(key).get("/v1/models").status_code == 200


def test_without_any_key_whoever_reaches_the_server_is_its_user_until_there_is_one(server: Serving) -> None:
    assert server.http().get("/v1/models").status_code == 200
    assert server.http("whatever").get("/v1/models").status_code == 200  # some programs can't but send one
    key = server.key()
    assert server.http().get("/v1/models").status_code == 401
    Keys(server.database, local_time).revoke("local", "test")
    assert server.http(key).get("/v1/models").status_code == 401, "a revoked one does not open the door to all"


def test_secrets_are_stored_nowhere(server: Serving) -> None:
    key = server.key()
    server.http(key).get("/v1/models")
    secret = key.rpartition("-")[2].encode()
    for file in server.home.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes(), file


def test_a_connection_ends_with_its_key(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "LOOK_AGAIN", 0.05)
    server.agent()
    with socket(server, "/ws", server.key("gone")) as gone, socket(server, "/ws", server.key("stays")) as stays:
        for each in (gone, stays):
            each.send('{"type": "command", "command": "load_agent", "name": "ada"}')
            assert "OK" in each.recv(5)
        Keys(server.database, local_time).revoke("local", "gone")
        with pytest.raises(ConnectionClosed) as closed:
            gone.recv(5)
        assert closed.value.rcvd and closed.value.rcvd.code == 1008
        server.start(server.entry().id, "hello")
        assert stays.recv(5)


def test_with_a_revoked_key_nothing_is_said_over_a_connection(server: Serving) -> None:
    server.agent()
    with socket(server, "/ws", server.key("gone")) as gone:
        Keys(server.database, local_time).revoke("local", "gone")
        with pytest.raises(ConnectionClosed):  # at the first word, or before it
            gone.send('{"type": "user_message", "agent_name": "ada", "message": "hello"}')
            gone.recv(5)
    assert server.rows("SELECT count(*) FROM runs") == [(0,)]
