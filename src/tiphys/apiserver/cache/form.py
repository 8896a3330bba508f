"""The form in which objects lie in the store: JSON as Go writes it, with room for the resourceVersion.

Objects of built-in kinds have their fields in the order of Go's types, those of custom kinds are maps, in the
order of their keys but for the three that lead. What a revision will be is not known when an object is
encoded, so its text there is empty: whoever shows the bytes puts the number in and need not decode them.
Pure. Called by the rest of ``apiserver.cache`` and by whoever encodes for it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apis.go_order import order_of

LEADING: Final = ("kind", "apiVersion", "metadata")
_OF_MAPS: Final = ("apiVersion", "kind", "metadata")
_OPENINGS: Final = (b'{"kind":', b'{"apiVersion":')
_ROOM: Final = b'"resourceVersion":""'
_METADATA: Final = b'"metadata":{'
_WITHIN: Final = (
    "annotations apiVersion creationTimestamp deletionGracePeriodSeconds deletionTimestamp fieldsType "
    "finalizers generateName generation labels managedFields manager name namespace operation "
    "ownerReferences resourceVersion selfLink subresource time uid"
)
"""Members of metadata, and of its parts, that may come behind an object."""
_BEHIND_METADATA: Final = re.compile(rb'},"(?!(?:%b)")[a-zA-Z]+":' % _WITHIN.replace(" ", "|").encode())
"""The first member behind metadata; fields of managed ones have a colon in their names, or a dot."""


def ordered(obj: Object, known: Object | None = None) -> Object:
    """Return the object as it is stored, whatever its resourceVersion is; values may be shared.

    ``known``: what it was until now, as it was stored.
    """
    roomy = {**obj, "metadata": {**obj["metadata"], "resourceVersion": ""}}
    order = order_of(gvk_of(roomy))
    return _as_maps(roomy) if order is None else order(roomy, known)


def _as_maps(roomy: Object) -> Object:
    meta = _sorted(roomy["metadata"])
    if any("resourceVersion" in (meta.get(part) or ()) for part in ("annotations", "labels")):
        meta = {"resourceVersion": "", **meta}  # these come before it, and would be taken for it
    rest = {key: _sorted(roomy[key]) for key in sorted(roomy) if key not in _OF_MAPS}
    return {"apiVersion": roomy["apiVersion"], "kind": roomy["kind"], "metadata": meta, **rest}


def _sorted(value: Any) -> Any:
    if type(value) is dict:
        return {key: _sorted(value[key]) for key in sorted(value)}
    if type(value) is list:
        return [_sorted(item) for item in value]
    return value


def encode(obj: Object) -> bytes:
    """Encode for the store."""
    return dump(ordered(obj))


def dump(made: Object) -> bytes:
    """Encode what ``ordered`` made."""
    return without_markup(dump_as_sent(made))


def dump_as_sent(made: Object) -> bytes:
    """The same where some values are kept as they came: letters of markup are escaped when they are shown."""
    # orjson leaves the room that it wrote in with the bytes, up to 32 KiB: a copy is as big as it is long.
    return bytes(memoryview(orjson.dumps(made)))


def is_roomy(obj: Object) -> bool:
    """Tell whether a stored object has room for its resourceVersion, as what is written here has."""
    return bool(obj["metadata"].get("resourceVersion") == "")


def at_revision(value: bytes, revision: int) -> bytes:
    """Return the bytes of an object that ``encode`` made, with its resourceVersion."""
    at = value.index(_ROOM) + len(_ROOM) - 1
    return b"%b%d%b" % (value[:at], revision, value[at:])


def item_at_revision(value: bytes, revision: int) -> bytes:
    """Return the same without what it says of its kind and version, as lists of built-in kinds show it."""
    start, at = value.index(_METADATA), value.index(_ROOM) + len(_ROOM) - 1
    return b"{%b%d%b" % (value[start:at], revision, value[at:])


def head_of(raw: bytes) -> Object | None:
    """Decode what stands before the first member behind metadata; None where another order is kept.

    A quote within a text has a backslash before it, so what is searched for stands in no text.
    """
    found = _BEHIND_METADATA.search(raw)
    if found is None or not raw.startswith(_OPENINGS):
        return None
    try:
        head: Object = orjson.loads(raw[: found.start() + 1] + b"}")
    except orjson.JSONDecodeError:
        return None
    return head if tuple(head) in (LEADING, _OF_MAPS) else None
