"""Tokens of pods: kept, renewed in time, and not given up while the API server is away."""

from datetime import timedelta

import pytest

from tiphys.apimachinery.clock import FakeClock, rfc3339
from tiphys.apimachinery.errors import NotFound, ServiceUnavailable
from tiphys.client.transport import TransportError
from tiphys.kubelet.tokens import Tokens

HOUR = 3600
POD = {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {"serviceAccountName": "robot"}}


class Issuer:
    """Answers token requests as the API server does; ``fault`` is raised instead."""

    def __init__(self):
        self.clock = FakeClock()
        self.asked = []
        self.fault = None

    async def post(self, gvr, name, namespace, subresource, body):
        if self.fault is not None:
            raise self.fault
        self.asked.append((f"{namespace}/{name}/{subresource}", body["spec"]))
        ends = self.clock.now() + timedelta(seconds=body["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{len(self.asked)}", "expirationTimestamp": rfc3339(ends)}}


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture
def tokens(issuer):
    return Tokens(issuer, issuer.clock)


async def test_what_is_asked_for(issuer, tokens):
    assert await tokens.get(POD, "vault", HOUR) == b"t1"
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    spec = {"audiences": ["vault"], "expirationSeconds": HOUR, "boundObjectRef": bound}
    assert issuer.asked == [("d/robot/token", spec)]
    await tokens.get({**POD, "spec": {}}, "", HOUR)
    path, spec = issuer.asked[1]
    assert (path, spec["audiences"]) == ("d/default/token", [])


@pytest.mark.parametrize(
    ("life_s", "after_s", "renewed"),
    [
        (HOUR, 0.79 * HOUR, False),
        (HOUR, 0.8 * HOUR + 1, True),
        (30 * 24 * HOUR, 23.9 * HOUR, False),
        (30 * 24 * HOUR, 24 * HOUR + 1, True),
    ],
    ids=["most of its life", "near its end", "a long one's day", "a day"],
)
async def test_when_it_is_renewed(issuer, tokens, life_s, after_s, renewed):
    await tokens.get(POD, "", life_s)
    issuer.clock.advance(after_s)
    assert tokens.due("u") is renewed
    assert await tokens.get(POD, "", life_s) == (b"t2" if renewed else b"t1")
    assert not tokens.due("u")


async def test_audiences_lives_and_pods_have_their_own(issuer, tokens):
    other = {**POD, "metadata": {**POD["metadata"], "uid": "v"}}
    asked = [(POD, "", HOUR), (POD, "x", HOUR), (POD, "", 2 * HOUR), (other, "", HOUR)]
    assert [await tokens.get(*one) for one in asked] == [b"t1", b"t2", b"t3", b"t4"]
    assert [await tokens.get(*one) for one in asked] == [b"t1", b"t2", b"t3", b"t4"]
    tokens.forget("u")
    assert [await tokens.get(*one) for one in asked] == [b"t5", b"t6", b"t7", b"t4"]


@pytest.mark.parametrize("fault", [ServiceUnavailable("not now"), TransportError("refused")])
async def test_one_that_still_holds_does_until_the_server_is_back(issuer, tokens, fault, caplog):
    await tokens.get(POD, "", HOUR)
    issuer.clock.advance(0.9 * HOUR)
    issuer.fault = fault
    assert await tokens.get(POD, "", HOUR) == b"t1"
    assert "token not renewed pod=d/p" in caplog.text
    assert "t1" not in caplog.text
    assert tokens.due("u"), "it is tried again"
    issuer.fault = None
    assert await tokens.get(POD, "", HOUR) == b"t2"


async def test_without_one_that_holds_there_is_none(issuer, tokens):
    issuer.fault = NotFound("no robot")
    with pytest.raises(NotFound):
        await tokens.get(POD, "", HOUR)
    issuer.fault = None
    await tokens.get(POD, "", HOUR)
    issuer.clock.advance(HOUR)
    issuer.fault = ServiceUnavailable("not now")
    with pytest.raises(ServiceUnavailable):
        await tokens.get(POD, "", HOUR)
