"""Owning other objects: claims by selector, slow-start batches, and reading one's own writes.

Used by every controller that makes pods or replica sets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import field

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.labels import Selector
from tiphys.apimachinery.meta import GVR, Object, controller_of, object_key, owner_reference
from tiphys.client.informer import Informer
from tiphys.client.rest import Client

BY_CONTROLLER = "controller"
ORPHANS = "orphans"
_EXPECT_S = 300.0
_FIRST_BATCH = 1


@dataclass(frozen=True, slots=True)
class Claims:
    """Which children an owner has, should take, should let go."""

    owned: list[Object] = field(default_factory=list)
    adopt: list[Object] = field(default_factory=list)
    release: list[Object] = field(default_factory=list)


def index_owned(informer: Informer) -> None:
    """Make children findable by their controller's uid, and those without one by namespace."""
    informer.add_index(BY_CONTROLLER, _controller_uid)
    informer.add_index(ORPHANS, _orphan_namespace)


def candidates(informer: Informer, owner: Object) -> list[Object]:
    """Return what ``plan_claims`` needs to see: the owner's children and the namespace's orphans."""
    meta = owner["metadata"]
    return informer.by_index(BY_CONTROLLER, meta["uid"]) + informer.by_index(ORPHANS, meta["namespace"])


def plan_claims(owner: Object, selector: Selector, children: Iterable[Object]) -> Claims:
    """Decide by controller reference and selector. An owner being deleted takes and releases nothing."""
    claims = Claims()
    leaving = bool(owner["metadata"].get("deletionTimestamp"))
    for child in children:
        ref = controller_of(child)
        matches = selector.matches(child["metadata"].get("labels") or {})
        if ref is not None:
            if ref.get("uid") != owner["metadata"]["uid"]:
                continue
            if matches:
                claims.owned.append(child)
            elif not leaving:
                claims.release.append(child)
        elif matches and not leaving and not child["metadata"].get("deletionTimestamp"):
            claims.adopt.append(child)
    return claims


async def apply_claims(
    client: Client, gvr: GVR, owner_gvr: GVR, owner: Object, claims: Claims, *, finalizer: str = ""
) -> list[Object]:
    """Write adoptions and releases, return every child the owner has afterwards.

    Before adopting, the owner is read live: a stale cache must not resurrect ownership. A ``finalizer`` that
    children bear comes and goes with it.
    """
    owned = list(claims.owned)
    for child in claims.release:
        refs = [ref for ref in child["metadata"]["ownerReferences"] if ref["uid"] != owner["metadata"]["uid"]]
        await _patch_owners(client, gvr, child, refs, _without(child, finalizer))
    if claims.adopt:
        meta = owner["metadata"]
        live = await client.get(owner_gvr, meta["name"], meta["namespace"])
        if live["metadata"]["uid"] != meta["uid"] or live["metadata"].get("deletionTimestamp"):
            return owned
        for child in claims.adopt:
            refs = [*(child["metadata"].get("ownerReferences") or ()), owner_reference(owner)]
            borne = [*_without(child, finalizer), *([finalizer] if finalizer else [])]
            adopted = await _patch_owners(client, gvr, child, refs, borne)
            if adopted is not None:
                owned.append(adopted)
    return owned


def _without(child: Object, finalizer: str) -> list[str]:
    return [one for one in child["metadata"].get("finalizers") or () if one != finalizer]


async def _patch_owners(
    client: Client, gvr: GVR, child: Object, refs: list[Object], finalizers: list[str]
) -> Object | None:
    meta = child["metadata"]
    changed: Object = {
        "uid": meta["uid"],
        "resourceVersion": meta["resourceVersion"],
        "ownerReferences": refs,
    }
    if finalizers != (meta.get("finalizers") or []):
        changed["finalizers"] = finalizers
    try:
        return await client.patch(gvr, meta["name"], meta["namespace"], {"metadata": changed})
    except NotFound:
        return None


class Writes:
    """Tells whether the cache has caught up with what a controller wrote for a key.

    Until it has, planning on the cache would do the same work twice. Revisions are compared as numbers,
    which the API guarantees within one resource. Forgets after five minutes, should an event be lost.
    """

    def __init__(self, informer: Informer, clock: Clock) -> None:
        self._informer = informer
        self._clock = clock
        self._written: dict[str, tuple[int, float]] = {}
        self._deleted: dict[str, dict[str, tuple[str, float]]] = {}

    def wrote(self, key: str, stored: Object) -> None:
        """Note a create, update or patch answered with ``stored``."""
        version = _number(stored["metadata"].get("resourceVersion"))
        version = max(version, self._written.get(key, (0, 0.0))[0])
        self._written[key] = (version, self._clock.monotonic() + _EXPECT_S)

    def deleted(self, key: str, obj: Object) -> None:
        """Note an accepted delete of ``obj``."""
        entry = (obj["metadata"]["uid"], self._clock.monotonic() + _EXPECT_S)
        self._deleted.setdefault(key, {})[object_key(obj)] = entry

    def settled(self, key: str) -> bool:
        """True when every write noted for ``key`` shows in the cache (or is too old to wait for)."""
        now = self._clock.monotonic()
        version, until = self._written.get(key, (0, 0.0))
        if version and now < until and _number(self._informer.revision) < version:
            return False
        self._written.pop(key, None)
        pending = self._deleted.get(key, {})
        for child, (uid, until) in list(pending.items()):
            cached = self._informer.get(child)
            alive = cached is not None and cached["metadata"]["uid"] == uid
            if (
                cached is not None
                and alive
                and not cached["metadata"].get("deletionTimestamp")
                and now < until
            ):
                return False
            del pending[child]
        self._deleted.pop(key, None)
        return True

    def forget(self, key: str) -> None:
        """Drop what was noted for an object that is gone."""
        self._written.pop(key, None)
        self._deleted.pop(key, None)


async def slow_start(count: int, work: Callable[[int], Awaitable[bool]]) -> None:
    """Run ``work(i)`` in batches of 1, 2, 4...; stop after a batch with a failure, or one that gave False.

    Raises the first failure. So a quota that refuses all of a thousand pods is asked once, and so is a
    namespace that takes no more.
    """
    done, batch = 0, _FIRST_BATCH
    while done < count:
        size = min(batch, count - done)
        results = await asyncio.gather(*(work(done + i) for i in range(size)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            raise failures[0]
        if not all(results):
            return
        done += size
        batch *= 2


def _controller_uid(obj: Object) -> list[str]:
    ref = controller_of(obj)
    return [ref["uid"]] if ref else []


def _orphan_namespace(obj: Object) -> list[str]:
    return [] if controller_of(obj) else [obj["metadata"].get("namespace") or ""]


def _number(version: str | None) -> int:
    return int(version) if version and version.isdigit() else 0
