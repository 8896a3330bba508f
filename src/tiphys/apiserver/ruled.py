"""The requests of a server whose rules are not the usual ones: what is asked while they run is told here."""

from __future__ import annotations

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apis.core import capabilities
from tiphys.wire.message import Handler, Request, Response


class Ruled:
    """A handler whose requests are under other gates, or may not make privileged containers."""

    def __init__(self, handler: Handler, gates: FeatureGates, *, privileged: bool) -> None:
        self._handler, self._gates, self._privileged = handler, gates, privileged
        self.at_once = getattr(handler, "at_once", None)
        self.asks_for_bodies = getattr(handler, "asks_for_bodies", False)

    async def __call__(self, request: Request) -> Response:
        with using(self._gates), capabilities.privileged(allowed=self._privileged):
            return await self._handler(request)
