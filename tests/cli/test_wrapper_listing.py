"""What is shown of the wrappers, for people and for scripts."""

from __future__ import annotations

import json

import pytest

from memagent import registry
from memagent.cli.wrappers import wrappers
from memagent.errors import ConfigError


def test_all_are_listed_with_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    wrappers()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == list(registry.WRAPPERS)
    assert "Qwen 2.5" in next(line for line in lines if line.startswith("qwen"))
    assert max(map(len, lines)) <= 120 and lines[-1].endswith("memagent model wrappers NAME")
    wrappers(json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(registry.WRAPPERS)
    assert all(row.keys() == {"name", "about", "fits"} for row in rows)


def test_one_is_shown_with_the_prompt_that_it_makes(capsys: pytest.CaptureFixture[str]) -> None:
    wrappers("zephyr")
    shown = capsys.readouterr().out
    assert shown.startswith("<|system|>\n") and shown.endswith("<|assistant|>\n\n")
    wrappers("zephyr", json=True)
    row = json.loads(capsys.readouterr().out)
    assert row["prompt"] + "\n" == shown and row["stop"][0] == "</s>" and row["name"] == "zephyr"


def test_a_name_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        wrappers("qwem")
    assert "Did you mean 'qwen'" in caught.value.hint and "llama3" in caught.value.hint
