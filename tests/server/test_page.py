"""The page in a real browser, as somebody uses it who has never seen a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from browsing import PHONE, Window, chromium, looking, watched, window
from cards_made import V2, png, text
from serving import SCRIPT, Serving, in_a_process, make_home, served, until

from memagent.assemble import local_time
from memagent.memory.sources import Sources
from memagent.server.channel import Channel

__all__ = ["chromium", "window"]  # fixtures


def said(window: Window) -> list[str]:
    return window.words(".said")


def replies(window: Window) -> list[str]:
    return window.words(".reply")


def test_somebody_makes_a_character_talks_watches_its_memory_corrects_and_undoes(window: Window) -> None:
    tab = window.open().tab
    window.sees(".welcome", "Agents that remember")
    assert tab.locator("#say").is_hidden(), "there is nobody to talk with yet"
    tab.click("text=Make an agent")
    tab.fill("dialog [name=name]", "Rosa")
    tab.locator("dialog select").first.select_option(label="I write it myself …")
    tab.keyboard.type("I am Rosa, and I keep a lighthouse.")
    tab.click("dialog button:text('Make')")
    window.sees("#name", "Rosa")
    window.sees("[data-block=persona]", "I keep a lighthouse")
    window.say("note I like tea")
    assert replies(window)[-1] == "Noted: I like tea"
    window.sees("[data-block=human].changed mark", "I like tea")
    window.say("hello")
    tab.wait_for_selector("[data-block=human]:not(.changed)")
    tab.click("[aria-label='Edit human']")
    tab.fill("[data-block=human] textarea", "Likes coffee.")
    tab.click("[data-block=human] button:text('Save')")
    window.sees("[data-block=human] .text", "Likes coffee.")
    tab.click("#undo-edit")
    window.sees("[data-block=human] .text", "I like tea")
    window.show("edits")
    tab.locator(".card", has_text="human · version 1").get_by_text("Back to this version").click()
    window.sees("#tell", "reads as in version 1 again")
    window.show("core")
    tab.wait_for_selector("[data-block=human]")
    assert "tea" not in tab.inner_text("[data-block=human]")


def test_what_it_thinks_and_does_is_folded_beside_its_words_and_is_there_tomorrow(window: Window) -> None:
    tab = window.open(window.server.agent()).tab
    window.say("note I like tea")
    for _ in range(2):
        folded = tab.locator("details.inside").first
        assert "noted something" in folded.locator("summary").inner_text()
        folded.locator("summary").click()
        inside = folded.inner_text()
        assert all(part in inside for part in ("Worth keeping.", "core_memory_append", "content: I like tea", "→ "))
        assert folded.locator("ins").inner_text() == "I like tea"
        tab.wait_for_selector("[data-block=human].changed")
        tab.reload()
        tab.wait_for_selector("details.inside")
    assert said(window) == ["note I like tea"] and replies(window)[-1] == "Noted: I like tea"


@pytest.mark.parametrize("allowed", [True, False])
def test_a_call_waits_for_a_word(window: Window, allowed: bool) -> None:
    tab = window.open(window.server.agent(preset="extras")).tab
    window.say("fetch it", waits=False)
    window.sees(".asked", "http_request")
    tab.reload()
    window.sees(".asked pre", "http://127.0.0.1/")
    assert tab.locator(".asked").count() == 1
    tab.click(f".asked button:text('{'Allow' if allowed else 'Deny'}')")
    window.sees(".reply", "It said")
    window.rests()
    assert not tab.locator(".asked").count() and said(window) == ["fetch it"] and len(replies(window)) == 1
    told = tab.locator("details.inside summary").first.inner_text()
    assert ("not allowed" in told) is not allowed and ("that failed" in told) is allowed  # nothing listens there


def test_who_says_something_else_has_said_no(window: Window) -> None:
    tab = window.open(window.server.agent(preset="extras")).tab
    window.say("fetch it", waits=False)
    window.sees(".asked", "http_request")
    window.say("never mind")
    window.becomes("$('details.inside summary').innerText.includes('not allowed')")
    assert not tab.locator(".asked").count() and said(window) == ["fetch it", "never mind"]
    assert replies(window)[-1] == "echo never mind"


def test_a_turn_is_stopped_fails_is_undone_and_said_again(window: Window) -> None:
    tab = window.open(window.server.agent()).tab
    window.say("silent please", waits=False)
    tab.click("#stop")
    window.sees(".failed", "cancelled")
    window.rests()
    window.say("fail now")
    window.sees(".failed", "no way")
    tab.click("#actions >> text=Undo")
    window.becomes("$('#message').value === 'fail now'")
    assert "fail now" not in said(window)
    tab.fill("#message", "")
    window.say("first")
    tab.click("#actions >> text=Retry")
    window.rests()
    window.becomes("[...document.querySelectorAll('.reply')].at(-1)?.innerText === 'echo first'")
    assert said(window).count("first") == 1


def test_words_come_as_they_are_made_and_edits_from_elsewhere_too(window: Window) -> None:
    agent = window.server.agent()
    window.open(agent)
    window.becomes("$('#message').offsetHeight > 30")
    window.say("words", waits=False)
    window.becomes("$('.live')?.innerText.startsWith('one two')")
    window.rests()
    assert replies(window) == ["one two three four five six seven eight"]
    edited = {"value": "Likes tea.", "version": 1}
    assert window.server.http().put(f"/api/agents/{agent}/blocks/human", json=edited).status_code == 200
    window.sees("[data-block=human] .text", "Likes tea.")


LATER = """
- when: {said: '^later (.+)', after_calls: 0}
  call: core_memory_append
  arguments: {name: human, content: "{1}"}
  heartbeat: true
