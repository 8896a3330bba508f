"""Semantic versions: ``semver('1.2.3')``, with normalizing on request.

Source: "Kubernetes semver library"; semver.org 2.0.0.
"""

from __future__ import annotations

import re
from functools import cmp_to_key

from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, function, member
from tiphys.apimachinery.cel.types import BOOL, INT, STRING, opaque
from tiphys.apimachinery.cel.values import MAX_UINT
from tiphys.apimachinery.dataclass import dataclass

SEMVER = opaque("kubernetes.Semver")
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
_PART = re.compile(r"[0-9A-Za-z-]+", re.ASCII)
_PARTS = ("Major", "Minor", "Patch")


@dataclass(frozen=True, slots=True)
class SemverValue:
    """Build metadata has no part in comparisons."""

    numbers: tuple[int, int, int]
    before: tuple[str, ...] = ()
    type_name = SEMVER.name
    cel_opaque = True


def parse_version(text: str) -> SemverValue:
    """Raises ValueError with why a text is no version."""
    if not text:
        raise ValueError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise ValueError("No Major.Minor.Patch elements found")
    core, plus, build = parts[2].partition("+")
    patch, dash, before = core.partition("-")
    numbers = [_number(part, name) for part, name in zip((*parts[:2], patch), _PARTS, strict=True)]
    identifiers = tuple(before.split(".")) if dash else ()
    for identifier in identifiers:
        _identifier(identifier, "Prerelease")
        if _NUMBER.fullmatch(identifier) and len(identifier) > 1 and identifier.startswith("0"):
            raise ValueError(f'Numeric PreRelease version must not contain leading zeroes "{identifier}"')
    for identifier in build.split(".") if plus else ():
        _identifier(identifier, "Build meta data")
    return SemverValue((numbers[0], numbers[1], numbers[2]), identifiers)


def _number(text: str, name: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'Invalid character(s) found in {name.lower()} number "{text}"')
    if len(text) > 1 and text.startswith("0"):
        raise ValueError(f'{name} number must not contain leading zeroes "{text}"')
    if len(text) > 20 or int(text) > MAX_UINT:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _identifier(text: str, name: str) -> None:
    if not text:
        raise ValueError(f"{name} is empty")
    if not _PART.fullmatch(text):
        raise ValueError(f'Invalid character(s) found in {name.lower()} "{text}"')


def _normalized(text: str) -> SemverValue:
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            bare = part.lstrip("0")
            parts[index] = bare if bare[:1].isascii() and bare[:1].isdigit() else f"0{bare}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise ValueError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return parse_version(".".join(parts))


def _semver(text: str, *, normalize: bool = False) -> SemverValue:
    try:
        return _normalized(text) if normalize else parse_version(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from error


def _is_semver(text: str, *, normalize: bool = False) -> bool:
    try:
        _semver(text, normalize=normalize)
    except EvaluationError:
        return False
    return True


def _compare_parts(one: str, other: str) -> int:
    """Numbers come before words; numbers compare as such."""
    if one == other:
        return 0
    left, right = one.isdigit(), other.isdigit()
    if left and right:
        return -1 if (len(one), one) < (len(other), other) else 1
    if left != right:
        return -1 if left else 1
    return -1 if one < other else 1


_part_key = cmp_to_key(_compare_parts)


def compare(one: SemverValue, other: SemverValue) -> int:
    if one.numbers != other.numbers:
        return -1 if one.numbers < other.numbers else 1
    if not one.before or not other.before:
        return bool(other.before) - bool(one.before)
    left, right = [_part_key(part) for part in one.before], [_part_key(part) for part in other.before]
    return (left > right) - (left < right)


_TWO = (SEMVER, SEMVER)
LIBRARY = Library(
    "kubernetes.semver",
    (
        function("string_to_semver", "semver", (STRING,), SEMVER, _semver, price=prices.READ),
        function(
            "string_bool_to_semver",
            "semver",
            (STRING, BOOL),
            SEMVER,
            lambda text, loose: _semver(text, normalize=loose),
            price=prices.READ,
        ),
        function("is_semver_string", "isSemver", (STRING,), BOOL, _is_semver, price=prices.READ),
        function(
            "is_semver_string_bool",
            "isSemver",
            (STRING, BOOL),
            BOOL,
            lambda text, loose: _is_semver(text, normalize=loose),
            price=prices.READ,
        ),
        member(
            "semver_is_greater_than", "isGreaterThan", _TWO, BOOL, lambda one, other: compare(one, other) > 0
        ),
        member("semver_is_less_than", "isLessThan", _TWO, BOOL, lambda one, other: compare(one, other) < 0),
        member("semver_compare_to", "compareTo", _TWO, INT, compare),
        member("semver_major", "major", (SEMVER,), INT, lambda value: value.numbers[0]),
        member("semver_minor", "minor", (SEMVER,), INT, lambda value: value.numbers[1]),
        member("semver_patch", "patch", (SEMVER,), INT, lambda value: value.numbers[2]),
    ),
    types=(SEMVER,),
)
