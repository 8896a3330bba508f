"""The object store as handlers of custom resources see it: every object in the version they asked for.

Owns: conversion to the storage version on writes and from whatever version an object was stored in on reads,
and defaults for objects that were stored before the schema had them. Built-in rows pass through untouched.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

import orjson

from tiphys.apimachinery import go_json
from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.resource import Resource
from tiphys.apis.selectable import field_values
from tiphys.apiserver.cache import versions
from tiphys.apiserver.cache.form import at_revision, encode
from tiphys.apiserver.crd.kind import CustomKind
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.registry.objects import (
    Cached,
    Change,
    EventOutlet,
    ObjectStore,
    Page,
    Predicate,
    Selection,
)

_CHUNK = 500
_PART_BYTES = 64 * 1024
"""Of stored objects that are looked through at a time."""


class Converter(Protocol):
    """Brings objects to another version of their kind."""

    async def __call__(self, objects: Sequence[Object], kind: CustomKind, to: GVK) -> list[Object]: ...


class View:
    """A stored object in another version, or with defaults it was not stored with. A ``Cached``."""

    __slots__ = ("_base", "_raw", "_row", "head", "object", "stale")

    def __init__(self, base: Cached, obj: Object, row: Resource, *, stale: bool) -> None:
        self._base = base
        self._row = row
        self._raw: bytes | None = None
        self.object = obj
        self.head = obj
        self.stale = stale
        """It is stored in a version that is no longer the storage version, or not as it is shown."""

    @property
    def key(self) -> str:
        return self._base.key

    @property
    def namespace(self) -> str:
        return self._base.namespace

    @property
    def name(self) -> str:
        return self._base.name

    def check(self) -> None:
        """It has been read."""

    @property
    def size(self) -> int:
        return self._base.size

    @property
    def revision(self) -> int:
        return self._base.revision

    @property
    def labels(self) -> Mapping[str, str]:
        """This version's: a conversion may change them."""
        return self.object["metadata"].get("labels") or {}

    @property
    def fields(self) -> Mapping[str, str]:
        """The values that this version's selectable fields have."""
        return field_values(self._row, self.object)

    @property
    def raw(self) -> bytes:
        if self._raw is None:
            self._raw = at_revision(go_json.written(encode(self.object)), self.revision)
        return self._raw

    @property
    def listed(self) -> bytes:
        return self.raw


