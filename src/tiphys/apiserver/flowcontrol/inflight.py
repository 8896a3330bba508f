"""The plain limits that hold where priority and fairness is off: so many reads, so many writes, no queue.

Source: ``--max-requests-inflight``, ``--max-mutating-requests-inflight``.
"""

from __future__ import annotations

from tiphys.apiserver.authn.user import MASTERS, User
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.flowcontrol.controller import Rejected
from tiphys.apiserver.flowcontrol.levels import Flow, Ticket

READ_VERBS = frozenset({"get", "list"})


class _Free:
    """A request that nothing counts."""

    waited_s = 0.0

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def leave(self) -> None:
        return


class _Counted:
    __slots__ = ("_limit",)
    waited_s = 0.0

    def __init__(self, limit: Limit) -> None:
        self._limit = limit

    @property
    def headers(self) -> dict[str, str]:
        return {}

    def leave(self) -> None:
        self._limit.used -= 1


class Limit:
    """So many at once; 0 is no limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.ticket = _Counted(self)


FREE = _Free()


class MaxInFlight:
    """Turns away what is over the limit, but for system:masters."""

    def __init__(self, reading: int, mutating: int) -> None:
        self.reading, self.mutating = Limit(reading), Limit(mutating)
        self.changes = 0

    def flow_of(self, user: User, info: RequestInfo) -> None:
        """Nothing is told apart but reads and writes."""
        return

    async def enter(
        self,
        info: RequestInfo,
        user: User,
        raw_query: str,
        flow: Flow | None = None,
        arrived: float | None = None,
    ) -> Ticket:
        """Raises Rejected."""
        limit = self.reading if info.verb in READ_VERBS else self.mutating
        if not limit.most or info.verb == "watch":
            return FREE
        if limit.used >= limit.most:
            if MASTERS in user.groups:
                return FREE
            raise Rejected("concurrency-limit")
        limit.used += 1
        return limit.ticket
