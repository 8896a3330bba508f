"""A local, read-only copy of a collection, kept current by list and watch, shared by all who need it.

Handlers run synchronously, in the order of the events, with the old and new object; they must not block
or change what they are given. After a lost watch the copy resumes from its revision; when the server has
forgotten that revision it lists again and reports the difference.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping

import orjson

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.errors import Expired, StatusError, TiphysError
from tiphys.apimachinery.meta import GVR, Object, object_key
from tiphys.client.metrics import INFORMED_SECONDS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.client.watch import WatchEvent

log = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
IndexFunction = Callable[[Object], Iterable[str]]
Trim = Callable[[Object], None]
"""Takes away, in place, what nobody will ask of an object that has just been read."""
Objects = list[Object]

_CLOCK = RealClock()
"""Of what is counted alone."""
_BACKOFF_BASE_S = 0.2
_BACKOFF_CAP_S = 30.0
_LIVED_S = 1.0
"""A watch that was open for so long has not failed, however it ended: balancers cut idle connections."""


class CacheMutated(TiphysError):
    """A test's mutation detector found that somebody changed a cached object."""


class _CutOff(TiphysError):
    """A watch ended that had worked."""


class Informer:
    """Make one with ``InformerSet.get``. Reads are plain lookups and never wait."""

    def __init__(
        self,
        client: Client,
        gvr: GVR,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        detect_mutation: bool = False,
        trim: Trim | None = None,
        name: str = "",
    ) -> None:
        """With the ``name`` of whose it is, what changes take is counted."""
        self.gvr = gvr
        resource = (gvr.group, gvr.version, gvr.resource)
        self._took = INFORMED_SECONDS.labels(name, *resource) if name else None
        self._trim = trim
        self._client = client
        self._namespace = namespace
        self._labels = label_selector
        self._fields = field_selector
        self._objects: dict[str, Object] = {}
        self._by_namespace: dict[str, dict[str, Object]] = {}
        self._index_functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[str, Object]]] = {}
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._revision = ""
        self._failures = 0
        self.ended = False
        """True once the kind is served no longer: it says nothing more, and holds nothing."""
        self._prints: dict[str, bytes] | None = {} if detect_mutation else None

    @property
    def synced(self) -> bool:
        """True once the first list is in and reported."""
        return self._synced.is_set()

    @property
    def revision(self) -> str:
        """The newest resourceVersion seen; empty before the first list."""
        return self._revision

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_handler(self, handler: Handler) -> None:
        """Call ``handler(old, new)`` for every change, beginning with what is already there."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    def remove_handler(self, handler: Handler) -> None:
        self._handlers.remove(handler)

    def get(self, key: str) -> Object | None:
        """Return the object with that key (``namespace/name``), read-only."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Objects:
        """Return all objects, or those of one namespace."""
        source = self._by_namespace.get(namespace, {}) if namespace else self._objects
        return list(source.values())

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by the values that ``function`` returns; adding it twice is harmless."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        index = self._indexes[name] = {}
        for key, obj in self._objects.items():
            for value in function(obj):
                index.setdefault(value, {})[key] = obj

    def by_index(self, name: str, value: str) -> Objects:
        """Return the objects for which the index's function gave ``value``."""
        return list(self._indexes[name].get(value, {}).values())

    def index(self, name: str) -> Mapping[str, Mapping[str, Object]]:
        """Return a whole index, read-only and live: objects by key, by value."""
        return self._indexes[name]

    def end(self) -> None:
        """Keep nothing, for whoever still knows it, and call nobody any more."""
        self.ended = True
        self._handlers.clear()
        self._objects.clear()
        self._by_namespace.clear()
        for index in self._indexes.values():
            index.clear()
        if self._prints is not None:
            self._prints.clear()

    async def run(self) -> None:
        """List, then watch, until cancelled; failures back off and are logged."""
        while True:
            try:
                await self._list()
                self._failures = 0
                await self._watch_until_expired()
            except Expired:
                log.info("informer lists again resource=%s", self.gvr.group_resource)
            except (StatusError, TransportError) as error:
                await self._back_off(error)
            except (orjson.JSONDecodeError, KeyError) as error:
                await self._back_off(error)

    async def _watch_until_expired(self) -> None:
        while True:
            try:
                await self._watch()
                self._failures = 0
            except Expired:
                self._revision = ""
                await self._back_off_quietly()
                raise
            except _CutOff as cut:
                # The copy is still good: resume from the last revision seen, without listing.
                log.debug("watch cut off resource=%s error=%s", self.gvr.group_resource, cut)
                self._failures = 0
                await self._back_off_quietly()
            except (StatusError, TransportError) as error:
                await self._back_off(error)

    async def _list(self) -> None:
        result = await self._client.list(
            self.gvr, self._namespace, label_selector=self._labels, field_selector=self._fields
        )
        group_version = result.get("apiVersion")
        kind = str(result.get("kind") or "").removesuffix("List")
        fresh: dict[str, Object] = {}
        for item in result.get("items") or ():
            # Items of a typed list carry neither; every consumer of an object wants both.
            item.setdefault("apiVersion", group_version)
            item.setdefault("kind", kind)
            if self._trim is not None:
                self._trim(item)
            fresh[object_key(item)] = item
        for key in [key for key in self._objects if key not in fresh]:
            self._process(key, None)
        for key, item in fresh.items():
            old = self._objects.get(key)
            if old is None or _version(old) != _version(item) or _uid(old) != _uid(item):
                self._process(key, item)
        self._revision = str(result["metadata"].get("resourceVersion") or "")
        self._synced.set()

    async def _watch(self) -> None:
        """Raises _CutOff for one that worked while it lasted, TransportError for one that did not."""
        now = asyncio.get_running_loop().time
        async with self._client.watch(
            self.gvr,
            self._namespace,
            resource_version=self._revision,
            label_selector=self._labels,
            field_selector=self._fields,
        ) as events:
            began, told = now(), False
            try:
                async for event in events:
                    self._failures, told = 0, True
                    self._take(event)
            except TransportError as error:
                if now() - began < _LIVED_S:
                    raise
                raise _CutOff(str(error)) from error
            if not told and now() - began < _LIVED_S:
                raise TransportError("very short watch: it ended within a second, without an event")

    def _take(self, event: WatchEvent) -> None:
        if event.type != "BOOKMARK":
            key = object_key(event.object)
            if self._trim is not None:
                self._trim(event.object)
            self._process(key, None if event.type == "DELETED" else event.object, last=event.object)
        self._revision = event.resource_version or self._revision

    def _process(self, key: str, new: Object | None, *, last: Object | None = None) -> None:
        """Apply a change, and count how long that took."""
        if self._took is None:
            self._apply(key, new, last=last)
            return
        began = _CLOCK.monotonic()
        self._apply(key, new, last=last)
        self._took.observe(_CLOCK.monotonic() - began)

    def _apply(self, key: str, new: Object | None, *, last: Object | None = None) -> None:
        """Store or forget one object and tell the handlers; a deletion reports the last known state."""
        old = self._objects.get(key)
        self._check(key, old)
        if old is not None and new is not None and _uid(old) != _uid(new):
            # Deleted and made again while nobody watched: two facts, not one change.
            self._apply(key, None)
            old = None
        if old is not None:
            self._unindex(key, old)
        if new is not None:
            self._index(key, new)
        elif old is None:
            return
        before = old if new is not None else (last or old)
        for handler in self._handlers:
            handler(before, new)

    def _index(self, key: str, obj: Object) -> None:
        self._objects[key] = obj
        self._by_namespace.setdefault(obj["metadata"].get("namespace") or "", {})[key] = obj
        for name, function in self._index_functions.items():
            for value in function(obj):
                self._indexes[name].setdefault(value, {})[key] = obj
        if self._prints is not None:
            self._prints[key] = orjson.dumps(obj)

    def _unindex(self, key: str, obj: Object) -> None:
        del self._objects[key]
        if self._prints is not None:
            self._prints.pop(key, None)
        _drop(self._by_namespace, obj["metadata"].get("namespace") or "", key)
        for name, function in self._index_functions.items():
            for value in function(obj):
                _drop(self._indexes[name], value, key)

    def check_mutations(self) -> None:
        """Raise CacheMutated if somebody changed a cached object (only with ``detect_mutation``)."""
        for key, obj in self._objects.items():
            self._check(key, obj)

    def _check(self, key: str, obj: Object | None) -> None:
        if self._prints is None or obj is None:
            return
        if self._prints[key] != orjson.dumps(obj):
            raise CacheMutated(f"{self.gvr.group_resource} {key} was changed in the cache")

    async def _back_off(self, error: Exception) -> None:
        log.warning("informer interrupted resource=%s error=%s", self.gvr.group_resource, error)
        await self._back_off_quietly()

    async def _back_off_quietly(self) -> None:
        wait_s = min(_BACKOFF_BASE_S * 2 ** min(self._failures, 16), _BACKOFF_CAP_S)
        self._failures += 1
        await asyncio.sleep(wait_s * (0.5 + random.random() / 2))


