"""Whatever a model, a card or another page says, it stays text: none of it runs, is fetched or becomes an element."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browsing import Window, chromium, looking, window
from cards_made import V2
from serving import Serving, make_home, served, until
from test_page import make_source

__all__ = ["chromium", "window"]  # fixtures

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "<script>window.broken=1;fetch('http://evil.test/')</script>",
    "<svg onload=alert(1)><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<iframe srcdoc='<script>parent.broken=1</script>'></iframe><object data=//evil.test/x></object>",
    "<style>@import url(http://evil.test/x.css);*{display:none}</style><link rel=stylesheet href=//evil.test/x>",
    "<form action=//evil.test/><input autofocus onfocus=alert(1)></form><base href=//evil.test/>",
    "<meta http-equiv=refresh content='0;url=http://evil.test/'>",
    "[click](javascript:alert(1)) [x](JaVaScRiPt:alert(1)) [y](data:text/html,<script>alert(1)</script>)",
    "[z](vbscript:msgbox) [f](file:///etc/passwd) [b](blob:http://evil.test/x) [r](//evil.test/x) [p](/api/logout)",
    "![x](http://evil.test/x.png) ![y](data:image/svg+xml,<svg onload=alert(1)>) [a](http://evil.test/\"onclick=\"alert(1))",
    "[t](http://evil.test/ \"onmouseover=alert(1)\") <http://evil.test/x> <a href='javascript:alert(1)'>here</a>",
    "```<img src=x onerror=alert(1)>``` `` ` `` ````js\n</code><script>alert(1)</script>\n````",
    "# <b onclick=alert(1)>\n> <img src=x onerror=alert(1)>\n- <svg/onload=alert(1)>\n1. **<i>** *<u>*",
    "\u202e\u0000<\u0000script>alert(1)</script> &lt;img src=x onerror=alert(1)&gt; \ud7ff",
    "__proto__ constructor toString {{constructor.constructor('alert(1)')()}} ${alert(1)}",
)  # fmt: skip
SCRIPT = """
- when: {said: '(?s)^do (.+)', after_calls: 0}
  thoughts: "{1}"
  call: core_memory_append
  arguments: {name: human, content: "{1}"}
  heartbeat: true
- when: {said: '(?s)^do (.+)', after_calls: 1}
  text: "{1}"
  call: archival_memory_insert
  arguments: {content: "{1}"}
  heartbeat: true
- when: {said: '(?s)^do (.+)', after_calls: 2}
  call: archival_memory_search
  arguments: {query: "alert"}
  heartbeat: true
- when: '(?s)^do (.+)'
  say: "{1}"
- when: '(?s)(.+)'
  say: "{1}"
