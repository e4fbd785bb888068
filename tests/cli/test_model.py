"""`memagent model`: what is there is listed, fetched, used, removed and tried."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Memagent
from local_models import MODEL, OLLAMA, fetchable, ollama, serving

from memagent.cli import choosing
from memagent.llm import discovery

WEBUI = discovery.KINDS["webui"]
LOADED = {
    "/v1/internal/model/info": {"model_name": "qwen2.5:7b", "lora_names": []},
    "/v1/internal/model/list": {"model_names": ["qwen2.5:7b"]},
}


@pytest.fixture(autouse=True)
def nothing_configured(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMAGENT_PROVIDER", "MEMAGENT_SCRIPT"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(choosing, "RUNNER", "json")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # what is fetched here no engine could load


def listed(memagent: Memagent) -> dict[str, dict[str, object]]:
    return {model["model"]: model for model in json.loads(memagent("model", "list", "--json").out)}


def configured(memagent: Memagent) -> tuple[str, ...]:
    found = json.loads(memagent("config", "show", "--json").out)
    return tuple(found[name] for name in ("provider", "model", "endpoint"))


def test_a_model_is_fetched_listed_used_and_removed(memagent: Memagent, home: Path) -> None:
    with fetchable(home):
        assert listed(memagent)["tiny"]["here"] is False
        assert "tiny                                2 MB, not fetched" in memagent("model", "list").out
        done = memagent("model", "pull")
        assert (
            (done.code, done.out) == (2, "") and "Fetch Tiny (2 MB, licence MIT)?" in done.err and "--yes" in done.err
        )
        assert "memagent model pull" in memagent("model", "use", "tiny").err
        done = memagent("model", "pull", "--yes")
        assert done.out.startswith(f"Fetched: {home / 'models' / 'tiny.gguf'}\nUse it with: memagent model use tiny\n")
    assert (home / "models" / "tiny.gguf").read_bytes() == MODEL
    assert memagent("model", "pull", "tiny").out.startswith("Checked: ")
    assert memagent("model", "use", "tiny").out.startswith("New agents use tiny on this machine")
    assert configured(memagent) == ("embedded", "tiny", "")
    assert listed(memagent)["tiny"]["in_use"] is listed(memagent)["tiny"]["here"] is True
    assert "* tiny " in memagent("model", "list").out
    assert memagent("model", "use", "embedded").code == 0
    assert "--yes" in memagent("model", "remove", "tiny").err
    assert memagent("model", "remove", "tiny", "--yes").out == f"Deleted {home / 'models' / 'tiny.gguf'}\n"
    assert memagent("model", "remove", "tiny", "--yes").code == 2


def test_what_runs_it_is_named_before_anything_is_fetched(
    memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "RUNNER", "no_such_module")
    with fetchable(home):
        done = memagent("model", "pull", "--yes")
    assert done.code == 0 and done.err.startswith(
        "To run it here you need more than the model: pip install 'memagent[local]'"
    )


def test_who_stops_it_is_told_that_it_goes_on(memagent: Memagent, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with fetchable(home):
        monkeypatch.setattr("memagent.llm.store.fetch.hub_fill", stopped)
        done = memagent("model", "pull", "--yes")
    assert done.code == 130 and "next time it goes on from there" in done.err
    (home / "models" / "tiny.gguf.part").write_bytes(MODEL[:1_000_000])
    assert "2 MB, 1 MB of it fetched" in memagent("model", "list").out


def test_doctor_says_where_a_model_is_looked_for(memagent: Memagent) -> None:
    assert "– model: none is chosen; memagent run looks for one" in memagent("doctor").out


def test_a_place_that_has_it_not_is_told_and_the_next_one_asked(memagent: Memagent, home: Path) -> None:
    with fetchable(home):
        page = (home / "models.yaml").read_text()
        (home / "models.yaml").write_text(page.replace("places: [", "places: [{url: 'http://127.0.0.1:9/x'}, "))
        done = memagent("model", "pull", "--yes")
        assert done.code == 0 and "Not from 127.0.0.1:9: Nothing answers" in done.err
    (home / "models" / "tiny.gguf").unlink()
    done = memagent("model", "pull", "--yes")
    assert done.code == 3 and "goes on with what there is" in done.err


def test_a_model_at_a_server_is_used_by_its_name(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OLLAMA, ("llama3.2:latest", "qwen2.5:7b")) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        assert {"llama3.2:latest", "qwen2.5:7b"} < listed(memagent).keys()
        for name, model in (("ollama/llama3.2", "llama3.2:latest"), ("qwen2.5:7b", "qwen2.5:7b")):
            done = memagent("model", "use", name)
            assert done.out.startswith(f"New agents use {model} at Ollama (localhost:{port})"), done
            assert configured(memagent)[1] == model and f"127.0.0.1:{port}" in configured(memagent)[2]
            assert listed(memagent)[model]["in_use"] is True
            assert sum(bool(each["in_use"]) for each in listed(memagent).values()) == 1
        assert memagent("ask", "hello").out == "You said: hello\n"
        assert "It has: llama3.2:latest, qwen2.5:7b" in memagent("model", "use", "ollama/gemma").err
        assert memagent("model", "use", "gpt-4.1-mini").code == 0
        assert configured(memagent) == ("openai", "gpt-4.1-mini", "")
    assert "Ollama does not answer" in memagent("model", "use", "ollama/llama3.2").err
    monkeypatch.setattr(discovery, "KINDS", {})
    assert "no model 'qwen2.5:7b' within reach" in memagent("model", "use", "qwen2.5:7b").err


def test_a_name_that_several_servers_know_is_told_apart(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(OLLAMA) as port, serving(LOADED) as other:
        monkeypatch.setattr(discovery, "KINDS", {**ollama(port), "webui": replace(WEBUI, port=other)})
        assert "can mean several models" in memagent("model", "use", "qwen2.5:7b").err
        assert memagent("model", "use", "webui/qwen2.5:7b").code == 0
        assert configured(memagent)[2].startswith(f"http://127.0.0.1:{other}")


def test_one_agent_can_use_another_model(memagent: Memagent, home: Path, tmp_path: Path) -> None:
    memagent("ask", "hello", "--provider", "scripted", "--agent", "ada")
    path = tmp_path / "mine.gguf"
    path.write_bytes(MODEL)
    assert memagent("model", "use", str(path), "--agent", "ada").out == f"ada uses {path} on this machine.\n"
    assert json.loads(memagent("show", "ada", "--json").out)["settings"]["model"] == str(path)
    assert configured(memagent)[:2] == ("openai", "")
    assert "no agent 'bob'" in memagent("model", "use", str(path), "--agent", "bob").err
    path.write_bytes(b"PK")
    assert "is not a model file" in memagent("model", "use", str(path)).err


def test_what_wins_over_the_choice_is_told(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_MODEL", "another")
    done = memagent("model", "use", "gpt-4.1-mini")
    assert done.code == 0 and "But model is another: MEMAGENT_MODEL in the environment says so." in done.err


@pytest.mark.parametrize(
    "words", [["use"], ["use", "nobody"], ["remove", "nobody"], ["pull", "nobody"], ["test", "nobody"]]
)
def test_what_is_not_there_is_told_with_what_to_do(memagent: Memagent, words: list[str]) -> None:
    done = memagent("model", *words)
    assert (done.code, done.out) == (2, "") and len(done.err.splitlines()) == 2, done


def test_an_endpoint_that_does_not_answer_stops_no_list(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    done = memagent("model", "list")
    assert done.code == 0 and "not fetched" in done.out and "Nothing answers at 127.0.0.1:9" in done.err


def test_a_model_is_tried(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    done = memagent("model", "test", "scripted")
    assert done.code == 0 and "functions: it does not call functions" in done.out
    assert "memagent configure --set preset=chat_plain" in done.out
    with serving(OLLAMA) as port:
        monkeypatch.setattr(discovery, "KINDS", ollama(port))
        findings = json.loads(memagent("model", "test", "--json").out)
        assert (findings[0]["what"], findings[-1]["what"]) == ("functions", "advice")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MEMAGENT_MODEL", "x")
    done = memagent("model", "test")
    assert done.code != 0 and "127.0.0.1:9" in done.out + done.err


def test_a_file_of_ones_own_is_no_model_and_nothing_to_delete(memagent: Memagent, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada")
    assert "not a model file" in memagent("model", "pull", str(path)).err
    assert "is a file of yours" in memagent("model", "remove", str(path)).err
    assert path.read_text() == "Dear Ada"
