"""`memagent load`, `sources`, `attach` and `detach` as people and scripts use them: what they say, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command_line import MEMAGENT, Memagent
from embedding_server import EmbeddingServer, embedding_server

posix = pytest.mark.skipif(os.name == "nt", reason="by signal, or in a terminal")


@pytest.fixture
def papers(environment: dict[str, str], home: Path) -> Path:
    """A folder of documents."""
    folder = home / "papers"
    (folder / "trips").mkdir(parents=True)
    (folder / "trips" / "lisbon.md").write_text("# Lisbon\n\nThe tram 28 climbs to Graça.\n")
    (folder / "soup.txt").write_text("Leek soup needs three leeks.")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture
def server(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """Embeddings over HTTP, which the environment names."""
    with embedding_server() as running:
        ours = {
            "EMBEDDER": "openai", "EMBEDDING_ENDPOINT": running.url, "EMBEDDING_MODEL": running.model, "RETRIES": "0",
        }  # fmt: skip
        for name, value in ours.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", value)
            environment[f"MEMAGENT_{name}"] = value
        yield running


def summary(memagent: Memagent, *words: str) -> dict[str, Any]:
    done = memagent("load", "directory", *words, "--json")
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def found(memagent: Memagent, agent: str, query: str) -> list[dict[str, Any]]:
    return list(json.loads(memagent("search", agent, query, "--in", "archival", "--json").out)["results"])


def test_a_folder_is_loaded_and_an_agent_finds_what_is_in_it(memagent: Memagent, papers: Path) -> None:
    done = memagent("load", "directory", "papers")
    assert done.code == 0 and done.err == ""
    first, why, *more = done.out.splitlines()
    assert first.startswith("papers: 2 new, 1 not readable; 2 passages, about ")
    assert why == "  1 × is an image: photo.png"
    assert "memagent attach AGENT papers" in more[-1]
    memagent("ask", "hello", "--agent", "ada")
    assert found(memagent, "ada", "tram") == []
    assert memagent("attach", "ada", "papers").out == "ada can now search papers (2 passages).\n"
    (tram,) = found(memagent, "ada", "tram")
    assert tram["source"] == "papers" and tram["place"] == "trips/lisbon.md › Lisbon"
    again = memagent("load", "directory", "papers")
    assert again.out.startswith("papers: 2 unchanged, 1 not readable, in ") and "attach" not in again.out


def test_the_name_is_that_of_the_folder_or_as_given(memagent: Memagent, papers: Path) -> None:
    (papers.parent / "v1.2 (draft)").mkdir()
    (papers.parent / "v1.2 (draft)" / "a.md").write_text("a")
    assert summary(memagent, "v1.2 (draft)")["source"] == "v1-2--draft"
    assert summary(memagent, "papers/soup.txt")["source"] == "soup"
    assert summary(memagent, "papers", "--name", "my papers")["source"] == "my papers"
    done = memagent("load", "directory", "papers", "--name", "a/b")
    assert done.code == 2 and "can't be used as a name of a source" in done.err


def test_options_choose_what_is_loaded(memagent: Memagent, papers: Path) -> None:
    (papers / ".gitignore").write_text("*.txt\n")
    (papers / ".hidden.md").write_text("hidden")
    assert summary(memagent, "papers")["new"] == 1
    assert summary(memagent, "papers", "-n", "b", "--all", "-x", "*.png")["new"] == 2
    assert summary(memagent, "papers", "-n", "c", "--hidden", "-i", "*.md")["new"] == 2
    long = "A sentence of some words. " * 200
    (papers / "long.md").write_text(long)
    few, many = (summary(memagent, "papers", "-n", f"d{t}", "--tokens", str(t))["passages"] for t in (800, 50))
    assert many > 5 * few


def test_what_would_be_loaded_can_be_asked_before(memagent: Memagent, papers: Path, server: EmbeddingServer) -> None:
    done = memagent("load", "directory", "papers", "--dry-run")
    assert done.code == 0 and done.out.startswith("papers, if it were loaded: 2 new, 1 not readable; 2 passages")
    assert memagent("sources").out.startswith("There are no sources yet") and not server.texts
    memagent("load", "directory", "papers")
    (papers / "soup.txt").unlink()
    (papers / "cake.txt").write_text("Cake needs eggs.")
    told = summary(memagent, "papers", "--dry-run")
    assert (told["new"], told["unchanged"], told["gone"], told["unreadable"]) == (1, 1, 1, 1)
    assert len(server.texts) == 3  # of which one is asked for the dimension


def test_nothing_to_load_and_nothing_that_can_be(memagent: Memagent, papers: Path) -> None:
    done = memagent("load", "directory", "papers", "-i", "*.pdf")
    assert done.code == 1 and done.out == "papers: nothing was found to load.\n"
    done = memagent("load", "directory", "papers", "-i", "*.png")
    assert done.code == 1 and "1 not readable" in done.out
    done = memagent("load", "directory", "nowhere")
    assert done.code == 2 and "There is no folder or file" in done.err and "nowhere" in done.err
    assert memagent("sources").out.startswith("There are no sources yet")


def test_agents_can_be_named_at_once(memagent: Memagent, papers: Path) -> None:
    for name in ("ada", "bob"):
        memagent("ask", "hello", "--agent", name)
    done = memagent("load", "directory", "papers", "--attach", "adda")
    assert done.code == 2 and "Did you mean 'ada'" in done.err
    assert memagent("sources").out.startswith("There are no sources yet"), "it was told before the work"
    done = memagent("load", "directory", "papers", "--attach", "ada", "-a", "bob")
    assert "ada can now search papers" in done.out and "bob can now search papers" in done.out
    assert found(memagent, "bob", "leeks")


# What embedding costs -------------------------------------------------------------------------------------------------


@pytest.fixture
def paid(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddingServer:
    """An endpoint that is taken for one that costs something."""
    from memagent.embeddings import prices

    price = prices.Price(server.model, 0.02, "2026-11")
    monkeypatch.setattr(prices, "price", lambda settings, embedder: price)
    return server


def test_what_costs_something_is_asked_before(memagent: Memagent, papers: Path, paid: EmbeddingServer) -> None:
    done = memagent("load", "directory", "papers")
    assert done.code == 2 and "Embedding takes about 18 tokens" in done.err and "--yes" in done.err
    assert not [text for text in paid.texts if "leek" in text]
    assert memagent("sources").out.startswith("There are no sources yet")
    assert memagent("load", "directory", "papers", "--dry-run").out.splitlines()[-1].startswith("Embedding takes about")
    assert memagent("load", "directory", "papers", "--yes").code == 0
    assert memagent("load", "directory", "papers").code == 0, "nothing is left to be paid for"


def test_so_it_is_with_conversations(memagent: Memagent, home: Path, paid: EmbeddingServer) -> None:
    memagent("ask", "hello", "--agent", "ada")
    chats(home / "conversations.json", Soup=["How many leeks?", "Three."])
    done = memagent("load", "conversation", "conversations.json", "-a", "ada")
    assert done.code == 2 and "Embedding takes about 6 tokens" in done.err
    assert not [text for text in paid.texts if "leeks" in text]
    assert memagent("load", "conversation", "conversations.json", "-a", "ada", "--yes").out.startswith("ada: 1 new")
    assert [text for text in paid.texts if "leeks" in text]
    assert memagent("load", "conversation", "conversations.json", "-a", "ada").out.startswith("ada: 1 unchanged")


def test_an_embedder_that_is_away_stops_nothing(memagent: Memagent, papers: Path, server: EmbeddingServer) -> None:
    server.fail(500, "out of order", times=50)
    done = memagent("load", "directory", "papers")
    assert done.code == 0 and "out of order" in done.out and "2 passages have no vectors yet" in done.out
    assert "2 of them wait for vectors" in memagent("sources", "show", "papers").out
    server.failures.clear()
    done = memagent("load", "directory", "papers")
    assert "2 unchanged" in done.out and "no vectors" not in done.out
    assert "2 passages that were stored earlier have their vectors now." in done.out
    assert "earlier" not in memagent("load", "directory", "papers").out
    assert "wait for vectors" not in memagent("sources", "show", "papers").out


def test_where_nothing_is_to_be_embedded_nobody_is_asked(
    memagent: Memagent, home: Path, papers: Path, server: EmbeddingServer
) -> None:
    server.fail(500, "out of order", times=50)
    assert memagent("load", "directory", "papers", "-i", "*.png").code == 1
    assert not server.seen, "of an empty source there is nothing to find out either"
    server.failures.clear()
    memagent("ask", "hello", "--agent", "ada")
    chats(home / "conversations.json", Soup=["How many leeks?", "Three."])
    commands = (("directory", "papers"), ("conversation", "conversations.json", "--agent", "ada"))
    for command in commands:
        assert memagent("load", *command).code == 0
    server.fail(500, "out of order", times=50)
    before = len(server.seen)
    for command in commands:
        done = memagent("load", *command)
        assert done.code == 0 and " unchanged" in done.out and "out of order" not in done.out + done.err
    assert len(server.seen) == before


# Sources --------------------------------------------------------------------------------------------------------------


def test_sources_are_listed_and_shown(memagent: Memagent, papers: Path) -> None:
    memagent("load", "directory", "papers")
    memagent("ask", "hello", "--agent", "ada")
    memagent("attach", "ada", "papers")
    head, row = memagent("sources").out.splitlines()
    assert head.split() == ["name", "kind", "documents", "passages", "updated", "agents"]
    assert row.split()[:4] == ["papers", "directory", "2", "2"] and row.endswith("ada")
    shown = memagent("sources", "show", "papers").out
    assert str(papers) in shown and "can be searched by: ada" in shown and "     1  trips/lisbon.md  Lisbon" in shown
    assert shown.endswith("1-2 of 2\n")
    told = json.loads(memagent("sources", "show", "papers", "--json").out)
    assert [d["place"] for d in told["documents"]] == ["soup.txt", "trips/lisbon.md"]
    assert told["recipes"][0]["options"]["path"] == str(papers)
    assert json.loads(memagent("sources", "list", "--json").out)[0]["agents"] == ["ada"]
    assert "sources: papers (2 passages, 1 agents)" in memagent("doctor", "--offline").out
    assert "can search: papers" in memagent("show", "ada").out
    assert json.loads(memagent("show", "ada", "--json").out)["sources"] == ["papers"]
    done = memagent("sources", "show", "paper")
    assert done.code == 2 and "Did you mean 'papers'?" in done.err


def test_many_documents_are_shown_page_by_page(memagent: Memagent, papers: Path) -> None:
    for n in range(60):
        (papers / f"{n:02}.txt").write_text(f"Text {n}.")
    memagent("load", "directory", "papers")
    assert memagent("sources", "show", "papers").out.endswith("1-50 of 62\n")
    assert memagent("sources", "show", "papers", "--page", "1").out.endswith("51-62 of 62\n")


def test_a_source_is_loaded_again_as_it_was(memagent: Memagent, papers: Path) -> None:
    memagent("load", "directory", "papers", "-i", "*.txt", "--tokens", "50")
    (papers / "new.txt").write_text("New.")
    (papers / "new.md").write_text("Not that.")
    (papers / "soup.txt").unlink()
    os.chdir("/")
    done = memagent("sources", "reload", "papers")
    assert done.code == 0 and done.out.startswith("papers: 1 new, 1 removed;")


def test_a_source_is_deleted_after_a_yes(memagent: Memagent, papers: Path) -> None:
    memagent("load", "directory", "papers")
    memagent("ask", "hello", "--agent", "ada")
    memagent("attach", "ada", "papers")
    done = memagent("sources", "delete", "papers")
    assert done.code == 2 and "ada can search it now" in done.err
    assert "Deleted the source 'papers'" in memagent("sources", "delete", "papers", "--yes").out
    assert memagent("sources").out.startswith("There are no sources yet") and (papers / "soup.txt").exists()
    assert found(memagent, "ada", "leeks") == []


def test_attaching_and_detaching_tell_what_was_so_before(memagent: Memagent, papers: Path) -> None:
    memagent("load", "directory", "papers")
    memagent("load", "directory", "papers/trips")
    memagent("ask", "hello", "--agent", "ada")
    done = memagent("attach", "ada", "papers", "tripps")
    assert done.code == 2 and "Did you mean 'trips'" in done.err
    assert "could not search papers anyway" in memagent("detach", "ada", "papers").out, "all or none"
    both = memagent("attach", "ada", "papers", "trips").out.splitlines()
    assert both == ["ada can now search papers (2 passages).", "ada can now search trips (1 passages)."]
    assert memagent("attach", "ada", "papers").out == "ada could search papers already (2 passages).\n"
    assert "memagent attach ada trips" in memagent("detach", "ada", "trips").out
    assert "There is no agent 'bob'" in memagent("attach", "bob", "papers").err
    assert memagent("attach", "ada").code == 2


def test_inside_a_chat(memagent: Memagent, papers: Path) -> None:
    memagent("ask", "hello", "--agent", "ada")
    talk = b"/sources\n/attach\n/attach papers\n/detach papers\n/attach papers\n/sources\n/exit\n"
    said = memagent("run", "--agent", "ada", stdin=talk).out
    assert "There are no sources yet" in said and "There is no source 'papers'" in said
    memagent("load", "directory", "papers")
    said = memagent("run", "--agent", "ada", stdin=talk).out
    parts = ["    papers (2 passages)", "Attach which source?", "ada can now search papers", "can't search papers any"]
    at = [said.find(part) for part in parts]
    assert at == sorted(at) and at[0] >= 0, said
    assert "  ✓ papers (2 passages)" in said
    assert found(memagent, "ada", "leeks")


def test_a_deleted_agent_leaves_sources_and_an_exported_one_names_them(memagent: Memagent, papers: Path) -> None:
    memagent("load", "directory", "papers")
    memagent("ask", "hello", "--agent", "ada")
    memagent("attach", "ada", "papers")
    memagent("export", "ada", "ada.json")
    assert json.loads(Path("ada.json").read_text())["sources"] == ["papers"]
    memagent("delete", "agent", "ada", "--yes")
    assert "none" in memagent("sources").out.splitlines()[1]
    done = memagent("import", "ada.json")
    assert done.err == "" and found(memagent, "ada", "leeks")
    memagent("sources", "delete", "papers", "--yes")
    done = memagent("import", "ada.json", "--as", "bob")
    assert done.code == 0 and "the source 'papers', which is not here" in done.err
    assert "memagent attach bob papers" in done.err
    assert memagent("import", "ada.json", "--name", "carl").out == "Imported carl\n", "as what is loaded is named"


def test_names_are_completed(memagent: Memagent, papers: Path) -> None:
    from memagent.cli.names import sources

    assert sources("") == []
    memagent("load", "directory", "papers")
    assert sources("pa") == ["papers"] and sources("x") == []


# Cut off --------------------------------------------------------------------------------------------------------------


def _wait(until: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


@posix
@pytest.mark.slow
def test_ctrl_c_keeps_what_is_stored_and_the_same_command_goes_on(
    memagent: Memagent, environment: dict[str, str], papers: Path, server: EmbeddingServer
) -> None:
    for n in range(60):
        (papers / f"{n:02}.txt").write_text("".join(f"Sentence {n} {m} of a long text. " for m in range(600)))
    server.delay = 0.05
    command = [*MEMAGENT, "load", "directory", "papers"]
    with subprocess.Popen(
        command, env=environment, cwd=papers.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait(lambda: len(server.texts) > 600)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == ""
    assert "Interrupted. What was stored is kept." in out and " new" in out
    server.delay = 0
    told = summary(memagent, "papers")
    assert told["unchanged"] > 0 and told["new"] > 0 and told["unchanged"] + told["new"] == 62


@posix
@pytest.mark.slow
def test_two_loads_at_once(
    memagent: Memagent, environment: dict[str, str], papers: Path, server: EmbeddingServer
) -> None:
    server.delay = 1.0
    command = [*MEMAGENT, "load", "directory", "papers", "--json"]
    with subprocess.Popen(command, env=environment, cwd=papers.parent, stdout=subprocess.PIPE, text=True) as process:
        _wait(lambda: server.seen)
        _wait(lambda: not memagent("sources").out.startswith("There are no"))
        done = memagent("load", "directory", "papers")
        assert done.code == 4 and f"(process {process.pid})" in done.err and "Give the same command again" in done.err
        refused = memagent("sources", "delete", "papers", "--yes")
        assert refused.code == 4 and "is being loaded" in refused.err
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and json.loads(out)["new"] == 2


@posix
@pytest.mark.slow
def test_in_a_terminal_it_shows_how_far_it_is(
    environment: dict[str, str], papers: Path, server: EmbeddingServer
) -> None:
    from terminal import Terminal

    for n in range(40):
        (papers / f"{n:02}.txt").write_text("".join(f"Sentence {n} {m} of a long text. " for m in range(600)))
    server.delay = 0.1
    with Terminal(["load", "directory", "papers"], environment) as terminal:
        terminal.expect("/43")
        terminal.expect("passages")
        terminal.expect("papers: 42 new, 1 not readable")
        assert terminal.ended() == 0


@posix
@pytest.mark.slow
def test_what_a_killed_load_has_not_embedded_is_made_good_and_told(
    memagent: Memagent, environment: dict[str, str], home: Path, server: EmbeddingServer
) -> None:
    from terminal import Terminal

    memagent("ask", "hello", "--agent", "ada")
    chats(home / "conversations.json", Soup=[f"{n} leeks" for n in range(40)])
    words = ["load", "conversation", "conversations.json", "--agent", "ada"]
    server.delay, before = 30.0, len(server.seen)
    with subprocess.Popen([*MEMAGENT, *words], env=environment, cwd=home, stdout=subprocess.DEVNULL) as process:
        _wait(lambda: len(server.seen) > before)
        process.kill()
    server.delay = 1.0
    with Terminal(words, environment) as terminal:
        terminal.expect("0 of 42 messages embedded")
        terminal.expect("ada: 1 unchanged, in ")
        terminal.expect("40 messages that were stored earlier have their vectors now.")
        assert terminal.ended() == 0
    assert "earlier" not in memagent(*words).out


# Other kinds ----------------------------------------------------------------------------------------------------------


def test_web_pages_are_loaded_and_not_sent_again_when_they_have_not_changed(
    memagent: Memagent, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "<html><head><title>Tram</title></head><body><p>{}</p></body></html>"
    with pages(
        {"/tram": page.format("The tram 28 climbs to Graça. " * 20), "/soup": page.format("Leeks. " * 20)}
    ) as site:
        done = memagent("load", "webpage", f"{site.url}/tram")
        assert done.code == 1 and "1 not readable" in done.out, "it is not on the public internet"
        monkeypatch.setenv("MEMAGENT_ALLOWED_HOSTS", "127.0.0.1")
        Path("list.txt").write_text(f"{site.url}/soup\n")
        words = ("load", "webpage", f"{site.url}/tram", "--file", "list.txt", "--delay", "0", "--json")
        assert json.loads(memagent(*words).out)["new"] == 2
        assert json.loads(memagent(*words).out)["unchanged"] == 2
        assert site.answered.count(("/tram", 200)) == 1 and ("/tram", 304) in site.answered
        site.pages["/soup"] = page.format("Onions. " * 20)
        told = json.loads(memagent(*words).out)
        assert (told["changed"], told["unchanged"], told["source"]) == (1, 1, "127.0.0.1")
        assert json.loads(memagent("sources", "reload", "127.0.0.1", "--json").out)["unchanged"] == 2
    assert memagent("load", "webpage").code == 2


class Site:
    """Some pages, each with a mark of what is in it, and what was answered."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.pages = pages
        self.answered: list[tuple[str, int]] = []
        self.url = ""


