"""`memagent docs`: a tree of texts becomes passages in a file, and those get their vectors in another.

Knows nothing of how texts are cut or embedded.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.embedding import Embedding
    from memagent.sources.prepared import Count

Out = Annotated[Path | None, typer.Option("--out", "--output", "-o", help="Where they go.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for scripts.")]
_AGAIN = "Give the same command again: it goes on from there."


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="Prepare documents: cut into passages, embed in parallel.", no_args_is_help=True)
    group.command()(prepare)
    group.command()(embed)
    app.add_typer(group, name="docs")


def prepare(
    tree: Annotated[Path, typer.Argument(help="A folder, or a file.")],
    out: Out = None,
    tokens: Annotated[int, typer.Option("--tokens", min=20, max=8000, help="The longest passage.")] = 280,
    include: Annotated[list[str] | None, typer.Option("--include", help="Only these, such as '*.md'.")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="Not these.")] = None,
    json: Json = False,
) -> None:
    """Cut a tree of documents into passages, one JSON object on each line.

    Each tells its id, document, place, heading, page, tokens and text. memagent load and memagent docs embed take them.
    """
    from contextlib import closing

    from memagent.cli.progress import progress
    from memagent.llm.batch.lock import Lock
    from memagent.sources import prepared
    from memagent.sources.directory import Directory

    target = out or Path(f"{tree.resolve().name}.passages.jsonl")
    if target.is_dir() or str(target) == "-":
        raise UserError(f"{target} is not a file that passages could be written to.", hint="Name one with --out.")
    began = time.monotonic()
    lock = Lock(target)
    try:
        with (
            closing(Directory(tree, include=include or (), exclude=exclude or ())) as reader,
            progress(None) as bar,
        ):

            def shown(count: Count, items: int) -> None:
                bar.of(items)
                bar.show(0, count.items, 0, 0)

            count = prepared.prepare(reader, tokens, target, tree, shown)
    finally:
        lock.release()
    _told_prepared(count, target, time.monotonic() - began, as_json=json)


def _told_prepared(count: Count, target: Path, seconds: float, *, as_json: bool) -> None:
    if as_json:
        from memagent.cli import opened

        summary = {k: v for k, v in vars(count).items() if k != "items"}
        summary["skipped"] = [{"place": place, "why": why} for place, why in count.skipped]
        opened.as_json({"output": str(target), **summary, "seconds": round(seconds, 3)})
        return
    from memagent.log import harmless

    size = f"{count.passages:,} passages of {count.documents:,} documents, {count.tokens:,} tokens"
    typer.echo(f"{size}; in {seconds:.1f} s. Passages: {target}")
    kinds = Counter(why for _, why in count.skipped)
    for why, number in kinds.most_common():
        example = next(place for place, said in count.skipped if said == why)
        typer.echo(f"  {number:,} × left out: {harmless(example)} {harmless(why)}")


def embed(
    file: Annotated[Path, typer.Argument(help="Passages, as memagent docs prepare writes them.")],
    out: Out = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, help="The most requests in any minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, help="The most tokens in any minute.")] = None,
    parallel: Annotated[int, typer.Option("--parallel", "-p", min=1, max=1000, help="How many at once.")] = 16,
    retries: Annotated[int | None, typer.Option("--retries", help="How often a failed one is sent again.")] = None,
    embedder: Annotated[str | None, typer.Option("--embedder", help="local, openai, azure or ollama.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="The embedding model.")] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Where it is.")] = None,
    json: Json = False,
) -> None:
    """Give passages their vectors: on this machine, or by an endpoint, in parallel and within limits.

    What is done stays done: after a kill, Ctrl-C or a failure, the same command goes on, and pays for nothing twice.
    """
    from memagent import config
    from memagent.cli import embedding
    from memagent.cli.batch import allow_open_files
    from memagent.llm.batch import Limits
    from memagent.log import start_log

    target = out or file.with_name(f"{file.name.removesuffix('.jsonl')}.embedded.jsonl")
    if target.resolve() == file.resolve():
        raise UserError(f"{target} holds the passages.", hint="Give another --out.")
    given: dict[str, Any] = {"embedder": embedder, "embedding_model": model, "embedding_endpoint": endpoint}
    settings = config.load({**given, "retries": retries})
    if (model or endpoint) and settings.embedder in ("auto", "off", "local"):
        settings = config.load({**given, "retries": retries, "embedder": "openai"})
    start_log(settings)
    allow_open_files(parallel + 100)
    done = embedding.embed(file, target, settings, Limits(parallel, rpm, tpm), settings.retries)
    _told_embedded(done, as_json=json)
    if done.ending.stopped is not None:
        stopped = done.ending.stopped
        raise type(stopped)(stopped.message, hint=f"{stopped.hint} {_AGAIN}".strip()) from None
    raise typer.Exit(done.code)


def _told_embedded(done: Embedding, *, as_json: bool) -> None:
    if as_json:
        from memagent.cli import opened

        opened.as_json(done.summary)
        return
    from memagent.log import plain_to_see

    before = f", {done.before:,} before" if done.before else ""
    tokens = f" {done.tokens:,} tokens" if done.tokens else ""
    failed = f", {done.failed:,} failed" if done.failed else ""
    typer.echo(f"{done.embedded:,} embedded{failed}{before};{tokens} in {done.seconds:.1f} s. Vectors: {done.path}")
    for kind, (number, example) in done.reasons.items():
        typer.echo(f"  {number:,} × {kind}, such as: {plain_to_see(example)}")
    if done.ending.interrupted:
        typer.echo(f"Interrupted; all that was embedded is kept. {_AGAIN}")
    elif done.failed:
        typer.echo("Ask for the failed ones again with the same command.")
