"""What a default install weighs: `python bench/install.py` makes a virtual environment with the wheel built from this
directory, weighs what is in it, and fails over the bar. `python bench/install.py VENV` weighs one that is there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.table import Row

MOST_DISTRIBUTIONS = 45
MOST_MEGABYTES = 110
INSTALLERS = {"pip", "setuptools", "wheel"}
"""What is in a fresh virtual environment before anything is installed; counted, but not held against us."""


@dataclass(frozen=True)
class Weight:
    """Distributions and bytes in site-packages, all in all and without the installers."""

    distributions: int
    size: int
    distributions_in_all: int
    size_in_all: int

    @property
    def ok(self) -> bool:
        """Whether both bars are kept."""
        return self.distributions <= MOST_DISTRIBUTIONS and self.megabytes <= MOST_MEGABYTES

    @property
    def megabytes(self) -> float:
        """Size in MB, without the installers."""
        return self.size / 1e6

    def __str__(self) -> str:
        return (
            f"{self.distributions} distributions (at most {MOST_DISTRIBUTIONS}), "
            f"{self.megabytes:.1f} MB in site-packages (at most {MOST_MEGABYTES}); "
            f"with pip and setuptools {self.distributions_in_all}, {self.size_in_all / 1e6:.1f} MB"
        )


def weigh(environment: Path) -> Weight:
    """Weigh what is installed in a virtual environment: every file in site-packages, compiled ones too."""
    places = [*environment.glob("lib/python*/site-packages"), *environment.glob("Lib/site-packages")]
    if len(places) != 1:
        raise SystemExit(f"{environment} is not a virtual environment.")
    found = list(distributions(path=[str(places[0])]))
    ours = [each for each in found if each.metadata["Name"].lower() not in INSTALLERS]
    everything = sum(_size(path) for path in places[0].rglob("*"))
    installers = sum(_bytes_of(each) for each in found if each not in ours)
    return Weight(len(ours), everything - installers, len(found), everything)


def _bytes_of(distribution: Distribution) -> int:
    return sum(_size(Path(str(distribution.locate_file(file)))) for file in distribution.files or ())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def fresh(directory: Path, project: Path) -> Path:
    """A new virtual environment with the project's wheel in it, and no extras."""
    environment = directory / "venv"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    _pip(python, "wheel", "--no-deps", "-w", str(directory), str(project))
    _pip(python, "install", *(str(wheel) for wheel in directory.glob("memagent-*.whl")))
    return environment


def _pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments], check=True)


def main(arguments: Sequence[str]) -> int:
    """Weigh the virtual environment that is named, or a fresh one."""
    if len(arguments) > 1:
        raise SystemExit("usage: python bench/install.py [VENV]")
    weight = weigh(Path(arguments[0])) if arguments else _weighed()
    print(weight)
    return 0 if weight.ok else 1


def _weighed() -> Weight:
    with tempfile.TemporaryDirectory() as directory:
        return weigh(fresh(Path(directory), Path(__file__).parent.parent))


def measure(quick: bool = False) -> Sequence[Row]:  # noqa: ARG001  # there is no quicker way
    """The rows of the table."""
    from bench.table import Row  # not above: as a script, this file stands alone

    weight = _weighed()
    both = f"{weight.distributions_in_all} and {weight.size_in_all / 1e6:.1f} MB with pip, setuptools"
    return [
        Row("distributions", str(weight.distributions), both, weight.distributions, MOST_DISTRIBUTIONS, ""),
        Row("site-packages", f"{weight.megabytes:.1f} MB", "", weight.megabytes, MOST_MEGABYTES, "MB"),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