@contextmanager
def pages(texts: dict[str, str]) -> Iterator[Site]:
    site = Site(texts)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = site.pages.get(self.path)
            mark = f'"{hash(text)}"'
            status = 404 if text is None else 304 if self.headers["If-None-Match"] == mark else 200
            site.answered.append((self.path, status))
            body = text.encode() if text and status == 200 else b""
            self.send_response(status)
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), "ETag": mark}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=[0.02], daemon=True)
    thread.start()
    site.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield site
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


def chats(path: Path, **talks: list[str]) -> None:
    """An export as Claude's program makes it."""
    records = []
    for title, texts in talks.items():
        messages = [
            {"uuid": f"{title}{n}", "sender": "assistant" if n % 2 else "human", "text": text,
             "created_at": f"2025-03-01T10:{n:02}:00Z"}
            for n, text in enumerate(texts)
        ]  # fmt: skip
        records.append({"uuid": title, "name": title, "chat_messages": messages})
    path.write_text(json.dumps(records))


def test_conversations_elsewhere_become_recall_memory(memagent: Memagent, home: Path, papers: Path) -> None:
    chats(home / "conversations.json", Lisbon=["Where is Graça?", "On a hill."], Soup=["How many leeks?", "Three."])
    done = memagent("load", "conversation", "conversations.json", "--agent", "ada")
    assert done.code == 2 and "There is no agent 'ada'" in done.err
    memagent("ask", "hello", "--agent", "ada")
    looked = memagent("load", "conversation", "conversations.json", "--agent", "ada", "--dry-run")
    assert looked.out.startswith("ada, if it were loaded: 2 new; 4 messages")
    done = memagent("load", "conversation", "conversations.json", "--agent", "ada")
    assert done.code == 0 and done.out.startswith("ada: 2 new; 4 messages"), done.err
    results = json.loads(memagent("search", "ada", "Graça", "--json").out)["results"]
    assert results[0]["place"] == "Claude › Lisbon" and results[0]["when"].startswith("2025-03-01")
    assert memagent("load", "conversation", "conversations.json", "--agent", "ada").out.startswith(
        "ada: 2 unchanged, in"
    )
    assert "6 messages, 4 of them loaded" in memagent("show", "ada").out
    chats(home / "conversations.json", Lisbon=["Where is Graça?", "On a hill.", "Thanks!"])
    told = json.loads(memagent("load", "conversation", "conversations.json", "--agent", "ada", "--json").out)
    assert (told["changed"], told["messages"], told["complete"]) == (1, 1, True)
    assert "hello" in memagent("run", "--agent", "ada", "--first", stdin=b"/dump\n/pop\n").out
    assert json.loads(memagent("search", "ada", "Thanks", "--json").out)["total"] == 1, "taking back leaves it alone"


