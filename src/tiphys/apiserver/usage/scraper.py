"""Asks every node, each resolution, what it uses; keeps the last two answers.

Owns: which nodes there are (by their objects), the samples. Calls the kubelets through ``kubelet_link``; a
test cluster gives a source of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import field

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry.feed import Feed
from tiphys.apiserver.registry.objects import Cached
from tiphys.apiserver.subresources import kubelet_link
from tiphys.apiserver.usage.samples import Container, Sample, Usage, parse, usages

log = logging.getLogger(__name__)
_AT_ONCE = 16
_PATIENCE_S = 10.0
_SOON_S = 2.0
_TRIES = 10
"""So often a new node is asked soon again: two answers tell what it uses, and it may not listen yet."""

Source = Callable[[Object], Awaitable[str]]
"""Returns the text of a node's ``/metrics/resource``. Raises StatusError, OSError."""


@dataclass(slots=True)
class NodeUsage:
    """What is known of one node."""

    sample: Sample
    node: Usage | None = None
    containers: Mapping[Container, Usage] = field(default_factory=dict)


class Scraper:
    """``nodes`` by name; ``run`` keeps them fresh."""

    def __init__(self, backend: Backend, source: Source | None = None) -> None:
        self._backend = backend
        self._source = source or self._ask_kubelet
        self._objects: dict[str, Object] = {}
        self._faults: dict[str, str] = {}
        self._tries: dict[str, int] = {}
        """Of nodes of which it is not known yet what they use."""
        self._arrived = asyncio.Event()
        self.nodes: dict[str, NodeUsage] = {}

    def feeds(self) -> list[Feed]:
        """Return what must be followed while the server runs."""
        nodes = self._backend.table.by_path("", "v1", "nodes")
        return [Feed(self._backend.store, nodes, self._observe)]

    def _observe(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            if new.name not in self._objects:
                self._tries[new.name] = 0
                self._arrived.set()
            self._objects[new.name] = new.object
        elif old is not None:
            for known in (self._objects, self.nodes, self._faults, self._tries):
                known.pop(old.name, None)

    async def run(self) -> None:
        """Scrape for ever."""
        while True:
            self._arrived.clear()
            await self.scrape()
            resolution_s = self._backend.options.metric_resolution_s
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_SOON_S, resolution_s) if self._tries else resolution_s):
                    await self._arrived.wait()

    async def scrape(self) -> None:
        """Ask every node once."""
        turns = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for node in list(self._objects.values()):
                group.create_task(self._scrape_one(node, turns))

    async def _scrape_one(self, node: Object, turns: asyncio.Semaphore) -> None:
        name = node["metadata"]["name"]
        self._count(name)
        try:
            async with turns, asyncio.timeout(_PATIENCE_S):
                text = await self._source(node)
        except (StatusError, OSError) as error:  # TimeoutError is an OSError
            self._failed(name, str(error) or type(error).__name__)
            return
        self._faults.pop(name, None)
        sample = parse(text, self._backend.clock.now().timestamp())
        before = self.nodes.get(name)
        if name not in self._objects:
            return
        if before is None:
            self.nodes[name] = NodeUsage(sample)
        elif sample.node.at_s > before.sample.node.at_s:
            self.nodes[name] = NodeUsage(sample, *usages(before.sample, sample))
            self._tries.pop(name, None)

    def _count(self, name: str) -> None:
        """Note that a node is asked; one that was asked often in vain is new no more."""
        if name in self._tries:
            self._tries[name] += 1
            if self._tries[name] >= _TRIES:
                del self._tries[name]

    def _failed(self, name: str, fault: str) -> None:
        """Forget what was known: a number that is too old is worse than none."""
        self.nodes.pop(name, None)
        if self._faults.get(name) != fault:
            self._faults[name] = fault
            log.info("node not scraped node=%s error=%s", name, fault)

    async def _ask_kubelet(self, node: Object) -> str:
        kubelet = await kubelet_link.find_node(self._backend, node["metadata"]["name"])
        headers = {"Host": kubelet.host, "Accept": "text/plain"}
        answer = await kubelet_link.ask(kubelet, "GET", "/metrics/resource", headers)
        try:
            body = (await answer.read()).decode(errors="replace")
        finally:
            await answer.close()
        if answer.status != 200:
            raise OSError(f"the kubelet answered {answer.status}: {body[:200]}")
        return body
