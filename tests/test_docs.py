"""Holds the documentation to the code: commands that exist, links that lead somewhere, every setting, every
dependency.
"""

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from memagent.cli.slash import COMMANDS
from memagent.server.app import create
from memagent.settings import SETTINGS, Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"```(?:bash|text|console)\n(.*?)```", re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if not link.startswith(("http://", "https://")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def commands() -> dict[str, set[str]]:
    """Every command, such as "model list", with its options."""
    code = """
import json
from memagent.cli.app import _command
def walk(command, words):
    found = {" ".join(words): [name for each in command.params for name in (*each.opts, *each.secondary_opts)]}
    for name, below in getattr(command, "commands", {}).items():
        found |= walk(below, [*words, name])
    return found
print(json.dumps(walk(_command(), [])))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return {command: {*options, "--help", "-h"} for command, options in json.loads(shown).items()}


def named_commands(text: str) -> list[list[str]]:
    """The words of every command that a page shows, without what the shell makes of them."""
    lines = [line for block in BLOCK.findall(text) for line in typed(block.replace("\\\n", " "))]
    lines += re.findall(r"`([^`\n]*)`", text)
    found = [re.search(r"(?:^|(?<=[\s/]))memagent ([a-z][^#|&>·]*)", line) for line in lines]
    return [match[1].split() for match in found if match]


def typed(block: str) -> list[str]:
    """The lines of a block, without what a program answers where the shell's prompt tells that apart."""
    lines = block.splitlines()
    return [line for line in lines if line.startswith("$ ")] or lines


def test_every_command_that_is_named_exists() -> None:
    known = commands()
    assert {"run", "ask", "list", "model list", "memory history"} <= known.keys()
    shown = 0
    for page in PAGES:
        for words in named_commands(page.read_text()):
            command, *rest = words
            assert command in known, f"{page.name}: memagent {command}"
            while any(each.startswith(f"{command} ") for each in known) and rest and rest[0].replace("-", "").isalpha():
                command = f"{command} {rest.pop(0)}"
                assert command in known, f"{page.name}: memagent {command}"
            own = rest[: rest.index("--")] if "--" in rest else rest  # what follows is another program's
            for word in own:
                if word.startswith("-") and word != "-":
                    assert word.split("=")[0] in known[command], f"{page.name}: memagent {command} has no {word}"
                    shown += 1
    assert shown > 20


def test_every_setting_is_documented_as_it_is() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", (ROOT / "docs" / "settings.md").read_text(), re.M))
    assert rows.keys() == SETTINGS.keys()
    for name, setting in SETTINGS.items():
        assert rows[name].endswith(f"| {setting.help}"), name


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs" / "dependencies.md").read_text()
    extras = [needs for extra, needs in project["optional-dependencies"].items() if extra != "dev"]
    wanted = [*project["dependencies"], *(name for needs in extras for name in needs)]
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)
        assert name and re.search(rf"^\|.*\b{name[0]}\b", text, re.M), requirement


def test_the_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    for mark, words in (("<!-- chat -->", "memagent run"), ("<!-- test -->", "pytest")):
        command = text.split(mark)[1].split("```bash\n")[1].split("```")[0]
        assert len(command.strip().splitlines()) == 1 and words in command


def test_the_map_of_the_house_names_what_is_there() -> None:
    table = (ROOT / "README.md").read_text().split("## The map of the house")[1]
    for name in re.findall(r"`([\w]+(?:\.py|/))`", table):
        assert (ROOT / "memagent" / name).exists() or (ROOT / name).exists(), name


def test_slash_commands_of_the_readme_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`/([a-z]+)[^`/]*`", page.read_text()):
            assert name in COMMANDS or name in paths(), f"{page.name}: /{name}"


@cache
def paths() -> set[str]:
    """How the paths begin that the server is asked for."""
    served = create(Settings())
    return {str(route.path).split("/")[1] for route in iter_route_contexts(served.routes)}
