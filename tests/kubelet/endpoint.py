"""As much of a node as its endpoint needs, and the way to ask it."""

from fake_cri import FakeRuntime

from tiphys.apimachinery.clock import FakeClock
from tiphys.client.reviews import Caller
from tiphys.kubelet.kuberuntime.sandbox import NodeSettings
from tiphys.wire.message import Request


class Everybody:
    async def check(self, request):
        return Caller("me")


class Cache:
    def __init__(self, runtime):
        self.runtime = runtime

    def get(self, uid):
        return self.runtime

    def all(self):
        return [self.runtime]


class Context:
    def __init__(self, tmp_path, runtime_pod):
        self.runtime = FakeRuntime()
        self.cache = Cache(runtime_pod)
        self.clock = FakeClock()
        self.settings = NodeSettings(logs_dir=str(tmp_path))
        self.client = None
        self.name = "n1"
        self.tracing = None


async def ask(made, path, query="", method="GET", **headers):
    response = await made.handle(Request(method, path, query, headers))
    body = response.body
    if response.stream is not None:
        body = b"".join([piece async for piece in response.stream])
    return response.status, body.decode()
