"""Tells kubelets how long they may cache secrets and config maps: the longer, the larger the cluster.

Source: the node annotation ``node.alpha.kubernetes.io/ttl``.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound
from tiphys.apimachinery.meta import Object, object_key
from tiphys.client.controller import run_controller
from tiphys.client.kinds import NODES
from tiphys.controllers.context import Context

ANNOTATION = "node.alpha.kubernetes.io/ttl"
_STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 1 << 62, 300))
"""Fewest and most nodes, seconds. The steps overlap, so that one node more or less changes nothing."""


def ttl_s(nodes: int, current_s: int) -> int:
    """Return the seconds for so many nodes, those in force where they still fit. Pure."""
    for fewest, most, seconds in _STEPS:
        if seconds == current_s and fewest <= nodes <= most:
            return seconds
    return next(seconds for _, most, seconds in _STEPS if nodes <= most)


class TtlController:
    """A key is a node's."""

    name = "ttl-controller"
    account = "ttl-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self.queue = context.queue(self.name)
        self._nodes = context.informers.get(NODES)
        self._current_s = 0
        self._nodes.add_handler(self._changed)

    async def run(self) -> None:
        await self._nodes.wait_synced()
        await run_controller(self.queue, self.reconcile, workers=1, name=self.name)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        wanted_s = ttl_s(len(self._nodes.list()), self._current_s)
        if wanted_s != self._current_s:
            self._current_s = wanted_s
            for node in self._nodes.list():
                self.queue.add(object_key(node))
        elif new is not None:
            self.queue.add(object_key(new))

    async def reconcile(self, key: str) -> float | None:
        node = self._nodes.get(key)
        wanted = str(self._current_s)
        if node is None or (node["metadata"].get("annotations") or {}).get(ANNOTATION) == wanted:
            return None
        try:
            await self._client.patch(NODES, key, "", {"metadata": {"annotations": {ANNOTATION: wanted}}})
        except NotFound:
            return None
        return None
