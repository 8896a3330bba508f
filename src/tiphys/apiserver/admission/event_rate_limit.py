"""EventRateLimit: how many Events may be written in a second, by all, by namespace, by user or by object.

Owns: the buckets. Source: the "Admission Control" page; eventratelimit.admission.k8s.io.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import FieldError, TooManyRequests
from tiphys.apimachinery.field_errors import invalid, not_supported
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.configuration import of_kind
from tiphys.apiserver.config_files import BadConfiguration, joined

_DEFAULT_BUCKETS: Final = 4096
_OBJECT_FIELDS: Final = ("kind", "namespace", "name", "uid", "apiVersion")


def _source_and_object(attributes: Attributes) -> str:
    event = attributes.obj or {}
    source, about = peek(event, "source"), peek(event, "involvedObject")
    parts = [source.get("component"), source.get("host"), *(about.get(name) for name in _OBJECT_FIELDS)]
    return "".join(str(part or "") for part in parts)


_KEYS: Final[dict[str, Callable[[Attributes], str]]] = {
    "Namespace": lambda attributes: attributes.namespace,
    "Server": lambda attributes: "",
    "SourceAndObject": _source_and_object,
    "User": lambda attributes: attributes.call.user.name,
}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a configuration."""

    kind: str
    qps: int
    burst: int
    buckets: int = _DEFAULT_BUCKETS


class _Buckets:
    """The buckets of one limit; the one that has not been used for longest is given up first."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By key: tokens, and when that was."""

    def take(self, key: str, now: float) -> bool:
        """Take a token if there is one."""
        limit = self.limit
        tokens, then = self._left.get(key, (float(limit.burst), now))
        tokens = min(float(limit.burst), tokens + (now - then) * limit.qps)
        taken = tokens >= 1.0
        self._left[key] = (tokens - 1.0 if taken else tokens, now)
        self._left.move_to_end(key)
        if len(self._left) > limit.buckets:
            self._left.popitem(last=False)
        return taken


class EventRateLimit:
    """Refuses Events beyond the limits; every limit is charged, whichever refuses."""

    NAME = "EventRateLimit"
    RESOURCES = frozenset({("", "events")})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    def __init__(self, limits: Sequence[Limit] = ()) -> None:
        self._limits = [_Buckets(limit) for limit in limits]

    @classmethod
    def configured(cls, document: Object | None) -> EventRateLimit:
        """Raises BadConfiguration."""
        said = of_kind(document, "Configuration", "eventratelimit.admission.k8s.io/v1alpha1")
        entries = list(each(said, "limits"))
        faults = [] if entries else [invalid("limits", None, "must not be empty")]
        for number, entry in enumerate(entries):
            faults += _faults(f"limits[{number}]", entry)
        if faults:
            raise BadConfiguration(joined(faults))
        return cls(
            [
                Limit(one["type"], one["qps"], one["burst"], one.get("cacheSize") or _DEFAULT_BUCKETS)
                for one in entries
            ]
        )

    async def validate(self, attributes: Attributes) -> None:
        if attributes.dry_run:
            return
        now = attributes.call.backend.clock.monotonic()
        refused = ""
        for buckets in self._limits:
            key = _KEYS[buckets.limit.kind](attributes)
            if not buckets.take(key, now):
                refused = f"limit reached on type {buckets.limit.kind} for key {key}"
        if refused:
            raise TooManyRequests(f"Too many requests: {refused}", retry_after_s=0)


def _faults(path: str, entry: Object) -> list[FieldError]:
    faults = []
    if entry.get("type") not in _KEYS:
        faults.append(not_supported(f"{path}.type", entry.get("type") or "", sorted(_KEYS)))
    for name in ("burst", "qps"):
        value = entry.get(name, 0)
        if not isinstance(value, int) or value <= 0:
            faults.append(invalid(f"{path}.{name}", value, "must be positive"))
    size = entry.get("cacheSize", 0)
    if entry.get("type") != "Server" and (not isinstance(size, int) or size < 0):
        faults.append(invalid(f"{path}.cacheSize", size, "must not be negative"))
    return faults
