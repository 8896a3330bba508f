"""The subset of JSONPath that printer columns and selectable fields may use.

Pure. Owns: parsing and reading. Refuses: everything but fields, indexes, wildcards and equality filters.

Source: ``additionalPrinterColumns`` of apiextensions.k8s.io/v1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]
_TOKEN = re.compile(
    r"""
    \.?\[\?\(\s*@(?P<filter>(?:\.[\w\-/\\.]+|\['[^']*'\])+)\s*==\s*(?P<wanted>"[^"]*"|'[^']*'|[\w.\-]+)\s*\)\]
    | \.?\['(?P<quoted>(?:[^'\\]|\\.)*)'\]
    | \.?\["(?P<doubled>(?:[^"\\]|\\.)*)"\]
    | \.?\[(?P<index>-?[0-9]{1,18})\]
    | \.?\[(?P<all>\*)\]
    | \.(?P<star>\*)
    | \.(?P<field>(?:[^.\[\]\\'"\s]|\\.)+)
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """A path that this subset cannot read."""


@lru_cache(maxsize=1024)
def parse(path: str) -> tuple[Step, ...]:
    """Return the steps of a path such as ``.status.conditions[?(@.type=="Ready")].status``.

    Raises:
        PathError: it is not of this subset.
    """
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    if not text.startswith((".", "[")):
        raise PathError(f"unrecognized character in action: {text[:1]!r}")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PathError(f"unexpected text at {text[at:]!r}")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def find(obj: Any, path: str) -> list[Any]:
    """Return the values at a path, none where it leads nowhere. Raises PathError."""
    found: list[Any] = [obj]
    for step in parse(path):
        found = [value for item in found for value in step(item)]
    return found


def _step(match: re.Match[str]) -> Step:
    if match["filter"]:
        wanted = match["wanted"].strip("\"'")
        inner = parse(match["filter"])
        return lambda value: [item for item in _items(value) if wanted in _texts(item, inner)]
    if match["index"]:
        return lambda value, at=int(match["index"]): _at(value, at)  # type: ignore[misc]
    if match["all"] or match["star"]:
        return _items
    name = next(text for text in (match["quoted"], match["doubled"], match["field"]) if text is not None)
    name = re.sub(r"\\(.)", r"\1", name)
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _at(value: Any, index: int) -> list[Any]:
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return []
    return [value[index]]


def _texts(item: Any, steps: tuple[Step, ...]) -> list[str]:
    found = [item]
    for step in steps:
        found = [value for one in found for value in step(one)]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in found]
