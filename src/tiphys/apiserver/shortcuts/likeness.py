"""In what a new object is like earlier ones, by the body of its request: how a mold is known that fits it.

Pods are large and differ from others of their template in name alone, so their bodies are compared as they
are, unparsed (``ByName``). ConfigMaps are small, and each has texts of its own: they are parsed, and alike
where they are of one shape, which is the same object but for the texts (``ByShape``).

Pure. Owns: which kinds have molds, and what may differ between objects of one mold: nothing whose content
decides what becomes of the rest. Called by ``molds``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

import orjson

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import About
from tiphys.apiserver.registry import machinery

_NAME: Final = re.compile(rb'"name":\s?"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"')
"""A DNS label: as a pod's name it has no fault, and there is nothing to warn of."""
_PROBE: Final = "some-other-name"


class Likeness(Protocol):
    """One body. ``key`` and ``key_generated`` are what it has in common with others, ``b""`` for nothing."""

    @property
    def name(self) -> str: ...

    @property
    def own(self) -> Object:
        """What it does not share, beside its name: to be put into the object as it is."""
        ...

    @property
    def key(self) -> bytes:
        """What this has in common with all that have another name."""
        ...

    @property
    def key_generated(self) -> bytes:
        """What this has in common with all whose name is generated."""
        ...

    def came_to(self, obj: Object) -> bool:
        """Tell whether an object made of the body has just what is its own where others have theirs."""
        ...


class ByName:
    """A body as it was sent, but for the first name in it. Mostly that is the object's own."""

    __slots__ = ("_body", "_place")

    def __init__(self, body: bytes) -> None:
        found = _NAME.search(body)
        self._body = body
        self._place = (0, 0) if found is None else found.span(1)

    @property
    def name(self) -> str:
        start, end = self._place
        return self._body[start:end].decode()

    @property
    def own(self) -> Object:
        return {}

    @property
    def key(self) -> bytes:
        start, end = self._place
        return b"%b\n%b" % (self._body[:start], self._body[end:])

    @property
    def key_generated(self) -> bytes:
        """Everything: then there is no name in the body."""
        return b"=%b" % self._body

    def came_to(self, obj: Object) -> bool:
        """Tell whether another name in that place would make just that of the body: one of another name."""
        start, end = self._place
        body = self._body
        try:
            own = orjson.loads(body)
            other = orjson.loads(b"%b%b%b" % (body[:start], _PROBE.encode(), body[end:]))
        except orjson.JSONDecodeError:  # protobuf or YAML
            return False
        own["metadata"]["name"] = _PROBE
        return bool(own == other)


class ByShape:
    """A body's object without its name and without the texts of one of its maps, whose keys stay."""

    __slots__ = ("_texts", "key", "name", "own")

    def __init__(self, key: bytes, name: str, texts: str, own: Object) -> None:
        self.key = key
        self.name = name
        self._texts = texts
        self.own = own

    @classmethod
    def of(cls, body: bytes, texts: str) -> ByShape | None:
        """Look at a body whose ``texts`` are its own; None where something is to be said of it."""
        try:
            obj, duplicates = machinery.parse_json(body)
            meta, own = obj["metadata"], obj[texts]
            name, kinds = meta["name"], set(map(type, own.values()))
        except (BadRequest, LookupError, TypeError, AttributeError):
            return None
        if duplicates or kinds != _TEXTS or type(name) is not str or names.is_dns1123_subdomain(name):
            return None
        shape = {**obj, "metadata": {**meta, "name": ""}, texts: dict.fromkeys(own, "")}
        return cls(orjson.dumps(shape), name, texts, {texts: own})

    @property
    def key_generated(self) -> bytes:
        return b""

    def came_to(self, obj: Object) -> bool:
        return bool(obj["metadata"]["name"] == self.name and obj.get(self._texts) == self.own[self._texts])


class Kind(NamedTuple):
    """One kind that may have molds."""

    look: Callable[[bytes], Likeness | None]
    creation: About


_TEXTS: Final = {str}
KINDS: Final[Mapping[tuple[str, str], Kind]] = {
    ("", "pods"): Kind(ByName, About("", "pods", "", "CREATE")),
    # What is under a key may be any text; how much there is of it, no body is large enough to exceed.
    ("", "configmaps"): Kind(lambda body: ByShape.of(body, "data"), About("", "configmaps", "", "CREATE")),
}
"""Kinds that may have molds: nothing that becomes of a new object of theirs depends on its name, or on what
else is its own. Quotas, webhooks and policies are not meant: they see every object."""
