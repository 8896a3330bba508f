"""What is stored of each resource, what the store was asked, what the cache heard, with upstream's names.

Counted when somebody scrapes, from the cache's own counts: nothing on the path of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.cache.bucket import RING_EVENTS
from tiphys.apiserver.cache.counts import KindCounts
from tiphys.apiserver.observe.list_families import Counted, list_families
from tiphys.apiserver.registry.objects import ObjectStore

_KIND: Final = ("group", "resource")
_LAST_DIGITS: Final = 10**15


@runtime_checkable
class Measured(Protocol):
    """A store whose file has a size; 0 while that is not known."""

    def size_bytes(self) -> int: ...


@runtime_checkable
class Remote(Measured, Protocol):
    """A store that has to ask for it."""

    async def measure(self) -> None: ...


def stored_objects(store: ObjectStore, table: Any) -> Callable[[], Iterator[Metric]]:
    """Return a source of what is stored and asked by resource; one that nobody has read yet counts 0."""

    def collect() -> Iterator[Metric]:
        text = "[STABLE] (Deprecated since 1.34.0) Objects by resource."
        older = _gauge("apiserver_storage_objects", text, "resource")
        newer = _gauge("apiserver_resource_objects", "Objects by resource.")
        sizes = _gauge("apiserver_resource_size_estimate_bytes", "About how much a resource's objects take.")
        counted: list[tuple[tuple[str, str], KindCounts]] = []
        newest: dict[tuple[str, str], int] = {}
        for row in stored_rows(table):
            key, count = (row.group, row.plural), store.count(row)
            older.add_metric([f"{row.plural}.{row.group}" if row.group else row.plural], count)
            newer.add_metric(key, count)
            sizes.add_metric(key, count * store.average_bytes(row))
            counts = store.counts(row)
            if counts is not None:
                counted.append((key, counts))
                newest[key] = store.revision_of(row)
        yield from (older, newer, sizes)
        yield from _asked(counted)
        yield from _heard(counted, newest)
        yield from list_families(counted, alone=store.alone)

    return collect


def stored_rows(table: Any) -> Iterator[Resource]:
    """Yield each kind that is stored once, by the group that it belongs to."""
    seen: set[str] = set()
    for row in table:
        if row.storage_prefix and "list" in row.verbs:
            stored = table.stored(row)
            if stored.storage_prefix not in seen:
                seen.add(stored.storage_prefix)
                yield stored


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels or _KIND)


def _asked(counted: Counted) -> Iterator[Metric]:
    """Yield what was asked of the store, and how long it took; it is called etcd whatever it is."""
    labels = ("operation", *_KIND)
    seconds = HistogramMetricFamily(
        "etcd_request_duration_seconds", "Time of requests to the store.", labels=labels
    )
    requests = CounterMetricFamily("etcd_requests", "Requests to the store.", labels=labels)
    errors = CounterMetricFamily("etcd_request_errors", "Such requests that failed.", labels=labels)
    for key, counts in counted:
        for operation, found in counts.requests.items():
            found.durations.add_to(seconds, (operation, *key))
            requests.add_metric((operation, *key), found.count)
            if found.errors:
                errors.add_metric((operation, *key), found.errors)
    yield from (seconds, requests, errors)


def _heard(counted: Counted, newest: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    """Yield what the cache heard from the store and passed on."""
    kinds: tuple[tuple[str, str, Callable[[KindCounts], int]], ...] = (
        ("storage_events_received", "Events from the store.", lambda one: one.received),
        ("watch_cache_events_received", "Events that came into the cache.", lambda one: one.received),
        ("watch_cache_events_dispatched", "Events that watchers could be told of.", lambda one: one.told),
        ("watch_cache_initializations", "How often the cache read it all.", lambda one: one.loads),
        ("init_events", "Objects that watches began with.", lambda one: one.initial),
        ("terminated_watchers", "Watches of readers that were too slow.", lambda one: one.cut),
    )
    for name, text, value in kinds:
        family = CounterMetricFamily(f"apiserver_{name}", text, labels=_KIND)
        for key, counts in counted:
            family.add_metric(key, value(counts))
        yield family
    undecodable = CounterMetricFamily(
        "apiserver_storage_decode_errors", "Stored values that are no objects.", labels=_KIND
    )
    for key, counts in counted:
        if counts.undecodable:
            undecodable.add_metric(key, counts.undecodable)
    yield undecodable
    version = _gauge("apiserver_watch_cache_resource_version", "What the cache has seen, its last 15 digits.")
    room = _gauge("watch_cache_capacity", "How many events are kept at most.")
    for key, counts in counted:
        if counts.loads:
            version.add_metric(key, newest[key] % _LAST_DIGITS)
            room.add_metric(key, RING_EVENTS)
    yield from (version, room)


def stored_bytes(stores: Sequence[object]) -> Callable[[], Iterator[Metric]]:
    """Return a source of how large the stores' files are; of a store without one it says nothing.

    Of a cluster the figure is one member's: servers are counted through, as ``componentstatuses`` has them.
    """

    def collect() -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "apiserver_storage_size_bytes", "[STABLE] Bytes of the store's file.",
            labels=["storage_cluster_id"],
        )  # fmt: skip
        place = 0
        for store in stores:
            size = store.size_bytes() if isinstance(store, Measured) else 0
            if size:
                family.add_metric([f"etcd-{place}"], size)
            place += getattr(store, "members", 1)
        if family.samples:
            yield family

    return collect
