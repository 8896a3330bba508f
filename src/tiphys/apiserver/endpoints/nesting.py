"""How deep a body may nest: deeper ones are refused before anything recurses into them.

Pure. An object is encoded and walked many times in its life, and what does that has limits of its own: C code
that composes YAML overruns its stack, the JSON encoder takes 254 levels. Called by ``bodies`` and the patch
handler.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from tiphys.apimachinery.errors import BadRequest

MAX_DEPTH: Final = 240
_YAML_SAFE: Final = 5_000
"""So many levels are composed without harm; block style cannot reach them within the size of a body."""


def check_yaml(body: bytes) -> None:
    """Raise BadRequest for a document that is too deep to be composed."""
    if sum(body.count(mark) for mark in (b"[", b"{", b"-", b"?")) <= _YAML_SAFE:
        return
    import yaml  # for the few bodies that might be too deep

    depth = 0
    with suppress(yaml.YAMLError):  # who reads it will see that it is none
        for event in yaml.parse(body, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _YAML_SAFE:
                    raise BadRequest(f"yaml: exceeded max depth of {MAX_DEPTH}")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1


def may_be_deep(body: bytes) -> bool:
    """Tell whether a JSON body has brackets enough to nest too deep."""
    return body.count(b"[") + body.count(b"{") > MAX_DEPTH


def is_deep(value: Any) -> bool:
    """Tell whether a value nests too deep. What aliases share is visited as often as it is named."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in found if isinstance(one, dict | list)]


def check(value: Any) -> None:
    """Raise BadRequest for a value that nests too deep."""
    if is_deep(value):
        raise BadRequest("exceeded max depth")
