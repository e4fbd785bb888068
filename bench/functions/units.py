"""Lengths, converted."""

from typing import Literal

Unit = Literal["miles", "kilometres", "metres", "feet"]
_METRES = {"miles": 1609.344, "kilometres": 1000.0, "metres": 1.0, "feet": 0.3048}


def convert_length(value: float, from_unit: Unit, to_unit: Unit) -> float:
    """Convert a length from one unit to another.

    Args:
        value: The number.
        from_unit: Its unit.
        to_unit: The unit that is wanted.
    """
    return round(value * _METRES[from_unit] / _METRES[to_unit], 2)
