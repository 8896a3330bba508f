"""What the server does to every object's metadata on create and update, whatever its kind.

Pure but for fresh uids and name suffixes. Called by the write handlers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.meta import Object, generate_name, new_uid
from tiphys.apimachinery.resource import Resource

_SERVER_OWNED = frozenset(
    {
        "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion",
        "selfLink",
    }
)  # fmt: skip
"""Where the server counts no generations, the one that an object comes with stays."""


def check_namespace(obj: Object, resource: Resource, namespace: str) -> None:
    """Fill in or compare the namespace; what is in none forgets the one it was given. Raises BadRequest."""
    meta = obj["metadata"]
    if not resource.namespaced:
        meta.pop("namespace", None)
        return
    if not meta.get("namespace"):
        meta["namespace"] = namespace
    elif meta["namespace"] != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def forget_system_fields(obj: Object) -> None:
    """Drop from what is posted what the server alone says of an object."""
    for key in ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        obj["metadata"].pop(key, None)


def check_name(obj: Object, name: str) -> None:
    """Compare the name of an update with the one in the path. Raises BadRequest."""
    given = obj["metadata"].get("name")
    if not given:
        raise BadRequest(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_patched(obj: Object, resource: Resource, name: str, namespace: str) -> None:
    """Compare name and namespace of a patched object with those in the path. Raises BadRequest."""
    check_name(obj, name)
    given = obj["metadata"].get("namespace")
    if resource.namespaced and given and given != namespace:
        raise BadRequest(
            f"the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
        )
    check_namespace(obj, resource, namespace)


def forget_earlier_life(obj: Object) -> None:
    """Drop from a new object what only one that is stored has: admission sees neither uid nor birth."""
    meta = obj["metadata"]
    if not _SERVER_OWNED.isdisjoint(meta):
        for key in _SERVER_OWNED:
            meta.pop(key, None)


def stamp_new(obj: Object, now: datetime) -> None:
    """Give a new object its uid and its birth, and a name where it asks for one."""
    meta = obj["metadata"]
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = rfc3339(now)
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generate_name(meta["generateName"])


def keep_server_fields(new: Object, old: Object) -> None:
    """Restore what only the server decides; what it is to be judged by stays, where the sender named it."""
    meta, before = new["metadata"], old["metadata"]
    _take(meta, before, "generation")
    meta.pop("selfLink", None)
    if not meta.get("uid") and "uid" in before:
        meta["uid"] = before["uid"]
    if before.get("creationTimestamp"):
        meta["creationTimestamp"] = before["creationTimestamp"]
    if before.get("deletionTimestamp") or meta.get("deletionTimestamp") is None:
        _take(meta, before, "deletionTimestamp")
    if meta.get("deletionGracePeriodSeconds") is None:
        _take(meta, before, "deletionGracePeriodSeconds")
    if not meta.get("generateName") and before.get("generateName"):
        meta["generateName"] = before["generateName"]


def _take(meta: Object, before: Object, key: str) -> None:
    if key in before:
        meta[key] = before[key]
    else:
        meta.pop(key, None)


def bump_generation(new: Object, old: Object, status_fields: tuple[str, ...]) -> None:
    """Count a change of what is wanted: anything but metadata and status."""
    ignored = {"metadata", "apiVersion", "kind", *status_fields}
    keys = (new.keys() | old.keys()) - ignored
    if any(new.get(key) != old.get(key) for key in keys):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


EQUAL: Final = "equal_objects"
UNEQUAL_FAST: Final = "unequal_objects_fast"
UNEQUAL_SLOW: Final = "unequal_objects_slow"


def compare(new: Object, old: Object) -> tuple[bool, str]:
    """Tell whether a write would change nothing but the times of its managed fields, and how that was seen.

    ``UNEQUAL_FAST``: by the managed fields alone, whether or not the rest is the same; else by all there is.
    """
    a, b = new["metadata"].get("managedFields") or (), old["metadata"].get("managedFields") or ()
    timeless = len(a) == len(b) and all(map(_same_but_time, a, b))
    same = timeless and _same_rest(new, old)
    if not timeless or all(one.get("time") == other.get("time") for one, other in zip(a, b, strict=True)):
        return same, UNEQUAL_FAST
    return same, EQUAL if same else UNEQUAL_SLOW


def _same_but_time(a: Object, b: Object) -> bool:
    return a is b or {**a, "time": ""} == {**b, "time": ""}


def _same_rest(new: Object, old: Object) -> bool:
    if new.keys() != old.keys():
        return False
    for key, value in new.items():
        if key != "metadata" and value != old[key]:
            return False
    a, b = new["metadata"], old["metadata"]
    ignored = {"managedFields", "resourceVersion"}
    return {k: v for k, v in a.items() if k not in ignored} == {
        k: v for k, v in b.items() if k not in ignored
    }
