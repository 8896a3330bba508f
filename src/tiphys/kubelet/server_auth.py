"""Who may use the kubelet's endpoint.

A verified client certificate or a bearer token says who it is, the API server says what they may do
(TokenReview, SubjectAccessReview), its answers remembered briefly. Administrators need no question.
Source: "Kubelet authentication/authorization"; KEP-2862, fine-grained kubelet API authorization.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import Forbidden, InternalError, StatusError, Unauthorized
from tiphys.client.delegated import ANONYMOUS, Caller, caller_of, reviewed
from tiphys.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.kubelet.options import AccessOptions
from tiphys.wire.message import Request

_ADMINS: Final = "system:masters"
_VERBS: Final = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_FINE: Final = (("/pods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"), ("/runningpods", "pods"))
"""What may be allowed by itself, beside ``nodes/proxy``, which allows all that has no name of its own."""
_OWN: Final = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint"))
_REMEMBERED: Final = 1024


def subresources_of(path: str) -> tuple[str, ...]:
    """Return what of ``nodes`` a path belongs to, any one of which allows it: first the narrowest."""
    for base, name in _OWN:
        if _within(path, base):
            return (name,)
    for base, name in _FINE:
        if _within(path, base):
            return (name, "proxy")
    return ("proxy",)


def _within(path: str, base: str) -> bool:
    return path == base or path.startswith(base + "/")


class Access:
    """Checks each request with ``check``."""

    def __init__(
        self, client: Client, node_name: str, clock: Clock, options: AccessOptions | None = None
    ) -> None:
        self._client = client
        self._node_name = node_name
        self._clock = clock
        self._options = options or AccessOptions()
        self._allowed: dict[tuple[object, ...], tuple[float, bool]] = {}
        self._callers: dict[bytes, tuple[float, Caller]] = {}

    async def check(self, request: Request) -> Caller:
        """Return who asks. Raises Unauthorized, Forbidden, InternalError where nobody can be asked."""
        caller = await self._authenticate(request)
        if not self._options.webhook_authorization or _ADMINS in caller.groups:
            return caller
        verb, subresources = _VERBS.get(request.method, ""), subresources_of(request.path)
        for subresource in subresources:
            if await self._may(caller, verb, subresource):
                return caller
        named = " ".join(subresources)
        raise Forbidden(
            f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{named}])\n"
        )

    async def _authenticate(self, request: Request) -> Caller:
        if request.peer_certificate:
            return caller_of(request.peer_certificate)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token and self._options.webhook_authentication:
            return await self._bearer(token)
        if self._options.anonymous:
            return ANONYMOUS
        raise Unauthorized("Unauthorized")

    async def _bearer(self, token: str) -> Caller:
        """Return whose token it is; a wrong one is refused even where anonymous callers are let in."""
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock.monotonic()
        known = self._callers.get(key)
        if known is not None and now < known[0]:
            return known[1]
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token},
        }
        try:
            status = (await self._client.create(TOKEN_REVIEWS, review)).get("status") or {}
        except (StatusError, TransportError) as error:
            raise Unauthorized("Unauthorized") from error
        if not status.get("authenticated"):
            raise Unauthorized("Unauthorized")
        caller = reviewed(status.get("user") or {})
        if len(self._callers) >= _REMEMBERED:
            self._callers.clear()
        self._callers[key] = (now + self._options.token_ttl_s, caller)
        return caller

    async def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        key = (caller, verb, subresource)
        now = self._clock.monotonic()
        known = self._allowed.get(key)
        if known is not None and now < known[0]:
            return known[1]
        try:
            answer = await self._client.create(
                SUBJECT_ACCESS_REVIEWS, self._question(caller, verb, subresource)
            )
        except (StatusError, TransportError) as error:
            raise InternalError(
                f"Authorization error (user={caller.name}, verb={verb}, resource=nodes, "
                f"subresource={subresource})"
            ) from error
        allowed = bool((answer.get("status") or {}).get("allowed"))
        ttl_s = self._options.authorized_ttl_s if allowed else self._options.unauthorized_ttl_s
        if len(self._allowed) >= _REMEMBERED:
            self._allowed.clear()
        self._allowed[key] = (now + ttl_s, allowed)
        return allowed

    def _question(self, caller: Caller, verb: str, subresource: str) -> dict[str, Any]:
        spec: dict[str, Any] = {
            "user": caller.name,
            "groups": list(caller.groups),
            "resourceAttributes": {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": subresource,
                "name": self._node_name,
            },
        }
        if caller.uid:
            spec["uid"] = caller.uid
        if caller.extra:
            spec["extra"] = {key: list(values) for key, values in caller.extra.items()}
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": spec,
        }
