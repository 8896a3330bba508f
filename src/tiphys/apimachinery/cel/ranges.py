"""Ranges of sizes and costs that stop at 64 bits instead of overflowing."""

from __future__ import annotations

import math

from tiphys.apimachinery.cel.values import MAX_UINT
from tiphys.apimachinery.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    least: int
    most: int

    def __add__(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MAX_UINT), min(self.most + other.most, MAX_UINT))

    def __mul__(self, other: Range) -> Range:
        return Range(min(self.least * other.least, MAX_UINT), min(self.most * other.most, MAX_UINT))

    def scaled(self, factor: float) -> Range:
        """Multiply and round up."""
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(value: int, factor: float) -> int:
    return min(math.ceil(float(value) * factor), MAX_UINT)


def product(one: int, other: int) -> int:
    return min(one * other, MAX_UINT)


UNKNOWN = Range(0, MAX_UINT)
