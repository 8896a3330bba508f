"""How lists were answered, from memory or by the store, with upstream's names.

Owns: ``apiserver_cache_list_*``, ``apiserver_storage_list_*`` and, of ``apiserver_watch_cache_*``,
``consistent_read_total`` and ``read_wait_seconds``: made of the cache's counts when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from tiphys.apimachinery.families import CounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.cache.counts import KindCounts, Lists

_KIND: Final = ("group", "resource")
_BY_INDEX: Final = ("group", "index", "resource")
Counted: TypeAlias = Sequence[tuple[tuple[str, str], KindCounts]]
"""By group and resource."""


def list_families(counted: Counted, *, alone: bool) -> Iterator[Metric]:
    """Yield the families. ``alone``: nobody else writes to the store, so nobody has waited."""
    yield from _from_memory(counted)
    yield from _from_store(counted)
    consistent = CounterMetricFamily(
        "apiserver_watch_cache_consistent_read", "[ALPHA] Lists of the newest, answered from the cache.",
        labels=("group", "resource", "success", "fallback"),
    )  # fmt: skip
    waits = HistogramMetricFamily(
        "apiserver_watch_cache_read_wait_seconds", "[ALPHA] Time until the cache was fresh.", labels=_KIND
    )
    for key, counts in counted:
        if counts.consistent:
            consistent.add_metric((*key, "true", "false"), counts.consistent)
        times = counts.waits.plus(0, counts.consistent) if alone else counts.waits
        if any(times.buckets):
            times.add_to(waits, key)
    yield from (consistent, waits)


def _from_memory(counted: Counted) -> Iterator[Metric]:
    total = _counter("cache_list", "Lists from the cache.", _BY_INDEX)
    fetched = _counter("cache_list_fetched_objects", "Objects that were read for these.", _BY_INDEX)
    returned = _counter("cache_list_returned_objects", "Objects that these had.", _KIND)
    for (group, resource), counts in counted:
        for index, lists in counts.lists.items():
            total.add_metric((group, index, resource), lists.count)
            fetched.add_metric((group, index, resource), lists.fetched)
        if counts.lists:
            returned.add_metric((group, resource), sum(lists.returned for lists in counts.lists.values()))
    yield from (total, fetched, returned)


def _from_store(counted: Counted) -> Iterator[Metric]:
    kinds: tuple[tuple[str, str, Callable[[Lists], int]], ...] = (
        ("", "Lists from the store.", lambda lists: lists.count),
        ("_fetched_objects", "Objects that were read for these.", lambda lists: lists.fetched),
        ("_evaluated_objects", "Objects that were tested for these.", lambda lists: lists.fetched),
        ("_returned_objects", "Objects that these had.", lambda lists: lists.returned),
    )
    for ending, text, value in kinds:
        family = _counter(f"storage_list{ending}", text, _KIND)
        for key, counts in counted:
            if counts.stored.count:
                family.add_metric(key, value(counts.stored))
        yield family


def _counter(name: str, text: str, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"apiserver_{name}", f"[ALPHA] {text}", labels=labels)