class InformerSet:
    """Shares one informer per (resource, namespace, selectors) among everything in a component."""

    def __init__(
        self, client: Client, *, detect_mutation: bool = False, trim: Trim | None = None, name: str = ""
    ) -> None:
        """``name``: whose they are, where what they do is counted."""
        self._client, self._name = client, name
        self._detect = detect_mutation
        self._trim = trim
        self._informers: dict[tuple[GVR, str, str, str], Informer] = {}
        self._tasks: dict[tuple[GVR, str, str, str], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def get(
        self, gvr: GVR, *, namespace: str = "", label_selector: str = "", field_selector: str = ""
    ) -> Informer:
        """Return the shared informer, starting it if the set already runs."""
        key = (gvr, namespace, label_selector, field_selector)
        if key not in self._informers:
            self._informers[key] = Informer(
                self._client,
                gvr,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                detect_mutation=self._detect,
                trim=self._trim,
                name=self._name,
            )
            if self._group is not None:
                self._tasks[key] = self._group.create_task(self._informers[key].run())
        return self._informers[key]

    def remove(self, gvr: GVR) -> None:
        """End and forget the informers of a resource that is no longer served."""
        for key in [key for key in self._informers if key[0] == gvr]:
            self._informers.pop(key).end()
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()

    async def run(self) -> None:
        """Run every informer, also those asked for later, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for key, informer in self._informers.items():
                    self._tasks[key] = group.create_task(informer.run())
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                self._tasks.clear()

    async def wait_synced(self) -> None:
        """Wait until every informer known at this moment has its first list."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    def check_mutations(self) -> None:
        for informer in self._informers.values():
            informer.check_mutations()


def without_managers(obj: Object) -> None:
    """A ``Trim``: forget who manages which field, a third of many objects, where nothing is written back."""
    obj["metadata"].pop("managedFields", None)


def _drop(table: dict[str, dict[str, Object]], value: str, key: str) -> None:
    bucket = table.get(value)
    if bucket is not None:
        bucket.pop(key, None)
        if not bucket:
            del table[value]


def _version(obj: Object) -> str:
    return str(obj["metadata"].get("resourceVersion") or "")


def _uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid") or "")
