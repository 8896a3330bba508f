"""A definition as it lies in the cache: its text is decoded when its schemas are asked for, and not kept.

Decoded, a definition takes ten times the memory of its text, and few of the kinds that clusters define are in
use. Owns: the digest that tells one state of a spec from others. Called by the controller and by ``kind``.
"""

from __future__ import annotations

import hashlib
from typing import Any, Protocol

import orjson

from tiphys.apimachinery.meta import Object

_METADATA = ("name", "uid", "generation", "annotations", "finalizers", "deletionTimestamp")
_SPEC = ("group", "names", "scope", "conversion", "preserveUnknownFields")


class Raw(Protocol):
    """Where a text lies."""

    @property
    def raw(self) -> bytes: ...


class Text:
    """One state of a definition."""

    __slots__ = ("_where", "digest")

    def __init__(self, where: Raw, crd: Object) -> None:
        self._where = where
        self.digest = hashlib.sha512(orjson.dumps(crd["spec"])).digest()
        """Differs where anything that its kinds are made of does."""

    def schema(self, version: str) -> Object:
        """Return the ``openAPIV3Schema`` of a version, empty where it has none: a tree of one's own."""
        versions = orjson.loads(self._where.raw)["spec"]["versions"]
        found: dict[str, Any] = next((one for one in versions if one["name"] == version), {})
        return (found.get("schema") or {}).get("openAPIV3Schema") or {}


class Given:
    """A definition that lies nowhere yet."""

    def __init__(self, crd: Object) -> None:
        self.raw = orjson.dumps(crd)


def outline(crd: Object) -> Object:
    """Return what names are settled by: a definition without its versions, nothing of it shared."""
    metadata, spec = crd["metadata"], crd["spec"]
    kept = {
        "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
        "spec": {key: spec[key] for key in _SPEC if key in spec},
    }
    if crd.get("status") is not None:
        kept["status"] = crd["status"]
    found: Object = orjson.loads(orjson.dumps(kept))
    return found