- when: '^later (.+)'
  say: "Later: {1}"
  delay: 4
"""


@pytest.mark.slow
def test_what_is_said_in_one_page_appears_in_the_other_each_thing_once(chromium: Any, home: Path) -> None:
    make_home(home, LATER + SCRIPT)
    with (
        served(home) as server,
        looking(chromium, server) as one,
        looking(chromium, server) as other,
        looking(chromium, server) as late,
    ):
        agent = server.agent()
        one.open(agent)
        other.open(agent)
        one.say("note I like tea")
        other.sees(".reply", "Noted: I like tea")
        other.sees("[data-block=human].changed", "I like tea")
        other.say("later bread", waits=False)
        one.sees(".said", "later bread")
        other.becomes("document.querySelectorAll('ins').length === 2")
        late.open(agent)  # comes while it goes on
        late.sees("#stop")
        late.sees("[data-block=human].changed", "bread")
        assert late.tab.locator("ins").count() == 2
        for each in (one, other, late):
            each.sees(".reply", "Later: bread")
            each.rests()
            each.tab.wait_for_timeout(150)
            assert said(each) == ["note I like tea", "later bread"]
            assert replies(each)[-2:] == ["Noted: I like tea", "Later: bread"]
            assert each.tab.locator("ins").count() == 2


def test_what_happens_before_the_server_has_answered_is_shown_in_its_place(window: Window) -> None:
    def slowly(route: Any) -> None:
        answer = route.fetch()
        window.tab.wait_for_timeout(300)
        route.fulfill(response=answer)

    agent = window.server.agent()
    window.tab.route("**/messages", slowly)
    window.open(agent).say("note I like tea")
    assert said(window) == ["note I like tea"] and replies(window)[-1] == "Noted: I like tea"
    window.tab.unroute_all()
    window.tab.route("**/turns?limit=80", slowly)
    window.server.http().post(f"/api/agents/{agent}/messages", json={"text": "slow one"})
    window.tab.reload()
    window.sees(".reply", "slow one")
    window.rests()
    assert said(window) == ["note I like tea", "slow one"] and replies(window)[-1] == "slow one"


@pytest.mark.slow
def test_a_page_that_comes_late_to_a_long_answer_sees_all_of_it_in_the_end(
    chromium: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Channel.__init__, "__defaults__", (3,))  # no more than three events are kept
    make_home(home, SCRIPT.replace("pace: 0.02", "pace: 0.8"))
    with served(home) as server, looking(chromium, server) as window:
        agent, http = server.agent(), server.http()
        http.post(f"/api/agents/{agent}/messages", json={"text": "words"})
        until(lambda: server.house.runs.channel(agent).last > server.house.runs.running()[0].first + 5)
        window.open(agent)
        window.sees(".said", "words")
        window.sees(".reply", "seven eight")
        window.rests()
        window.say("hello")
        window.sees(".reply", "echo hello")  # some of this turn may have left the line too, and is told from storage
        assert said(window) == ["words", "hello"] and replies(window)[-1] == "echo hello"


@pytest.mark.slow
def test_agents_are_renamed_taken_along_and_deleted_here_and_elsewhere(chromium: Any, server: Serving) -> None:
    agent, gone = server.agent("ada"), server.agent("gone")
    with looking(chromium, server) as window:
        tab = window.open(agent).tab
        second = watched(server, tab.context.new_page()).open(agent)
        tab.bring_to_front()
        tab.click("[aria-label='More for ada']")
        tab.click("[role=menuitem]:text('Rename')")
        tab.fill("dialog input", "Eva")
        tab.click("dialog button:text('Rename')")
        window.sees("#name", "Eva")
        second.sees("#name", "Eva")
        second.say("hello")
        window.sees(".reply", "echo hello")
        for item, ending in (("all it remembers", "Eva.json"), ("character card", "Eva.png")):
            tab.click("[aria-label='More for Eva']")
            with tab.expect_download() as download:
                tab.click(f"[role=menuitem]:text('{item}')")
            assert download.value.suggested_filename == ending
        server.http().delete(f"/api/agents/{gone}")
        tab.fill("#message", "not sent yet")
        tab.locator("#list button", has_text="gone").click()
        window.sees("#tell", "gone is gone: it was deleted elsewhere.")
        window.sees("#name", "Eva")
        window.sees(".reply", "echo hello")
        assert tab.input_value("#message") == "not sent yet"
        tab.click("[aria-label='More for Eva']")
        tab.click("[role=menuitem]:text('Delete')")
        tab.click("dialog button:text('Delete')")
        window.sees(".welcome")
        second.sees("#tell", "Eva is gone: it was deleted elsewhere.")
        second.sees(".welcome")


DROP = """([place, name, text]) => {
    const held = new DataTransfer();
    held.items.add(new File([text], name));
    const drop = new DragEvent("drop", {dataTransfer: held, cancelable: true, bubbles: true});
    document.querySelector(place).dispatchEvent(drop);
}"""


def test_a_card_that_is_dropped_in_becomes_an_agent(window: Window, tmp_path: Path) -> None:
    tab = window.open().tab
    (tmp_path / "mira.png").write_bytes(png(text(V2)))
    tab.click("#new")
    tab.set_input_files("#card", tmp_path / "mira.png")
    window.sees("#name", "Mira")
    window.sees("#log", "Shut the door")
    tab.evaluate(DROP, ["body", "v2.json", json.dumps(V2)])
    tab.fill("dialog input", "Mira two")  # the name is taken
    tab.click("dialog button:text('Take in')")
    window.sees("#name", "Mira two")
    tab.evaluate(DROP, ["body", "v2.json", "nonsense"])
    window.sees("#tell div")


def test_what_a_key_does_not_open_is_not_offered(chromium: Any, server: Serving) -> None:
    agent = server.agent(preset="extras")
    reading, chatting = server.key("reader", "read"), server.key("talker", "chat")
    with looking(chromium, server) as window:
        tab = window.open(agent).tab
        tab.fill("#key", "wrong")
        tab.click("text=Come in")
        window.sees("dialog .failed", "opens nothing")
        tab.fill("#key", chatting)
        tab.click("text=Come in")
        window.sees("#user", "talker")
        window.say("fetch it", waits=False)
        window.sees(".asked button", "Allow")
        for refused in ("#new", "#undo-edit", "[aria-label='Edit human']", "[aria-haspopup=menu]"):
            assert not tab.locator(refused).is_visible(), refused
        tab.click("text=Leave")
        tab.wait_for_selector("#key")
        tab.fill("#key", reading)
        tab.click("text=Come in")
        window.sees(".asked", "It waits for somebody")
        for refused in ("#new", "#say", "#stop", "#actions button", "[aria-label='Edit human']", ".asked button"):
            assert not tab.locator(refused).first.is_visible(), refused
        assert "memagent" not in tab.evaluate("document.cookie"), "no script can read it"


def test_what_was_said_noted_and_learned_is_found(chromium: Any, home: Path) -> None:
    with served(home, facts="on", facts_provider="plain") as server, looking(chromium, server) as window:
        tab = window.open(server.agent()).tab
        window.say("I live in Lisbon.")
        window.say("keep the boat is called Rosa")
        window.show("search")
        tab.fill("[role=search] input", "boat")
        tab.press("[role=search] input", "Enter")
        window.sees("#panel .card", "Rosa")
        tab.locator("[role=search] select").select_option("archival")
        window.sees("#panel .card", "the boat is called Rosa")
        tab.fill("[role=search] input", "xylophone")
        window.show("facts")
        until(lambda: tab.click("#tab-facts") or "Lisbon" in tab.inner_text("#panel"))
        tab.click("#panel details summary")
        window.sees("#panel details", "I live in Lisbon")
        tab.click("#panel >> text=Correct")
        tab.fill("dialog input", "Lives in Porto")
        tab.click("dialog button:text('Correct')")
        window.sees("#panel .card", "Lives in Porto")
        tab.click("#panel >> text=Forget")
        window.sees("#panel .empty")
        tab.check("#past")
        window.sees("#panel .card.past", "Porto")
        tab.locator(".card.past", has_text="Porto").get_by_text("Bring back").click()
        window.sees("#panel .card:not(.past)", "Porto")


def test_sources_are_given_and_taken_and_the_window_is_told(window: Window) -> None:
    server, agent = window.server, window.server.agent()
    tab = window.open(agent).tab
    window.show("sources")
    window.sees("#panel .empty", "Nothing to read yet")
    make_source(server)
    window.show("sources")
    tab.check("#panel [type=checkbox]")
    window.sees("#tell", "ada can now search papers.")
    tab.uncheck("#panel [type=checkbox]")
    window.sees("#tell", "ada can't search papers.")
    window.show("window")
    window.sees(".legend", "core memory")
    assert "%" in (tab.get_attribute(".gauge", "aria-label") or "")


@pytest.mark.slow
def test_files_that_are_chosen_or_dropped_become_sources_that_it_searches(window: Window, tmp_path: Path) -> None:
    tab = window.open(window.server.agent()).tab
    for name, words in (
        ("lisbon.md", "# Lisbon\n\nThe tram 28 climbs."),
        ("bad.pdf", "%PDF-1.7 nonsense"),
        ("no.txt", ""),
    ):
        (tmp_path / name).write_text(words)
    window.show("sources")
    tab.set_input_files("#files", [tmp_path / "lisbon.md", tmp_path / "bad.pdf", tmp_path / "no.txt"])
    window.sees("dialog .bad", "is empty")
    assert tab.input_value("#source-name") == "lisbon"
    tab.fill("#source-name", "trips")
    tab.click("dialog button:text('Load 2 files')")
    window.sees("#tell", "trips is loaded: 1 file, 1 passage.")
    window.sees(".load .failed", "bad.pdf is a broken PDF")
    window.sees("[aria-label='Source trips']", "1 document")
    assert tab.is_checked("[aria-label='Source trips'] [type=checkbox]")
    tab.click(".load button:text('OK')")
    tab.click("[aria-label='Source trips'] summary")
    window.sees("[aria-label='Source trips'] details", "lisbon.md · 1 passage")
    tab.evaluate(DROP, ["#log", "sintra.txt", "Sintra is near."])  # what is no character is something to read
    tab.fill("#source-name", "trips")
    window.sees("dialog [role=status]", "added to it")
    tab.keyboard.press("Enter")
    window.sees("[aria-label='Source trips']", "2 documents")
    tab.click("[aria-label='Delete trips']")
    tab.click("dialog button:text('Delete')")
    window.sees("#panel .empty", "Nothing to read yet")


def make_source(server: Serving, name: str = "papers") -> None:
    with server.database.write() as tx:
        Sources(server.database, "local").make(tx, name, "directory", "", local_time())


@pytest.mark.slow
def test_long_talks_load_upwards_and_long_words_stay_in_their_place(window: Window) -> None:
    agent = window.server.agent()
    http = window.server.http()
    for number in range(45):
        http.post(f"/api/agents/{agent}/messages", json={"text": f"message {number}"})
        until(lambda: not http.get(f"/api/agents/{agent}").json()["running"])
    tab = window.open(agent).tab
    window.sees(".said", "message 44")
    assert "message 0" not in said(window)
    tab.evaluate("document.querySelector('#log').scrollTo(0, 0)")
    window.sees(".said", "message 0")
    assert said(window) == [f"message {number}" for number in range(45)]
    assert tab.locator(".day").count() == 1
    assert tab.locator("#down").is_visible()
    tab.click("#down")
    window.say("x" * 10_000)
    assert tab.evaluate("document.querySelector('.said.long').offsetHeight") < 400
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_one_part_at_a_time_and_all_of_it(chromium: Any, server: Serving, width: int) -> None:
    agent = server.agent("Bartholomew Featherstonehaugh")
    with looking(chromium, server, viewport={**PHONE, "width": width}, has_touch=True) as window:
        tab = window.open(agent).tab
        window.say("note I like tea")
        assert tab.evaluate("document.querySelector('#name').offsetWidth") > 150, "the name can be read"
        for part in ("agents", "chat", "memory"):
            tab.click(f"[data-to={part}]")
            assert [tab.locator(f"#{each}").is_visible() for each in ("agents", "chat", "memory")].count(True) == 1
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        window.sees("[data-block=human].changed")
        tab.click("[data-to=chat]")
        tab.click("[aria-haspopup=menu]")
        tab.click("[role=menuitem]:text('Undo the last turn')")
        window.becomes("$('#message').value === 'note I like tea'")


@pytest.mark.slow
def test_a_page_goes_on_when_the_server_starts_again_in_the_middle_of_a_turn(chromium: Any, home: Path) -> None:
    with in_a_process(home) as server:
        agent, port = server.agent(), str(server.port)
        with looking(chromium, server) as window:
            window.open(agent).say("note I like tea")
            window.say("silent please", waits=False)
            window.tab.wait_for_selector("#stop:not([hidden])")
            window.tab.wait_for_timeout(400)
            server.kill()
            window.sees("#state", "not connected")
            window.say("lost?", waits=False)
            window.sees("#tell", "can't be reached")
            assert window.tab.input_value("#message") == "lost?"
            with in_a_process(home, "--port", port):
                window.sees(".reply", "At last.")
                window.rests()
                window.tab.wait_for_timeout(300)
                assert said(window) == ["note I like tea", "silent please"]
                assert replies(window)[-2:] == ["Noted: I like tea", "At last."]
                window.say("hello")
                assert replies(window)[-1] == "echo hello"


def test_a_page_that_is_shown_is_small_and_kept_by_the_browser(server: Serving) -> None:
    http = server.http()
    page = http.get("/")
    policy = page.headers["content-security-policy"]
    assert (
        "'unsafe" not in policy and "trusted-types 'none'" in policy and page.headers["x-dns-prefetch-control"] == "off"
    )
    names = {part.partition('"')[0] for part in page.text.split('"/ui/')[1:]}
    parts: list[httpx2.Response] = [http.get(f"/ui/{name}") for name in names]
    assert sum(len(part.content) for part in [page, *parts]) < 150_000
    again = http.get("/ui/app.js", headers={"if-none-match": http.get("/ui/app.js").headers["etag"]})
    assert again.status_code == 304
    assert http.get("/ui/..%2fpage.py").status_code == 404 and http.get("/ui/nix.js").status_code == 404
