"""What browsers are told: pages of which origins may read answers, and that only TLS will do."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.filters.browsers import Browsers
from tiphys.wire.message import Request, Response

ORIGINS = (r"//console\.example\.com(:|$)", r"^https://a\.b$")
STRICT = {"strict-transport-security": "max-age=31536000; includeSubDomains"}


async def inner(request: Request) -> Response:
    return Response(405 if request.method == "OPTIONS" else 200, {"warning": "299 - x"}, b"ok")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://console.example.com", True),
        ("https://console.example.com:8443", True),
        ("https://a.b", True),
        ("https://a.b.evil.org", False),
        ("https://console.example.com.evil.org", False),
        ("null", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_origins(origin: str, allowed: bool, method: str) -> None:
    handler = Browsers(inner, origins=ORIGINS)
    answer = await handler(Request(method, "/api", headers={"origin": origin} if origin else {}))
    assert answer.status == (200 if method == "GET" else 204 if allowed else 405)
    told = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    assert told == (
        {
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE, PATCH",
            "access-control-allow-headers": (
                "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, "
                "X-Requested-With, If-Modified-Since"
            ),
            "access-control-expose-headers": "Date",
            "access-control-allow-credentials": "true",
        }
        if allowed
        else {}
    )


async def test_strict_transport() -> None:
    handler = Browsers(inner, strict_transport=("max-age=31536000", "includeSubDomains"))
    answer = await handler(Request("GET", "/api"))
    assert answer.headers == {"warning": "299 - x", **STRICT}

    async def knows_better(_request: Request) -> Response:
        return Response(200, {"strict-transport-security": "max-age=1"})

    answer = await Browsers(knows_better, strict_transport=("preload",))(Request("GET", "/api"))
    assert answer.headers == {"strict-transport-security": "max-age=1"}


async def test_the_server_says_it_with_every_answer(serving: Any) -> None:
    options = {"strict_transport_security": ("max-age=31536000", "includeSubDomains")}
    async with serving(cors_allowed_origins=ORIGINS, **options) as api:
        assert not hasattr(api.server.handler, "at_once"), "what is answered past it would lack the headers"
        headers = {"origin": "https://a.b"}
        for method, path, token, status in (
            ("GET", "/version", "admin", 200),
            ("GET", "/version", "wrong", 401),
            ("GET", "/nothing", "admin", 404),
            ("OPTIONS", "/api/v1/pods", "", 204),
        ):
            auth = {"authorization": f"Bearer {token}"} if token else {}
            answer = await api.server.handler(Request(method, path, headers={**headers, **auth}))
            assert answer.status == status
            assert answer.headers["strict-transport-security"] == STRICT["strict-transport-security"]
            assert answer.headers["access-control-allow-origin"] == "https://a.b"
            assert answer.headers["cache-control"] == "no-cache, private"
            assert answer.headers["audit-id"]


async def test_without_either_nothing_stands_between(serving: Any) -> None:
    async with serving() as api:
        assert hasattr(api.server.handler, "at_once")


@pytest.mark.parametrize("published", [True, False])
async def test_whether_the_service_leads_here(serving: Any, published: bool) -> None:
    async with serving(bare=True, publishes_endpoints=published) as api:
        for path in (
            "/api/v1/namespaces/default/endpoints/kubernetes",
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
        ):
            assert (await api("GET", path)).status == (200 if published else 404)
