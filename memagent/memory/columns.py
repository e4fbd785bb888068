"""Columns of numbers that are reckoned with as a whole: numpy's arrays, or where it is missing, lists that can as much.

What is written with `reckoner()` runs on both; of numpy only what `Plain` has can be used. Knows nothing of what the
numbers are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

from memagent.storage.closeness import possible

Column = Any
"""An array of numpy's with one dimension, or a `PlainColumn`."""


def reckoner() -> Any:
    """The functions that make columns and go over them."""
    if not possible():
        return Plain
    import numpy as np

    return np


def worth(words: Column, *parts: Sequence[float]) -> Sequence[Column]:
    """What sets of words, given as bits, are worth, by each of some lists of what every word is worth."""
    if isinstance(words, PlainColumn):
        sets = {one: [n for n in range(len(parts[0])) if one >> n & 1] for one in set(words)}
        return [PlainColumn(sum(part[n] for n in sets[one]) for one in words) for part in parts]
    import numpy as np

    bits = words[:, None] >> np.arange(len(parts[0])) & 1
    return list((bits @ np.array(parts, "f8").T).T)


class PlainColumn:
    """A list that is reckoned with as a whole: with another of that length, or with one number."""

    def __init__(self, numbers: Iterable[Any]) -> None:
        self._numbers = list(numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._numbers)

    def __getitem__(self, place: int) -> Any:
        return self._numbers[place]

    def __add__(self, other: Any) -> PlainColumn:
        return self.each(operator.add, other)

    def __sub__(self, other: Any) -> PlainColumn:
        return self.each(operator.sub, other)

    def __rsub__(self, other: float) -> PlainColumn:
        return PlainColumn(other - one for one in self._numbers)

    def __mul__(self, other: Any) -> PlainColumn:
        return self.each(operator.mul, other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> PlainColumn:
        return self.each(operator.truediv, other)

    def __and__(self, other: Any) -> PlainColumn:
        return self.each(operator.and_, other)

    def __or__(self, other: Any) -> PlainColumn:
        return self.each(operator.or_, other)

    def __gt__(self, other: Any) -> PlainColumn:
        return self.each(operator.gt, other)

    def each(self, do: Callable[[Any, Any], Any], other: Any) -> PlainColumn:
        """What is made of each number and the one beside it in another column, or always the same one."""
        return PlainColumn(map(do, self._numbers, other if isinstance(other, PlainColumn) else repeat(other)))

    def tolist(self) -> list[Any]:
        """The numbers."""
        return self._numbers


class Plain:
    """Of numpy what is needed here."""

    asarray = PlainColumn

    @staticmethod
    def full(count: int, number: float) -> PlainColumn:
        """Always the same."""
        return PlainColumn([number] * count)

    @staticmethod
    def maximum(column: PlainColumn, least: float) -> PlainColumn:
        return column.each(max, least)

    @staticmethod
    def where(holds: PlainColumn, column: PlainColumn, otherwise: float) -> PlainColumn:
        return PlainColumn(one if there else otherwise for there, one in zip(holds, column, strict=True))

    @staticmethod
    def log(column: PlainColumn) -> PlainColumn:
        return PlainColumn(map(math.log, column))

    @staticmethod
    def bitwise_count(column: PlainColumn) -> PlainColumn:
        return PlainColumn(one.bit_count() for one in column)

    @staticmethod
    def sort(column: PlainColumn) -> PlainColumn:
        return PlainColumn(sorted(column))

    @staticmethod
    def round(column: PlainColumn, places: int) -> PlainColumn:
        return column.each(round, places)
