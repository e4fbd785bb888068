"""Requests from a file and results in another: nothing is asked twice, nothing gets mixed up, and nothing is lost."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import Asked, BatchServer, Said, batch_server, chat, echo
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.config import Settings
from memagent.endpoints.retry import Backoff
from memagent.errors import StorageError, UserError
from memagent.llm.batch import Call, Limits, door_to, run_batch
from memagent.llm.batch import lines as reading
from memagent.llm.batch.lines import Line, Lines
from memagent.llm.batch.results import Results

KEY = "sk-canary/0123456789abcdef"


def question(text: str, **more: Any) -> str:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **more})


def read(path: Path) -> list[dict[str, Any]]:
    """The results, in the order of the lines."""
    return sorted((json.loads(line) for line in path.read_text("utf-8").splitlines()), key=lambda r: int(r["line"]))


def calls(text: str | bytes, model: str = "") -> list[Call]:
    content = text if isinstance(text, bytes) else text.encode()
    return list(Lines(io.BytesIO(content), "q.jsonl", model, lambda *_: False))


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server() as running:
        yield running


class Work:
    """A file of requests and its results, as the command treats them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.requests = folder / "q.jsonl"
        self.results = folder / "r.jsonl"
        self.door = door_to(Settings(endpoint=url, api_key=KEY, model="default"))

    def write(self, *lines: str) -> None:
        self.requests.write_text("".join(f"{line}\n" for line in lines), "utf-8")

    def go(self, *, retry_failed: bool = False, requests: bool = False) -> list[dict[str, Any]]:
        with (
            self.requests.open("rb") as file,
            Results(self.results, retry_failed=retry_failed, requests=requests) as results,
        ):
            lines = Lines(file, "q.jsonl", self.door.model, results.done)
            run_batch(lines, self.door, Limits(), results.add, retries=0, backoff=Backoff(first=0.01))
            results.tidy(lines.number)
        return read(self.results)


@pytest.fixture
def work(tmp_path: Path, server: BatchServer) -> Work:
    return Work(tmp_path, server.url)


# Lines ----------------------------------------------------------------------------------------------------------------


def test_both_shapes_of_a_line() -> None:
    batched = {"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": {"model": "e", "input": "x"}}
    given = question("hi", custom_id=7, metadata={"a": [1]})
    first, second, third = calls(f"\ufeff{given}\n\n  \r\n{json.dumps(batched)}\r\n{question('last')}")
    assert json.loads(first.body) == json.loads(question("hi")), "what is ours is not sent"
    assert (first.tag.number, first.tag.custom_id, first.tag.metadata) == (1, 7, {"a": [1]})
    assert (second.path, json.loads(second.body), second.tag.custom_id) == ("/embeddings", batched["body"], "b")
    assert (second.tag.number, third.tag.number, third.body) == (4, 5, question("last").encode())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON (Expecting property name"),
        ("[1]", "not a JSON object"),
        ('{"model": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\udcff", "not UTF-8 text (byte 1)"),
        ('{"prompt": "x"}', 'neither "messages"'),
        ('{"messages": []}', "give --model"),
        ('{"body": 1}', '"body" is not a JSON object'),
        ('{"method": "GET", "body": {}}', "not POST"),
        ('{"url": "https://evil.example/v1/embeddings", "body": {"model": "m", "input": ""}}', "/v1/chat/completions"),
        ('{"url": "/v1/files", "body": {"model": "m", "input": ""}}', "/v1/chat/completions"),
        ('{"url": "/v1/embeddings", "body": {"model": "m", "messages": []}}', 'takes "input"'),
        (question("x", stream=True), "stream"),
    ],
)
def test_a_bad_line_is_told_with_its_number(line: str, words: str) -> None:
    good = question("hi").encode()
    found = calls(b"\n".join([good, line.encode("utf-8", "surrogateescape"), good]))
    assert [bool(call.problem) for call in found] == [False, True, False]
    assert found[1].problem.startswith("q.jsonl, line 2: ") and words in found[1].problem


