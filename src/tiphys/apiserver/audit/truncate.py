"""Makes audit events small enough for whoever takes them: without their objects, or not at all.

Owns: ``--audit-log-truncate-*`` and ``--audit-webhook-truncate-*``. An event that is too large even without
objects is dropped, and counted. Batches are made behind this, where upstream does not measure them any more:
``--audit-*-truncate-max-batch-size`` bounds what comes here at once, which is one event.
"""

from __future__ import annotations

import logging
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.audit.event import encoded
from tiphys.apiserver.audit.sinks import Kept, Sink

log = logging.getLogger(__name__)
MARK: Final = "audit.k8s.io/truncated"
_OBJECTS: Final = ("requestObject", "responseObject")
_WITH_OBJECTS: Final = ("Request", "RequestResponse")


@dataclass(frozen=True, slots=True)
class TruncateOptions:
    """Bytes of one event."""

    max_event_bytes: int = 100 * 1024


def truncated(event: Object, max_bytes: int) -> Object | None:
    """Return an event of at most so many bytes, None where that cannot be. Pure."""
    if len(encoded(event)) <= max_bytes:
        return event
    if event.get("level") not in _WITH_OBJECTS:
        return None
    cut = {key: value for key, value in event.items() if key not in _OBJECTS}
    cut["annotations"] = {**(event.get("annotations") or {}), MARK: "true"}
    return cut if len(encoded(cut)) <= max_bytes else None


class Truncating:
    """A sink before another one."""

    def __init__(self, sink: Sink, options: TruncateOptions) -> None:
        self._sink = sink
        self._options = options
        self._dropped = 0

    @property
    def strict(self) -> bool:
        return self._sink.strict

    @property
    def failures(self) -> dict[str, int]:
        return {"truncate": self._dropped, **self._sink.failures}

    def put(self, event: Object) -> Kept:
        """Pass an event on, cut where it must be. One that is too large all the same stops no request."""
        cut = truncated(event, self._options.max_event_bytes)
        if cut is not None:
            return self._sink.put(cut)
        self._dropped += 1
        log.error("audit event is too large even after truncating id=%s", event.get("auditID"))
        return True

    async def run(self) -> None:
        await self._sink.run()

    async def close(self) -> None:
        await self._sink.close()
