"""Does memagent work with this model? `python -m bench.models` plays scripted conversations, and judges them by rules.

Each `--arm 'label: setting=value …'` is one column of the table, so that two models, wrappers or presets can be
compared; `--set` holds for all of them. What no arm says comes from the user's own configuration. Each conversation is
added to the `--json` file as a line of its own when it is over, so a run that is stopped has left what it found.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from bench import talks
from bench.playing import Played, TurnPlayed, play

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.llm import LLM

Table = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Arm:
    """One way to run a model: a column of the table."""

    label: str
    given: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, str]:
        """What makes this arm, as it may be kept: without secrets."""
        from memagent.settings import SETTINGS

        return {name: value for name, value in self.given.items() if not SETTINGS[name].secret}

    @property
    def settings(self) -> Settings:
        """The user's settings with those of this arm, and between them those that its preset brings along."""
        from memagent import config
        from memagent.library import Library

        settings = config.load(self.given)
        preset = Library(settings.home).preset(settings.first_preset)
        return config.load(self.given, dict(preset.settings))


def arm_of(text: str, given: dict[str, str]) -> Arm:
    """An arm from `label: setting=value …`, on top of what holds for all of them."""
    label, colon, rest = text.partition(":")
    if not colon or not label.strip():
        raise ValueError(f"an arm looks like 'label: setting=value …', not {text!r}")
    return Arm(label.strip(), given | dict(map(pair, shlex.split(rest))))


def pair(text: str) -> tuple[str, str]:
    """A setting and its value."""
    from memagent.settings import SETTINGS

    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or name not in SETTINGS:
        raise ValueError(f"{text!r} is not setting=value; the settings are in docs/settings.md")
    return name, value


@contextmanager
def opened(settings: Settings) -> Iterator[LLM]:
    """The model, opened once for all conversations."""
    from memagent.assemble import open_model

    llm = open_model(settings)
    with closing(llm) if hasattr(llm, "close") else nullcontext(llm):  # type: ignore[type-var]
        yield llm


# What was found -------------------------------------------------------------------------------------------------------


def kept(played: Sequence[Played], measure: str) -> tuple[int, int]:
    """In how many conversations all rules of a measure held, of those that have such rules."""
    judged = [[j.ok for turn in each.turns for j in turn.judged if j.measure == measure] for each in played]
    return sum(all(oks) for oks in judged if oks), sum(bool(oks) for oks in judged)


def valid_calls(played: Sequence[Played]) -> tuple[int, int]:
    """How many calls could be read and fitted their function, and how many there were."""
    problems = [problem for each in played for t in each.turns for asked in t.asked for _, problem in asked.calls]
    return sum(not problem for problem in problems), len(problems)


def read_anew(turn: TurnPlayed) -> float | None:
    """Prompt tokens that were read anew in all steps of a turn, as a share of its longest prompt."""
    steps = [(asked.prompt, asked.cached) for asked in turn.asked if asked.prompt and not asked.summary]
    return sum(prompt - cached for prompt, cached in steps) / max(steps)[0] if steps else None


def table(arms: Sequence[tuple[str, Sequence[Played]]]) -> Table:
    """What was measured, a column for each arm."""
    columns = [dict(_cells(played)) for _, played in arms]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return [["what", *(label for label, _ in arms)], *rows]


def _cells(played: Sequence[Played]) -> Iterator[tuple[str, str]]:
    turns = [turn for each in played for turn in each.turns]
    later = [
        share for each in played for t in each.turns[1:] if not t.compacted and (share := read_anew(t)) is not None
    ]
    prompts = [asked.prompt for turn in turns for asked in turn.asked if asked.prompt and not asked.summary]
    seconds = sorted(turn.seconds for turn in turns)
    yield "conversations, turns", f"{len(played)}, {len(turns)}"
    yield "valid calls", _share(*valid_calls(played))
    yield "right function", _share(*kept(played, "function"))
    yield "right thing stored", _share(*kept(played, "stored"))
    yield "right answer", _share(*kept(played, "answer"))
    yield "turns that failed", str(sum(bool(turn.failed) for turn in turns))
    yield "seconds a turn, p50", f"{median(seconds):.2f}" if seconds else ""
    yield "seconds a turn, p90", f"{quantiles(seconds, n=10)[-1]:.2f}" if len(seconds) > 1 else ""
    yield "prompt tokens, p50", f"{median(prompts):.0f}" if prompts else ""
    yield "prompt read anew, turn 2 on, p50", f"{100 * median(later):.1f} %" if later else ""
    yield "prompt read anew, turn 2 on, mean", f"{100 * sum(later) / len(later):.1f} %" if later else ""


def by_kind(arms: Sequence[tuple[str, Sequence[Played]]]) -> Table:
    """Right answers for each kind of conversation."""
    kinds = dict.fromkeys(each.kind for _, played in arms for each in played)
    rows = []
    for kind in kinds:
        counts = [kept([each for each in played if each.kind == kind], "answer") for _, played in arms]
        rows.append([kind, *(f"{right}/{total}" for right, total in counts)])
    return [["right answers", *(label for label, _ in arms)], *rows]