def test_an_endless_line_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1_000_000)
    good = question("hi").encode()
    first, second = calls(b"x" * 3_500_000 + b"\n" + good)
    assert "longer than" in first.problem and second.tag.number == 2
    exact = question("y" * (1_000_000 - len(question("")))).encode()
    assert len(exact) == 1_000_000
    assert [bool(call.problem) for call in calls(exact + b"\n" + good)] == [True, False]
    assert calls(b"x" * 3_500_000)[0].tag.key != calls(b"x" * 3_500_001)[0].tag.key


def test_a_model_from_the_settings_is_part_of_what_is_asked() -> None:
    (one,), (two,) = calls('{"messages": []}', "a"), calls('{"messages": []}', "b")
    assert json.loads(one.body) == {"model": "a", "messages": []}
    assert one.tag.key != two.tag.key
    assert calls(question("x"), "a")[0].tag == calls(question("x"), "b")[0].tag


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_calls_or_problems(pieces: list[bytes]) -> None:
    content = b"\n".join(pieces)
    found = calls(content)
    wanted = [n for n, line in enumerate(content.split(b"\n"), 1) if line.removeprefix(b"\xef\xbb\xbf").strip()]
    assert [call.tag.number for call in found] == wanted


# Results --------------------------------------------------------------------------------------------------------------


def test_each_result_stands_with_what_belongs_to_it(work: Work, server: BatchServer) -> None:
    note = {"page": 3, "title": "Größe \u2028 \ud800", "deep": [None, {"x": 1.5}]}
    work.write(question("one", metadata=note), "{bad", '{"input": ["a", "bb"], "custom_id": "e"}')
    first, second, third = work.go()
    assert (first["line"], first["metadata"], first["error"], first["custom_id"]) == (1, note, None, None)
    assert first["response"]["choices"][0]["message"]["content"] == "ONE"
    assert first["usage"] == first["response"]["usage"] and "request" not in first
    assert second["response"] is None and second["error"] == {
        "type": "unfit", "status": None, "tries": 0,
        "message": "q.jsonl, line 2: it is not JSON "
        "(Expecting property name enclosed in double quotes, column 2).",
    }  # fmt: skip
    assert (third["custom_id"], len(third["response"]["data"])) == ("e", 2)
    assert work.results.stat().st_mode & 0o077 == 0 or os.name == "nt"
    assert KEY not in work.results.read_text()
    assert not list(work.results.parent.glob("*.lock"))


def test_requests_can_stand_beside_their_results(work: Work) -> None:
    work.write(question("one", metadata=1), "{bad")
    first, second = work.go(requests=True)
    assert first["request"] == json.loads(question("one")) and second["request"] is None


def test_what_is_done_is_not_asked_again(work: Work, server: BatchServer) -> None:
    work.write(question("one"), question("two"))
    before = work.go()
    assert work.go() == before and len(server.asked) == 2
    work.write(question("one"), question("two"), question("three"))
    assert len(work.go()) == 3 and server.texts()[2:] == ["three"]


def test_a_changed_line_is_asked_anew_and_the_old_answer_is_kept_aside(work: Work, server: BatchServer) -> None:
    work.write(question("one"), question("two"), question("three"))
    work.go()
    work.write(question("one"), question("TWO!"))
    results = work.go()
    assert [r["response"]["choices"][0]["message"]["content"] for r in results] == ["ONE", "TWO!"]
    aside = read(work.results.with_name("r.replaced.jsonl"))
    assert [r["response"]["choices"][0]["message"]["content"] for r in aside] == ["TWO", "THREE"]
    assert server.texts()[3:] == ["TWO!"]


def test_failures_are_asked_again_when_that_is_wanted(tmp_path: Path) -> None:
    broken = [True]

    def answer(asked: Asked) -> Said:
        if broken[0] and "bad" in str(asked.body):
            return Said(400, {"error": {"message": f"no {KEY}"}})
        return echo(asked)

    with batch_server(answer) as server:
        work = Work(tmp_path, server.url)
        work.write(question("a"), question("bad"), question("c"))
        assert [bool(r["error"]) for r in work.go()] == [False, True, False]
        assert KEY not in work.results.read_text()
        broken[0] = False
        work.go()
        assert len(server.asked) == 3
        results = work.go(retry_failed=True)
        assert [r["error"] for r in results] == [None] * 3 and server.texts()[3:] == ["bad"]
        assert not work.results.with_name("r.replaced.jsonl").exists(), "a failure is nothing to keep"


