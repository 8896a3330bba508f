"""Tokens are asked for once, renewed in time, and asked again when refused."""

import orjson

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.kinds import PODS
from tiphys.client.rest import Client
from tiphys.client.serviceaccount import clients_for_accounts
from tiphys.client.useragent import user_agent
from tiphys.wire.message import Response


class Server:
    """Issues numbered tokens to the bearer ``root`` and honours only the newest."""

    def __init__(self):
        self.issued = 0
        self.accounts = set()
        self.seen = []

    async def handler(self, request):
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        parts = request.path.split("/")
        if request.path.endswith("/token"):
            assert bearer == "root"
            if parts[-2] not in self.accounts:
                return Response(404, {}, b'{"reason":"NotFound","code":404}')
            self.issued += 1
            return Response(201, {}, orjson.dumps({"status": {"token": f"t{self.issued}"}}))
        if request.path.endswith("/serviceaccounts"):
            self.accounts.add(orjson.loads(request.body)["metadata"]["name"])
            return Response(201, {}, b"{}")
        self.seen.append(bearer)
        return Response(200 if bearer == f"t{self.issued}" else 401, {}, b"{}")


async def test_one_token_serves_until_it_is_due_or_refused():
    server, clock = Server(), FakeClock()
    root = InProcessTransport(server.handler, headers={"Authorization": "Bearer root"})
    issuer = Client(root, user_agent=user_agent("kube-controller-manager"))
    client = clients_for_accounts(issuer, "kube-system", {"job-controller"}, clock)["job-controller"]
    assert client.user_agent.startswith("kube-controller-manager/v1.36.0 (linux/")
    assert client.user_agent.endswith(" tiphys/system:serviceaccount:kube-system:job-controller")
    await client.get(PODS, "a", "d")
    await client.get(PODS, "a", "d")
    assert server.accounts == {"job-controller"}
    assert server.seen == ["t1", "t1"]
    clock.advance(3000)
    await client.get(PODS, "a", "d")
    assert server.seen[-1] == "t2"
    server.issued += 1
    await client.get(PODS, "a", "d")
    assert server.seen[-2:] == ["t2", "t4"]
    await client.close()
