"""A component's endpoint: open health, guarded metrics, and what they count."""

import asyncio

import orjson
import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.client import metrics
from tiphys.client.endpoint import ComponentEndpoint, with_endpoint
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.client.workqueue import WorkQueue
from tiphys.wire.message import Request, Response


class Reviews:
    """An API server that knows one token and what its user may."""

    def __init__(self):
        self.allowed = True
        self.asked = 0

    async def __call__(self, request):
        self.asked += 1
        body = orjson.loads(request.body)
        if request.path.endswith("tokenreviews"):
            good = body["spec"]["token"] == "good"
            status = {"authenticated": good, "user": {"username": "alice", "groups": ["g"]}}
        else:
            assert body["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
            assert body["spec"]["user"] == "alice"
            status = {"allowed": self.allowed}
        answer = orjson.dumps({**body, "status": status})
        return Response(201, {"content-type": "application/json"}, answer)


@pytest.fixture
async def world():
    reviews, clock = Reviews(), FakeClock()
    client = Client(InProcessTransport(reviews))
    yield reviews, clock, ComponentEndpoint("kube-scheduler", client, clock)
    await client.close()


def get(path, token=""):
    return Request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/healthz", "", 200), ("/livez", "", 200), ("/readyz", "", 200), ("/metrics", "", 401),
     ("/metrics", "bad", 401), ("/metrics", "good", 200), ("/other", "good", 404)],
)  # fmt: skip
async def test_who_may_read_what(world, path, token, status):
    _, _, endpoint = world
    assert (await endpoint.handle(get(path, token))).status == status


async def test_an_answer_is_remembered_for_a_while(world):
    reviews, clock, endpoint = world
    reviews.allowed = False
    answer = await endpoint.handle(get("/metrics", "good"))
    assert (answer.status, answer.body) == (403, b'User "alice" cannot get path "/metrics"')
    reviews.allowed = True
    asked = reviews.asked
    assert (await endpoint.handle(get("/metrics", "good"))).status == 403
    assert reviews.asked == asked
    clock.advance(11)
    assert (await endpoint.handle(get("/metrics", "good"))).status == 200


async def test_queues_are_counted():
    clock = FakeClock()
    queue = WorkQueue("counted-queue", clock=clock)
    for key in ("a", "b", "a"):
        queue.add(key)

    def lines():
        text = metrics.render().decode().splitlines()
        rows = [
            line.rsplit(" ", 1) for line in text if 'name="counted-queue"' in line and "bucket" not in line
        ]
        return {name.split("{")[0]: float(value) for name, value in rows}

    assert lines()["workqueue_adds_total"] == 2.0
    assert lines()["workqueue_depth"] == 2.0
    clock.advance(3)
    key = await queue.get()
    clock.advance(2)
    queue.done(key)
    queue.add_rate_limited(key)
    found = lines()
    assert found["workqueue_queue_duration_seconds_sum"] == 3.0
    assert found["workqueue_work_duration_seconds_sum"] == 2.0
    assert (found["workqueue_retries_total"], found["workqueue_depth"]) == (1.0, 1.0)
    queue.close()


async def test_the_endpoint_ends_with_the_work(world):
    _, _, endpoint = world
    done = []

    async def work():
        await asyncio.sleep(0)
        done.append(True)

    await with_endpoint(endpoint, "127.0.0.1", 0, work())
    assert done == [True]