class CustomStore:
    """An ``ObjectStore``; objects of custom rows are shown in the row's version."""

    def __init__(self, objects: ObjectStore, convert: Converter) -> None:
        self._objects = objects
        self._convert = convert

    def __getattr__(self, name: str) -> Any:
        """What is no part of the protocol is the store's below."""
        return getattr(self._objects, name)

    @property
    def revision(self) -> int:
        return self._objects.revision

    def revision_of(self, resource: Resource) -> int:
        return self._objects.revision_of(resource)

    async def _views(self, found: Sequence[Cached], row: Resource) -> builtins.list[Cached]:
        """Return objects in the row's version, pruned, with the defaults of the version they are stored in.

        Those that are so already stay as they are, and are not even decoded once that is known.
        """
        kind: CustomKind = row.definition
        views: builtins.list[Cached] = list(found)
        unknown = [at for at, one in enumerate(found) if kind.clean.get(one.key) != one.revision]
        whole: dict[int, Object] = {}
        async for at, one in _unhurried(found, unknown):
            if one.object["apiVersion"] != row.api_version:
                whole[at] = await aside(one.size, _fitted, one.object, kind, defaults=True)
        converted = await self._convert(list(whole.values()), kind, row.gvk)
        fresh = dict(zip(whole, converted, strict=True))
        current = f"{row.group}/{kind.storage_version}"
        async for at, one in _unhurried(found, unknown):
            stale = one.object["apiVersion"] != current
            obj = await aside(one.size, _shown, fresh.get(at, one.object), kind, defaults=at not in fresh)
            changed = obj != one.object
            if at in fresh or stale or changed:
                views[at] = View(one, obj, row, stale=stale or (changed and at not in fresh))
            else:
                kind.remember_clean(one.key, one.revision)
        return views

    async def _view(self, cached: Cached, row: Resource) -> Cached:
        return (await self._views([cached], row))[0]

    async def at(self, obj: Object, kind: CustomKind, to: GVK) -> Object:
        """Return an object in another version of its kind; the one given stays as it is."""
        return obj if obj["apiVersion"] == to.api_version else (await self._convert([obj], kind, to))[0]

    async def _stored(self, obj: Object, row: Resource) -> Object:
        kind: CustomKind = row.definition
        to = GVK(row.group, kind.storage_version, row.kind)
        if row.gvk == to:
            return obj
        return _fitted((await self._convert([obj], kind, to))[0], kind)

    def count(self, resource: Resource, namespace: str = "") -> int:
        return self._objects.count(resource, namespace)

    @property
    def alone(self) -> bool:
        return self._objects.alone

    def key_of(self, resource: Resource, namespace: str, name: str) -> str:
        return self._objects.key_of(resource, namespace, name)

    def at_hand(self, resource: Resource, key: str) -> Cached | None:
        return self._objects.at_hand(resource, key) if resource.definition is None else None

    def all_at_hand(self, resource: Resource, namespace: str) -> Sequence[Cached] | None:
        return self._objects.all_at_hand(resource, namespace) if resource.definition is None else None

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        cached = await self._objects.get(resource, namespace, name)
        return cached if resource.definition is None else await self._view(cached, resource)

    async def seen(self, resource: Resource, namespace: str, name: str) -> Cached:
        if resource.definition is None:
            return await self._objects.seen(resource, namespace, name)
        return await self.get(resource, namespace, name)

    async def all(self, resource: Resource, namespace: str = "") -> Sequence[Cached]:
        if resource.definition is None:
            return await self._objects.all(resource, namespace)
        return (await self.list(resource, Selection(namespace))).items

    async def list(self, resource: Resource, selection: Selection, **options: Any) -> Page:
        if resource.definition is None:
            return await self._objects.list(resource, selection, **options)
        matches = selection.matches if _converts(resource) else None
        if matches is not None:
            selection = replace(selection, matches=None, field_equals=None)
            return await self._selected(resource, selection, matches, options)
        page = await self._objects.list(resource, selection, **options)
        items = await self._views(page.items, resource)
        return Page(items, page.revision, page.continue_token, page.remaining)

    async def _selected(
        self, resource: Resource, selection: Selection, matches: Predicate, options: dict[str, Any]
    ) -> Page:
        """Return a full page of what matches in the version asked for: what is stored may not tell."""
        limit = options.pop("limit", 0)
        items: builtins.list[Cached] = []
        first = not options.get("continue_token")
        if not limit or (first and options.get("resource_version") == "0"):  # then nobody looks at limits
            page = await self._objects.list(resource, selection, **options)
            for at in range(0, len(page.items), _CHUNK):
                views = await self._views(page.items[at : at + _CHUNK], resource)
                items += filter(matches, views)
            return Page(items, page.revision)
        while True:
            page = await self._objects.list(resource, selection, limit=_CHUNK, **options)
            views = await self._views(page.items, resource)
            for at, view in enumerate(views):
                if not matches(view):
                    continue
                items.append(view)
                if len(items) == limit:
                    if at + 1 < len(views):  # for its token, which goes on behind this very object
                        again = _of_its_moment(page, options)
                        page = await self._objects.list(resource, selection, limit=at + 1, **again)
                    return Page(items, page.revision, page.continue_token)
            if not page.continue_token:
                return Page(items, page.revision)
            options = {"continue_token": page.continue_token}

    async def watch(
        self, resource: Resource, selection: Selection, *, outlet: EventOutlet | None = None, **options: Any
    ) -> AsyncIterator[builtins.list[Change]]:
        judge = _Judge(selection)
        if resource.definition is None:  # frames of others are of the stored version
            options["outlet"] = outlet
        if resource.definition is not None and selection.matches is not None and _converts(resource):
            selection = replace(selection, matches=None, field_equals=None)
            options |= await self._learn(judge, resource, selection, options)
        else:
            judge.matches = None
        changes = self._objects.watch(resource, selection, **options)
        async with aclosing(changes) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if resource.definition is not None:
                    batch = judge.told(await self._changes(batch, resource))
                if batch:
                    yield batch
                batch = []  # while it waits, a watch keeps nothing of what it told

    async def _learn(
        self, judge: _Judge, row: Resource, selection: Selection, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Find out what a watch that is not told of everything first knows; return where it begins."""
        version = options.get("resource_version", "")
        somewhere = version not in ("", "0")
        told = options.get("send_initial_events")
        if told or (told is None and not somewhere):
            return {}
        wanted = versions.parse_version(version)
        page = await self._known_at(row, selection, wanted)
        judge.learn(await self._views(page.items, row), wanted)
        return {"resource_version": str(page.revision)}

    async def _known_at(self, row: Resource, selection: Selection, wanted: int) -> Page:
        """Return what there was at a version, or is now where it is yet to come (or 0).

        Raises Expired as a watch does.
        """
        if wanted == 0 or wanted > self._objects.revision_of(row):
            page = await self._objects.list(row, selection)
            if not 0 < wanted < page.revision:
                return page
        try:
            return await self._objects.list(
                row, selection, resource_version=str(wanted), resource_version_match="Exact"
            )
        except versions.ListExpired as error:
            raise versions.watch_expired(wanted, error.oldest) from error

    async def _changes(self, batch: Iterable[Change], row: Resource) -> builtins.list[Change]:
        shown = []
        for change in batch:
            if change.cached is not None:
                view = await self._view(change.cached, row)
                if view is not change.cached:
                    change = _framed(change, view)
            shown.append(change)
        return shown

    async def create(
        self, resource: Resource, obj: Object, *, ttl_s: int = 0, value: bytes | None = None
    ) -> Cached:
        if resource.definition is None:
            return await self._objects.create(resource, obj, ttl_s=ttl_s, value=value)
        stored = await self._stored(obj, resource)
        value = value if stored is obj else None
        made = await self._objects.create(resource, stored, ttl_s=ttl_s, value=value)
        return await self._written(made, stored if value else None, resource)

    async def update(
        self,
        resource: Resource,
        obj: Object,
        expect_revision: int,
        *,
        ttl_s: int = 0,
        value: bytes | None = None,
    ) -> Cached:
        if resource.definition is None:
            return await self._objects.update(resource, obj, expect_revision, ttl_s=ttl_s, value=value)
        stored = await self._stored(obj, resource)
        value = value if stored is obj else None
        written = await self._objects.update(resource, stored, expect_revision, ttl_s=ttl_s, value=value)
        return await self._written(written, stored if value else None, resource)

    async def _written(self, cached: Cached, obj: Object | None, row: Resource) -> Cached:
        """Return what was written, in the row's version; ``obj``: what its bytes say, where that is known."""
        kind: CustomKind = row.definition
        if obj is not None and obj["apiVersion"] == row.api_version:
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(cached.revision)}}
            if await aside(cached.size, _shown, obj, kind, defaults=True) == obj:
                kind.remember_clean(cached.key, cached.revision)
        return await self._view(cached, row)

    async def delete(self, resource: Resource, namespace: str, name: str, expect_revision: int) -> Cached:
        last = await self._objects.delete(resource, namespace, name, expect_revision)
        kind: CustomKind | None = resource.definition
        if kind is None or kind.clean.get(last.key) == expect_revision:  # as it was, and that is known
            return last
        return await self._view(last, resource)


