"""The reference of the API in a real browser: routes are found, filled in and sent, by everybody, and nothing is loaded
from elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest
from browsing import PHONE, Window, chromium, looking
from serving import Serving
from test_page_for_all import checked

__all__ = ["chromium"]  # a fixture

pytestmark = pytest.mark.slow


def shown(window: Window, place: str = "") -> Any:
    window.tab.goto(f"{window.server.address}/docs{place}")
    window.tab.wait_for_selector(".route")
    return window.tab


def test_a_route_is_found_by_keyboard_filled_in_and_tried_with_a_key(chromium: Any, server: Serving) -> None:
    agent, key = server.agent(), server.key("reader", "read")
    with looking(chromium, server) as window:
        tab = shown(window)
        assert tab.locator(".route").count() > 80
        tab.keyboard.press("/")
        tab.keyboard.type("post archival-memory")
        tab.keyboard.press("Tab")
        (route,) = [each for each in tab.locator(".route").all() if each.is_visible()]
        route.locator("summary").first.focus()
        tab.keyboard.press("Enter")
        assert route.locator(".badge").inner_text() == "admin"
        route.get_by_label("agent_id").fill(f"agent-{agent}")
        assert route.get_by_label("Body", exact=False).first.input_value() == '{\n  "text": ""\n}'
        route.get_by_label("Body", exact=False).first.fill('{"text": "It\'s tea."}')
        curl = route.get_by_label("The same with curl").inner_text()
        assert f"-X POST '{server.address}/v1/agents/agent-{agent}/archival-memory'" in curl
        assert "It'\\''s tea." in curl and "Bearer $MEMAGENT_KEY" in curl
        for secret, code in (("", "401"), (key, "403"), (server.key("keeper"), "200")):
            tab.fill("#key", secret)
            route.get_by_role("button", name="Send").click()
            window.sees(".route h3", code)
        window.sees("[aria-label='The answer']", "It's tea.")
        assert key not in route.inner_text(), "a key stays where it was typed"
        tab.goto(f"{server.address}/docs#{route.get_attribute('id')}")
        tab.reload()
        tab.wait_for_selector(".route[open]")
        tab.fill("#find", "embeddings")  # hides that route; its part and its address lead there all the same
        tab.click("#parts >> text=passages")
        window.becomes("!$('#find').value")
        tab.fill("#find", "embeddings")
        tab.goto(f"{server.address}/docs#{route.get_attribute('id')}")
        assert route.is_visible()


def test_what_streams_is_shown_as_it_comes_and_a_file_is_sent(chromium: Any, server: Serving) -> None:
    agent = server.agent()
    with looking(chromium, server) as window:
        tab = shown(window, "#stream_v1_agents__agent_id__messages_stream_post")
        route = tab.locator(".route[open]")
        route.get_by_label("agent_id").fill(f"agent-{agent}")
        route.get_by_label("Body", exact=False).first.fill('{"input": "<b>hello</b>"}')
        route.get_by_role("button", name="Send").click()
        window.sees("[aria-label='The answer']", "echo <b>hello</b>")
        tab.fill("#find", "/v1/agents/import")
        tab.locator(".route:visible > summary").click()
        sent = server.http().get(f"/v1/agents/agent-{agent}/export").content
        taken = tab.locator(".route[open]:visible")
        taken.locator("input[type=file]").set_input_files(
            {"name": "ada.af", "mimeType": "application/json", "buffer": sent}
        )
        taken.get_by_role("button", name="Send").click()
        taken.locator("h3", has_text="200").wait_for()
    assert server.rows("SELECT count(*) FROM agents") == [(2,)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing_and_nothing_is_cut_off(chromium: Any, server: Serving, scheme: str, size: str) -> None:
    options: dict[str, Any] = {"color_scheme": scheme} | ({"viewport": PHONE} if size == "phone" else {})
    with looking(chromium, server, **options) as window:
        tab = shown(window, "#update_v1_agents__agent_id__patch")
        tab.wait_for_selector(".route[open]")
        checked(window, "a route")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
