"""An API server that signs certificate requests, for tests of those who ask."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import orjson

from tiphys.apimachinery.clock import FakeClock
from tiphys.controllers.certificates import signing
from tiphys.wire import pki
from tiphys.wire.message import Request, Response


class Signer:
    """Answers the second look at each request with a certificate, or with a condition."""

    def __init__(self, clock: FakeClock, refuse: str = "") -> None:
        self.clock, self.refuse = clock, refuse
        self.asked: list[dict[str, Any]] = []
        authority = pki.make_ca("test", clock.now())
        self.authority = signing.Authority.load(authority.certificate.decode(), authority.key.decode())

    async def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            made = orjson.loads(request.body)
            made["metadata"]["name"] = f"csr-{len(self.asked)}"
            self.asked.append(made)
            return Response(201, {"content-type": "application/json"}, orjson.dumps(made))
        made = self.asked[-1]
        if self.refuse:
            condition = {"type": self.refuse, "reason": "No", "message": "never"}
            status: dict[str, Any] = {"conditions": [condition]}
        else:
            parsed = signing.read_request(made["spec"]["request"])
            usages = made["spec"]["usages"]
            pem = signing.sign(self.authority, parsed, usages, timedelta(days=10), self.clock.now())
            status = {"certificate": base64.b64encode(pem).decode()}
        return Response(200, {"content-type": "application/json"}, orjson.dumps({**made, "status": status}))
