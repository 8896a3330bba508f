"""Names for kinds and resources, and what every object's ``metadata`` has in common.

Objects are plain ``dict`` trees in wire form. An object that came from a cache or an informer is
read-only; ``copy_object`` gives one to change.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import orjson

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object in wire form (camelCase keys)."""

_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RANDOM_BITS = ~(0xF << 76 | 0x3 << 62)
_VERSION_BITS = 0x4 << 76 | 0x2 << 62
"""What makes random bits a UUID of version 4 (RFC 9562)."""
_GENERATED_SUFFIX = 5
_GENERATED_MAX = 63


class GVK(NamedTuple):
    """A kind at a version; ``group`` is empty for core."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class GVR(NamedTuple):
    """A resource at a version: where a kind is served."""

    group: str
    version: str
    resource: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def split_api_version(api_version: str) -> tuple[str, str]:
    """Split ``apps/v1`` into group and version; ``v1`` has the empty group."""
    group, _, version = api_version.rpartition("/")
    return group, version


def gvk_of(obj: Object) -> GVK:
    """Return the kind that an object says it is (empty parts where it says nothing)."""
    group, version = split_api_version(obj.get("apiVersion") or "")
    return GVK(group, version, obj.get("kind") or "")


def copy_object(value: Any) -> Any:
    """Copy a JSON tree deeply.

    Writing and reading it is several times faster than walking it, but would turn a number that is none into
    a null: where there is a null, the parts are copied one by one.
    """
    if not isinstance(value, (dict, list)):
        return value
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        text = b"null"
    if b"null" not in text:
        return orjson.loads(text)
    if isinstance(value, dict):
        return {key: copy_object(item) for key, item in value.items()}
    return [copy_object(item) for item in value]


def object_key(obj: Object) -> str:
    """Return ``namespace/name``, or ``name`` for a cluster-scoped object: the key of every queue."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def split_key(key: str) -> tuple[str, str]:
    """Undo ``object_key``: ``(namespace, name)`` with an empty namespace where there is none."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


_draw: Callable[[int], bytes] = os.urandom
_random: list[bytes] = []
"""Random bytes of the system's for the next objects: asking for many at once takes as long as for one."""
os.register_at_fork(after_in_child=_random.clear)


@contextmanager
def randomness(draw: Callable[[int], bytes]) -> Iterator[None]:
    """Take the randomness of UIDs and generated names from ``draw``, which may be the same each time."""
    global _draw
    before, _draw = _draw, draw
    _random.clear()
    try:
        yield
    finally:
        _draw = before
        _random.clear()


def _random_bytes() -> bytes:
    """Return 16 random bytes that nobody else is given."""
    try:
        return _random.pop()
    except IndexError:
        fresh = _draw(16 * 128)
        _random.extend(fresh[at : at + 16] for at in range(16, len(fresh), 16))
        return fresh[:16]


def new_uid() -> str:
    """Return a fresh object UID."""
    digits = f"{int.from_bytes(_random_bytes()) & _RANDOM_BITS | _VERSION_BITS:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def random_suffix(length: int = _GENERATED_SUFFIX) -> str:
    """Return random characters that cannot spell words, as generated names end in."""
    return _spell(int.from_bytes(_draw(8)), length)


def stable_suffix(content: bytes, length: int = _GENERATED_SUFFIX) -> str:
    """Return characters of the same alphabet that only ``content`` decides: the same ones each time."""
    return _spell(zlib.crc32(content), length)


def _spell(number: int, length: int) -> str:
    size = len(_NAME_ALPHABET)
    return "".join(_NAME_ALPHABET[number // size**place % size] for place in range(length))


def generate_name(base: str) -> str:
    """Return a name for ``generateName``: the base cut to fit, and five random characters."""
    return base[: _GENERATED_MAX - _GENERATED_SUFFIX] + random_suffix()


def controller_of(obj: Object) -> dict[str, Any] | None:
    """Return the owner reference marked as the managing controller, if any."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return dict(ref)
    return None


def owner_reference(owner: Object, *, controller: bool = True) -> dict[str, Any]:
    """Return the reference that a controller writes into its children."""
    ref = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    if controller:
        ref["controller"] = True
        ref["blockOwnerDeletion"] = True
    return ref


def get_condition(obj: Object, type_: str) -> dict[str, Any] | None:
    """Return the status condition of that type, if present."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == type_:
            return dict(condition)
    return None
