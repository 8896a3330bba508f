"""One active instance among several: a Lease that the leader renews and the others watch run out.

Expiry is judged by the local steady clock since the last seen change, so clocks of different machines need
not agree. Upstream's timings: 15 s lease, 10 s to renew, a try every 2 s.
Source: coordination.k8s.io/v1 Lease and client-go's leader election.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from tiphys.apimachinery.clock import Clock, RealClock, rfc3339_micro
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.duration import go_duration
from tiphys.apimachinery.errors import NotFound, StatusError, TiphysError
from tiphys.apimachinery.meta import Object, copy_object
from tiphys.client.kinds import LEASES
from tiphys.client.metrics import LEADING, SLOW_PATHS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError

log = logging.getLogger(__name__)

CHECK: Final = "leaderElection"
"""What the health check of an election is called."""
_TOLERATED_S: Final = 20.0
Sleep = Callable[[float], Awaitable[Any]]


class LeadershipLost(TiphysError):
    """The lease could not be renewed in time: whatever leads must stop at once."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. ``lease_s`` > ``renew_deadline_s`` > ``retry_s``."""

    lease_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    @property
    def try_s(self) -> float:
        """How long one try may take: where a server hangs, the next may lead to one that does not."""
        return self.renew_deadline_s / 3


@dataclass(frozen=True, slots=True)
class Election:
    """Which lease is competed for, and how fast."""

    name: str
    namespace: str = "kube-system"
    timings: Timings = Timings()

    def settings(self, *, leads: bool) -> Object:
        """Return what a component's configuration says of its election (``LeaderElectionConfiguration``)."""
        return {
            "leaderElect": leads,
            "leaseDuration": go_duration(self.timings.lease_s),
            "renewDeadline": go_duration(self.timings.renew_deadline_s),
            "retryPeriod": go_duration(self.timings.retry_s),
            "resourceLock": "leases",
            "resourceName": self.name,
            "resourceNamespace": self.namespace,
        }


class LeaderElector:
    """Compete for ``namespace/name`` as ``identity``."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        timings: Timings | None = None,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._timings = timings or Timings()
        self._clock = clock or RealClock()
        self._sleep = sleep
        self._seen: Object | None = None
        self._seen_at = 0.0
        self._leading = False
        self._status = LEADING.labels(name)
        self._status.set(0)

    @classmethod
    def of(cls, client: Client, election: Election, identity: str, *, clock: Clock | None = None) -> Self:
        """Compete as the settings have it."""
        return cls(
            client,
            election.name,
            identity,
            namespace=election.namespace,
            timings=election.timings,
            clock=clock,
        )

    @property
    def leading(self) -> bool:
        return self._leading

    def fault(self) -> str | None:
        """Return what is wrong: who still leads long after the lease ran out ought to have ended."""
        since_s = self._clock.monotonic() - self._seen_at
        if self._leading and since_s > self._timings.lease_s + _TOLERATED_S:
            return f"failed election to renew leadership on lease {self._name}"
        return None

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for leadership, run ``lead`` while renewing, give the lease up when it ends.

        Raises:
            LeadershipLost: renewing failed for too long; ``lead`` was cancelled first.
        """
        await self._acquire()
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                await lead()
                renewing.cancel()
        except BaseExceptionGroup as errors:
            lost = errors.subgroup(LeadershipLost)
            if lost is not None:
                raise LeadershipLost(f"lease {self._namespace}/{self._name}") from errors
            raise
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while not await self._try_for(self._timings.try_s):
            await self._sleep(self._timings.retry_s)
        log.info("became leader lease=%s/%s identity=%s", self._namespace, self._name, self._identity)

    async def _renew(self) -> None:
        held_at = self._clock.monotonic()
        while True:
            await self._sleep(self._timings.retry_s)
            began = self._clock.monotonic()
            # A server that never answers must not keep the lease past its time either.
            held = await self._try_for(held_at + self._timings.renew_deadline_s - began)
            if held:
                held_at = began
            elif self._clock.monotonic() - held_at >= self._timings.renew_deadline_s:
                self._leading = False
                self._status.set(0)
                raise LeadershipLost(f"lease {self._namespace}/{self._name}")

    async def _release(self) -> None:
        if not self._leading:
            return
        self._leading = False
        self._status.set(0)
        try:
            async with asyncio.timeout(self._timings.try_s):
                lease = await self._client.get(LEASES, self._name, self._namespace)
                if lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
                    await self._client.update(LEASES, lease)
        except (StatusError, TransportError, TimeoutError) as error:
            log.info("lease not given up lease=%s/%s error=%s", self._namespace, self._name, error)

    async def _try_for(self, left_s: float) -> bool:
        """Try once, for so long at most and no longer than a try may take."""
        try:
            async with asyncio.timeout(min(max(left_s, 0.0), self._timings.try_s)):
                return await self.try_hold()
        except TimeoutError:
            log.debug("lease not held lease=%s/%s error=no answer in time", self._namespace, self._name)
            return False

    async def try_hold(self) -> bool:
        """Take or renew the lease once; True when it is ours now."""
        try:
            self._leading = await self._try()
            self._status.set(int(self._leading))
        except (StatusError, TransportError) as error:
            log.debug("lease not held lease=%s/%s error=%s", self._namespace, self._name, error)
            return False
        return self._leading

    async def _try(self) -> bool:
        now = rfc3339_micro(self._clock.now())
        if await self._renewed(now):
            return True
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            self._note(await self._client.create(LEASES, self._fresh(now)))
            return True
        if self._seen is None or self._seen["spec"] != lease["spec"]:
            self._note(lease)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        ours = holder == self._identity
        if holder and not ours and not self._expired(spec):
            return False
        updated = copy_object(lease)
        updated["spec"] = self._fresh(now)["spec"]
        if ours:
            if self._leading:
                SLOW_PATHS.labels(self._name).inc()
            updated["spec"]["acquireTime"] = spec.get("acquireTime") or now
            updated["spec"]["leaseTransitions"] = spec.get("leaseTransitions") or 0
        else:
            updated["spec"]["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        self._note(await self._client.update(LEASES, updated))
        return True

    async def _renewed(self, now: str) -> bool:
        """Renew a lease that is ours as it was seen last; whoever has written it since is read again."""
        if not self._leading or self._seen is None or self._expired(self._seen["spec"]):
            return False
        updated = copy_object(self._seen)
        updated["spec"] |= {"renewTime": now, "leaseDurationSeconds": self._timings.lease_s}
        try:
            self._note(await self._client.update(LEASES, updated))
        except (StatusError, TransportError) as error:
            log.debug("lease read again lease=%s/%s error=%s", self._namespace, self._name, error)
            return False
        return True

    def _expired(self, spec: Object) -> bool:
        lasts_s = spec.get("leaseDurationSeconds") or self._timings.lease_s
        return self._clock.monotonic() - self._seen_at >= lasts_s

    def _note(self, lease: Object) -> None:
        self._seen = lease
        self._seen_at = self._clock.monotonic()

    def _fresh(self, now: str) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._timings.lease_s,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