def test_a_conversation_is_deleted_after_a_yes_and_can_be_loaded_again(
    memagent: Memagent, home: Path, server: EmbeddingServer
) -> None:
    chats(home / "conversations.json", Lisbon=["Where is Graça?", "On a hill."], Soup=["How many leeks?", "Three."])
    load = ("load", "conversation", "conversations.json", "--agent", "ada")
    memagent("ask", "hello", "--agent", "ada")
    assert memagent("list", "conversations", "ada").out.startswith("ada has none. Load some with: memagent load conv")
    memagent(*load)
    there = json.loads(memagent("list", "conversations", "ada", "--json").out)
    assert [(each["place"], each["messages"]) for each in there] == [("Claude › Lisbon", 2), ("Claude › Soup", 2)]
    assert "Claude › Soup    2         2025-03-01 10:00" in memagent("list", "conversations").out
    delete = ("delete", "conversation", "Claude › Soup", "--agent", "ada")
    done = memagent(*delete)
    assert done.code == 2 and "Delete 'Claude › Soup' (2 messages) from what ada remembers?" in done.err
    assert json.loads(memagent("search", "ada", "leeks", "--json").out)["results"][0]["place"] == "Claude › Soup"
    assert memagent(*delete, "--yes").out == "Deleted 'Claude › Soup'. ada does not find that any more.\n"
    found = json.loads(memagent("search", "ada", "How many leeks?", "--json").out)["results"]
    assert not [each for each in found if "leeks" in each["text"] or "Soup" in each["place"]]
    assert (
        b"leeks" not in memagent("export", "ada").out.encode()
        and "4 messages, 2 of them" in memagent("show", "ada").out
    )
    assert memagent("doctor", "--offline").code == 0, "and the index of words is sound"
    assert memagent(*load).out.startswith("ada: 1 new, 1 unchanged; 2 messages")
    assert json.loads(memagent("search", "ada", "leeks", "--json").out)["results"][0]["place"] == "Claude › Soup"
    assert memagent("delete", "conversation", "Claude › *", "-a", "ada", "-y").out.startswith(
        "Deleted 2 conversations."
    )
    assert "hello" in memagent("run", "--agent", "ada", "--first", stdin=b"/dump\n").out, "what was said here stays"