def _share(right: int, total: int) -> str:
    return f"{100 * right / total:.1f} % ({right}/{total})" if total else ""


def markdown(rows: Table) -> str:
    """A table as Markdown."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rest])


def show(rows: Table) -> None:
    """Print a table to the terminal."""
    from rich.console import Console
    from rich.table import Table as Shown

    shown = Shown(*rows[0])
    for row in rows[1:]:
        shown.add_row(*row)
    Console().print(shown)


def transcript(played: Played) -> str:
    """A conversation in which something was not right: what was said, called and stored, and which rules failed."""
    lines = [f"=== {played.talk} ({played.kind}), {played.arm}"]
    for turn in played.turns:
        lines.append(f"User: {turn.say}")
        problems = [(name, problem) for asked in turn.asked for name, problem in asked.calls if problem]
        lines += [
            f"  calls {name}({json.dumps(given, ensure_ascii=False)}) -> {back}" for name, given, back in turn.calls
        ]
        lines += [f"  INVALID {name}: {problem}" for name, problem in problems]
        lines += [f"  answer as written: {asked.written}" for asked in turn.asked if problems or turn.failed]
        lines += [f"  remembers: {turn.new_memory}"] if turn.new_memory else []
        lines += [f"Agent: {turn.replies}"]
        lines += [f"  TURN FAILED: {turn.failed}"] if turn.failed else []
        lines += [f"  WRONG ({judged.measure}): {judged.rule}" for judged in turn.judged if not judged.ok]
    return "\n".join(lines) + "\n\n"


def all_right(played: Played) -> bool:
    """Whether nothing in a conversation was wrong."""
    valid, calls = valid_calls([played])
    return valid == calls and all(j.ok and not turn.failed for turn in played.turns for j in turn.judged)


# The command ----------------------------------------------------------------------------------------------------------


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="a setting for all arms, such as temperature=0",
    )
    add("--arm", action="append", default=[], metavar="'LABEL: SETTING=VALUE …'", help="a column of the table")
    add("--label", default="", help="the name of the only column, when there is no --arm")
    add("--preset", default="", metavar="NAME", help="the preset of all agents (chat)")
    add("--only", default="", metavar="ID,KIND", help="only these conversations")
    add("--repeat", type=int, default=1, metavar="N", help="play each conversation so often")
    add("--seed", type=int, default=None, metavar="N", help="play them in an order of chance; the same for the same N")
    add("--json", type=Path, metavar="FILE", help="add each conversation to this file, as a line of JSON")
    add("--transcript", type=Path, metavar="FILE", help="with -v: write what was wrong here")
    add("-v", "--verbose", action="store_true", help="write a transcript of every conversation that was not all right")
    add("--markdown", action="store_true", help="print the tables as Markdown")
    chosen = parser.parse_args(arguments)
    try:
        given = dict(map(pair, chosen.set)) | ({"preset": chosen.preset} if chosen.preset else {})
        chosen.arms = [arm_of(text, given) for text in chosen.arm] or [Arm(chosen.label or "this model", given)]
        found = talks.load()
        chosen.talks = (
            list(found.chosen([word.strip() for word in chosen.only.split(",") if word.strip()])) * chosen.repeat
        )
        chosen.filler = found.filler
    except ValueError as error:
        parser.error(str(error))
    if chosen.seed is not None:
        random.Random(chosen.seed).shuffle(chosen.talks)
    return chosen


def _run(arm: Arm, chosen: argparse.Namespace, played: list[Played]) -> None:
    """Play all conversations with one arm; what is over is in `played`, whatever happens."""
    settings = arm.settings
    with opened(settings) as llm:
        for number, talk in enumerate(chosen.talks, 1):
            each = play(talk, chosen.filler, settings, llm, arm.label)
            played.append(each)
            right = all_right(each)
            told = f"{'ok   ' if right else 'WRONG'} {talk.id} {sum(turn.seconds for turn in each.turns):.1f} s"
            failed = next((turn.failed for turn in each.turns if turn.failed), "")  # a server that is not there, say
            print(f"{arm.label} {number}/{len(chosen.talks)} {told} {failed}".rstrip(), file=sys.stderr, flush=True)
            if chosen.json:
                _add(chosen.json, json.dumps({**asdict(each), "settings": arm.shown}, ensure_ascii=False) + "\n")
            if chosen.verbose and not right:
                _add(chosen.transcript, transcript(each)) if chosen.transcript else print(transcript(each))


def _add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, and print the tables; those of what is over, when the run is stopped."""
    from memagent.errors import MemagentError

    chosen = _asked(arguments)
    arms: list[tuple[str, list[Played]]] = []
    code = 0
    try:
        for arm in chosen.arms:
            arms.append((arm.label, []))
            _run(arm, chosen, arms[-1][1])
    except KeyboardInterrupt:
        print("stopped; this is what was found so far", file=sys.stderr)
    except MemagentError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        code = error.exit_code
    for rows in (table(arms), by_kind(arms)):
        print(markdown(rows), end="\n\n") if chosen.markdown else show(rows)
    return code


if __name__ == "__main__":
    sys.exit(main())