def test_an_answer_stands_on_one_line_however_it_came(tmp_path: Path) -> None:
    answers = {
        "pretty": json.dumps(chat("a\nb"), indent=2).encode(),
        "mark": b"\xef\xbb\xbf" + json.dumps(chat("x")).encode(),
        "key": json.dumps(chat(f"your key is {KEY}")).encode(),
    }
    with batch_server(lambda asked: Said(body=answers[asked.body["messages"][0]["content"]])) as server:
        work = Work(tmp_path, server.url)
        work.write(*(question(name) for name in answers))
        said = [r["response"]["choices"][0]["message"]["content"] for r in work.go()]
    assert said == ["a\nb", "x", "your key is [key]"]


def test_a_torn_last_line_is_dropped_and_done_again(work: Work, server: BatchServer) -> None:
    work.write(*(question(f"q{n}") for n in range(3)))
    before = work.go()
    whole = work.results.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, last + 20, last + 100, len(whole) - 2):
        work.results.write_bytes(whole[:cut])
        asked = len(server.asked)
        assert work.go() == before, cut
        assert len(server.asked) == asked + 1
    for tail in (b"\0" * 50, b"\0\0\n\0"):
        work.results.write_bytes(whole + tail)
        assert work.go() == before and work.results.read_bytes() == whole
    asked = len(server.asked)
    work.results.write_bytes(whole[:-1])
    assert work.go() == before and len(server.asked) == asked, "only its end was missing"


@pytest.mark.parametrize(
    "content", ["hello", "hello\n", "{}\n", "a: 1\nb: 2\n", '{"line": 0, "key": "1", "error": 0}\n']
)
def test_a_file_of_something_else_is_not_touched(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="line 1 is not a result"):
        Results(path)
    assert path.read_text() == content and [p.name for p in tmp_path.iterdir()] == ["r.jsonl"]


def test_results_that_another_program_has_written_anew_are_known(work: Work, server: BatchServer) -> None:
    work.write(question("one"), question("two"))
    results = work.go()
    work.results.write_text("".join(json.dumps(r, indent=None, sort_keys=True) + "\n" for r in results[::-1]))
    assert work.go() == results and len(server.asked) == 2


def test_a_second_process_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    code = (
        "import sys, pathlib; from memagent.llm.batch.results import Results\n"
        "r = Results(pathlib.Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "open\n"
        with pytest.raises(UserError, match=rf"Another process writes to .*\({other.pid}\)"):
            Results(path)
        other.kill()
    assert (tmp_path / "r.jsonl.lock").exists()
    Results(path).close()
    assert not (tmp_path / "r.jsonl.lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="it limits the size of files")
def test_a_full_disk_leaves_whole_results(tmp_path: Path) -> None:
    code = """
import pathlib, resource, sys
from memagent.errors import StorageError
from memagent.llm.batch import Call, Outcome
from memagent.llm.batch.lines import Line
from memagent.llm.batch.results import Results
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
results = Results(pathlib.Path(sys.argv[1]))
try:
    for n in range(1, 100):
        results.add(Outcome(Call("", "", b"", 0, Line(n, 2)), {}, b'{}'))
except StorageError as error:
    print(error)
results.close()
"""
    path = tmp_path / "r.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "The disk is full" in done.stdout and "goes on from here" in done.stdout
    assert [result["line"] for result in read(path)] == list(range(1, 10))
    assert path.read_bytes().endswith(b"}\n")


def test_where_results_can_not_be_kept(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "r.jsonl", Path(os.devnull)):
        with pytest.raises(UserError):
            Results(path)


def test_what_stops_tidying_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.jsonl"
    with Results(path) as results:
        for key in (2, 4):
            results.add(_outcome(1, key))
        before = path.read_bytes()
        (tmp_path / "r.jsonl.new").mkdir()
        with pytest.raises((UserError, StorageError)):
            results.tidy(1)
        assert path.read_bytes() == before
        (tmp_path / "r.jsonl.new").rmdir()
        results.tidy(1)
    assert [record["key"][-1] for record in read(path)] == ["4"]


def _outcome(line: int, key: int) -> Any:
    from memagent.llm.batch import Outcome

    return Outcome(Call("", "", b"", 0, Line(line, key)), {}, b"{}")
