"""What tests of aggregation start from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.apiserver.aggregation.behind import Extension

from tiphys.apimachinery.clock import RealClock
from tiphys.wire.pki import issue_server, make_ca, server_context
from tiphys.wire.server import serve


@pytest.fixture
async def extension() -> AsyncIterator[Extension]:
    now = RealClock().now()
    ca = make_ca("extension", now)
    pair = issue_server(ca, "metrics", ["metrics.kube-system.svc"], now)
    server = Extension(ca)
    async with serve(server, host="127.0.0.1", port=0, ssl_context=server_context(pair, None)) as running:
        server.port = running.port
        yield server
