"""Holds the house in shape: who may import whom, how long a file or a function may be, and how light an import is."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "memagent"
FILES = sorted(PACKAGE.rglob("*.py"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
LONGEST_LOOP = 300

# Each floor may use the floors above it in this list; rooms on one floor are strangers to each other.
FLOORS = [
    {"errors"},
    {"events", "messages", "registry", "settings", "config_file", "config", "log", "preset", "library"}
    | {"guard", "confine", "write_ahead", "watching"},
    {"endpoints"},
    {"llm", "embeddings", "storage", "sources"},
    {"memory", "context", "reminders", "tools", "telemetry"},
    {"facts"},
    {"verdict", "lease", "marking", "roster", "access", "standing", "stage", "listen", "persistence", "relief", "act"}
    | {"transfer", "loading", "journal", "waking", "tidying", "parts"},
    {"looking", "upkeep"},
    {"agent"},
    {"assemble"},
    {"bridges", "remembering", "characters", "meanwhile"},
    {"server"},
    {"cli"},
]
NEIGHBOURS = [1, 6]  # floors of single files, which may use each other as long as there is no cycle

HEAVY = (
    "fastapi", "sqlalchemy", "numpy", "openai", "opentelemetry", "rich", "pydantic", "prompt_toolkit", "typer", "yaml",
    "sqlite3",
)  # fmt: skip


def room(path: Path) -> str:
    part = path.relative_to(PACKAGE).parts[0]
    return part.removesuffix(".py")


def floor(name: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if name in rooms)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in FILES}


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All that a file is made of, read once for all that is asked of it."""
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imported(path: Path) -> set[str]:
    """Every module of ours that a file imports, wherever in the file it does so."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are written out in full"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name in MODULES and name != "memagent"}


def test_imports_go_one_way() -> None:
    for path in FILES:
        own = room(path)
        if own == "__init__":
            continue
        assert any(own in rooms for rooms in FLOORS), f"{own} has no floor in the house"
        for name in imported(path):
            other = name.split(".")[1]
            if other == own:
                continue
            assert floor(other) <= floor(own), f"{module(path)} imports {name}, which stands above it"
            if floor(other) == floor(own):
                assert floor(own) in NEIGHBOURS, f"{module(path)} imports {name}: strangers on one floor"


def test_no_file_has_the_name_of_something_in_its_room() -> None:
    """Once it is imported, the file would stand in the place of the function or class."""
    for face in PACKAGE.rglob("__init__.py"):
        named = [node for node in ast.parse(face.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        names = {node.name for node in named}
        assert not names & {path.stem for path in face.parent.glob("*.py")}, face.parent


def test_no_import_cycles() -> None:
    graph = {module(path): {n for n in imported(path) if n != module(path)} for path in FILES}
    # A package's face may be used by its own files: only what the face itself imports can close a circle.
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_files_and_functions_are_short() -> None:
    for path in FILES:
        most = LONGEST_LOOP if path.name == "agent.py" else LONGEST_FILE
        lines = len(path.read_text().splitlines())
        assert lines <= most, f"{module(path)} has {lines} lines"
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{module(path)}: {node.name} has {length} lines"


def test_every_file_says_what_it_is_for() -> None:
    for path in FILES:
        whole = nodes(path)[0]
        assert isinstance(whole, ast.Module) and ast.get_docstring(whole), f"{module(path)} says nothing"


def test_names_say_what_a_thing_is() -> None:
    for path in FILES:
        empty = {"utils", "helpers", "base", "common", "misc"} & set(path.with_suffix("").parts)
        assert not empty or "sets" in path.parts, path


def test_nothing_runs_data_as_code() -> None:
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
                assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, f"{path} imports {names}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system"}, f"{path}: {called}"


def test_only_config_reads_the_environment() -> None:
    for path in FILES:
        text = path.read_text()
        assert room(path) == "config" or not ("os.environ" in text or "os.getenv" in text), module(path)


def test_only_the_command_line_prints() -> None:
    for path in FILES:
        called = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
        prints = any(isinstance(func, ast.Name) and func.id == "print" for func in called)
        assert room(path) == "cli" or not prints, module(path)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_memagent_loads_nothing_heavy() -> None:
    assert not loaded_by("import memagent") & set(HEAVY)


def test_what_only_looks_something_up_loads_no_agent() -> None:
    rooms = ("agent", "persistence", "facts", "llm", "tools", "memory", "tidying", "looking", "bridges")
    assert not loaded_by("import memagent.assemble") & {f"memagent.{room}" for room in rooms}


def test_a_turn_does_not_load_what_reads_and_tidies_after_it() -> None:
    after = {"memagent.facts.reconcile", "memagent.facts.extract", "memagent.journal", "memagent.tidying"}
    assert not loaded_by("import memagent.agent, memagent.facts.keeping, memagent.facts.minding") & after


def test_the_loop_loads_nothing_heavy() -> None:
    light = {"sqlite3"}
    assert not loaded_by("import memagent.agent") & (set(HEAVY) - light)
