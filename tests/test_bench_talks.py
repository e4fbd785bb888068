"""Holds the scripted conversations of bench/ to what they claim: their rules to samples, and a perfect and a bad player
to the marks that they deserve.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import models, talks
from bench.playing import Played, TurnPlayed, play
from memagent.config import Settings
from memagent.llm.scripted import ScriptedLLM

ALL = talks.load()
MEASURES = ("function", "stored", "answer")
RULES = [
    pytest.param(rule, id=f"{talk.id}-{number}-{rule.kind}")
    for talk in ALL.talks
    for number, rule in enumerate(talk.rules)
    if rule.sampled
]
BROKEN = [{"when": {"kind": "summary"}, "text": "We talked."}]
BROKEN += [{"when": {}, "calls": [{"call": "core_memory_append", "arguments": '{"name": "human", "text'}]}]  # type: ignore[list-item]

Player = Callable[..., Played]


@pytest.fixture
def player(tmp_path: Path) -> Player:
    """Plays a conversation with a script, in an arm with this preset."""

    def play_it(talk: talks.Talk, script: Any, preset: str = "chat") -> Played:
        settings = Settings(home=tmp_path / "nobody", embedder="off", preset=preset, model="scripted")
        return play(talk, ALL.filler, settings, ScriptedLLM(list(script)), "arm")

    return play_it


def wrong(played: Played) -> list[str]:
    return [judged.rule for turn in played.turns for judged in turn.judged if not judged.ok]


def test_there_are_enough_conversations_and_not_too_many_turns() -> None:
    assert len(ALL.talks) >= 40
    assert sum(len(talk.turns) for talk in ALL.talks) <= 150
    assert sum(turn.restart for talk in ALL.talks for turn in talk.turns) >= 15
    assert len(ALL.filler) >= 30


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_accepts_and_rejects_what_it_should(rule: talks.Rule) -> None:
    assert rule.good and rule.bad
    for sample in rule.good:
        assert rule.accepts(sample), f"{rule} must accept {sample!r}"
    for sample in rule.bad:
        assert not rule.accepts(sample), f"{rule} must reject {sample!r}"


@pytest.mark.parametrize("preset", ["chat", "chat_plain"])
@pytest.mark.parametrize("talk", ALL.talks, ids=lambda talk: talk.id)
def test_a_perfect_model_gets_full_marks(talk: talks.Talk, preset: str, player: Player) -> None:
    played = player(talk, talk.ideal, preset)
    assert not wrong(played)
    assert models.all_right(played)
    right, calls = models.valid_calls([played])
    assert right == calls and (calls or preset == "chat_plain")
    assert not any(turn.failed for turn in played.turns)


@pytest.mark.parametrize("words", ["Ok.", "You said: {said}"])
@pytest.mark.parametrize("talk", ALL.talks, ids=lambda talk: talk.id)
def test_a_model_that_knows_nothing_gets_no_marks(talk: talks.Talk, words: str, player: Player) -> None:
    script = [{"when": {"kind": "summary"}, "text": "We talked."}, {"when": {}, "say": words}]
    played = player(talk, script)
    for measure in MEASURES:
        assert models.kept([played], measure)[0] == 0, measure
    assert models.kept([played], "answer")[1] == 1


def test_calls_that_cannot_be_read_are_not_valid(player: Player) -> None:
    played = player(ALL.talks[0], BROKEN)
    right, calls = models.valid_calls([played])
    assert right == 0 and calls > 0
    assert all(turn.failed for turn in played.turns)
    assert "INVALID core_memory_append" in models.transcript(played)


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"call": "core_memory_add", "arguments": {}}, "no such function"),
        ({"call": "core_memory_append", "arguments": {"name": "human"}}, "'content' is missing"),
        ({"text": 'core_memory_append { "name": "human", content'}, "was text"),
        ({"call": "core_memory_append", "arguments": '{"name": "human', "finish": "length"}, ""),
    ],
)
def test_each_way_of_not_being_valid_is_seen(step: dict[str, Any], problem: str, player: Player) -> None:
    played = player(ALL.talks[0], [step, {"when": {}, "say": "You're Marta."}])
    first = played.turns[0].asked[0].calls
    assert len(first) == 1 and problem in first[0][1] and first[0][1]


def test_a_thought_that_names_a_function_is_no_call(player: Player) -> None:
    played = player(ALL.talks[0], [{"text": "Shall I use core_memory_append?"}, {"when": {}, "say": "Hi."}])
    assert played.turns[0].asked[0].calls == []


def test_a_summary_hides_what_only_a_search_finds(player: Player) -> None:
    talk = next(talk for talk in ALL.talks if talk.id == "recall-restaurant")
    llm = ScriptedLLM(list(talk.ideal))
    play(talk, ALL.filler, Settings(home=Path("nowhere"), embedder="off", model="scripted"), llm)
    first, second = llm.requests
    assert not any("Bella Vista" in message.content for message in first.messages)
    assert "Bella Vista" in second.messages[-1].content + second.messages[-2].content


def test_small_talk_lies_between_and_compaction_takes_it_away() -> None:
    for name, there in (("long-talk-hobby", True), ("compacted-cello", False)):
        talk = next(talk for talk in ALL.talks if talk.id == name)
        llm = ScriptedLLM(list(talk.ideal))
        play(talk, ALL.filler, Settings(home=Path("nowhere"), embedder="off", model="scripted"), llm)
        seen = [message.said for message in llm.requests[-1].messages]
        assert (talk.turns[0].say in seen) is there
        assert (ALL.filler[0][0] in seen) is there


def test_an_own_function_comes_on_top_of_what_the_preset_has(player: Player, tmp_path: Path) -> None:
    talk = next(talk for talk in ALL.talks if talk.id == "own-dice")
    for folder, name, text in (
        ("presets", "mine.yaml", "system: mine\nspeech: plain\nfunctions: [base.core_memory_append]\n"),
        ("prompts", "mine.txt", "You are somebody."),
    ):
        (tmp_path / "nobody" / folder).mkdir(parents=True)
        (tmp_path / "nobody" / folder / name).write_text(text)
    llm = ScriptedLLM(list(talk.ideal))
    play(talk, ALL.filler, Settings(home=tmp_path / "nobody", embedder="off", preset="mine", model="scripted"), llm)
    assert [tool["name"] for tool in llm.requests[0].tools] == ["core_memory_append", "roll_dice"]
    assert llm.requests[0].messages[0].content.startswith("You are somebody.")


def test_a_rule_with_a_slip_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "talks.yaml"
    turn = "{say: Hi, ideal: [], expect: {EXPECT}}"
    for slip, told in (("say: {has: x}", "no kind of rule say"), ("says: {hass: x}", "a rule has the keys")):
        path.write_text(f"filler: []\ntalks: [{{id: a, kind: b, turns: [{turn.replace('EXPECT', slip)}]}}]")
        with pytest.raises(ValueError, match=told):
            talks.load(path)


def turn(*steps: tuple[int, int], seconds: float = 1.0) -> TurnPlayed:
    from bench.playing import Asked

    return TurnPlayed("", "", [], "", seconds, [Asked(prompt, cached, 1, 0.1) for prompt, cached in steps], [])


def test_what_is_read_anew_counts_all_steps_of_later_turns() -> None:
    assert models.read_anew(turn((1000, 900), (1050, 1000))) == 150 / 1050
    assert models.read_anew(turn()) is None
    played = [Played("arm", "talk", "kind", [turn((1000, 0)), turn((1000, 950), seconds=3.0)])]
    cells = dict(models.table([("arm", played)])[1:])
    assert cells["prompt read anew, turn 2 on, p50"] == "5.0 %"
    assert cells["seconds a turn, p50"] == "2.00"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMAGENT_EMBEDDER", "off")
    script = tmp_path / "script.yaml"
    script.write_text(json.dumps([{"when": "Marta", "steps": [{"say": "Hi."}]}, {"when": {}, "say": "You're Marta."}]))
    yield lambda *words: models.main(["--set", "provider=scripted", "--set", f"script={script}", *words])


def test_the_command_compares_arms(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, told = tmp_path / "kept.jsonl", tmp_path / "told.txt"
    words = ["--only", "name-same-chat", "--repeat", "2", "--json", str(kept), "--markdown", "-v"]
    arms = ["--arm", "one: temperature=0", "--arm", "plain: preset=chat_plain temperature=0"]
    assert command(*words, *arms, "--transcript", str(told)) == 0
    out = capsys.readouterr().out
    assert "| what | one | plain |" in out
    assert "| right answer | 100.0 % (2/2) | 100.0 % (2/2) |" in out
    assert "| right thing stored | 0.0 % (0/2) | 0.0 % (0/2) |" in out
    assert "| name | 2/2 | 2/2 |" in out
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [line["arm"] for line in lines] == ["one", "one", "plain", "plain"]
    assert lines[2]["settings"]["preset"] == "chat_plain"
    assert re.search(r"WRONG \(stored\): stored /", told.read_text())


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--set", "nonsense=1"], ["--arm", "no colon"]])
def test_the_command_refuses_what_it_does_not_know(command: Callable[..., int], words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command(*words)
    assert refused.value.code == 2


def test_secrets_are_not_written_down() -> None:
    arm = models.arm_of("a: api_key=sk-secret model=m", {"provider": "openai"})
    assert arm.shown == {"provider": "openai", "model": "m"}
