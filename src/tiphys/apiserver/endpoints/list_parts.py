"""A list's answer in three parts: what stands before its items, the items, and what stands behind them.

The items are the same for all who ask for them in one form, whatever the list's revision is by then: they are
encoded once, and all slow readers hold the same bytes. What stands around them is made for each answer.

Owns: where each media type is cut. Refuses: which lists share their items (``respond``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.apimachinery import go_yaml
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints.negotiation import PROTOBUF, YAML, Format
from tiphys.apiserver.registry import machinery

Encode = Callable[[object], bytes]
"""Writes a value as JSON, a line break behind it."""
_RUN: Final = 20
"""So many items are written as YAML at a time: the library lets nobody else run meanwhile."""


def divides(form: Format) -> bool:
    """Tell whether lists of this form are cut: not what is laid out for people, nor tables as protobuf."""
    return not (form.pretty or (form.transform == "Table" and form.media_type == PROTOBUF))


def _word(form: Format) -> str:
    return "rows" if form.transform == "Table" else "items"


def items_part(form: Format, value: Object, encode: Encode) -> bytes:
    """Return the part that is shared, of a list that has items. Raises NotAcceptable."""
    word = _word(form)
    if form.media_type == PROTOBUF:
        return machinery.encode_protobuf_items(value)
    if form.media_type == YAML:
        items = value[word]
        runs = (items[at : at + _RUN] for at in range(0, len(items), _RUN))
        return f"{word}:\n{''.join(map(go_yaml.dump, runs))}".encode()
    return encode(value[word])[1:-2]


def around(form: Format, empty: Object, items: bytes, encode: Encode) -> tuple[bytes, bytes, bytes]:
    """Return all three parts of a list; ``empty`` is the list without its items."""
    word = _word(form)
    if form.media_type == PROTOBUF:
        before, behind = machinery.encode_protobuf_around(empty, len(items))
        return before, items, behind
    if form.media_type == YAML:
        above, below = _without(f"{word}: []\n", go_yaml.dump(empty))
        return above.encode(), items, below.encode()
    text = encode(empty)
    start = text.index(f'"{word}":['.encode()) + len(word) + 4
    return text[:start], items, text[start:]


def _without(line: str, text: str) -> tuple[str, str]:
    """Cut a document where a line of it begins that stands alone; what is within others is indented."""
    if text.startswith(line):
        return "", text[len(line) :]
    at = text.index("\n" + line) + 1
    return text[:at], text[at + len(line) :]
