"""What is shown of the wrappers, for people and for scripts."""

from __future__ import annotations

import json

from command_line import Memagent

from memagent import registry


def test_all_are_listed_with_what_they_are_for(memagent: Memagent) -> None:
    lines = memagent("model", "wrappers").out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == list(registry.WRAPPERS)
    assert "Qwen 2.5" in next(line for line in lines if line.startswith("qwen"))
    assert max(map(len, lines)) <= 120 and lines[-1].endswith("memagent model wrappers NAME")
    rows = json.loads(memagent("model", "wrappers", "--json").out)
    assert [row["name"] for row in rows] == list(registry.WRAPPERS)
    assert all(row.keys() == {"name", "about", "fits"} for row in rows)


def test_one_is_shown_with_the_prompt_that_it_makes(memagent: Memagent) -> None:
    shown = memagent("model", "wrappers", "zephyr").out
    assert shown.startswith("<|system|>\n") and shown.endswith("<|assistant|>\n\n")
    row = json.loads(memagent("model", "wrappers", "zephyr", "--json").out)
    assert row["prompt"] + "\n" == shown and row["stop"][0] == "</s>" and row["name"] == "zephyr"


def test_a_name_that_there_is_not_is_told_with_those_that_there_are(memagent: Memagent) -> None:
    done = memagent("model", "wrappers", "qwem")
    assert (done.code, done.out) == (2, "") and "Did you mean 'qwen'" in done.err and "llama3" in done.err