def test_a_conversation_that_is_not_there_is_not_deleted(memagent: Memagent, home: Path) -> None:
    memagent("ask", "hello", "--agent", "ada")
    done = memagent("delete", "conversation", "Claude › *", "--agent", "ada", "--yes")
    assert done.code == 2 and "memagent list conversations ada" in done.err
    done = memagent("delete", "agent", "ada", "--agent", "ada", "--yes")
    assert done.code == 2 and memagent("show", "ada").code == 0


def test_what_is_no_conversation_is_told(memagent: Memagent, home: Path) -> None:
    memagent("ask", "hello", "--agent", "ada")
    Path("x.json").write_text('{"a": 1}')
    done = memagent("load", "conversation", "x.json", "-a", "ada")
    assert done.code == 1 and "1 not readable" in done.out and "no messages" in done.out
    Path("names.jsonl").write_text('{"name": "Zoë", "text": "hi", "role": "Zoë"}\n')
    assert "Say which name is yours" in memagent("load", "conversation", "names.jsonl", "-a", "ada").out
    words = ("load", "conversation", "names.jsonl", "-a", "ada", "--user", "Zoë", "--from", "Matrix")
    assert memagent(*words).out.startswith("ada: 1 new; 1 messages")
    assert json.loads(memagent("search", "ada", "hi", "--json").out)["results"][0]["place"].startswith("Matrix › ")


