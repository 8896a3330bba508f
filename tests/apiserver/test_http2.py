"""What the API server does otherwise over HTTP/2: strangers are sent away."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import resolve
from tiphys.wire.message import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"


async def ask(api: Any, path: str, token: str = "", protocol: str = "HTTP/2.0", **more: str) -> Response:
    headers = {
        "accept": "application/json",
        **({"authorization": f"Bearer {token}"} if token else {}),
        **more,
    }
    request = Request("GET", path, "", headers, raw_path=path, protocol=protocol)
    response: Response = await api.server.handler(request)
    return response


@pytest.mark.parametrize(
    ("token", "path", "status", "protocol", "closed"),
    [
        ("", "/version", 200, "HTTP/2.0", True),
        ("", MAPS, 403, "HTTP/2.0", True),
        ("bogus", "/version", 401, "HTTP/2.0", True),
        ("admin", "/version", 200, "HTTP/2.0", False),
        ("admin", "/bogus", 404, "HTTP/2.0", False),
        ("alice", MAPS, 403, "HTTP/2.0", False),
        ("", "/version", 200, "HTTP/1.1", False),
        ("bogus", "/version", 401, "HTTP/1.1", False),
    ],
)
async def test_strangers_keep_no_connection(
    api: Any, token: str, path: str, status: int, protocol: str, closed: bool
) -> None:
    for _ in range(3):  # as those do who come again
        response = await ask(api, path, token, protocol)
        assert response.status == status
        assert ("connection" in response.headers) == closed


@pytest.mark.parametrize("on", [True, False])
async def test_by_the_gate(serving: Any, on: bool) -> None:
    gates = resolve({"UnauthenticatedHTTP2DOSMitigation": on})
    async with serving(feature_gates=gates) as api:
        assert ("connection" in (await ask(api, "/version")).headers) == on
