"""What the page asks of the server: agents made and taken in, what was said, memory edited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cards_made import V2, png, text
from serving import Serving, served, until

from memagent.facts import Cause
from memagent.memory.core import Edit
from memagent.persistence import PersistenceManager
from memagent.server.callers import COOKIE
from memagent.upkeep import open_facts


class Page:
    """What the page does, without a browser."""

    def __init__(self, server: Serving, key: str = "") -> None:
        self.server, self.http = server, server.http(key)

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        return self._told(self.http.get(f"/api{path}", params=query), status)

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        return self._told(self.http.request(method, f"/api{path}", json=body), status)

    def say(self, agent: str, words: str) -> None:
        self.send("POST", f"/agents/{agent}/messages", {"text": words})
        until(lambda: not self.get(f"/agents/{agent}")["running"])

    @staticmethod
    def _told(answer: httpx2.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def page(server: Serving) -> Page:
    return Page(server)


def test_an_agent_is_made_talked_with_renamed_and_deleted(page: Page) -> None:
    choices = page.get("/choices")
    assert "chat" in choices["presets"] and choices["personas"] and choices["humans"]
    made = page.send("POST", "/agents", {"name": "Ada", "persona": next(iter(choices["personas"]))})
    assert page.send("POST", "/agents", {"name": "Ada"}, 409)["detail"]
    assert page.send("POST", "/agents", {"name": "x", "preset": "nix"}, 404)["detail"]
    assert page.send("POST", "/agents", {"name": "x", "source_code": "import os"}, 422)
    words = {"human": "Likes tea."}
    own = page.send("POST", "/agents", {"name": "own", "words": words})
    assert [b["value"] for b in page.get(f"/agents/{own['id']}/blocks") if b["label"] == "human"] == ["Likes tea."]
    assert page.send("POST", "/agents", {"name": "none", "words": {"nix": "x"}}, 404)["detail"]
    assert [agent["name"] for agent in page.get("/agents")] == ["own", "Ada"]
    page.send("DELETE", f"/agents/{own['id']}")
    page.say(made["id"], "hi")
    told = page.get(f"/agents/{made['id']}/turns")
    assert [turn["said"] for turn in told["turns"]][-1] == "hi"
    kinds = [event["event"] for event in told["turns"][-1]["events"]]
    assert "Thought" in kinds and "Reply" in kinds
    assert page.send("PATCH", f"/agents/{made['id']}", {"name": "Eva"})["name"] == "Eva"
    page.say(made["id"], "hello")
    assert [agent["name"] for agent in page.get("/agents")] == ["Eva"]
    page.send("DELETE", f"/agents/{made['id']}")
    assert page.get(f"/agents/{made['id']}", 404)["detail"]


def test_older_turns_come_page_by_page(page: Page) -> None:
    agent = page.server.agent()
    for number in range(4):
        page.say(agent, f"message {number}")
    newest = page.get(f"/agents/{agent}/turns", limit=6)
    older = page.get(f"/agents/{agent}/turns", before=newest["turns"][0]["first"], limit=500)
    assert newest["more"] and not older["more"]
    said = [turn["said"] for turn in [*older["turns"], *newest["turns"]] if turn["said"]]
    assert said == [f"message {number}" for number in range(4)]


def test_memory_is_edited_undone_and_brought_back(page: Page) -> None:
    agent = page.server.agent()
    page.say(agent, "note I like tea")
    [human] = [block for block in page.get(f"/agents/{agent}/blocks") if block["label"] == "human"]
    assert "I like tea" in human["value"]
    place = f"/agents/{agent}/blocks/human"
    after = page.send("PUT", place, {"value": "I like coffee", "version": human["version"]})
    assert {b["label"]: b["value"] for b in after}["human"] == "I like coffee"
    assert "meanwhile" in page.send("PUT", place, {"value": "old", "version": human["version"]}, 409)["detail"]
    too_long = {"value": "x" * 100_000, "version": human["version"] + 1}
    assert "2000 characters" in page.send("PUT", place, too_long, 400)["detail"]
    newest, noted, *_ = page.get(f"/agents/{agent}/edits", label="human")
    assert newest["cause"] == "user" and "+I like coffee" in newest["diff"]
    assert noted["words"] == "note I like tea", "an edit tells on which words it was made"
    undone = page.send("POST", f"/agents/{agent}/edits/undo")
    assert {b["label"]: b["value"] for b in undone["blocks"]}["human"] == human["value"]
    back = page.send("POST", f"{place}/restore", {"version": 1})
    assert "tea" not in {b["label"]: b["value"] for b in back}["human"]
    page.get(f"/agents/{agent}/edits", 404, label="nix")


def test_who_edits_at_the_same_time_as_somebody_else_is_told_and_overwrites_nothing(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = page.server.agent()
    [human] = [block for block in page.get(f"/agents/{agent}/blocks") if block["label"] == "human"]
    edit = PersistenceManager.edit_block

    def late(state: PersistenceManager, label: str, value: str, **more: Any) -> list[Edit]:
        edit(page.server.house.residents.state(page.server.entry()), label, "I came first.")
        return edit(state, label, value, **more)

    monkeypatch.setattr(PersistenceManager, "edit_block", late)
    place = f"/agents/{agent}/blocks/human"
    assert "meanwhile" in page.send("PUT", place, {"value": "Too late.", "version": human["version"]}, 409)["detail"]
    assert "I came first." in json.dumps(page.get(f"/agents/{agent}/blocks"))


def test_who_corrects_and_forgets_facts_is_noted(home: Path) -> None:
    with served(home, facts="on") as server:
        page, agent = Page(server), server.agent()
        facts = open_facts(server.settings, server.database, agent)
        assert facts
        number = facts.state("The user likes tea.", Cause("user")).id
        number = page.send("PUT", f"/agents/{agent}/facts/{number}", {"text": "The user likes coffee."})["id"]
        page.send("DELETE", f"/agents/{agent}/facts/{number}")
        page.send("POST", f"/agents/{agent}/facts/{number}/restore")
        noted = [row[0] for row in server.rows("SELECT what FROM audit ORDER BY id")]
    assert noted == ["fact corrected", "fact forgotten", "fact restored"]


def test_what_a_model_reasons_by_itself_is_there_tomorrow_and_no_model_sees_it_again(page: Page) -> None:
    agent = page.server.agent()
    page.say(agent, "think")
    events = page.get(f"/agents/{agent}/turns")["turns"][-1]["events"]
    assert [event["text"] for event in events if event["event"] == "Thought"] == ["Let me think."]
    listed = page.http.get(f"/v1/agents/{page.http.get('/v1/agents/').json()[0]['id']}/messages").json()
    assert [each["reasoning"] for each in listed if "reasoning" in each] == ["Let me think."]
    opened = page.server.house.residents.agent(page.server.entry())
    assert "Let me think." not in repr([(m.content, m.calls) for m in opened.compiled()])
    whole = page.get(f"/agents/{agent}/export")
    assert [message["reasoning"] for message in whole["messages"] if message["reasoning"]] == ["Let me think."]
    for message in whole["messages"]:  # as it was exported before reasoning was kept
        del message["reasoning"]
    files, name = {"file": ("a.json", json.dumps(whole).encode())}, {"name": "again"}
    assert page.http.post("/api/agents/file", files=files, data=name).status_code == 200


def test_a_turn_is_taken_back_and_said_again(page: Page) -> None:
    agent = page.server.agent()
    page.say(agent, "first")
    page.say(agent, "note I like tea")
    assert page.send("POST", f"/agents/{agent}/undo")["words"] == "note I like tea"
    assert "tea" not in json.dumps(page.get(f"/agents/{agent}/blocks"))
    page.send("POST", f"/agents/{agent}/retry")
    until(lambda: not page.get(f"/agents/{agent}")["running"])
    assert [turn["said"] for turn in page.get(f"/agents/{agent}/turns")["turns"] if turn["said"]] == ["first"]


def test_the_window_is_told_by_its_parts(page: Page) -> None:
    agent = page.server.agent()
    page.say(agent, "hello")
    told = page.get(f"/agents/{agent}/window")
    names = [part["name"] for part in told["parts"]]
    assert {"system prompt", "core memory", "functions", "user"} <= set(names)
    assert 0 < sum(part["tokens"] for part in told["parts"]) < told["window"]


def test_what_was_said_and_noted_is_found(page: Page) -> None:
    agent = page.server.agent()
    page.say(agent, "keep the boat is called Rosa")
    assert "Rosa" in json.dumps(page.get(f"/agents/{agent}/search", query="boat"))
    assert "Rosa" in json.dumps(page.get(f"/agents/{agent}/search", query="boat", where="archival"))
    assert "Rosa" in json.dumps(page.get(f"/agents/{agent}/notes"))
    assert page.get(f"/agents/{agent}/search", 400, query=" ")


def test_a_card_that_is_dropped_in_becomes_an_agent_and_leaves_as_one(page: Page, server: Serving) -> None:
    files = {"file": ("nora.png", png(text(V2)), "image/png")}
    made = page.http.post("/api/agents/file", files=files)
    assert made.status_code == 200, made.text
    card = page.http.get(f"/api/agents/{made.json()['id']}/export", params={"card": True})
    assert card.content.startswith(b"\x89PNG") and "attachment" in card.headers["content-disposition"]
    whole = page.http.get(f"/api/agents/{made.json()['id']}/export")
    again = page.http.post("/api/agents/file", files={"file": ("a.json", whole.content)}, data={"name": "again"})
    assert again.json()["name"] == "again"
    for wrong in (b"\x89PNG nonsense", b"{}", b"\xff\xfe"):
        refused = page.http.post("/api/agents/file", files={"file": ("x", wrong)})
        assert refused.status_code == 400 and refused.json()["detail"]


def test_sources_are_given_and_taken(page: Page, server: Serving, tmp_path: Path) -> None:
    agent = server.agent()
    assert page.get(f"/agents/{agent}/sources") == []
    page.send("PUT", f"/agents/{agent}/sources/nix", status=404)


def test_a_browser_gets_in_with_a_cookie_and_out_again(server: Serving) -> None:
    server.agent()
    key = server.key("mine", "chat")
    page = Page(server)
    assert page.get("/me") == {"user": None, "scopes": []}
    page.get("/agents", 401)
    page.send("POST", "/login", {"key": "wrong"}, 401)
    page.send("POST", "/login", {"key": key})
    cookie = next(iter(page.http.cookies.jar))
    assert cookie.name == COOKIE and cookie.has_nonstandard_attr("HttpOnly")
    assert page.get("/me")["scopes"] == ["read", "chat"]
    assert [agent["name"] for agent in page.get("/agents")] == ["ada"]
    page.send("POST", "/agents", {"name": "more"}, 403)
    page.send("POST", "/logout")
    page.get("/agents", 401)


def test_nobody_sees_what_is_anothers(server: Serving) -> None:
    mine = server.agent()
    stranger = Page(server, server.key("theirs", user="eve"))
    assert stranger.get("/agents") == []
    for method, path in (
        ("GET", ""), ("GET", "/turns"), ("GET", "/blocks"), ("GET", "/edits"), ("GET", "/window"), ("GET", "/export"),
        ("GET", "/search?query=x"), ("GET", "/facts"), ("GET", "/sources"), ("DELETE", ""), ("POST", "/undo"),
    ):  # fmt: skip
        stranger.send(method, f"/agents/{mine}{path}", status=404)
