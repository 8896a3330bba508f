"""What an API server does before it is healthy: its steps, by the names of upstream's hooks, in their order.

Owns: the names and which options have which steps, for how long a slow store is waited for, and what is
answered while it is waited for longer. What a step does is whoever's ``done`` says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from tiphys.apimachinery.errors import InternalError, ServiceUnavailable, StatusError, TooManyRequests
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.health import PATHS
from tiphys.apiserver.options import ApiServerOptions
from tiphys.storage.base import StoreUnavailable
from tiphys.wire.message import Handler, Request, Response

log = logging.getLogger(__name__)
PATIENCE_S: Final = 30.0
"""A store that keeps no step waiting for longer may be slow: as upstream's hooks, which try for so long."""
_PAUSE_S: Final = 0.25
_AT_ONCE: Final = (*(f"/{path}" for path in PATHS), "/metrics", "/version")
"""What does not hang on any index."""
_INITIALIZING: Final = "storage is (re)initializing"
Has = Callable[[ApiServerOptions], bool]
IDENTITY: Final = (
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
)
PEERS: Final = ("local-discovery-cache-sync", "peer-discovery-cache-sync", "mixed-version-proxy-handler")
COMPLETION: Final = "autoregister-completion"
"""The one check of these that is no hook's."""
STORAGE_READINESS: Final = "storage-readiness"
_AUTOREGISTRATION: Final = "kube-apiserver-autoregistration"


def _gate(name: str) -> Has:
    return lambda options: options.feature_gates.enabled(name)


def _fair(options: ApiServerOptions) -> bool:
    return options.priority_and_fairness


_peers = _gate("UnknownVersionInteroperabilityProxy")


def _always(_options: ApiServerOptions) -> bool:
    return True


PRIMED: Final[dict[str, Has]] = {
    "start-encryption-provider-config-automatic-reload": lambda options: (
        options.encryption_provider_config is not None and options.encryption_provider_config_automatic_reload
    ),
    "start-apiserver-admission-initializer": _always,
    "generic-apiserver-start-informers": _always,
    "priority-and-fairness-config-consumer": _fair,
    "priority-and-fairness-filter": _fair,
    "max-in-flight-filter": lambda options: not options.priority_and_fairness,
    "storage-object-count-tracker-hook": _always,
    "start-apiextensions-informers": _always,
    "start-apiextensions-controllers": _always,
    "crd-informer-synced": _always,
}
"""Done once every index is filled."""
BOOTSTRAPPED: Final[dict[str, Has]] = {
    "start-system-namespaces-controller": _always,
    "peer-endpoint-reconciler-controller": lambda options: (
        options.peer_address is not None and _peers(options)
    ),
    **dict.fromkeys(PEERS, lambda options: bool(options.peer_ca) and _peers(options)),
    "start-cluster-authentication-info-controller": _always,
    **dict.fromkeys(IDENTITY, _gate("APIServerIdentity")),
    STORAGE_READINESS: _gate("WatchCacheInitializationPostStartHook"),
    "start-legacy-token-tracking-controller": _always,
    "start-service-ip-repair-controllers": _always,
    "rbac/bootstrap-roles": _always,
    "scheduling/bootstrap-system-priority-classes": _always,
    "priority-and-fairness-config-producer": _always,
    "bootstrap-controller": _always,
    "start-kubernetes-service-cidr-controller": _always,
}
"""Done once what every cluster has is written."""
GIVEN_UP: Final[dict[str, Has]] = {STORAGE_READINESS: BOOTSTRAPPED[STORAGE_READINESS]}
"""Done, too, once a server has waited for its indexes for so long as it was told."""
AGGREGATING: Final[dict[str, Has]] = {
    "aggregator-reload-proxy-client-cert": lambda options: options.proxy_client_certificate is not None,
    "start-kube-aggregator-informers": _always,
    "apiservice-status-local-available-controller": _always,
    "apiservice-status-remote-available-controller": _always,
    "apiservice-registration-controller": _always,
    "apiservice-discovery-controller": _always,
    _AUTOREGISTRATION: _always,
    "apiservice-openapi-controller": _always,
    "apiservice-openapiv3-controller": _always,
}
"""Done once the APIServices are there."""


async def patiently(step: Callable[[], Awaitable[object]], ends: float | None = None) -> None:
    """Do a step that may be done again, until the store answers.

    Raises ServiceUnavailable, StoreUnavailable: not until ``ends`` (of the loop's time), or not for a while.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + PATIENCE_S if ends is None else ends
    while True:
        try:
            await step()
            return
        except (ServiceUnavailable, StoreUnavailable) as error:
            if loop.time() >= ends:
                raise
            log.warning("store is slow at the start; trying again error=%s", error)
        await asyncio.sleep(_PAUSE_S)


async def attempt(step: Callable[[], Awaitable[object]], what: str) -> None:
    """Do a step ``patiently``; over what cannot be read the server comes up without it.

    Raises ServiceUnavailable, StoreUnavailable, StatusError of other kinds.
    """
    try:
        await patiently(step)
    except StatusError as error:
        if error.status_code != InternalError.code:
            raise
        log.error("left out at the start: something cannot be read step=%s error=%s", what, error)


class Initializing:
    """What answers while indexes are not filled: how the server is; all else is to come again."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, request: Request) -> Response:
        if request.path.startswith(_AT_ONCE):
            return await self._handler(request)
        return respond.failure(TooManyRequests(_INITIALIZING), request)


class Steps:
    """The steps of one server, each a ``poststarthook/...`` check."""

    def __init__(self, options: ApiServerOptions) -> None:
        self._options = options
        self._done = dict.fromkeys(self._of({**PRIMED, **BOOTSTRAPPED, **AGGREGATING}), False)

    def _of(self, names: dict[str, Has]) -> Iterator[str]:
        return (name for name, has in names.items() if has(self._options))

    def done(self, names: dict[str, Has]) -> None:
        """Note that a group of steps is behind the server."""
        for name in self._of(names):
            self._done[name] = True

    def checks(self) -> dict[str, Callable[[], str | None]]:
        """Return the checks in their order."""
        found: dict[str, Callable[[], str | None]] = {}
        for name in self._done:
            found[f"poststarthook/{name}"] = self._check(name)
            if name == _AUTOREGISTRATION:
                found[COMPLETION] = self._check(name)
        return found

    def _check(self, name: str) -> Callable[[], str | None]:
        return lambda: None if self._done[name] else "not finished"