def _of_its_moment(page: Page, options: dict[str, Any]) -> dict[str, Any]:
    """Return what asks for the beginning of a page as it was, whatever has been written since."""
    if continue_token := options.get("continue_token"):
        token = versions.decode_token(continue_token)
        return {"continue_token": versions.encode_token(page.revision, token.start, token.begun)}
    return {"resource_version": str(page.revision), "resource_version_match": "Exact"}


class _Judge:
    """Evaluates a watch's selection on what objects are in the version asked for."""

    def __init__(self, selection: Selection) -> None:
        self.matches = selection.matches
        self._told: set[str] = set()
        self._since = 0

    def learn(self, items: Iterable[Cached], since: int) -> None:
        """Know what there was. Of what comes, nothing up to ``since`` is told."""
        self._since = since
        if self.matches is not None:
            self._told.update(item.key for item in items if self.matches(item))

    def told(self, batch: builtins.list[Change]) -> builtins.list[Change]:
        """Return the changes as the selection sees them: objects come into it and leave it."""
        if self.matches is None:
            return batch
        seen = []
        for change in batch:
            cached = change.cached
            if cached is None:
                if change.revision >= self._since:
                    seen.append(change)
                continue
            before, now = cached.key in self._told, change.type != "DELETED" and self.matches(cached)
            if not before and not now:
                continue
            type_ = ("MODIFIED" if before else "ADDED") if now else "DELETED"
            (self._told.add if now else self._told.discard)(cached.key)
            if change.revision <= self._since:
                continue
            seen.append(change if type_ == change.type else _framed(replace(change, type=type_), cached))
        return seen


async def _unhurried(found: Sequence[Cached], places: Iterable[int]) -> AsyncIterator[tuple[int, Cached]]:
    """Yield objects with their places, and let others in after some of them: there may be thousands."""
    size = 0
    for at in places:
        yield at, found[at]
        size += found[at].size
        if size >= _PART_BYTES:
            size = 0
            await asyncio.sleep(0)


def _shown(given: Object, kind: CustomKind, *, defaults: bool) -> Object:
    """Return an object that is stored in, or has been converted to, the kind's version as it is shown."""
    obj: Object = copy_object(given)
    kind.mend(obj)
    if defaults:
        kind.default(obj)
    return obj


def _fitted(given: Object, kind: CustomKind, *, defaults: bool = False) -> Object:
    obj: Object = copy_object(given)
    kind.fit(obj, defaults=defaults)
    return obj


def _converts(row: Resource) -> bool:
    """Tell whether fields may be elsewhere in the version that objects are stored in."""
    return row.definition.conversion.get("strategy") == "Webhook"  # type: ignore[no-any-return]


def _framed(change: Change, view: Cached) -> Change:
    obj = view.object
    obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(change.revision)}}
    text = orjson.dumps({"type": change.type, "object": obj})
    frame = without_markup(go_json.written(text)) + b"\n"
    return Change(change.type, change.revision, frame, view, change.initial_end)
