"""Does it remember? `python -m bench.facts` plays scripted talks, and asks about them in another session.

With perfect extraction (the default) only the machinery is measured; `--model FILE` has a GGUF model extract, and with
`--answers` put the answers into words too. `--data PATH` measures on public sets instead. Rows are kept in `--json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, get_args

from bench.facts_cases import KINDS, Answering, Case, Half, Perfect, Played, load, play
from bench.models import Table, markdown, show

Extracting = Callable[[Case], Any]
BAR = {"perfect": 100.0, "model": 70.0}
MOST_FALSE = 5.0


def table(arms: Sequence[tuple[str, Sequence[Played]]]) -> Table:
    """What was measured, a column for each arm."""
    rows: list[list[str]] = []
    for kind in KINDS:
        cells = [_share([p.right for p in played if p.case.kind == kind]) for _, played in arms]
        rows.append([kind, *cells])
    rows.append(["all", *(_share([p.right for p in played], percent=True) for _, played in arms)])
    rows += [[name, *(str(cell(played)) for _, played in arms)] for name, cell in CELLS]
    return [["right answers", *(label for label, _ in arms)], *rows]


def _share(rights: Sequence[bool], *, percent: bool = False) -> str:
    share = f"{100 * mean(rights):.1f} % " if percent and rights else ""
    return f"{share}{sum(rights)}/{len(rights)}"


def false_share(played: Sequence[Played]) -> str:
    """How many of the facts that were stored, and hold in the end, nobody told, or were taken back."""
    stored, false = sum(len(p.stored) for p in played), sum(len(p.false) for p in played)
    return f"{100 * false / stored:.1f} % ({false}/{stored})" if stored else "0"


def needless_share(played: Sequence[Played]) -> str:
    """How many a perfect extractor would not have taken, those that are true included."""
    stored, needless = sum(len(p.stored) for p in played), sum(len(p.needless) for p in played)
    return f"{100 * needless / stored:.1f} % ({needless}/{stored})" if stored else "0"


def _per_call(at: int) -> Callable[[Sequence[Played]], str]:
    def cell(played: Sequence[Played]) -> str:
        numbers = [n for p in played for n in p.tokens[at::3]]
        return f"{median(numbers):.0f}" if numbers else ""

    return cell


def _read_anew(played: Sequence[Played]) -> str:
    numbers = [prompt - cached for p in played for prompt, cached in zip(p.tokens[::3], p.tokens[1::3], strict=True)]
    return f"{median(numbers):.0f}" if numbers else ""


CELLS: Sequence[tuple[str, Callable[[Sequence[Played]], object]]] = [
    ("false memories", false_share),
    ("stored beyond a perfect extraction", needless_share),
    ("forgotten facts returned", lambda played: sum(p.forgotten_returned for p in played)),
    ("model calls per message", lambda played: f"{sum(p.calls for p in played) / sum(p.messages for p in played):.2f}"),
    ("prompt tokens per call, p50", _per_call(0)),
    ("… of them read anew, p50", _read_anew),
    ("tokens written per call, p50", _per_call(2)),
    ("seconds per message", lambda played: f"{sum(p.seconds for p in played) / sum(p.messages for p in played):.2f}"),
]


# How it is run --------------------------------------------------------------------------------------------------------


@contextmanager
def _parts(chosen: argparse.Namespace) -> Iterator[tuple[str, Extracting, Answering | None]]:
    """The extractor, and who answers."""
    if not chosen.model:
        yield "perfect", Perfect, None
        return
    from memagent.facts.answer import ModelAnswerer
    from memagent.facts.extract import ModelExtractor, Prompt
    from memagent.library import Library

    with model(chosen.model) as llm:
        library = Library(Path("nowhere"))
        prompt = chosen.prompt.read_text(encoding="utf-8") if chosen.prompt else library.text("prompts", "facts_small")
        extractor = ModelExtractor(llm, Prompt.of(prompt))
        answerer = ModelAnswerer(llm, library.text("prompts", "facts_answer"), lambda _, facts: facts[0].text)
        by_model = (lambda _case: extractor) if chosen.answers != "perfect" else Perfect
        yield f"{chosen.model.stem}", by_model, answerer.answer if chosen.answers else None


@contextmanager
def model(path: Path) -> Iterator[Any]:
    """The model in a GGUF file, on one thread; what it has read is kept beside other states of this user."""
    from memagent.config import home
    from memagent.llm.embedded import EmbeddedLLM
    from memagent.llm.wrappers.steps import Steps

    llm = EmbeddedLLM(path, Steps(), states=home() / "states", threads=1)
    try:
        yield llm
    finally:
        llm.close()


def _played(case: Case, extracting: Extracting, answering: Answering | None, chosen: argparse.Namespace) -> Played:
    found = play(case, extracting(case), answering, batch=chosen.batch, among=chosen.among)
    verdict = "ok   " if found.right else "WRONG"
    print(f"{verdict} {case.id}: {found.answer}", file=sys.stderr, flush=True)
    if not found.right or found.false:
        print(f"        stored {found.stored}, false {found.false}", file=sys.stderr, flush=True)
    if beyond := [text for text in found.needless if text not in found.false]:
        print(f"        beyond {beyond}", file=sys.stderr, flush=True)
    if chosen.json:
        row: dict[str, Any] = {"id": case.id, "right": found.right, "answer": found.answer, "stored": found.stored}
        with chosen.json.open("a", encoding="utf-8") as file:
            row |= {"false": found.false, "needless": found.needless, "seconds": found.seconds}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return found


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.facts", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, metavar="FILE", help="a GGUF model that extracts")
    add("--prompt", type=Path, metavar="FILE", help="another prompt than facts_small")
    add("--answers", choices=["model", "perfect"], help="the model answers too; or it only answers, from perfect facts")
    add("--batch", action="store_true", help="read all that is said on a day at once")
    add("--half", choices=get_args(Half)[:3], help="only the cases for tuning, the reported, or the fresh ones")
    add("--cases", type=Path, metavar="FILE", help="the cases of this file, written like facts.yaml, and no others")
    add("--only", default="", metavar="ID,KIND", help="only these cases")
    add("--data", type=Path, metavar="PATH", help="the folder with the public sets: measure on these instead")
    add("--sample", type=int, default=0, metavar="N", help="with --data: so many chats")
    add("--json", type=Path, metavar="FILE", help="add each case to this file")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--among", type=int, default=0, metavar="N", help="so many other facts are known to each user before")
    chosen = parser.parse_args(arguments)
    if chosen.data and not chosen.model:
        parser.error("the public sets are for a model: give --model FILE too")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, and print the table; of what is over, when the run is stopped."""
    chosen = _asked(arguments)
    only = {word for word in chosen.only.split(",") if word}
    cases = [case for case in load(chosen.cases) if not only or only & {case.id, case.kind}]
    cases = [case for case in cases if not chosen.half or case.half == chosen.half]
    played: list[Played] = []
    label = ""
    try:
        with _parts(chosen) as (label, extracting, answering):
            if chosen.data:
                from bench.facts_data import measured

                rows = measured(chosen.data, chosen.sample, extracting)
                print(markdown(rows)) if chosen.markdown else show(rows)
                return 0
            for case in cases:
                played.append(_played(case, extracting, answering, chosen))
    except KeyboardInterrupt:
        print("stopped; this is what was found so far", file=sys.stderr)
    halves = [(half, [p for p in played if p.case.half == half]) for half in get_args(Half)]
    arms = [(f"{label}, {half}", found) for half, found in halves if found]
    print(markdown(table(arms))) if chosen.markdown else show(table(arms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
