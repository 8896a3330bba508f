"""Asks the API server who a caller is and what they may do: TokenReview and SubjectAccessReview.

Answers are remembered for a short time, those about tokens by their hash. Owns: the questions and the memory.
Refuses: what requests are about, which each endpoint knows (``delegated``, the kubelet's).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import StatusError, TiphysError, Unauthorized
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tiphys.client.metrics import REVIEW_SECONDS, REVIEWED
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.wire import bearer
from tiphys.wire.client_certificates import CREDENTIAL_ID, ClientAuthorities, NotVerified, subject_of
from tiphys.wire.message import Request

log = logging.getLogger(__name__)
_CREATED, _NOBODY = "201", "<error>"
"""Codes of questions that were answered, and of those that nobody heard."""
_REMEMBERED: Final = 1024


class NotReviewed(TiphysError):
    """Nobody could be asked."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ANONYMOUS: Final = Caller("system:anonymous", ("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long answers are remembered."""

    token_s: float = 10.0
    authorized_s: float = 10.0
    unauthorized_s: float = 10.0


def caller_of(certificate: bytes) -> Caller | None:
    """Return whom a verified client certificate (DER) names; None: nobody. Raises NotVerified."""
    subject = subject_of(certificate)
    if not subject.common_name:
        return None
    groups = (*subject.organizations, "system:authenticated")
    return Caller(subject.common_name, groups, subject.uid, {CREDENTIAL_ID: (subject.credential,)})


class Reviews:
    """One endpoint's questions, and the ``authorities`` whose certificates need none."""

    def __init__(self, client: Client, clock: Clock, lifetimes: Lifetimes) -> None:
        self.authorities = ClientAuthorities()
        self._client = client
        self._clock = clock
        self._lifetimes = lifetimes
        self._callers: dict[bytes, tuple[float, Caller | None]] = {}
        self._allowed: dict[tuple[object, ...], tuple[float, bool]] = {}

    async def identify(self, request: Request, *, tokens: bool = True) -> Caller | None:
        """Return who asks by certificate or bearer token; None: who shows neither.

        Raises Unauthorized where some were shown and none is good. ``tokens``: whether they are looked at.
        """
        fault = ""
        if request.shown_certificates and self.authorities:
            try:
                self.authorities.verify(request.shown_certificates, self._clock.now())
                caller = caller_of(request.shown_certificates[0])
            except NotVerified as error:
                caller, fault = None, str(error)
            if caller is not None:
                return caller
        shown = []
        if tokens:
            shown.append(bearer.header_token(request.headers))
            try:
                shown.append(bearer.websocket_token(request.headers))
            except ValueError as error:
                fault = str(error)
        for token in filter(None, shown):
            try:
                return await self.whose(token)
            except Unauthorized:
                fault = "invalid bearer token"
        if fault:
            log.info("unable to authenticate the request err=%s", fault)
            raise Unauthorized("Unauthorized")
        return None

    async def whose(self, token: str) -> Caller:
        """Return whom a bearer token names. Raises Unauthorized: nobody, or nobody could be asked."""
        key, now = hashlib.sha256(token.encode()).digest(), self._clock.monotonic()
        known = self._callers.get(key)
        if known is None or now >= known[0]:
            try:
                status = await self._ask(TOKEN_REVIEWS, "authentication", "TokenReview", {"token": token})
            except NotReviewed as error:
                raise Unauthorized("Unauthorized") from error
            caller = _reviewed(status.get("user") or {}) if status.get("authenticated") else None
            known = (now + self._lifetimes.token_s, caller)
            if len(self._callers) >= _REMEMBERED:
                self._callers.clear()
            self._callers[key] = known
        if known[1] is None:
            raise Unauthorized("Unauthorized")
        return known[1]

    async def may(self, caller: Caller, attributes: Mapping[str, str], *, resource: bool) -> bool:
        """Tell whether a caller may do what the attributes say, to a resource or a path.

        Raises:
            NotReviewed: nobody could be asked.
        """
        key, now = (caller, resource, *sorted(attributes.items())), self._clock.monotonic()
        known = self._allowed.get(key)
        if known is not None and now < known[0]:
            return known[1]
        what = "resourceAttributes" if resource else "nonResourceAttributes"
        spec: dict[str, Any] = {"user": caller.name, "groups": list(caller.groups), what: dict(attributes)}
        if caller.uid:
            spec["uid"] = caller.uid
        if caller.extra:
            spec["extra"] = {name: list(values) for name, values in caller.extra.items()}
        status = await self._ask(SUBJECT_ACCESS_REVIEWS, "authorization", "SubjectAccessReview", spec)
        allowed = bool(status.get("allowed"))
        ttl_s = self._lifetimes.authorized_s if allowed else self._lifetimes.unauthorized_s
        if len(self._allowed) >= _REMEMBERED:
            self._allowed.clear()
        self._allowed[key] = (now + ttl_s, allowed)
        return allowed

    async def _ask(self, gvr: GVR, group: str, kind: str, spec: dict[str, Any]) -> Object:
        body = {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec}
        began, code = self._clock.monotonic(), _NOBODY
        try:
            found: Object = (await self._client.create(gvr, body)).get("status") or {}
            code = _CREATED
        except (StatusError, TransportError) as error:
            if isinstance(error, StatusError):
                code = str(error.status_code)
            raise NotReviewed(str(error)) from error
        finally:
            REVIEWED[group].labels(code).inc()
            REVIEW_SECONDS[group].labels(code).observe(self._clock.monotonic() - began)
        return found


def _reviewed(user: Mapping[str, Any]) -> Caller:
    extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
    return Caller(user.get("username", ""), tuple(user.get("groups") or ()), user.get("uid", ""), extra)
