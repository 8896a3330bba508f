"""Who may use the kubelet's endpoint.

A verified client certificate or a bearer token says who it is, the API server says what they may do
(TokenReview, SubjectAccessReview), its answers remembered briefly. Administrators need no question.
Source: "Kubelet authentication/authorization"; KEP-2862, fine-grained kubelet API authorization.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.errors import Forbidden, InternalError, Unauthorized
from tiphys.client.rest import Client
from tiphys.client.reviews import ANONYMOUS, Caller, Lifetimes, NotReviewed, Reviews
from tiphys.kubelet.options import AccessOptions
from tiphys.wire.client_certificates import ClientAuthorities
from tiphys.wire.message import Request

_ADMINS: Final = "system:masters"
_VERBS: Final = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_FINE: Final = (("/pods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"), ("/runningpods", "pods"))
"""What may be allowed by itself, beside ``nodes/proxy``, which allows all that has no name of its own."""
_OWN: Final = (("/stats", "stats"), ("/metrics", "metrics"), ("/logs", "log"), ("/checkpoint", "checkpoint"))


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
        self._node_name = node_name
        self._options = options = options or AccessOptions()
        self._reviews = Reviews(
            client,
            clock,
            Lifetimes(options.token_ttl_s, options.authorized_ttl_s, options.unauthorized_ttl_s),
        )

    def trust(self, client_ca: bytes) -> None:
        """Believe client certificates of these authorities (PEM) from now on. Raises ValueError."""
        self._reviews.authorities = ClientAuthorities(client_ca)

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
        # A wrong credential is refused even where anonymous callers are let in.
        caller = await self._reviews.identify(request, tokens=self._options.webhook_authentication)
        if caller is not None:
            return caller
        if self._options.anonymous:
            return ANONYMOUS
        raise Unauthorized("Unauthorized")

    async def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        asked = {
            "verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource,
            "name": self._node_name,
        }  # fmt: skip
        try:
            return await self._reviews.may(caller, asked, resource=True)
        except NotReviewed as error:
            raise InternalError(
                f"Authorization error (user={caller.name}, verb={verb}, resource=nodes, "
                f"subresource={subresource})"
            ) from error
