"""The cluster as NumPy columns: one row a node, kept current by small steps.

Pure state, one owner (the scheduler's loop). Plugins read whole columns at once; a node's heartbeat that
changes neither labels, taints nor capacity touches nothing. ``static_generation`` tells when cached masks
over labels and taints are stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.counts import Ints, Mask, PodCounts, TermCounts
from tiphys.scheduler.devices.state import Devices
from tiphys.scheduler.matching import node_labels
from tiphys.scheduler.podinfo import CPU, PodInfo, Term, milli_or_value, relabelled
from tiphys.scheduler.siblings import Siblings
from tiphys.scheduler.volumes import Volumes

BASE_RESOURCES = (CPU, "memory", "ephemeral-storage", "pods")
PODS_COLUMN = 3
_FIRST_ROWS = 16
_TOUCHES_KEPT = 65536


class Columns:
    """All nodes and the pods placed on them."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.names: list[str] = [""] * _FIRST_ROWS
        self.nodes: list[Object | None] = [None] * _FIRST_ROWS
        self.alive: Mask = np.zeros(_FIRST_ROWS, dtype=np.bool_)
        self.resources: dict[str, int] = {name: index for index, name in enumerate(BASE_RESOURCES)}
        self.allocatable: Ints = np.zeros((len(BASE_RESOURCES), _FIRST_ROWS), dtype=np.int64)
        self.used: Ints = np.zeros((len(BASE_RESOURCES), _FIRST_ROWS), dtype=np.int64)
        self.nonzero: Ints = np.zeros((2, _FIRST_ROWS), dtype=np.int64)
        self.ports: list[Counter[tuple[str, str, int]]] = [Counter() for _ in range(_FIRST_ROWS)]
        self.pods: list[dict[str, PodInfo]] = [{} for _ in range(_FIRST_ROWS)]
        self.placed: dict[str, tuple[PodInfo, str]] = {}
        self.nominated: dict[str, tuple[PodInfo, str]] = {}
        self.volumes = Volumes()
        self.devices = Devices()
        self.siblings = Siblings()
        self.claim_users: Counter[str] = Counter()
        """How many placed pods use a claim, by its key."""
        self.counts = PodCounts(_FIRST_ROWS)
        self.static_generation = 0
        self._free = list(range(_FIRST_ROWS - 1, -1, -1))
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._touched: list[int] = []
        self._touched_epoch = 0
        self._topologies: dict[str, tuple[int, Ints, int]] = {}
        self._labelled: dict[frozenset[str], tuple[int, Mask]] = {}

    # -- nodes

    def set_node(self, node: Object) -> None:
        """Add a node or take its new state."""
        name = node["metadata"]["name"]
        row = self.rows.get(name)
        fresh = row is None
        if row is None:
            row = self._take_row(name)
        previous = self.nodes[row]
        self.nodes[row] = node
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        self.allocatable[:, row] = 0
        for resource, text in allocatable.items():
            column = self.column(resource)
            self.allocatable[column, row] = milli_or_value(resource, text)
        self._touched.append(row)
        if previous is None or _static_part(previous) != _static_part(node):
            self.static_generation += 1
        if fresh:
            for info in self._homeless.pop(name, {}).values():
                self._count(info, row, 1)

    def remove_node(self, name: str) -> None:
        """Forget a node; its pods wait for it to come back or to be deleted."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        pods = self.pods[row]
        for info in list(pods.values()):
            self._count(info, row, -1)
            self._homeless.setdefault(name, {})[info.uid] = info
        self.alive[row] = False
        self.nodes[row] = None
        self.names[row] = ""
        self.allocatable[:, row] = 0
        self._touched.append(row)
        self._free.append(row)
        self.static_generation += 1

    def _take_row(self, name: str) -> int:
        if not self._free:
            self._double()
        row = self._free.pop()
        self.rows[name] = row
        self.names[row] = name
        self.alive[row] = True
        return row

    def _double(self) -> None:
        size = len(self.names)
        self.names += [""] * size
        self.nodes += [None] * size
        self.ports += [Counter() for _ in range(size)]
        self.pods += [{} for _ in range(size)]
        self.alive = np.concatenate([self.alive, np.zeros(size, dtype=np.bool_)])
        for attribute in ("allocatable", "used", "nonzero"):
            column = getattr(self, attribute)
            setattr(self, attribute, np.concatenate([column, np.zeros_like(column)], axis=1))
        self.counts.grow(size * 2)
        self._free += range(size * 2 - 1, size - 1, -1)
        self.static_generation += 1

    def column(self, resource: str) -> int:
        """Return the place of a resource in the arrays; it gets one where it has none."""
        index = self.resources.get(resource)
        if index is None:
            index = self.resources[resource] = len(self.resources)
            for attribute in ("allocatable", "used"):
                column = getattr(self, attribute)
                setattr(self, attribute, np.concatenate([column, np.zeros_like(column[:1])]))
        return index

    # -- pods

    def add_pod(self, info: PodInfo, node: str) -> None:
        """Place a pod (assumed or bound). A pod placed before is moved."""
        self.remove_pod(info.uid)
        self.placed[info.uid] = (info, node)
        row = self.rows.get(node)
        if row is None:
            self._homeless.setdefault(node, {})[info.uid] = info
        else:
            self._count(info, row, 1)

    def relabel_pod(self, pod: Object) -> None:
        """Take the new labels of a placed pod that is otherwise the same."""
        uid = pod["metadata"]["uid"]
        before, node = self.placed[uid]
        after = relabelled(before, pod)
        self.placed[uid] = (after, node)
        row = self.rows.get(node)
        if row is None:
            self._homeless[node][uid] = after
        else:
            self.pods[row][uid] = after
            self.counts.relabel(before, after, row, self.static_generation)

    def remove_pod(self, uid: str) -> None:
        """Take a pod away from where it is. Unknown pods are ignored."""
        entry = self.placed.pop(uid, None)
        if entry is None:
            return
        info, node = entry
        row = self.rows.get(node)
        if row is None:
            self._homeless.get(node, {}).pop(uid, None)
        else:
            self._count(info, row, -1)

    def _count(self, info: PodInfo, row: int, sign: int) -> None:
        for resource, amount in info.requests.items():
            column = self.column(resource)
            self.used[column, row] += sign * amount
        self.used[PODS_COLUMN, row] += sign
        self.nonzero[0, row] += sign * info.nonzero_cpu
        self.nonzero[1, row] += sign * info.nonzero_memory
        for port in info.ports:
            self.ports[row][port] += sign
            if not self.ports[row][port]:
                del self.ports[row][port]
        for key in info.claim_keys:
            self.claim_users[key] += sign
            if not self.claim_users[key]:
                del self.claim_users[key]
        if sign > 0:
            self.pods[row][info.uid] = info
        else:
            self.pods[row].pop(info.uid, None)
        self.counts.count(info, row, sign, self.static_generation)
        self._touched.append(row)

    def nominate(self, info: PodInfo, node: str) -> None:
        """Promise a node to a pod that waits until its victims are gone; no node takes the promise back."""
        self.nominated.pop(info.uid, None)
        if node:
            self.nominated[info.uid] = (info, node)

    def nominated_above(self, info: PodInfo) -> Iterator[tuple[PodInfo, str]]:
        """Yield the other pods with a promise that ``info`` may not take: of its priority or higher."""
        for other, node in self.nominated.values():
            if other.priority >= info.priority and other.uid != info.uid:
                yield other, node

    @contextmanager
    def as_if_placed(self, pods: Iterable[tuple[PodInfo, str]]) -> Iterator[None]:
        """Count pods that are not placed as if they were, for one question."""
        added = [(info, node) for info, node in pods if info.uid not in self.placed]
        for info, node in added:
            self.add_pod(info, node)
        try:
            yield
        finally:
            for info, _ in added:
                self.remove_pod(info.uid)

    # -- what plugins ask

    def touched_since(self, mark: tuple[int, int]) -> tuple[tuple[int, int], list[int] | None]:
        """Return a new mark, and the rows whose amounts changed since an old one (None: ask all anew)."""
        if len(self._touched) > _TOUCHES_KEPT:
            self._touched.clear()
            self._touched_epoch += 1
        epoch, position = mark
        now = (self._touched_epoch, len(self._touched))
        return now, self._touched[position:] if epoch == self._touched_epoch else None

    def matched(self, term: Term) -> Ints:
        """Return by row how many placed pods the term speaks of; counted from then on."""
        return self.counts.matched(term).by_row

    def held(self, kind: str) -> list[TermCounts]:
        """Return the terms that placed pods hold: ``anti``, ``hard`` (required affinity) or ``soft``."""
        return self.counts.held(kind)

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """Take a namespace's labels (None: it is gone)."""
        self.counts.set_namespace(name, labels)

    def domain_sums(self, counts: TermCounts) -> tuple[Ints, Ints]:
        """Return counts by domain (a 0 at the end, for no domain), and each row's domain (-1: none)."""
        codes, domains = self.topology(counts.term.topology_key)
        counts.settle(self.static_generation, codes, domains)
        return counts.sums, codes

    def in_domain(self, counts: TermCounts) -> Ints:
        """Return for each row the count of its whole domain; rows without the label get 0."""
        sums, codes = self.domain_sums(counts)
        return np.asarray(sums[codes])

    def near(self, counts: TermCounts) -> Mask:
        """Say of each row whether its domain has any (never for rows without the label); read-only."""
        self.domain_sums(counts)
        return counts.near()

    def topology(self, key: str) -> tuple[Ints, int]:
        """Return each row's domain of a label key as a number (-1: no such label), and how many there are."""
        cached = self._topologies.get(key)
        if cached is not None and cached[0] == self.static_generation:
            return cached[1], cached[2]
        codes = np.full(len(self.names), -1, dtype=np.int64)
        domains: dict[str, int] = {}
        for row in self.rows.values():
            value = node_labels(self.nodes[row]).get(key)
            if value is not None:
                codes[row] = domains.setdefault(value, len(domains))
        self._topologies[key] = (self.static_generation, codes, len(domains))
        return codes, len(domains)

    def labelled(self, keys: Collection[str]) -> Mask:
        """Return the rows whose node has every one of the label keys; read-only."""
        cached = self._labelled.get(frozenset(keys))
        if cached is not None and cached[0] == self.static_generation:
            return cached[1]
        mask = np.ones(len(self.names), dtype=np.bool_)
        for key in keys:
            mask &= self.topology(key)[0] >= 0
        self._labelled[frozenset(keys)] = (self.static_generation, mask)
        return mask

    def request_vector(self, info: PodInfo) -> Ints:
        """Return a pod's requests in the order of the resource columns, itself counted in ``pods``."""
        for resource in info.requests:
            self.column(resource)
        vector = np.zeros(len(self.resources), dtype=np.int64)
        for resource, amount in info.requests.items():
            vector[self.resources[resource]] = amount
        vector[PODS_COLUMN] = 1
        return vector


def _static_part(node: Object) -> tuple[Any, ...]:
    spec = node.get("spec") or {}
    status = node.get("status") or {}
    images = [image.get("names") for image in status.get("images") or ()]
    declared = status.get("declaredFeatures")
    return node_labels(node), spec.get("taints"), spec.get("unschedulable"), images, declared
