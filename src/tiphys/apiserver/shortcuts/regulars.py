"""Users that come again: what earlier requests of theirs have found out, for as long as it holds.

Most requests are like one before: the same user, verb, resource and namespace, only another object. In which
flow they are, that they may, what serves them and where they are counted was found out then (a ``Passage``).
And who it is that sends the very same headers as before need not be found out where it lasts (a ``Regular``).

Owns: when such knowledge may be kept, and whether it still holds: each part that decides about requests
counts its ``changes``, and what was found out before the last of them is not used. Refuses: deciding anything
itself. Called by ``Chain``, which asks everybody where there is no passage, and by ``quickreads``.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.authn import impersonation
from tiphys.apiserver.authn.attempts import Attempts, Seen
from tiphys.apiserver.authn.user import APISERVER, User
from tiphys.apiserver.authn.x509 import credential_of
from tiphys.apiserver.authz.attributes import Lasting
from tiphys.apiserver.endpoints.call import Backend, CallHandler
from tiphys.apiserver.endpoints.router import find_handler, find_resource
from tiphys.apiserver.filters.flights import is_long_running
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.metrics import Kind, labels_of
from tiphys.wire.message import Request

if TYPE_CHECKING:
    from tiphys.apiserver.aggregation.controller import Aggregation
    from tiphys.apiserver.flowcontrol.controller import Gate
    from tiphys.apiserver.flowcontrol.levels import Flow

_REGULARS: Final = 1024
_PASSAGES: Final = 1024
"""Of one user at most: then all are found out anew."""
_LONGEST_PATH: Final = 1024
"""A collection is empty, and may be read, whatever its namespace is called: there may be any number."""

Key = tuple[str, str, str, str, str, str, bool]
"""Of a request, all that decides about it but who asks; of the object's name only whether there is one."""


@dataclass(slots=True, eq=False)
class Passage:
    """What is known of one user's requests of one verb, resource and namespace."""

    changes: int
    """As many changes of what decides had there been when it was found out."""
    allowed: Lasting | None
    """That they may; None: that depends on the object, or on something else, and is looked at each time."""
    flow: Flow | None
    resource: Resource
    handler: CallHandler
    kind: Kind
    """Where they are counted."""


@dataclass(slots=True, eq=False)
class Regular:
    """A user with the passages of their requests."""

    user: User
    seen: Seen
    """Where it is counted that they came."""
    own: bool = False
    """Whether it is an API server itself."""
    passages: dict[Key, Passage] = field(default_factory=dict)


class Regulars:
    """The regulars of one server."""

    def __init__(self, backend: Backend, gate: Gate, aggregation: Aggregation, attempts: Attempts) -> None:
        self._backend = backend
        self._attempts = attempts
        self._gate = gate
        self._aggregation = aggregation
        self._by_user: dict[User, Regular] = {}

    @property
    def changes(self) -> int:
        """How often what decides about requests has changed: each part counts up, so does the sum."""
        backend = self._backend
        authorizer = backend.authorizer
        return int(
            authorizer.rbac.changes
            + authorizer.changes
            + backend.authenticator.changes
            + self._gate.changes
            + self._aggregation.changes
            + backend.table.revision
        )

    def of(self, user: User) -> Regular:
        """Return what is known of a user."""
        found = self._by_user.get(user)
        if found is None:
            if len(self._by_user) >= _REGULARS:
                self._by_user.clear()
            seen = self._attempts.of(user.name, credential_of(user))
            found = self._by_user[user] = Regular(user, seen, own=user.name == APISERVER)
        return found

    def known(self, request: Request) -> Regular | None:
        """Return who always sends these headers on this connection; None: that is to be found out."""
        met: tuple[int, Regular | None] | None = request.memo.get(Regulars)
        if met is None:
            return None
        if met[0] != self._backend.authenticator.changes:
            request.memo.clear()  # who it was is believed no more
            return None
        return met[1]

    async def meet(self, request: Request) -> None:
        """Note who sends these headers, where they mean one user as long as the connection lasts."""
        memo = request.memo
        if Regulars in memo:
            return
        changes = self._backend.authenticator.changes
        memo[Regulars] = (changes, None)
        if impersonation.wanted(request.headers):
            return
        user = await self._backend.authenticator.lasting_user(request)
        if user is not None:
            regular = self.of(user)
            self._backend.authenticator.follow(request, regular.seen)
            memo[Regulars] = (changes, regular)

    def is_elsewhere(self, info: RequestInfo) -> bool:
        """Tell whether requests for such a group version are answered beside this server's own handlers."""
        return self._aggregation.answers(info.group, info.version)

    def passage(self, regular: Regular, info: RequestInfo) -> Passage | None:
        """Return what is known of such a request; None: everything is to be found out."""
        if info.rest or info.nowhere:
            return None  # its path leads nowhere, whatever others with the same words do
        key = _key(info)
        found = regular.passages.get(key)
        if found is not None and found.changes != self.changes:
            del regular.passages[key]
            return None
        return found

    def learn(self, regular: Regular, info: RequestInfo) -> None:
        """Note what was found out about a request that has been served."""
        backend, gate = self._backend, self._gate
        if not info.is_resource or is_long_running(info) or self.is_elsewhere(info):
            return
        if len(info.path) > _LONGEST_PATH:
            return
        try:
            resource = find_resource(backend, info)
            handler = find_handler(resource, info)
        except StatusError:  # it went while it served
            return
        if len(regular.passages) >= _PASSAGES:
            regular.passages.clear()
        regular.passages[_key(info)] = Passage(
            changes=self.changes,
            allowed=backend.authorizer.for_every_name(regular.user, info),
            flow=gate.flow_of(regular.user, info),
            resource=resource,
            handler=handler,
            kind=backend.metrics.kind(labels_of(info)),
        )


def _key(info: RequestInfo) -> Key:
    return (
        info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name != "",
    )  # fmt: skip
