"""What comes of requests, put into the server's metrics as they leave the chain.

Owns: which requests upstream counts, and when: those whose answer lasts once it has ended. Refuses: families
and buckets (``observe.metrics``). Called by ``chain`` for every request, so most of it is one look-up.
"""

from __future__ import annotations

from typing import Final

from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.durations import settle_all
from tiphys.apiserver.observe.metrics import (
    CODE_OF_UPGRADES,
    COUNTED_PATHS,
    Labels,
    LongRunning,
    Metrics,
    labels_of,
)
from tiphys.apiserver.shortcuts.regulars import Passage
from tiphys.wire.lasting import follow, lasts
from tiphys.wire.message import Request, Response

_LONGEST_PATH: Final = 256
_MOST_PATHS: Final = 1000
"""Of those that are no resources: any number of slashes may stand at the end of one."""
_SETTLE_EVERY: Final = 2048
"""So many requests observe their times before these are put into their buckets."""
UNCOUNTED: Final = "uncounted"
"""Key in the scope of a request that did not come to who answers it, or that another server answered."""
OWN: Final = "own"
"""Key in the scope of a request that an API server has made."""
_TOO_MANY_REQUESTS: Final = 429


class RequestCounting:
    """One server's."""

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._clock = backend.clock
        self._table = backend.table
        self._metrics = metrics
        self._counted = 0
        self._answered: set[str] = set()
        """Paths of no resource: nobody shall make labels by asking for others."""

    def answered(self, request: Request, info: RequestInfo, response: Response, started: float) -> None:
        """Count a request that came at ``started``, by what it was answered."""
        passage: Passage | None = request.scope.get("passage")
        if (passage is None or response.status >= 400) and not self._is_counted(request, info, response):
            return
        if OWN in request.scope:
            self._metrics.own_request(_labels(request, info))
        if passage is None and lasts(response):
            self._count_later(info, response, started)
            return
        query = request.raw_query
        dry_run = "dryRun" in query
        if passage is not None and not dry_run and request.method != "PATCH":
            kind = passage.kind
        else:
            kind = self._metrics.kind(_labels(request, info, dry_run=dry_run))
        body = response.body
        size = len(body) if isinstance(body, bytes) and response.stream is None else -1
        self._settle()
        took_s = self._clock.monotonic() - started
        kind.observe(response.status, took_s, size)
        if request.body:
            kind.bodies.observe(len(request.body))
        if "aside" in request.scope:
            kind.held_up(took_s, request.scope["aside"].total_s)
        if query and "fieldValidation" in query:
            self._metrics.note_validation(query)

    def _settle(self) -> None:
        self._counted += 1
        if self._counted % _SETTLE_EVERY == 0:
            settle_all()

    def _count_later(self, info: RequestInfo, response: Response, started: float) -> None:
        """Count a request whose answer lasts when that has ended; a watch does so itself."""
        self._settle()
        if info.verb == "watch":
            return
        monotonic, kind = self._clock.monotonic, self._metrics.kind(labels_of(info))
        streams_log = info.subresource == "log"  # upstream has it among the plain reads
        running = LongRunning() if streams_log else self._metrics.long_running(info)
        code = response.status if response.upgrade is None else CODE_OF_UPGRADES

        def ended() -> None:
            running.running -= 1
            kind.observe(code, monotonic() - started, -1)

        running.running += 1
        follow(response, ended)

    def _is_counted(self, request: Request, info: RequestInfo, response: Response) -> bool:
        """Whether upstream counts a request: not who came to no handler, nor most of no resource."""
        if UNCOUNTED in request.scope:
            return False
        if info.is_resource:
            return response.status < 400 or self._known(info)
        if response.status < 400 and len(info.path) <= _LONGEST_PATH and len(self._answered) < _MOST_PATHS:
            self._answered.add(info.path)
        return info.path in COUNTED_PATHS

    def terminated(self, info: RequestInfo, response: Response) -> None:
        """Note a request that was not answered, but ended."""
        if self._known(info) or info.path in self._answered:
            self._metrics.ends.terminated(labels_of(info), response.status)

    def turned_away(self, request: Request, info: RequestInfo) -> None:
        """Count a request whose turn did not come."""
        if self._known(info) or not info.is_resource:
            dry_run = "dryRun" in request.raw_query
            self._metrics.turned_away(labels_of(info, dry_run=dry_run), _TOO_MANY_REQUESTS)

    def passed_on(self, request: Request, info: RequestInfo, response: Response) -> Response:
        """Return what another server answered; it is counted where it breaks off."""
        if request.method != "HEAD":  # whose bodies nobody reads
            ends = self._metrics.ends
            follow(response, lambda: None, broken=lambda: ends.aborted(labels_of(info)))
        return response

    def _known(self, info: RequestInfo) -> bool:
        """Whether a refused request is counted: nobody shall make labels by asking for them."""
        if not info.is_resource:
            return False
        resource = self._table.served_at(info.group, info.version, info.resource)
        return resource is not None and (
            not info.subresource or resource.subresource(info.subresource) is not None
        )


def _labels(request: Request, info: RequestInfo, *, dry_run: bool = False) -> Labels:
    media_type = request.headers.get("content-type", "") if request.method == "PATCH" else ""
    return labels_of(info, dry_run=dry_run, media_type=media_type)
