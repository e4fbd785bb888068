"""`memagent docs` as people and scripts use it: passages of a tree, and their vectors, none of which is asked for
twice.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import MEMAGENT, Memagent
from embedding_server import EmbeddingServer, embedding_server, vector_of

from memagent.embeddings import packed, unpacked
from memagent.errors import MissingExtra
from memagent.sources.apart import Apart

KEY = "sk-canary/0123456789abcdef"


@pytest.fixture
def tree(home: Path) -> Path:
    """Some documents, and what is none."""
    tree = home / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "guide.md").write_text(
        "# Guide\n\n## Install\n\n" + "Run pip. " * 60 + "\n\n## Use\n\n" + "Press it. " * 60
    )
    (tree / "sub" / "notes.txt").write_text("The lamp is red.")
    (tree / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tree / "more.gif").write_bytes(b"GIF89a")
    return tree


@pytest.fixture
def server(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """An embedding model over HTTP, which the environment names."""
    with embedding_server(key=KEY) as running:
        ours = {"EMBEDDER": "openai", "EMBEDDING_ENDPOINT": running.url, "EMBEDDING_MODEL": running.model}
        for name, value in {**ours, "EMBEDDING_API_KEY": KEY, "RETRIES": "0"}.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", value)
            environment[f"MEMAGENT_{name}"] = value
        yield running


def lines_of(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def write(*texts: str, path: str = "p.jsonl") -> None:
    Path(path).write_text("".join(json.dumps({"text": text, "document": "d.txt"}) + "\n" for text in texts))


# Passages -------------------------------------------------------------------------------------------------------------


def test_a_tree_becomes_passages_with_their_places(memagent: Memagent, tree: Path) -> None:
    done = memagent("docs", "prepare", "tree", "--out", "p.jsonl")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 passages of 2 documents, ")
    assert "in 0." in done.out and "Passages: p.jsonl\n" in done.out
    assert "  2 × left out: logo.png is an image\n" in done.out
    lines = lines_of("p.jsonl")
    assert [line["place"] for line in lines] == [
        "guide.md › Guide › Install", "guide.md › Guide › Use", "sub/notes.txt"
    ]  # fmt: skip
    last = {name: value for name, value in lines[-1].items() if name != "id"}
    assert last == {
        "document": "sub/notes.txt", "title": "notes", "place": "sub/notes.txt", "heading": [], "page": None,
        "tokens": 4, "text": "The lamp is red.",
    }  # fmt: skip


def test_what_can_not_be_written_is_told_and_leaves_nothing_behind(tree: Path, environment: dict[str, str]) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); {MEMAGENT[2]}"
    words = [*MEMAGENT[:2], limited, "docs", "prepare", "tree", "--out", "full.jsonl"]
    done = subprocess.run(words, cwd=tree.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 5 and "The disk is full: full.jsonl can't be written." in done.stderr
    assert not list(tree.parent.glob("full.jsonl*"))


def test_what_needs_an_extra_names_it(memagent: Memagent, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise MissingExtra("What reads PDF", "documents")

    monkeypatch.setattr(Apart, "read", missing)
    (tree / "paper.pdf").write_bytes(b"%PDF-1.4\n")
    assert "pip install 'memagent[documents]'" in memagent("docs", "prepare", "tree", "--out", "p.jsonl").out


def test_patterns_and_length(memagent: Memagent, tree: Path) -> None:
    done = memagent("docs", "prepare", "tree", "-o", "p.jsonl", "--include", "*.md", "--tokens", "50", "--json")
    summary = json.loads(done.out)
    assert (summary["documents"], summary["skipped"], summary["output"]) == (1, [], "p.jsonl")
    lines = lines_of("p.jsonl")
    assert summary["passages"] == len(lines) > 3 and summary["tokens"] == sum(line["tokens"] for line in lines)
    assert max(line["tokens"] for line in lines) <= 50
    memagent("docs", "prepare", "tree", "-o", "p.jsonl", "--exclude", "*.md")
    assert [line["document"] for line in lines_of("p.jsonl")] == ["sub/notes.txt"]
    assert memagent("docs", "prepare", "tree/guide.md").code == 0
    assert lines_of("guide.md.passages.jsonl")[0]["document"] == "guide.md"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "There is no folder or file 'nowhere'."),
        (["tree", "--include", "*.rst"], "No file there is wanted"),
        (["tree", "--include", "*.png"], "logo.png is an image."),
        (["tree", "-o", "tree"], "is not a file"),
        (["tree", "-o", "-"], "is not a file"),
        (["tree", "-o", "nowhere/p.jsonl"], "--output"),
        (["tree", "--tokens", "5"], "--tokens"),
    ],
)
def test_mistakes_in_preparing(memagent: Memagent, tree: Path, words: list[str], told: str) -> None:
    before = sorted(Path().rglob("*"))
    done = memagent("docs", "prepare", *words)
    assert done.code == 2 and told in done.err and done.out == ""
    assert sorted(Path().rglob("*")) == before


# Vectors --------------------------------------------------------------------------------------------------------------


def test_on_this_machine(memagent: Memagent, tree: Path) -> None:
    memagent("docs", "prepare", "tree", "-o", "p.jsonl")
    done = memagent("docs", "embed", "p.jsonl", "--embedder", "local")
    assert (done.code, done.err) == (0, "") and done.out.startswith("3 embedded; in ")
    assert done.out.endswith("Vectors: p.embedded.jsonl\n")
    lines = lines_of("p.embedded.jsonl")
    assert [{k: v for k, v in line.items() if k not in ("vector", "model")} for line in lines] == lines_of("p.jsonl")
    for line in lines:
        assert line["model"] and sum(number**2 for number in line["vector"]) == pytest.approx(1, abs=1e-5)
    (tree / "sub" / "notes.txt").write_text("The lamp is blue.")
    memagent("docs", "prepare", "tree", "-o", "p.jsonl")
    again = memagent("docs", "embed", "p.jsonl", "--embedder", "local")
    assert again.out.startswith("1 embedded, 3 before; in ")
    assert [line["text"] for line in lines_of("p.embedded.jsonl")] == [line["text"] for line in lines_of("p.jsonl")]


def test_by_an_endpoint_in_few_requests_each_text_once(memagent: Memagent, server: EmbeddingServer) -> None:
    texts = [f"text {n}" for n in range(150)]
    write(*texts, "text 7", *texts[:3])
    done = memagent("docs", "embed", "p.jsonl", "--out", "v.jsonl")
    assert (done.code, done.err) == (0, "") and done.out.startswith("150 embedded; 3 tokens in ")
    assert Counter(server.texts) == Counter(texts) and len(server.asked) == 3
    lines = lines_of("v.jsonl")
    assert [line["text"] for line in lines] == [*texts, "text 7", *texts[:3]]
    for line in lines:
        assert line["vector"] == pytest.approx(unpacked(packed(vector_of(line["text"], 8))), rel=1e-6)
        assert (line["model"], line["document"]) == (server.model, "d.txt")
    assert len({line["id"] for line in lines}) == 154
    summary = json.loads(memagent("docs", "embed", "p.jsonl", "--out", "v.jsonl", "--json").out)
    assert summary.pop("seconds") >= 0 and summary == {
        "output": "v.jsonl", "embedded": 0, "failed": 0, "reasons": {}, "embedded_before": 150, "tokens": 0,
        "complete": True,
    }  # fmt: skip
    assert len(server.asked) == 3


def test_a_model_that_is_named_is_asked(memagent: Memagent, environment: Any) -> None:
    write("one")
    with embedding_server() as running:
        words = ["--model", running.model, "--endpoint", running.url]
        assert memagent("docs", "embed", "p.jsonl", *words).code == 0
        assert running.texts == ["one"]


def test_a_text_that_is_too_long_costs_no_other_its_vector(memagent: Memagent, server: EmbeddingServer) -> None:
    server.longest = 40
    texts = ["short", "long " * 100, "tall"]
    write(*texts)
    assert memagent("docs", "embed", "p.jsonl").out.startswith("3 embedded; ")
    assert [line["text"] for line in lines_of("p.embedded.jsonl")] == texts


@pytest.mark.parametrize(
    "vectors", [[], [[1.0] * 8, "x"], [[1.0] * 8, [1.0] * 7], [[1.0] * 8, [None] * 8], [[], []], [[1e400] * 8] * 2]
)
def test_what_is_no_vector_is_not_kept(memagent: Memagent, server: EmbeddingServer, vectors: list[Any]) -> None:
    write("one", "two")
    server.mangled = lambda _texts, _vectors: vectors
    done = memagent("docs", "embed", "p.jsonl")
    assert done.code == 3 and "0 embedded" in done.out + done.err
    assert Path("p.embedded.jsonl").read_bytes() == b""
    server.mangled = lambda _texts, right: right
    assert memagent("docs", "embed", "p.jsonl").code == 0


def test_what_would_fail_for_all_is_told_once(memagent: Memagent, server: EmbeddingServer, home: Path) -> None:
    write("one", "two")
    server.key = "another one"
    done = memagent("docs", "embed", "p.jsonl")
    assert done.code != 0 and done.out.startswith("0 embedded;") and "it goes on from there" in done.err
    everything = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in content for content in [*everything, done.out.encode(), done.err.encode()])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl can't be read"),
        (["p.jsonl", "-o", "p.jsonl"], "holds the passages"),
        (["p.jsonl", "-o", "script.yaml"], "script.yaml, line 1 is no passage with its vector"),
        (["p.jsonl", "-o", "other.jsonl"], 'holds vectors of the model "other"'),
        (["script.yaml"], "script.yaml, line 2 is no passage"),
        (["empty.jsonl"], "There are no passages in empty.jsonl"),
        (["p.jsonl", "--embedder", "off"], "The embedder is off."),
        (["p.jsonl", "--parallel", "0"], "--parallel"),
    ],
)
def test_mistakes_in_embedding(memagent: Memagent, server: EmbeddingServer, words: list[str], told: str) -> None:
    write("one")
    Path("other.jsonl").write_text('{"id":"0123456789abcdef","model":"other","vector":[1.0], "text":"one"}\n')
    Path("empty.jsonl").write_text("\n")
    before = sorted(Path().glob("*.jsonl*"))
    done = memagent("docs", "embed", *words)
    assert done.code == 2 and told in done.err and done.out == ""
    assert not server.asked and sorted(Path().glob("*.jsonl*")) == before


def test_a_torn_line_is_asked_for_again_and_nothing_else(memagent: Memagent, server: EmbeddingServer) -> None:
    write("one", "two", "three")
    memagent("docs", "embed", "p.jsonl", "-o", "v.jsonl")
    whole = Path("v.jsonl").read_bytes()
    for cut in (1, 30, len(whole.splitlines()[-1]) - 1):
        Path("v.jsonl").write_bytes(whole[:-cut])
        server.asked.clear()
        assert memagent("docs", "embed", "p.jsonl", "-o", "v.jsonl").code == 0
        assert server.texts == ["three"] and Path("v.jsonl").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="by signal")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_cut_midway_each_text_is_embedded_once_in_the_end(
    environment: dict[str, str], server: EmbeddingServer, home: Path, number: int
) -> None:
    texts = [f"text {n}" for n in range(40)]
    write(*texts)
    server.delay = 0.05
    environment["MEMAGENT_EMBEDDING_BATCH"] = "1"
    command = [*MEMAGENT, "docs", "embed", "p.jsonl", "-o", "v.jsonl", "-p", "2"]
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cut:
        until = time.monotonic() + 20
        while not (home / "v.jsonl").exists() or (home / "v.jsonl").read_bytes().count(b"\n") < 8:
            assert time.monotonic() < until
            time.sleep(0.01)
        cut.send_signal(number)
        out, err = cut.communicate(timeout=20)
    assert b"Traceback" not in err
    assert cut.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]  # type: ignore[index]
    if number == signal.SIGINT:
        assert b"it goes on from there" in out
    kept = (home / "v.jsonl").read_bytes().count(b"\n")
    assert 8 <= kept < 40
    server.delay = 0
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0 and f"{kept} before" in done.stdout, done
    assert [line["text"] for line in lines_of(home / "v.jsonl")] == texts
    times = Counter(server.texts)
    assert times.keys() == set(texts) and sum(times.values()) <= 40 + 2
    assert not (home / "v.jsonl.lock").exists()


# Loaded ---------------------------------------------------------------------------------------------------------------


def test_what_was_prepared_and_embedded_is_loaded_as_it_is(
    memagent: Memagent, tree: Path, server: EmbeddingServer
) -> None:
    memagent("docs", "prepare", "tree", "-o", "p.jsonl")
    memagent("docs", "embed", "p.jsonl")
    memagent("ask", "hello", "--agent", "ada")
    before = len(server.texts)
    done = memagent("load", "passages", "p.embedded.jsonl", "--attach", "ada", "--yes")
    assert done.code == 0 and done.out.startswith("p: 2 new; 3 passages, "), done
    assert set(server.texts[before:]) <= {"dimension"}, "no vector was made again"
    found = json.loads(memagent("search", "ada", "lamp red", "--in", "archival", "--json").out)["results"]
    assert (found[0]["place"], found[0]["text"]) == ("sub/notes.txt", "The lamp is red.")
    (tree / "sub" / "notes.txt").write_text("The lamp is blue.")
    memagent("docs", "prepare", "tree", "-o", "p.jsonl")
    memagent("docs", "embed", "p.jsonl")
    before = len(server.texts)
    again = memagent("load", "passages", "p.embedded.jsonl", "--yes")
    assert again.out.startswith("p: 1 changed, 1 unchanged; 1 passages"), again
    assert set(server.texts[before:]) <= {"dimension"}


def test_without_vectors_it_is_embedded_as_everything_is(memagent: Memagent, tree: Path) -> None:
    memagent("docs", "prepare", "tree", "-o", "p.jsonl", "--tokens", "40")
    assert memagent("load", "passages", "p.jsonl", "--json").code == 0
    passages = json.loads(memagent("sources", "list", "--json").out)[0]["passages"]
    assert passages == len(lines_of("p.jsonl"))