"""
MADE = """() => [...document.querySelectorAll(`script:not([src="/ui/app.js"]), img:not([src="/ui/icon.svg"]), iframe,
    object, embed, svg, math, style, base, link:not([href^="/ui/"]), meta[http-equiv=refresh], form[action], audio,
    video, template, table, b, u, [onerror], [onload], [onclick], [onfocus], [onmouseover], [srcdoc], [style*=url],
    a:not([href^="http://"], [href^="https://"], [href^="mailto:"], .skip), a[href]:not([rel~=noopener], .skip)`)]
    .map((each) => each.outerHTML)"""


def inert(window: Window) -> None:
    """Nothing of a hostile text has become anything."""
    assert window.tab.evaluate(MADE) == []
    assert window.tab.evaluate("() => window.broken") is None
    assert not window.dialogs and not window.strangers()


def test_what_is_said_thought_noted_found_and_edited_stays_text(chromium: Any, home: Path) -> None:
    make_home(home, SCRIPT)
    with served(home) as server, looking(chromium, server) as window:
        tab = window.open(server.agent()).tab
        for text in HOSTILE:
            window.say(text)
            assert tab.locator(".said").last.text_content() == text.strip()
            inert(window)
        for text in HOSTILE[:3]:
            window.say(f"do {text}")
        for fold in tab.locator("details.inside summary").all():
            fold.click()
        inert(window)
        for part in ("edits", "search", "window", "core"):
            window.show(part)
            inert(window)
        window.show("search")
        for where in ("recall", "archival"):
            tab.locator("[role=search] select").select_option(where)
            tab.fill("[role=search] input", "alert")
            tab.press("[role=search] input", "Enter")
            window.sees("#panel .card", "alert(1)")
            inert(window)
        tab.reload()
        window.sees(".reply")
        inert(window)
        assert "<img src=x onerror=alert(1)>" in tab.inner_text("[data-block=human]")


def test_names_labels_facts_sources_and_cards_stay_text(chromium: Any, home: Path) -> None:
    bad = HOSTILE[0]
    with served(home, facts="on", facts_provider="plain") as server, looking(chromium, server) as window:
        agent = server.agent()
        make_source(server, bad)
        window.open(agent).say("I live in Lisbon.")
        window.show("facts")
        until(lambda: server.rows("SELECT 1 FROM facts"))
        with server.database.write() as tx:
            tx.run("UPDATE facts SET text = ?, quote = ?, how = ?", bad, bad, bad)
            tx.run("UPDATE agents SET name = ?", bad)
            tx.run("UPDATE blocks SET label = ?, description = ? WHERE label = 'human'", f'{bad}"]', bad)
        tab = window.tab
        tab.reload()
        window.sees("#name", bad)
        assert tab.title().startswith(bad)
        for part in ("core", "edits", "sources", "facts", "window"):
            window.show(part)
            inert(window)
        window.show("facts")
        window.sees("#panel .text", bad)
        tab.click("#panel details summary")
        window.sees("#panel details", f"“{bad}”")
        inert(window)
        window.show("core")
        tab.locator(".card", has_text=bad).get_by_text("Edit").click()
        tab.keyboard.press("Escape")
        tab.click("[aria-haspopup=menu]")
        tab.click("[role=menuitem]:text('Delete')")
        window.sees("dialog", bad)
        inert(window)
        tab.keyboard.press("Escape")
        card: dict[str, Any] = json.loads(json.dumps(V2))
        card["data"] |= {"name": "Nix", "description": "\n".join(HOSTILE), "first_mes": "\n\n".join(HOSTILE)}
        tab.click("#new")
        file = {"name": f"{bad[:20]}.json", "mimeType": "application/json", "buffer": json.dumps(card).encode()}
        tab.set_input_files("#card", file)
        window.sees("#name", "Nix")
        window.sees(".reply", "alert(1)")
        inert(window)


def test_a_name_that_is_no_name_is_refused_in_words(window: Window) -> None:
    tab = window.open().tab
    tab.click("#new")
    tab.fill("dialog [name=name]", "<img src=x onerror=alert(1)>")
    tab.click("dialog button:text('Make')")
    window.sees("dialog .failed", "can't be used")
    inert(window)


LONG = ("[", "[[", "[](", "![a](b", "`", "``` ", "* ", "**", "*a ", "**a* ", "> ", "- ", "1. ", "http://", "]( ",
        "`a``", "#", "h", "~~~\n", "```\n", "\n", "*\n", " ", "[a](http://x) ", "(((", "<", "&")  # fmt: skip


@pytest.mark.slow
def test_no_text_takes_long_to_read(window: Window) -> None:
    tab = window.open().tab
    took: dict[str, float] = tab.evaluate(
        """async (parts) => {
            const { worded } = await import("/ui/words.js");
            const took = {};
            for (const part of parts) {
                const began = performance.now();
                worded(part.repeat(200000 / part.length));
                took[part] = performance.now() - began;
            }
            return took;
        }""",
        list(LONG),
    )
    assert max(took.values()) < 4000, took  # one that is read again and again takes minutes


@contextmanager
def another_page(html: str) -> Iterator[str]:
    """A server on another port with one page; its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f":{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ATTACK = """<body><script>
  const done = window.done = {};
  const at = "%s", agent = "%s";
  const tried = (name, work) => work().then((told) => { done[name] = told; }, (error) => { done[name] = "refused"; });
  const post = (kind) => fetch(`${at}/api/agents/${agent}/messages`, { method: "POST", mode: "no-cors",
    credentials: "include", headers: { "content-type": kind }, body: '{"text": "I was here"}',
  }).then((answer) => answer.type);
  tried("read", () => fetch(`${at}/api/agents`, { credentials: "include" }).then((answer) => answer.text()));
  tried("plain", () => post("text/plain"));
  tried("form", () => post("multipart/form-data"));
  const all = { method: "DELETE", credentials: "include" };
  tried("json", () => fetch(`${at}/api/agents/${agent}`, all).then(() => "done"));
  tried("socket", () => new Promise((settle, refuse) => {
    const socket = new WebSocket(at.replace("http", "ws") + "/ws");
    socket.onopen = () => settle("open");
    socket.onerror = refuse;
  }));
  tried("script", () => new Promise((settle, refuse) => {
    const script = document.createElement("script");
    Object.assign(script, { src: `${at}/ui/dom.js`, onload: () => settle("loaded"), onerror: refuse });
    document.body.append(script);
  }));
</script><iframe name="framed"></iframe>
<form method="post" enctype="multipart/form-data" target="framed" action="%s/api/agents/file">
<input name="file" value="x"></form>
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_server_can_do_nothing(chromium: Any, server: Serving, host: str) -> None:
    agent, key = server.agent(), server.key("mine")
    own = server.address
    with another_page(ATTACK % (own, agent, own)) as place:
        context = chromium.new_context()
        tab = context.new_page()
        tab.goto(own)
        tab.fill("#key", key)
        tab.click("text=Come in")
        tab.wait_for_selector("[data-block]")
        tab.goto(f"http://{host}{place}")
        for _ in range(200):
            done = tab.evaluate("() => window.done")
            if len(done) == 6:
                break
            tab.wait_for_timeout(20)
        assert {name: done[name] for name in ("read", "json", "socket", "script")} == dict.fromkeys(
            ("read", "json", "socket", "script"), "refused"
        )
        tab.evaluate("() => document.forms[0].submit()")
        tab.evaluate("address => { document.querySelector('iframe').src = address; }", own)
        tab.wait_for_timeout(200)
        assert not any(frame.url.startswith(own) and frame.query_selector("#chat") for frame in tab.frames[1:])
        context.close()
    with server.house.database.write() as tx:
        assert not tx.rows("SELECT 1 FROM messages WHERE said LIKE '%I was here%'")
    assert [entry["name"] for entry in server.http(key).get("/api/agents").json()] == ["ada"]