def test_rows_of_a_database_are_loaded(memagent: Memagent, home: Path) -> None:
    import sqlite3

    with sqlite3.connect(home / "shop.db") as shop:
        shop.execute("CREATE TABLE soups (id INTEGER PRIMARY KEY, name TEXT, needs TEXT)")
        shop.executemany("INSERT INTO soups (name, needs) VALUES (?, ?)", [("Leek", "leeks"), ("Miso", "tofu")])
    shop.close()
    memagent("ask", "hello", "--agent", "ada")
    done = memagent("load", "database", "shop.db", "--attach", "ada")
    assert done.code == 0 and done.out.startswith("shop: 2 new; 2 passages"), done.err
    assert found(memagent, "ada", "tofu")[0]["place"] == "soups 2"
    with sqlite3.connect(home / "shop.db") as shop:
        shop.execute("UPDATE soups SET needs = 'seaweed' WHERE id = 2")
        shop.execute("DELETE FROM soups WHERE id = 1")
    shop.close()
    told = json.loads(memagent("sources", "reload", "shop", "--json").out)
    assert (told["changed"], told["gone"], told["unchanged"]) == (1, 1, 0)
    words = (
        "load",
        "database",
        f"sqlite:///{home}/shop.db",
        "-q",
        "SELECT name FROM soups",
        "--key",
        "name",
        "-n",
        "q",
    )
    assert memagent(*words).out.startswith("q: 1 new")
    assert memagent("load", "database", "shop.db", "--host", "x").code == 2
    assert "No database is named" in memagent("load", "database").err


