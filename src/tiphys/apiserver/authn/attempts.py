"""How many requests showed who they are, who those were, how many failed to, and how long finding out took.

Owns: ``authentication_attempts``, ``authenticated_user_requests`` and ``authentication_duration_seconds``.
Names of users are few there: those of the cluster's own parts, and two words for all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tiphys.apimachinery.errors import Unauthorized
from tiphys.apimachinery.families import BareCounterMetricFamily, HistogramMetricFamily, Metric
from tiphys.apiserver.observe.durations import Durations

_OWN: Final = frozenset(
    {"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"}
)
_BOUNDS: Final = (*(0.001 * 2**power for power in range(15)), float("inf"))


class NobodyShown(Unauthorized):
    """No credentials were shown that anybody reads, and nobody may come without."""


class Seen:
    """How often users of one kind came. On every request's path: an addition."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


def shown_name(user: str) -> str:
    """Return a user's name as metrics show it."""
    if user in _OWN:
        return user
    return "email_id" if "@" in user else "other"


class Attempts:
    """One server's counts. Users who are known from before are counted by their ``Seen`` alone."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], Seen] = {}
        self._times = {result: Durations(_BOUNDS) for result in ("success", "failure", "error")}

    def of(self, user: str, certificate: str = "") -> Seen:
        """Return where a user is counted; who comes with a certificate, by itself."""
        return self._seen.setdefault((shown_name(user), certificate), Seen())

    @property
    def succeeded(self) -> int:
        return sum(seen.count for seen in self._seen.values())

    @property
    def at_once(self) -> int:
        """How many requests came of users who were known from before."""
        return self.succeeded - sum(self._times["success"].buckets)

    @property
    def total(self) -> int:
        """How many requests there were, whether anybody knew whose or not."""
        refused = sum(sum(self._times[result].buckets) for result in ("failure", "error"))
        return self.succeeded + refused

    def known(self, user: str, took_s: float) -> None:
        """Count a request whose user had to be found out."""
        self.of(user).count += 1
        self._times["success"].observe(took_s)

    def refused(self, error: Unauthorized, took_s: float) -> None:
        """Count a request of nobody."""
        self._times["failure" if isinstance(error, NobodyShown) else "error"].observe(took_s)

    def collect(self) -> Iterator[Metric]:
        """Yield the families as they stand."""
        times = dict(self._times)
        times["success"] = times["success"].plus(0, self.at_once)
        attempts = BareCounterMetricFamily(
            "authentication_attempts", "[ALPHA] Counter of authenticated attempts.", labels=["result"]
        )
        took = HistogramMetricFamily(
            "authentication_duration_seconds",
            "[ALPHA] Authentication duration in seconds broken out by result.",
            labels=["result"],
        )
        for result, durations in times.items():
            attempts.add_metric([result], sum(durations.buckets))
            durations.add_to(took, [result])
        users = BareCounterMetricFamily(
            "authenticated_user_requests",
            "[ALPHA] Counter of authenticated requests broken out by username.",
            labels=["username"],
        )
        counts: Counter[str] = Counter()
        for (name, _), seen in self._seen.items():
            counts[name] += seen.count
        users.add_all(counts)
        yield from (attempts, took, users)
