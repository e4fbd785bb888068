"""What a model has read, kept as files: the one that saves most is found, and only what it can take up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.llm.states import MOST, WORTH, States

SYSTEM = "You are Sam, who remembers. " * 20


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return path


def states(model: Path, window: int = 2048, engine: str = "1.0") -> States:
    folder = model.parent / "states"
    folder.mkdir(exist_ok=True)
    return States(folder, model, window, engine)


def kept(there: States, prompt: str, *, lasting: bool = False) -> str:
    """The name of a state that the engine has stored."""
    name = there.new()
    (there.folder / name).write_bytes(b"what was read")
    there.keep(name, prompt, lasting=lasting)
    return name


def names(there: States) -> set[str]:
    return {path.name for path in there.folder.glob("*.state")}


def test_the_one_that_begins_most_like_the_prompt_is_found(model: Path) -> None:
    there = states(model)
    assert there.nearest(SYSTEM) == ""
    short, long = kept(there, f"{SYSTEM}Hi."), kept(there, f"{SYSTEM}Hello, Sam.")
    assert there.nearest(f"{SYSTEM}Hello, you.") == long and there.nearest(f"{SYSTEM}Hi. How are you?") == short
    assert there.nearest(f"{SYSTEM}Hello, Sam. And more") == states(model).nearest(f"{SYSTEM}Hello, S") == long


def test_what_saves_nearly_nothing_is_not_taken_up(model: Path) -> None:
    there = states(model)
    name = kept(there, SYSTEM)
    assert there.nearest(SYSTEM[: WORTH - 1] + "# another beginning") == ""
    assert there.nearest(SYSTEM[:WORTH] + "# another beginning") == name


def test_what_was_made_with_another_model_window_or_engine_is_not_taken_up(model: Path) -> None:
    name = kept(states(model), SYSTEM)
    assert states(model).nearest(SYSTEM) == name
    assert states(model, window=4096).nearest(SYSTEM) == ""
    assert states(model, engine="1.1").nearest(SYSTEM) == ""
    model.write_bytes(b"GGUF of another kind")
    assert states(model).nearest(SYSTEM) == ""
    model.unlink()
    assert states(model).nearest(SYSTEM) == ""


def test_what_goes_on_takes_the_place_of_what_it_goes_on_from(model: Path) -> None:
    there = states(model)
    ready = kept(there, SYSTEM, lasting=True)
    other = kept(there, f"{SYSTEM}I am Bob.")
    for turn in range(MOST + 3):
        newest = kept(there, f"{SYSTEM}I am Ada." + "Yes." * turn)
        assert names(there) == {ready, other, newest}


def test_only_the_newest_are_kept_and_what_every_chat_begins_with(model: Path) -> None:
    there = states(model)
    ready = kept(there, SYSTEM, lasting=True)
    made = [kept(there, f"{SYSTEM}I am number {number}.") for number in range(MOST + 3)]
    for number, name in enumerate(made):
        if (there.folder / name).exists():
            os.utime((there.folder / name).with_suffix(".json"), (number, number))
    newest = kept(there, f"{SYSTEM}I am the last.")
    assert names(there) == {ready, *made[-MOST + 1 :], newest}
    assert {path.stem for path in there.folder.glob("*.json")} == {name.removesuffix(".state") for name in names(there)}


def test_what_belongs_to_a_model_that_is_gone_goes_in_time(model: Path) -> None:
    ready = kept(states(model), SYSTEM, lasting=True)
    os.utime((model.parent / "states" / ready).with_suffix(".json"), (1, 1))
    model.write_bytes(b"GGUF of another kind")
    there = states(model)
    made = [kept(there, f"{SYSTEM}I am number {number}.") for number in range(MOST)]
    assert names(there) == set(made)


def test_they_are_readable_for_the_user_only(model: Path) -> None:
    there = states(model)
    name = there.folder / kept(there, SYSTEM)
    for path in (name, name.with_suffix(".json")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"prompt": 3}', b"\xff\xfe", b"[" * 5000])
def test_a_damaged_one_is_as_if_it_were_not_there(model: Path, damage: bytes) -> None:
    there = states(model)
    name = kept(there, SYSTEM)
    there.keep_threads(2, 3)
    for path in there.folder.glob("*.json"):
        path.write_bytes(damage)
    assert there.nearest(SYSTEM) == "" and there.threads() is None
    again = kept(there, SYSTEM)
    assert there.nearest(SYSTEM) == again
    there.drop(name)
    there.drop("never.state")
    assert names(there) == {again}


def test_how_many_threads_are_quickest_holds_for_this_machine_and_engine(model: Path) -> None:
    there = states(model)
    assert there.threads() is None
    there.keep_threads(2, 3)
    assert there.threads() == states(model, window=512).threads() == (2, 3)
    assert states(model, engine="1.1").threads() is None
    path = there.folder / "threads.json"
    told = json.loads(path.read_text())
    for wrong in ({"cores": told["cores"] + 1}, {"write": 0}, {"read": "3"}, {"write": 10**9}, {"read": None}):
        path.write_text(json.dumps({**told, **wrong}))
        assert there.threads() is None, wrong


def alike(text: str, other: str) -> int:
    return max(size for size in range(len(text) + 1) if other.startswith(text[:size]))


@given(st.lists(st.text("ab", max_size=4), max_size=6), st.text("ab", max_size=4))
def test_whatever_is_kept_what_is_found_shares_most(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str], prompt: str
) -> None:
    model = tmp_path_factory.mktemp("models") / "tiny.gguf"
    model.write_bytes(b"GGUF")
    there = states(model)
    for each in prompts:
        kept(there, SYSTEM + each)
    assert len(names(there)) <= MOST
    abouts = {name: json.loads((there.folder / name).with_suffix(".json").read_text()) for name in names(there)}
    found = there.nearest(SYSTEM + prompt)
    shared = {name: alike(about["prompt"], SYSTEM + prompt) for name, about in abouts.items()}
    assert (found == "") == (not abouts) and (found == "" or shared[found] == max(shared.values()))


def test_those_of_which_nothing_is_told_yet_stop_nobody_and_go_in_time(model: Path) -> None:
    """A process killed before it told what it stored leaves such a one; others store at the same time."""
    there = states(model)
    (there.folder / "killed.state").write_bytes(b"what was read")
    os.utime(there.folder / "killed.state", (1, 1))
    (there.folder / "folder.state").mkdir()
    newest = kept(there, SYSTEM)
    (there.folder / "under_way.state").write_bytes(b"what is being re")
    made = [kept(there, f"{SYSTEM}I am number {number}.") for number in range(MOST - 2)]
    assert {"under_way.state", *made} <= names(there) and there.nearest(f"{SYSTEM}I am number 0.") == made[0]
    assert "killed.state" not in names(there) and newest not in names(there)
