"""``apiserver_resource_objects`` and its older name: how many objects of each resource are stored.

Counted when somebody scrapes, from the cache's own counts: nothing on the path of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from prometheus_client.core import GaugeMetricFamily, Metric

from tiphys.apiserver.objects import ObjectStore


@runtime_checkable
class Measured(Protocol):
    """A store whose file has a size; 0 while that is not known."""

    def size_bytes(self) -> int: ...


@runtime_checkable
class Remote(Measured, Protocol):
    """A store that has to ask for it."""

    async def measure(self) -> None: ...


def stored_objects(store: ObjectStore, table: Any) -> Callable[[], Iterator[Metric]]:
    """Return a source of both gauges. A resource that nobody has read yet counts 0, as after a start."""

    def collect() -> Iterator[Metric]:
        older = GaugeMetricFamily(
            "apiserver_storage_objects", "[STABLE] Objects by resource.", labels=["resource"]
        )
        newer = GaugeMetricFamily(
            "apiserver_resource_objects", "Objects by group and resource.", labels=["group", "resource"]
        )
        seen = set()
        for row in table:
            if not row.storage_prefix or "list" not in row.verbs:
                continue
            stored = table.stored(row)
            key = (stored.group, stored.plural)
            if key in seen:
                continue
            seen.add(key)
            count = store.count(stored)
            older.add_metric([f"{stored.plural}.{stored.group}" if stored.group else stored.plural], count)
            newer.add_metric([stored.group, stored.plural], count)
        yield older
        yield newer

    return collect


def stored_bytes(store: object) -> Callable[[], Iterator[Metric]]:
    """Return a source of how large the store's file is; of a store without one it says nothing."""

    def collect() -> Iterator[Metric]:
        if isinstance(store, Measured):
            family = GaugeMetricFamily(
                "apiserver_storage_size_bytes", "[STABLE] Bytes of the store's file.",
                labels=["storage_cluster_id"],
            )  # fmt: skip
            size = store.size_bytes()
            if size:
                family.add_metric(["etcd-0"], size)
                yield family

    return collect