def test_a_password_is_kept_nowhere(memagent: Memagent, home: Path) -> None:
    from memagent.cli.connecting import database_options

    url = "postgresql://me:hush-hush@127.0.0.1:9/shop?sslpassword=hush-hush"
    options, kept, name = database_options(url, {}, ask_password=False)
    assert options == {"url": url} and name == "shop"
    assert kept == {"url": "postgresql://me@127.0.0.1:9/shop", "secret": True}
    done = memagent("load", "database", url)
    assert done.code != 0 and "hush" not in done.out + done.err
    assert not [path for path in home.rglob("*") if path.is_file() and b"hush-hush" in path.read_bytes()]


def test_passages_with_vectors_of_another_model_are_refused_or_embedded_anew(
    memagent: Memagent, home: Path, server: EmbeddingServer
) -> None:
    line = {"text": "Leek soup needs leeks.", "document": "soup", "vector": [1, 0], "model": "another"}
    Path("p.jsonl").write_text(json.dumps(line) + "\n")
    done = memagent("load", "passages", "p.jsonl")
    assert done.code == 2 and "'another'" in done.err and server.model in done.err and "--texts-only" in done.err
    done = memagent("load", "passages", "p.jsonl", "--texts-only")
    assert done.out.startswith("p: 1 new; 1 passages") and "Leek soup needs leeks." in server.texts
    assert memagent("sources", "reload", "p").out.startswith("p: 1 unchanged")
    Path("p.jsonl").write_text(json.dumps({**line, "vector": [0.0] * 7 + [1.0], "model": server.model}) + "\n")
    server.asked.clear()
    assert memagent("load", "passages", "p.jsonl").out.startswith("p: 1 changed; 1 passages")
    assert "Leek soup needs leeks." not in server.texts, "its vector came along"


