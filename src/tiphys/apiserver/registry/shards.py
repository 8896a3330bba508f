"""``shardSelector``: a part of a collection by the hash of a field, as clients share it out. Alpha.

Owns: the expression's grammar and the hash. A server that does not honour it says nothing of shards in its
answer, by which clients see that they got everything. Pure. Called by the handlers of lists and watches.

Source: KEP-5866; meta/v1 ListOptions.shardSelector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tiphys.apimachinery.errors import BadRequest
from tiphys.apiserver.registry.objects import Cached, Selection

_RANGE: Final = re.compile(
    r"\s*shardRange\(\s*([A-Za-z0-9_.]+)\s*,\s*'(0x[0-9a-fA-F]+)'\s*,\s*'(0x[0-9a-fA-F]+)'\s*\)\s*"
)
_FIELDS: Final[Mapping[str, Callable[[Cached], str]]] = {
    "object.metadata.uid": lambda cached: str(cached.object["metadata"].get("uid", "")),
    "object.metadata.namespace": lambda cached: cached.namespace,
}
_END: Final = 1 << 64
_OFFSET: Final = 0xCBF29CE484222325
_PRIME: Final = 0x100000001B3


def fnv1a(text: str) -> int:
    """Return the 64-bit FNV-1a hash of a text."""
    found = _OFFSET
    for byte in text.encode():
        found = (found ^ byte) * _PRIME % _END
    return found


def narrowed(selection: Selection, expression: str) -> Selection:
    """Return a selection of those objects that are also in the shard. Raises BadRequest."""
    ranges = [_range(part, expression) for part in expression.split("||")]
    before = selection.matches

    def matches(cached: Cached) -> bool:
        if before is not None and not before(cached):
            return False
        return any(low <= fnv1a(read(cached)) < high for read, low, high in ranges)

    return replace(selection, matches=matches)


def _range(part: str, expression: str) -> tuple[Callable[[Cached], str], int, int]:
    found = _RANGE.fullmatch(part)
    if found is None:
        raise _refused(expression, "expected shardRange(path, '0xstart', '0xend') terms joined by ||")
    path, low, high = found[1], int(found[2], 16), int(found[3], 16)
    if path not in _FIELDS:
        raise _refused(expression, f"unsupported field path {path}")
    if not low < high <= _END:
        raise _refused(expression, f"no range of hashes: {found[2]}, {found[3]}")
    return _FIELDS[path], low, high


def _refused(expression: str, why: str) -> BadRequest:
    return BadRequest(f'unable to parse shardSelector "{expression}": {why}')
