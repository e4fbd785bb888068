"""`memagent batch`: many requests from a file, answered in parallel into another; it can be cut and goes on from there.

Knows nothing of how requests are sent or results kept.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from memagent.cli.run import Endpoint, Model, Provider
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.progress import Progress
    from memagent.llm.batch import Door, Ending, Limits, Outcome
    from memagent.llm.batch.results import Results

FAILED, INTERRUPTED = 3, 130
_AGAIN = "Give the same command again: it goes on from there."


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(batch)


def batch(
    file: Annotated[str, typer.Argument(help="Requests, one JSON object on each line; - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results go; FILE.results.jsonl without it.")
    ] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="The most requests in any minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="The most tokens in any minute.")] = None,
    parallel: Annotated[int, typer.Option("--parallel", "-p", min=1, max=1000, help="How many at once.")] = 16,
    retries: Annotated[int | None, typer.Option("--retries", help="How often a failed one is sent again.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", help="Seconds that an answer may be silent.")] = None,
    model: Model = None,
    endpoint: Endpoint = None,
    provider: Provider = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again what has failed before.")] = False,
    requests: Annotated[bool, typer.Option("--requests", help="Put each request beside its result.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")] = False,
) -> None:
    """Ask many requests in parallel, within limits.

    What is done stays done: after a kill, Ctrl-C or a failure, the same command goes on.
    """
    from memagent import config
    from memagent.llm.batch import Limits, door_to
    from memagent.llm.batch.results import Results
    from memagent.log import start_log

    given = {"retries": retries, "timeout": timeout, "model": model, "endpoint": endpoint, "provider": provider}
    settings = config.load(given)
    door = door_to(settings)
    start_log(settings)
    allow_open_files(parallel + 100)
    with (
        _source(file) as source,
        Results(_target(file, output), retry_failed=retry_failed, requests=requests) as results,
    ):
        report = _Report(file, results)
        lines, ending = _carried_out(source, file, door, Limits(parallel, rpm, tpm), settings.retries, report)
        results.tidy(lines)
    code = report.tell(ending, as_json=as_json)
    if ending.stopped is not None:
        stopped = ending.stopped
        raise type(stopped)(stopped.message, hint=f"{stopped.hint} {_AGAIN}".strip()) from None
    raise typer.Exit(code)


class _Report:
    """Counts what comes of the requests, for the person or script that has asked."""

    def __init__(self, file: str, results: Results) -> None:
        self._file = file
        self.results = results
        self.done = self.failed = self.tokens = 0
        self._kinds: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._began = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        """Take an outcome in."""
        self.tokens += outcome.tokens or 0
        if outcome.failure is None:
            self.done += 1
            return
        self.failed += 1
        self._kinds[outcome.failure.type] += 1
        self._examples.setdefault(outcome.failure.type, outcome.failure.message)

    def tell(self, ending: Ending, *, as_json: bool) -> int:
        """Print what came of it all; returns the exit code."""
        seconds = time.monotonic() - self._began
        failed = self.failed + self.results.failed_before
        code = INTERRUPTED if ending.interrupted else FAILED if failed else 0
        if as_json:
            self._tell_script(ending, seconds)
        else:
            self._tell_person(ending, seconds, failed)
        return code

    def _tell_script(self, ending: Ending, seconds: float) -> None:
        from memagent.cli.opened import as_json

        summary: dict[str, Any] = {
            "output": str(self.results.path),
            "done": self.done,
            "failed": self.failed,
            "reasons": dict(self._kinds.most_common()),
            "done_before": self.results.before,
            "failed_before": self.results.failed_before,
            "tokens": self.tokens,
            "seconds": round(seconds, 3),
            "complete": not ending.interrupted and ending.stopped is None,
        }
        as_json(summary)

    def _tell_person(self, ending: Ending, seconds: float, failed: int) -> None:
        from memagent.log import plain_to_see

        before = self.results.before + self.results.failed_before
        parts = [f"{self.done:,} done", f"{self.failed:,} failed"] + ([f"{before:,} before"] if before else [])
        tokens = f" {self.tokens:,} tokens" if self.tokens else ""
        typer.echo(f"{', '.join(parts)};{tokens} in {seconds:.1f} s. Results: {self.results.path}")
        for kind, number in self._kinds.most_common():
            typer.echo(f"  {number:,} × {kind}, such as: {plain_to_see(self._examples[kind])}")
        if ending.interrupted:
            typer.echo(f"Interrupted; all that was answered is kept. {_AGAIN}")
        elif failed and ending.stopped is None and self._file != "-":
            typer.echo(f"Ask the failed ones again ({failed:,}) with --retry-failed.")


def _carried_out(
    source: BinaryIO, file: str, door: Door, limits: Limits, retries: int, report: _Report
) -> tuple[int | None, Ending]:
    """Ask all; returns how many lines there were, if all were read, and how it ended."""
    from memagent.cli.progress import progress
    from memagent.llm.batch import Ending, run_batch
    from memagent.llm.batch.lines import Lines

    name = "standard input" if file == "-" else file
    lines = Lines(source, name, door.model, report.results.done)
    with progress(None if file == "-" else Path(file)) as bar:

        def keep(outcome: Outcome) -> None:
            report.results.add(outcome)
            report.count(outcome)
            _show(bar, report)

        try:
            ending = run_batch(lines, door, limits, keep, retries=retries, on_hold=bar.hold)
        except KeyboardInterrupt:
            ending = Ending(interrupted=True)
        _show(bar, report)
    return lines.number if lines.complete else None, ending


def _show(bar: Progress, report: _Report) -> None:
    results = report.results
    bar.show(results.before + results.failed_before, report.done, report.failed, report.tokens)


def _target(file: str, output: Path | None) -> Path:
    """Where the results go."""
    if str(output) == "-":
        raise UserError("Results can't go to standard output.", hint="Name a file: it is what makes them last.")
    if output is None and file == "-":
        raise UserError("Where should the results go?", hint="Name a file with --output.")
    target = output or Path(file).with_name(f"{Path(file).stem}.results.jsonl")
    if file != "-" and target.resolve() == Path(file).resolve():
        raise UserError(f"{target} holds the requests.", hint="Give another --output.")
    return target


@contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    """The requests, to be read."""
    if file == "-":
        yield _piped_in()
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115
        opened.peek(1)
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror or error}.") from error
    with opened:
        yield opened


def _piped_in() -> BinaryIO:
    """Standard input. Python does not get to its end while a thread still waits for its own way to read it."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except (OSError, ValueError, AttributeError):
        return sys.stdin.buffer


def allow_open_files(wanted: int) -> None:
    """Each request under way is an open file; some systems begin with few."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
