"""What the server counts of its requests, with upstream's metric names.

Counting is on every request's path, so it is bare additions (one event loop, no locks); the families of
them are made when somebody scrapes. Other parts of the server add their own families
as ``sources``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs

from tiphys.apimachinery import families
from tiphys.apimachinery.families import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.durations import OF_REQUESTS, Durations, DurationsBy
from tiphys.apiserver.observe.request_ends import RequestEnds
from tiphys.client import exposition
from tiphys.client.metrics import CLIENTS
from tiphys.client.process_figures import ProcessFigures

_SLI_FROM = 2
"""The finest buckets, up to 0.05 s, are one where time that others took is left out."""
_BODIES = (*(50000.0 + 100000.0 * step for step in range(31)), float("inf"))
_VALIDATED = (*OF_REQUESTS[_SLI_FROM:-1],)
_WATCH_LISTS = (
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, float("inf"),
)  # fmt: skip
_SIZES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, float("inf"))
_SMALLEST_BITS = 10
_EVENT_SIZES = (*(float(1 << bits) for bits in range(_SMALLEST_BITS, _SMALLEST_BITS + 8)), float("inf"))
_BUCKET_OF_BITS = [min(max(bits - _SMALLEST_BITS, 0), len(_EVENT_SIZES) - 1) for bits in range(65)]
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_LONG_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_COMPONENT = "apiserver"
_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "proxy": "CONNECT", "post": "POST",
    "put": "PUT", "head": "GET",
}  # fmt: skip
_OTHER_VERB = "other"
_BODY_VERBS = {
    "POST": "create", "PUT": "update", "PATCH": "patch", "APPLY": "patch", "DELETE": "delete",
    "DELETECOLLECTION": "deletecollection",
}  # fmt: skip
_SIZED_VERBS = ("GET", "LIST")
"""Those of whose answers the sizes are shown."""
_FIELD_VALIDATIONS = ("", "Ignore", "Warn", "Strict")
_APPLIED = "application/apply-patch+yaml"
_GONE = re.compile(r"unavailable in v(\d+\.\d+)")
COUNTED_PATHS = frozenset({"/healthz", "/livez", "/readyz"})
"""All that upstream counts of what is no resource, and it says of no component."""
CODE_OF_UPGRADES = 0
"""Upstream knows no status of a connection that was taken over."""
_CONNECT = frozenset({"attach", "exec", "log", "portforward", "proxy"})
Labels = tuple[str, ...]
Source = Callable[[], Iterable[Metric]]


class Aside:
    """What of a request's time was not this server's own work."""

    __slots__ = ("mutating_s", "validating_s", "waited_s")

    def __init__(self) -> None:
        self.waited_s = 0.0
        """For its turn."""
        self.mutating_s = 0.0
        """Of webhooks, which are asked one after the other."""
        self.validating_s = 0.0
        """Of webhooks, which are asked at the same time: the slowest."""

    @property
    def total_s(self) -> float:
        return self.waited_s + self.mutating_s + self.validating_s

    @staticmethod
    def of(scope: dict[str, Any]) -> Aside:
        """Return what a request notes this in."""
        found: Aside = scope.setdefault("aside", Aside())
        return found


class Kind:
    """The requests of one set of labels; once there, it stays."""

    __slots__ = ("bodies", "codes", "durations", "long", "own", "sizes")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.durations = Durations()
        self.sizes = Durations(_SIZES)
        self.bodies = Durations(_BODIES)
        """Bytes of what was sent."""
        self.long, self.own = Durations(), Durations()
        """Of requests that others held up: how long they took, and what of it was the server's own work."""

    def held_up(self, seconds: float, aside_s: float) -> None:
        """Note of a request that is counted in ``observe`` what of its time others took."""
        self.long.observe(seconds)
        self.own.observe(max(seconds - aside_s, 0.0))

    def observe(self, code: int, seconds: float, size: int) -> None:
        """Count one answered request; ``size`` of its body in bytes, -1 for a stream."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.durations.observe(seconds)
        if size >= 0:
            self.sizes.observe(size)


class LongRunning:
    """The watches (or other long requests) of one kind and scope: how many there are, what they sent."""

    __slots__ = ("events", "running", "sizes")

    def __init__(self) -> None:
        self.running = 0
        self.events = 0
        self.sizes = Durations(_EVENT_SIZES)
        """Bytes of the events, each as its watch shows it."""

    def sent(self, frames: Sequence[bytes], watchers: int = 1) -> None:
        """Note the sizes of events that go to so many watchers."""
        buckets, total = self.sizes._buckets, 0
        for frame in frames:
            size = len(frame)
            total += size
            buckets[_BUCKET_OF_BITS[(size - 1).bit_length()]] += watchers
        self.sizes._total_s += watchers * total


def labels_of(info: RequestInfo, *, dry_run: bool = False, media_type: str = "") -> Labels:
    """Return the labels of a request, in the order of ``_LABELS``, without the component.

    ``media_type`` tells a server-side apply from other patches.
    """
    verb = "CONNECT" if info.subresource in _CONNECT else _VERBS.get(info.verb, _OTHER_VERB)
    if media_type == _APPLIED and verb == "PATCH":
        verb = "APPLY"
    if not info.is_resource:
        return verb, "", "", "", "", info.path, ""
    return (
        verb, "All" if dry_run else "", info.group, info.version, info.resource, info.subresource,
        scope_of(info),
    )  # fmt: skip


def scope_of(info: RequestInfo) -> str:
    if info.name or info.verb == "create":
        return "resource"
    return "namespace" if info.namespace else "cluster"


def _component(labels: Labels) -> str:
    return "" if labels[5].startswith("/") else _COMPONENT


class Metrics:
    """One server's metrics, in a registry of its own."""

    CONTENT_TYPE = families.CONTENT_TYPE

    def __init__(self) -> None:
        self._kinds: dict[Labels, Kind] = {}
        self._long: dict[Labels, LongRunning] = {}
        self.sources: list[Source] = []
        self._listed: DurationsBy[Labels] = DurationsBy(_WATCH_LISTS)
        self._deprecated: set[Labels] = set()
        self.field_validations: set[str] = {""}
        """What requests have asked for in ``fieldValidation``."""
        self.ends = RequestEnds()
        self._own: Counter[Labels] = Counter()
        self._registry = families.Registry()
        self._registry.register(self)
        self._registry.register(ProcessFigures())
        self._registry.register(CLIENTS)

    def observe(self, labels: Labels, code: int, seconds: float, size: int = -1) -> None:
        """Count one answered request; ``size`` of its body in bytes, -1 for a stream."""
        self.kind(labels).observe(code, seconds, size)

    def kind(self, labels: Labels) -> Kind:
        """Return where requests with these labels are counted."""
        kind = self._kinds.get(labels)
        if kind is None:
            kind = self._kinds[labels] = Kind()
        return kind

    def turned_away(self, labels: Labels, code: int) -> None:
        """Count a request that did not get its turn: neither how long that took, nor a path."""
        if labels[5].startswith("/"):
            labels = (*labels[:5], "", *labels[6:])
        codes = self.kind(labels).codes
        codes[code] = codes.get(code, 0) + 1

    def own_request(self, labels: Labels) -> None:
        """Count a request that an API server has made."""
        self._own[labels[0], labels[2], labels[4], labels[5]] += 1

    def long_running(self, info: RequestInfo) -> LongRunning:
        """Return where a long request counts itself and what it sends."""
        labels = ("WATCH" if info.verb == "watch" else "CONNECT", info.group, info.version, info.resource,
                  info.subresource, scope_of(info), _COMPONENT)  # fmt: skip
        found = self._long.get(labels)
        if found is None:
            found = self._long[labels] = LongRunning()
        return found

    def watch_list(self, info: RequestInfo) -> Durations:
        """Return where a watch that begins with a list notes how long that took."""
        labels = (info.group, info.version, info.resource, scope_of(info))
        return self._listed[labels]

    def deprecated(self, info: RequestInfo, text: str) -> str:
        """Note that a resource on its way out was asked for; return in which release it is gone, if known.

        ``text`` is what its clients are told.
        """
        gone = _GONE.search(text)
        release = gone.group(1) if gone is not None else ""
        self._deprecated.add((info.group, info.version, info.resource, info.subresource, release))
        return release

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand."""
        total = CounterMetricFamily(
            "apiserver_request", "[STABLE] Requests served.", labels=[*_LABELS, "code"]
        )
        seconds = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "[STABLE] Time to answer.", labels=_LABELS
        )
        sizes = HistogramMetricFamily(
            "apiserver_response_sizes", "[STABLE] Bytes of answers.", labels=_LONG_LABELS
        )
        for labels, kind in self._kinds.items():
            component = _component(labels)
            for code, count in kind.codes.items():
                total.add_metric([*labels, component, str(code)], count)
            if not any(kind.durations.buckets):
                continue
            kind.durations.add_to(seconds, [*labels, component])
            if labels[1] == "" and labels[0] in _SIZED_VERBS:
                kind.sizes.add_to(sizes, [labels[0], *labels[2:], component])
        yield total
        yield seconds
        yield sizes
        yield self._own_work()
        yield self._bodies()
        yield self._validations()
        outgoing = GaugeMetricFamily(
            "apiserver_requested_deprecated_apis", "[STABLE] Deprecated resources that were asked for.",
            labels=("group", "version", "resource", "subresource", "removed_release"),
        )  # fmt: skip
        for outdated in self._deprecated:
            outgoing.add_metric(outdated, 1)
        yield outgoing
        own = CounterMetricFamily(
            "apiserver_selfrequest",
            "[ALPHA] Counter of apiserver self-requests broken out for each verb, API resource and "
            "subresource.",
            labels=("verb", "group", "resource", "subresource"),
        )
        own.add_all(self._own)
        yield own
        yield from self.ends.collect()
        yield from self._long_families()
        for source in self.sources:
            yield from source()

    def _own_work(self) -> Metric:
        """Return how long requests took without the time that waiting and webhooks took."""
        family = HistogramMetricFamily(
            "apiserver_request_sli_duration_seconds",
            "[ALPHA] Time to answer, without that of webhooks and of waiting for a turn.",
            labels=_LONG_LABELS,
        )
        found: dict[Labels, Durations] = {}
        for labels, kind in self._kinds.items():
            if not any(kind.durations.buckets):
                continue
            times = found.setdefault((labels[0], *labels[2:]), Durations())
            times.add_all(kind.durations)
            times.add_all(kind.long, -1)
            times.add_all(kind.own)
        for labels, times in found.items():
            component = "" if labels[4].startswith("/") else _COMPONENT
            times.from_bucket(_SLI_FROM).add_to(family, [*labels, component])
        return family

    def _bodies(self) -> Metric:
        """Return how large what clients sent was."""
        family = HistogramMetricFamily(
            "apiserver_request_body_size_bytes", "[ALPHA] Bytes of requests' bodies.",
            labels=("group", "resource", "verb"),
        )  # fmt: skip
        found: dict[tuple[str, str, str], Durations] = {}
        for labels, kind in self._kinds.items():
            verb = _BODY_VERBS.get(labels[0], "")
            if verb and labels[4] and any(kind.bodies.buckets):
                found.setdefault((labels[2], labels[4], verb), Durations(_BODIES)).add_all(kind.bodies)
        for key, sizes in found.items():
            sizes.add_to(family, key)
        return family

    def _validations(self) -> Metric:
        """Return which validations of fields were asked for; like upstream's, it never counts how long."""
        family = HistogramMetricFamily(
            "field_validation_request_duration_seconds",
            "[ALPHA] Time to answer by how fields were to be validated: series alone, without counts.",
            labels=("field_validation",),
        )
        for asked in sorted(self.field_validations):
            Durations((*_VALIDATED, float("inf"))).add_to(family, [asked])
        return family

    def note_validation(self, query: str) -> None:
        """Note what a query asks for in ``fieldValidation``."""
        asked = parse_qs(query, keep_blank_values=True).get("fieldValidation", [])
        good = len(asked) == 1 and asked[0] in _FIELD_VALIDATIONS
        self.field_validations.add(asked[0] if good else "invalid")

    def _long_families(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "apiserver_longrunning_requests", "[STABLE] Long-running requests under way.", labels=_LONG_LABELS
        )
        events: dict[tuple[str, str, str], int] = {}
        sizes: dict[tuple[str, str, str], Durations] = {}
        for labels, one in self._long.items():
            running.add_metric(labels, one.running)
            if labels[0] == "WATCH":
                key = (labels[1], labels[2], labels[3])
                events[key] = events.get(key, 0) + one.events
                sizes.setdefault(key, Durations(_EVENT_SIZES)).add_all(one.sizes)
        sent = CounterMetricFamily(
            "apiserver_watch_events", "Events sent to watchers.", labels=("group", "version", "resource")
        )
        sent.add_all(events)
        yield running
        yield sent
        spread = HistogramMetricFamily(
            "apiserver_watch_events_sizes", "[ALPHA] Bytes of events sent to watchers.",
            labels=("group", "version", "resource"),
        )  # fmt: skip
        for key, found in sizes.items():
            found.add_to(spread, key)
        yield spread
        lists = HistogramMetricFamily(
            "apiserver_watch_list_duration_seconds", "[BETA] Time until watches had told what there was.",
            labels=("group", "version", "resource", "scope"),
        )  # fmt: skip
        for listed, times in self._listed.items():
            times.add_to(lists, listed)
        yield lists

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return exposition.render(self._registry)
