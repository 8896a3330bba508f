"""API servers over one store, each behind TLS, that may not serve the same."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tiphys.apimachinery.clock import FakeClock, RealClock
from tiphys.apiserver.authn.requestheader import RequestHeader
from tiphys.apiserver.controlplane.identity import identity_of
from tiphys.storage.base import Store
from tiphys.wire import pki
from tiphys.wire.message import Request, Response
from tiphys.wire.server import serve


class Shared:
    """A store that goes on when one of its servers ends."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Fleet:
    """Starts servers over one store, each as if on a machine of its own."""

    def __init__(self, store: Store, serving: Any, folder: Path) -> None:
        self.store = store
        self._serving = serving
        now = RealClock().now()
        self.clock = FakeClock(now)
        self._ca, self._proxies = pki.make_ca("ca", now), pki.make_ca("front-proxy-ca", now)
        self._own = pki.issue_server(self._ca, "kube-apiserver", ["kubernetes.default.svc"], now)
        self._files = folder / "proxy.crt", folder / "proxy.key"
        pki.issue_client(self._proxies, "front-proxy-client", (), now).write(*self._files)

    @asynccontextmanager
    async def start(
        self, hostname: str, off: str = "", *, knows_peers: bool = True, **more: Any
    ) -> AsyncIterator[Any]:
        """Run a server that does not serve the group version ``off``."""
        apis: list[Any] = []

        async def handler(request: Request) -> Response:
            response: Response = await apis[0].server.handler(request)
            return response

        context = pki.server_context(self._own, self._proxies.certificate)
        options = {
            "peer_ca": self._ca.certificate if knows_peers else b"",
            "proxy_client_certificate": self._files[0], "proxy_client_key": self._files[1],
            "request_header": RequestHeader(self._proxies.certificate, uid_headers=("X-Remote-Uid",)),
            "runtime_config": {off: "false"} if off else {},
        } | more  # fmt: skip
        async with serve(handler, host="127.0.0.1", port=0, ssl_context=context) as listening:
            options = {"peer_address": ("127.0.0.1", listening.port)} | options
            with patch.object(socket, "gethostname", lambda: hostname):
                running = self._serving(Shared(self.store), self.clock, **options)
                api = await running.__aenter__()
            api.name = identity_of(hostname)
            apis.append(api)
            try:
                yield api
            finally:
                await running.__aexit__(None, None, None)


@pytest.fixture
async def fleet(serving: Any, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with serving() as first:  # what every cluster has
        store = first.server._store.copy()
    yield Fleet(store, serving, tmp_path)
    await store.close()
