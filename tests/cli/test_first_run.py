"""A first chat with nothing configured: what is there is found in its order, told in a line, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Memagent, bare
from local_models import MODEL, OLLAMA, fetchable, ollama, serving

from memagent import assemble, registry
from memagent.cli import choosing
from memagent.config import Settings
from memagent.llm import discovery
from memagent.llm.scripted import ScriptedLLM

CHANGE = " · change: memagent model use\n"


@pytest.fixture(autouse=True)
def nothing_configured(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMAGENT_PROVIDER", "MEMAGENT_SCRIPT"):
        monkeypatch.delenv(name)


@pytest.fixture
def runs_here(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """As if what runs the embedded model were installed; it is played by the scripted one. Tells what was read ready:
    provider, model and preset.
    """
    ready: list[tuple[str, str, str]] = []

    def prepare(settings: Settings, told: Callable[[int, int], None]) -> None:
        told(1, 2)
        ready.append((settings.provider, settings.model, settings.first_preset))

    monkeypatch.setattr(choosing, "RUNNER", "json")
    monkeypatch.setitem(registry.LLMS, "embedded", f"{__name__}:play")
    monkeypatch.setattr(assemble, "prepare_model", prepare)
    return ready


def play(settings: object) -> ScriptedLLM:
    return ScriptedLLM(model=getattr(settings, "model"))


def kept(memagent: Memagent, name: str = "companion") -> dict[str, object]:
    settings = json.loads(memagent("show", name, "--json").out)["settings"]
    return {key: settings[key] for key in ("provider", "model", "endpoint") if key in settings}


# The order ------------------------------------------------------------------------------------------------------------


def test_a_key_comes_before_a_server_and_a_server_before_the_embedded_model(
    memagent: Memagent, home: Path, runs_here: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, here = ("o3", "gpt-4.1-mini", "text-embedding-3-small"), ("qwen2.5:7b", "nomic-embed-text")
    with fetchable(home), serving(OLLAMA, here) as port, serving(models=account) as openai:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        monkeypatch.setattr("memagent.llm.openai.OPENAI_URL", f"http://127.0.0.1:{openai}/v1")
        done = memagent(
            "ask", "hello", "--yes", "--agent", "first", "--model", "o3", "--endpoint", f"http://127.0.0.1:{openai}/v1"
        )
        assert (done.out, done.err) == ("You said: hello\n", "first is new\n")

        monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890abcdef")
        done = memagent("ask", "hello", "--yes", "--agent", "second")
        assert done.err.startswith(f"using o3 at OpenAI{CHANGE}"), "that of the agent before"
        memagent("delete", "agent", "first", "--yes")
        memagent("delete", "agent", "second", "--yes")
        done = memagent("ask", "hello", "--yes", "--agent", "third")
        assert done.err.startswith(f"using gpt-4.1-mini at OpenAI{CHANGE}")
        assert kept(memagent, "third") == {"model": "gpt-4.1-mini"}

        monkeypatch.delenv("OPENAI_API_KEY")
        done = memagent("ask", "hello", "--yes", "--agent", "fourth")
        assert done.out == "You said: hello\n"
        assert done.err.startswith(f"using qwen2.5:7b at Ollama (localhost:{port}){CHANGE}")
        assert kept(memagent, "fourth")["model"] == "qwen2.5:7b"
        assert not (home / "models").exists()

        monkeypatch.setattr(discovery, "KINDS", {})
        done = memagent("ask", "hello", "--yes", "--agent", "fifth")
        assert done.err.startswith(f"using tiny on this machine{CHANGE}")
        assert (home / "models" / "tiny.gguf").read_bytes() == MODEL
        assert kept(memagent, "fifth") == {"provider": "embedded", "model": "tiny"}
        assert memagent("ask", "again", "--agent", "fifth").err == ""


def test_what_an_agent_was_made_with_is_used_without_a_word(
    memagent: Memagent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OLLAMA) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        assert "using qwen2.5:7b" in memagent("ask", "hello").err
        monkeypatch.setattr(discovery, "KINDS", {})
        assert memagent("ask", "again").err == ""


def test_of_several_models_the_first_or_that_of_the_last_agent_is_taken(
    memagent: Memagent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(OLLAMA, ("llama3.2:latest", "qwen2.5:7b")) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        assert "using llama3.2:latest at Ollama" in memagent("ask", "hello", "--agent", "one").err
        assert "using qwen2.5:7b at Ollama" in memagent("ask", "hello", "--agent", "two", "--model", "qwen2.5:7b").err
        assert "using qwen2.5:7b at Ollama" in memagent("ask", "hello", "--agent", "three").err


def test_a_server_without_models_is_told(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OLLAMA, ("nomic-embed-text",)) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        done = memagent("ask", "hello")
    assert "Ollama runs at localhost" in done.err and "has no model to talk to" in done.err
    assert "pip install 'memagent[local]'" in done.err


def test_a_key_that_is_refused_is_told_and_no_other_model_is_taken(
    memagent: Memagent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890abcdef")
    monkeypatch.setattr("memagent.llm.openai.OPENAI_URL", "http://127.0.0.1:9/v1")
    with serving(OLLAMA) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        done = memagent("ask", "hello")
    assert (done.code, done.out) == (3, "") and "127.0.0.1:9" in done.err


# The embedded model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["run"], ["ask", "hello"], ["run", "--yes"]])
def test_without_what_runs_it_nothing_is_fetched(memagent: Memagent, home: Path, words: list[str]) -> None:
    with fetchable(home):
        done = memagent(*words)
    assert (done.code, done.out) == (2, "")
    assert "pip install 'memagent[local]'" in done.err and "memagent configure" in done.err
    assert not (home / "models").exists()
    assert "not installed" in memagent(*words, "--provider", "embedded").err


def test_where_nobody_can_answer_it_is_told_how_to_fetch_it(memagent: Memagent, home: Path, runs_here: object) -> None:
    with fetchable(home):
        done = memagent("ask", "hello")
        assert (done.code, done.out) == (2, "")
        assert "Tiny (2 MB, licence MIT)" in done.err and "memagent model pull --yes" in done.err
        assert "There are no agents" in memagent("list").out and not (home / "models").exists()
        assert (
            "memagent model pull tiny --yes"
            in memagent("ask", "hello", "--provider", "embedded", "--model", "tiny").err
        )


def test_it_is_read_ready_for_the_preset_of_its_agents(
    memagent: Memagent, home: Path, runs_here: list[tuple[str, str, str]]
) -> None:
    with fetchable(home):
        assert memagent("ask", "hello", "--yes").code == 0
        assert runs_here == [("embedded", "tiny", "small")]
    assert json.loads(memagent("show", "companion", "--json").out)["preset"] == "small"


def test_a_file_of_ones_own(memagent: Memagent, home: Path, runs_here: object, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(MODEL)
    assert memagent("ask", "hello", "--provider", "embedded", "--model", str(path)).out == "You said: hello\n"
    assert kept(memagent) == {"provider": "embedded", "model": str(path)}
    path.unlink()
    assert "There is no model file" in memagent("ask", "hello").err


# In a terminal --------------------------------------------------------------------------------------------------------

pytest.importorskip("pty", reason="it needs a pseudo-terminal")
from terminal import CTRL_D, Terminal  # noqa: E402


def at_home(environment: dict[str, str], home: Path, *lines: str, runner: str = "json") -> dict[str, str]:
    """The variables of a user who has nothing configured; `lines` are run before anything else."""
    path = bare(home, runner)
    with (home / "sitecustomize.py").open("a") as file:
        file.write("\n".join(("from memagent import registry", *lines)) + "\n")
    drop = ("MEMAGENT_PROVIDER", "MEMAGENT_SCRIPT")
    return {**{key: value for key, value in environment.items() if key not in drop}, "PYTHONPATH": path}


PLAYED = """
registry.LLMS['embedded'] = 'memagent.llm.opening:scripted'
from memagent import assemble
assemble.prepare_model = lambda settings, told: told(3, 4)
"""


def test_it_is_offered_fetched_with_a_bar_and_talked_to(environment: dict[str, str], home: Path) -> None:
    with fetchable(home), Terminal(["run"], at_home(environment, home, PLAYED)) as terminal:
        terminal.expect("none was found on this machine")
        terminal.expect("Fetch Tiny (2 MB, licence MIT) once, and run it here?")
        terminal.send("y")
        terminal.expect("using tiny on this machine · change: memagent model use")
        terminal.expect("Hello!")
        terminal.expect("> ")
        terminal.send(CTRL_D)
        assert terminal.ended() == 0
        assert "MB" in terminal.seen
    assert (home / "models" / "tiny.gguf").exists()


def test_who_does_not_want_it_is_asked_for_another(environment: dict[str, str], home: Path) -> None:
    with fetchable(home), Terminal(["run"], at_home(environment, home, PLAYED)) as terminal:
        terminal.expect("once, and run it here?")
        terminal.send("n")
        terminal.expect("Who runs the model?")
    assert not (home / "models").exists()


def test_of_several_models_one_is_picked(environment: dict[str, str], home: Path) -> None:
    with serving(OLLAMA, ("llama3.2", "qwen2.5:7b")) as port:
        lines = (
            "from memagent.llm.discovery import KINDS, Kind",
            f"KINDS['ollama'] = Kind('Ollama', {port}, '/', lambda said: said.text == 'Ollama is running')",
        )  # fmt: skip
        with Terminal(["run"], at_home(environment, home, *lines)) as terminal:
            terminal.expect("Which model?")
            terminal.expect("qwen2.5:7b at Ollama")
            terminal.send("\x1b[B\r")
            terminal.expect(f"using qwen2.5:7b at Ollama (localhost:{port})")
            terminal.expect("Hello!")
            terminal.expect("> ")
            terminal.send(CTRL_D)
            assert terminal.ended() == 0
