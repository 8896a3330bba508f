"""What is counted of requests: by path, method and kind of server, until a stream has ended."""

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.families import text_of
from tiphys.kubelet.server.http_counts import HttpCounts, bucket_of
from tiphys.wire.message import Request, Response


@pytest.mark.parametrize(
    ("path", "bucket"),
    [
        ("/healthz", "healthz"),
        ("/healthz/ping", "healthz"),
        ("/attach/ns/p/uid/c", "attach"),
        ("/portForward/ns/p", "portForward"),
        ("/debug/flags/v", "debug"),
        ("/debug/pprof/subpath", "debug"),
        ("/metrics", "metrics"),
        ("/metrics/cadvisor", "metrics/cadvisor"),
        ("/metrics/slis", "other"),
        ("/pods/", "pods"),
        ("/stats/summary", "stats"),
        ("/junk", "other"),
        ("/healthzjunk", "other"),
        ("", "other"),
        ("//", "other"),
    ],
)
def test_buckets(path, bucket):
    assert bucket_of(path) == bucket


class Counted:
    def __init__(self):
        self.clock = FakeClock()
        self.counts = HttpCounts(self.clock)

    async def answered(self, response, path="/pods", method="GET", server="readwrite"):
        async def answer(request):
            self.clock.advance(0.2)
            return response

        return await self.counts.count(Request(method, path), answer, server=server)

    def lines(self):
        return [line for line in text_of(self.counts.collect()).decode().splitlines() if line[0] != "#"]

    def one(self, name):
        (line,) = (line for line in self.lines() if line.startswith(f"kubelet_http_{name}{{"))
        return line.removeprefix(f"kubelet_http_{name}")


async def test_a_plain_answer():
    it = Counted()
    await it.answered(Response(404), "/exec/ns/p/c", "BREW", "readonly")
    labels = 'long_running="true",method="other",path="exec",server_type="readonly"'
    assert it.one("requests_total") == f"{{{labels}}} 1"
    assert it.one("inflight_requests") == f"{{{labels}}} 0"
    assert it.one("requests_duration_seconds_count") == f"{{{labels}}} 1"
    assert it.one("requests_duration_seconds_sum") == f"{{{labels}}} 0.2"


async def test_an_answer_that_fails():
    it = Counted()

    async def answer(request):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await it.counts.count(Request("GET", "/pods"), answer, server="readonly")
    assert it.one("inflight_requests").endswith(" 0")


class Pieces:
    """A stream of two pieces that says whether it was closed."""

    def __init__(self):
        self.left, self.closed = [b"a", b"b"], False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

    async def aclose(self):
        self.closed = True


@pytest.mark.parametrize("read", [0, 1, 3])
async def test_a_stream_lasts_until_it_ends_or_is_closed(read):
    it, pieces = Counted(), Pieces()
    response = await it.answered(Response(200, stream=pieces))
    assert it.one("inflight_requests").endswith(" 1")
    it.clock.advance(5)
    for _ in range(read):
        await anext(response.stream, b"")
    await response.stream.aclose()
    assert pieces.closed
    assert it.one("inflight_requests").endswith(" 0")
    assert it.one("requests_duration_seconds_count").endswith(" 1")
    assert it.one("requests_duration_seconds_sum").endswith(" 5.2")


async def test_an_upgrade_lasts_until_it_ends():
    it = Counted()

    async def upgrade(stream):
        assert it.one("inflight_requests").endswith(" 1")

    response = await it.answered(Response(101, upgrade=upgrade))
    await response.upgrade(None)
    assert it.one("inflight_requests").endswith(" 0")
