"""Who may use a component's endpoint: the API server is asked (TokenReview, SubjectAccessReview).

A verified client certificate or a bearer token says who it is; whoever shows neither is anonymous. Answers
are remembered briefly. Paths that are always open are nobody's business. Used by ``endpoint``.
Source: delegated authentication and authorization of ``k8s.io/apiserver``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import Forbidden, InternalError, StatusError, Unauthorized
from tiphys.apimachinery.meta import GVR, Object
from tiphys.client.kinds import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from tiphys.client.rest import Client
from tiphys.client.transport import TransportError
from tiphys.wire.message import Request

_ADMINS: Final = "system:masters"
_VERBS: Final = {"HEAD": "get"}
_REMEMBERED: Final = 256
OPEN_PATHS: Final = ("/healthz", "/readyz", "/livez")


@dataclass(frozen=True, slots=True)
class DelegatedOptions:
    """How long answers are remembered, and what is open to everybody (``/x/*`` is all below it)."""

    open_paths: tuple[str, ...] = OPEN_PATHS
    token_ttl_s: float = 10.0
    authorized_ttl_s: float = 10.0
    unauthorized_ttl_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


ANONYMOUS: Final = Caller("system:anonymous", ("system:unauthenticated",))


def caller_of(certificate: bytes) -> Caller:
    """Read user and groups out of a client certificate (DER), which TLS has verified already."""
    subject = x509.load_der_x509_certificate(certificate).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return Caller(str(names[0].value) if names else "", (*groups, "system:authenticated"))


class DelegatedAccess:
    """Checks each request with ``check``."""

    def __init__(self, client: Client, clock: Clock, options: DelegatedOptions | None = None) -> None:
        self._client = client
        self._clock = clock
        self._options = options or DelegatedOptions()
        self._callers: dict[bytes, tuple[float, Caller | None]] = {}
        self._allowed: dict[tuple[object, ...], tuple[float, bool]] = {}

    async def check(self, request: Request) -> None:
        """Raises Unauthorized, Forbidden, InternalError where nobody can be asked."""
        if self._is_open(request.path):
            return
        caller = await self._authenticate(request)
        verb = _VERBS.get(request.method, request.method.lower())
        if _ADMINS not in caller.groups and not await self._may(caller, verb, request.path):
            raise Forbidden(f'forbidden: User "{caller.name}" cannot {verb} path "{request.path}"')

    def _is_open(self, path: str) -> bool:
        return any(
            path.startswith(one[:-1]) if one.endswith("/*") else path == one
            for one in self._options.open_paths
        )

    async def _authenticate(self, request: Request) -> Caller:
        if request.peer_certificate:
            return caller_of(request.peer_certificate)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return ANONYMOUS
        caller = await self._whose(token.strip())
        if caller is None:
            raise Unauthorized("Unauthorized")
        return caller

    async def _whose(self, token: str) -> Caller | None:
        key, now = hashlib.sha256(token.encode()).digest(), self._clock.monotonic()
        known = self._callers.get(key)
        if known is not None and now < known[0]:
            return known[1]
        try:
            status = await self._ask(
                TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token}
            )
        except (StatusError, TransportError) as error:
            raise Unauthorized("Unauthorized") from error
        caller = reviewed(status.get("user") or {}) if status.get("authenticated") else None
        if len(self._callers) >= _REMEMBERED:
            self._callers.clear()
        self._callers[key] = (now + self._options.token_ttl_s, caller)
        return caller

    async def _may(self, caller: Caller, verb: str, path: str) -> bool:
        key, now = (caller, verb, path), self._clock.monotonic()
        known = self._allowed.get(key)
        if known is not None and now < known[0]:
            return known[1]
        spec: dict[str, Any] = {
            "user": caller.name,
            "groups": list(caller.groups),
            "nonResourceAttributes": {"path": path, "verb": verb},
        }
        if caller.uid:
            spec["uid"] = caller.uid
        if caller.extra:
            spec["extra"] = {name: list(values) for name, values in caller.extra.items()}
        try:
            status = await self._ask(
                SUBJECT_ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec
            )
        except (StatusError, TransportError) as error:
            raise InternalError(f'Internal Server Error: "{path}": {error}') from error
        allowed = bool(status.get("allowed"))
        ttl_s = self._options.authorized_ttl_s if allowed else self._options.unauthorized_ttl_s
        if len(self._allowed) >= _REMEMBERED:
            self._allowed.clear()
        self._allowed[key] = (now + ttl_s, allowed)
        return allowed

    async def _ask(self, gvr: GVR, version: str, kind: str, spec: dict[str, Any]) -> Object:
        body = {"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec}
        found: Object = (await self._client.create(gvr, body)).get("status") or {}
        return found


def reviewed(user: Mapping[str, Any]) -> Caller:
    """Return the user that a TokenReview names."""
    extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
    return Caller(user.get("username", ""), tuple(user.get("groups") or ()), user.get("uid", ""), extra)
