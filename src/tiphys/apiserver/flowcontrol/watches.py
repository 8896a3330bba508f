"""How many watches a write would wake, as far as its path tells: what the width of writes rests on. Pure.

Owns: counts of running watches by what their paths name. Of selectors only that of a pods' node is looked at:
who watches the pods of one node is not counted at all. The handler of watches calls ``register`` and
``forget``, flow control asks.

Source: KEP-1040, "Width of requests"; k8s.io/apiserver ``pkg/util/flowcontrol``.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apis.selectable import INDEXED
from tiphys.apiserver.filters.requestinfo import RequestInfo


class Watched(NamedTuple):
    """What a watch's path names; a name may also come from its field selector."""

    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def watched(info: RequestInfo) -> Watched | None:
    """Return as what a watch is counted; None: a write is not thought to wake it."""
    field = INDEXED.get(info.resource)
    if field is not None and info.field_selector and _picks_a_value(info.field_selector, field):
        return None
    return Watched(info.group, info.resource, info.namespace, info.name)


def _picks_a_value(selector: str, field: str) -> bool:
    """Tell whether a selector asks for one value of a field, and that not the empty one."""
    try:
        found = parse_field_selector(selector)
    except BadRequest:
        return False
    exact = (one.value for one in found if one.path == field and not one.negated)
    return bool(next(exact, ""))


class Watches:
    """The running watches of one server."""

    def __init__(self) -> None:
        self._running: Counter[Watched] = Counter()

    def register(self, watch: Watched | None) -> None:
        """Count a watch that begins."""
        if watch is not None:
            self._running[watch] += 1

    def forget(self, watch: Watched | None) -> None:
        """Count one less, of what was registered."""
        if watch is None:
            return
        self._running[watch] -= 1
        if not self._running[watch]:
            del self._running[watch]

    def interested(self, info: RequestInfo) -> int:
        """Return how many watches a write is thought to wake: of all, of its namespace, of its object."""
        running = self._running
        found = running[Watched(info.group, info.resource)]
        if info.namespace:
            found += running[Watched(info.group, info.resource, info.namespace)]
        if info.name:
            found += running[Watched(info.group, info.resource, info.namespace, info.name)]
        return found