def test_vectors_from_elsewhere_are_loaded_as_they_are(memagent: Memagent, home: Path, server: EmbeddingServer) -> None:
    numpy = pytest.importorskip("numpy")
    numpy.save(home / "soups.npy", numpy.eye(2, 8, dtype="<f4"))
    (home / "soups.json").write_text(json.dumps(["Leek soup needs leeks.", "Miso soup needs tofu."]))
    done = memagent("load", "vector-database", "soups.npy", "--texts", "soups.json")
    assert done.code == 2 and "--model" in done.err and "--texts-only" in done.err
    done = memagent("load", "vector-database", "soups.npy", "--texts", "soups.json", "--model", "another")
    assert done.code == 2 and "'another'" in done.err and server.model in done.err
    words = ("load", "vector-database", "soups.npy", "--texts", "soups.json", "--model", server.model)
    done = memagent(*words)
    assert done.code == 0 and done.out.startswith("soups: 1 new; 2 passages"), done.err
    assert not [text for text in server.texts if "soup" in text]
    assert memagent(*words).out.startswith("soups: 1 unchanged")
    assert memagent("sources", "reload", "soups").out.startswith("soups: 1 unchanged")
    done = memagent("load", "vector-database", "soups.npy", "--texts", "soups.json", "--texts-only")
    assert done.code == 0 and "1 changed" in done.out and [text for text in server.texts if "tofu" in text]
    memagent("ask", "hello", "--agent", "ada")
    memagent("attach", "ada", "soups")
    assert found(memagent, "ada", "tofu")


def test_an_index_of_another_tool_is_loaded(memagent: Memagent, home: Path, server: EmbeddingServer) -> None:
    folder = home / "kept"
    folder.mkdir()
    node = {"__data__": json.dumps({"text": "Leek soup needs leeks.", "metadata": {"file_name": "soup.md"}})}
    (folder / "docstore.json").write_text(json.dumps({"docstore/data": {"n1": node}}))
    (folder / "default__vector_store.json").write_text(json.dumps({"embedding_dict": {"n1": [1.0] + [0.0] * 7}}))
    done = memagent("load", "index", "kept", "--model", server.model)
    assert done.code == 0 and done.out.startswith("kept: 1 new; 1 passages"), done.err
    assert not [text for text in server.texts if "soup" in text]
