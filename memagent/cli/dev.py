"""`memagent dev`: tools for those who build on memagent: a model server that answers by script, schemas, prompts.

Knows nothing of agents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memagent.cli.light import Commands


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="For those who write function sets, presets and tests.", no_args_is_help=True)
    group.command("model-server")(model_server)
    group.command()(schema)
    app.add_typer(group, name="dev")


def model_server(
    script: Annotated[Path | None, typer.Option(help="Replies as YAML; a small demo without it.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any free one.")] = 8021,
) -> None:
    """Serve a scripted model over HTTP, as an OpenAI-compatible endpoint, to test agents with."""
    import time

    from memagent.llm.script_file import load_script
    from memagent.llm.script_server import serve

    server = serve(load_script(script), host=host, port=port)
    typer.echo(f"A scripted model answers at {server.url}  (Ctrl-C ends it)\n")
    typer.echo(f"  MEMAGENT_PROVIDER=openai MEMAGENT_ENDPOINT={server.url} MEMAGENT_MODEL=scripted memagent run")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        server.close()


def schema(file: Annotated[Path, typer.Argument(help="A function set: a Python file.")]) -> None:
    """Print what a model sees of a function set, or where it is wrong."""
    import json

    from memagent.tools.loader import load_file

    schemas = [tool.schema for tool in load_file(file).values()]
    typer.echo(json.dumps(schemas, ensure_ascii=False, indent=2))
