"""Who may use the kubelet's endpoint.

A verified client certificate or a bearer token says who it is, the API server says what they may do
(TokenReview, SubjectAccessReview), its answers remembered briefly. Administrators need no question.
Source: "Kubelet authentication/authorization".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import Forbidden, StatusError, Unauthorized
from tiphys.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.wire.message import Request

_ADMINS = "system:masters"
_API_SERVERS = frozenset({"kube-apiserver-kubelet-client", "system:kube-apiserver-kubelet-client"})
_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_REMEMBER_S = 60.0
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


def caller_of(certificate: bytes) -> Caller:
    """Read user and groups out of a client certificate (DER), which TLS has verified already."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Caller(str(names[0].value) if names else "", tuple(str(item.value) for item in groups))


def subresource_of(path: str) -> str:
    """Return what of ``nodes`` a path belongs to."""
    for prefix, name in (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log")):
        if path.startswith(prefix):
            return name
    return "proxy"


class Access:
    """Checks each request with ``check``."""

    def __init__(self, client: Client, node_name: str, clock: Clock) -> None:
        self._client = client
        self._node_name = node_name
        self._clock = clock
        self._allowed: dict[tuple[str, ...], tuple[float, bool]] = {}
        self._callers: dict[bytes, tuple[float, Caller]] = {}

    async def check(self, request: Request) -> Caller:
        """Return who asks. Raises Unauthorized, Forbidden."""
        caller = await self._authenticate(request)
        if _ADMINS in caller.groups or caller.name in _API_SERVERS:
            return caller
        verb, subresource = _VERBS.get(request.method, "get"), subresource_of(request.path)
        if not await self._may(caller, verb, subresource):
            text = (
                f"Forbidden (user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])"
            )
            raise Forbidden(text)
        return caller

    async def _authenticate(self, request: Request) -> Caller:
        if request.peer_certificate:
            return caller_of(request.peer_certificate)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise Unauthorized("Unauthorized")
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock.monotonic()
        known = self._callers.get(key)
        if known is not None and now - known[0] < _REMEMBER_S:
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
        user = status.get("user") or {}
        caller = Caller(user.get("username", ""), tuple(user.get("groups") or ()))
        if len(self._callers) >= _REMEMBERED:
            self._callers.clear()
        self._callers[key] = (now, caller)
        return caller

    async def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        key = (caller.name, *caller.groups, verb, subresource)
        now = self._clock.monotonic()
        known = self._allowed.get(key)
        if known is not None and now - known[0] < _REMEMBER_S:
            return known[1]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": caller.name,
                "groups": list(caller.groups),
                "resourceAttributes": {
                    "verb": verb,
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": subresource,
                    "name": self._node_name,
                },
            },
        }
        try:
            answer = await self._client.create(SUBJECT_ACCESS_REVIEWS, review)
        except (StatusError, TransportError):
            return False  # unknown is no, and is asked again next time
        allowed = bool((answer.get("status") or {}).get("allowed"))
        if len(self._allowed) >= _REMEMBERED:
            self._allowed.clear()
        self._allowed[key] = (now, allowed)
        return allowed
