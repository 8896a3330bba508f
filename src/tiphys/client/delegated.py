"""Who may use a component's endpoint: the API server is asked about each path (``reviews``).

The headers of a front proxy, a verified client certificate or a bearer token say who it is; who shows none of
them is anonymous. Paths that are always open are nobody's business. Used by ``endpoint``.
Source: delegated authentication and authorization of ``k8s.io/apiserver``.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden, InternalError
from tiphys.client.front_proxies import FrontProxies, ProxyHeaders
from tiphys.client.rest import Client
from tiphys.client.reviews import ANONYMOUS, Caller, Lifetimes, NotReviewed, Reviews
from tiphys.wire.client_certificates import ClientAuthorities
from tiphys.wire.message import Request

_ADMINS: Final = "system:masters"
_VERBS: Final = {"HEAD": "get"}
OPEN_PATHS: Final = ("/healthz", "/readyz", "/livez")


@dataclass(frozen=True, slots=True)
class DelegatedOptions:
    """How long answers are remembered, and what is open to everybody (``/x/*`` is all below it)."""

    open_paths: tuple[str, ...] = OPEN_PATHS
    token_ttl_s: float = 10.0
    authorized_ttl_s: float = 10.0
    unauthorized_ttl_s: float = 10.0


class DelegatedAccess:
    """Checks each request with ``check``."""

    def __init__(self, client: Client, clock: Clock, options: DelegatedOptions | None = None) -> None:
        options = options or DelegatedOptions()
        self._clock = clock
        self._proxies = FrontProxies()
        self._open_paths = options.open_paths
        self._reviews = Reviews(
            client,
            clock,
            Lifetimes(options.token_ttl_s, options.authorized_ttl_s, options.unauthorized_ttl_s),
        )

    def trust(self, client_ca: bytes) -> None:
        """Believe client certificates of these authorities (PEM) from now on. Raises ValueError."""
        self._reviews.authorities = ClientAuthorities(client_ca)

    def trust_proxies(self, proxies_ca: bytes, headers: ProxyHeaders) -> None:
        """Believe front proxies of these authorities (PEM) from now on. Raises ValueError."""
        self._proxies = FrontProxies(ClientAuthorities(proxies_ca), headers)

    async def check(self, request: Request) -> None:
        """Notes in the request's scope whom nobody knows (``stranger``).

        Raises Unauthorized, Forbidden, InternalError where nobody can be asked.
        """
        if self._is_open(request.path):
            if "authorization" not in request.headers and not request.shown_certificates:
                request.scope["stranger"] = True
            return
        caller = self._proxies.caller_of(request, self._clock.now())
        if caller is None:
            request.scope["stranger"] = True
            caller = await self._reviews.identify(request)
            if caller is None:
                caller = ANONYMOUS
            else:
                del request.scope["stranger"]
        verb = _VERBS.get(request.method, request.method.lower())
        if _ADMINS not in caller.groups and not await self._may(caller, verb, request.path):
            raise Forbidden(f'forbidden: User "{caller.name}" cannot {verb} path "{request.path}"')

    def _is_open(self, path: str) -> bool:
        return any(
            path.startswith(one[:-1]) if one.endswith("/*") else path == one for one in self._open_paths
        )

    async def _may(self, caller: Caller, verb: str, path: str) -> bool:
        try:
            return await self._reviews.may(caller, {"path": path, "verb": verb}, resource=False)
        except NotReviewed as error:
            raise InternalError(f'Internal Server Error: "{path}": {error}') from error
