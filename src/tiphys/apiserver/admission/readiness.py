"""Whether what a plugin judges by has been read since the start: until then it lets nothing through.

Pure. Called by plugins that follow objects which could stop a write.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.apimachinery.errors import Forbidden
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.registry.feed import Feed

_WHY = "not yet ready to handle request"


class Readiness:
    """Of the feeds of one plugin; without any it is ready."""

    def __init__(self) -> None:
        self._waiting: list[Feed] = []

    def of(self, feeds: Iterable[Feed]) -> list[Feed]:
        """Wait for these, which need all that there is, and return them."""
        self._waiting = list(feeds)
        return list(self._waiting)

    def __bool__(self) -> bool:
        if self._waiting:
            self._waiting = [feed for feed in self._waiting if not feed.synced]
        return not self._waiting

    def check(self, attributes: Attributes) -> None:
        """Raises Forbidden: something that could concern a write cannot be read."""
        if not self:
            raise Forbidden.of(attributes.group, attributes.plural, attributes.name, _WHY)
