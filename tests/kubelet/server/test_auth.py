"""Who may use the endpoint: certificates, tokens, nobody; what the API server is asked, and how often."""

from datetime import UTC, datetime

import orjson
import pytest
from cryptography.x509.oid import NameOID
from tests.wire.certificates import make, name

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Forbidden, InternalError, StatusError, Unauthorized
from tiphys.client.inprocess import InProcessTransport
from tiphys.client.rest import Client
from tiphys.client.reviews import ANONYMOUS, Caller, caller_of
from tiphys.kubelet.eviction.plan import parse_thresholds
from tiphys.kubelet.options import AccessOptions, KubeletOptions, ServerOptions
from tiphys.kubelet.server.auth import Access, subresources_of
from tiphys.kubelet.server.configz import configuration
from tiphys.wire.message import Request, Response
from tiphys.wire.pki import issue_client, make_ca

NOW = datetime.now(UTC)
CA = make_ca("ca", NOW)


def certificate(user, *groups):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    pair = issue_client(CA, user, groups, NOW)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


class Reviewer:
    """An API server that knows one token and allows what ``allowed`` names."""

    def __init__(self, *allowed):
        self.allowed = set(allowed)
        self.asked = []
        self.broken = False

    async def __call__(self, request):
        body = orjson.loads(request.body)
        self.asked.append(body)
        if self.broken:
            return Response(500, {"content-type": "application/json"}, b"{}")
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            user = {"username": "bob", "uid": "7", "groups": ["dev", "system:authenticated"],
                    "extra": {"k": ["v"]}}  # fmt: skip
            status = {"authenticated": True, "user": user} if spec["token"] == "good" else {}
        else:
            wanted = spec["resourceAttributes"]
            status = {"allowed": f"{wanted['verb']} {wanted['subresource']}" in self.allowed}
        return Response(201, {"content-type": "application/json"}, orjson.dumps({**body, "status": status}))


class Asked:
    def __init__(self, *allowed, **options):
        self.reviewer = Reviewer(*allowed)
        self.clock = FakeClock(NOW)
        client = Client(InProcessTransport(self.reviewer))
        self.access = Access(client, "n1", self.clock, AccessOptions(**options))
        self.access.trust(CA.certificate)

    async def __call__(self, path, method="GET", token="", who=None):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.access.check(
            Request(method, path, headers=headers, shown_certificates=(certificate(who),) if who else ())
        )

    def subresources(self):
        return [
            one["spec"]["resourceAttributes"]["subresource"]
            for one in self.reviewer.asked
            if one["kind"] == "SubjectAccessReview"
        ]


def test_caller():
    caller = caller_of(certificate("bob", "a", "b"))
    assert caller == Caller("bob", ("a", "b", "system:authenticated"), "", caller.extra)
    assert list(caller.extra) == ["authentication.kubernetes.io/credential-id"]
    assert caller_of(make(name((NameOID.ORGANIZATION_NAME, "a"))).der) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/stats/summary", ("stats",)),
        ("/metrics", ("metrics",)),
        ("/metrics/resource", ("metrics",)),
        ("/metricsandmore", ("proxy",)),
        ("/logs/", ("log",)),
        ("/checkpoint/ns/p/c", ("checkpoint",)),
        ("/pods", ("pods", "proxy")),
        ("/runningpods/", ("pods", "proxy")),
        ("/healthz", ("healthz", "proxy")),
        ("/healthz/ping", ("healthz", "proxy")),
        ("/configz", ("configz", "proxy")),
        ("/exec/a/b/c", ("proxy",)),
        ("/containerLogs/a/b/c", ("proxy",)),
    ],
)
def test_what_a_path_is_part_of(path, expected):
    assert subresources_of(path) == expected


@pytest.mark.parametrize(
    ("allowed", "method", "path", "asked", "refusal"),
    [
        (["get pods"], "GET", "/pods", ["pods"], ""),
        (["get proxy"], "GET", "/pods", ["pods", "proxy"], ""),
        (["get metrics"], "GET", "/metrics/cadvisor", ["metrics"], ""),
        (["create proxy"], "POST", "/exec/a/b/c", ["proxy"], ""),
        (["get proxy"], "POST", "/exec/a/b/c", ["proxy"], "create, resource=nodes, subresource(s)=[proxy]"),
        (["get pods"], "GET", "/configz", ["configz", "proxy"],
         "get, resource=nodes, subresource(s)=[configz proxy]"),
        (["get proxy"], "GET", "/stats/summary", ["stats"], "get, resource=nodes, subresource(s)=[stats]"),
    ],
)  # fmt: skip
async def test_what_is_asked(allowed, method, path, asked, refusal):
    ask = Asked(*allowed)
    if refusal:
        with pytest.raises(Forbidden) as refused:
            await ask(path, method, who="bob")
        assert refused.value.message == f"Forbidden (user=bob, verb={refusal})\n"
    else:
        assert (await ask(path, method, who="bob")).name == "bob"
    assert ask.subresources() == asked


async def test_a_token_is_reviewed_and_its_user_asked_about():
    ask = Asked("get pods")
    assert (await ask("/pods", token="good")).name == "bob"
    token, review = ask.reviewer.asked
    assert token["spec"] == {"token": "good"}
    assert review["spec"] == {
        "user": "bob", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"k": ["v"]},
        "resourceAttributes": {
            "verb": "get", "version": "v1", "resource": "nodes", "subresource": "pods", "name": "n1",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "token", "expected"),
    [
        ({}, "", Unauthorized),
        ({}, "stranger", Unauthorized),
        ({"anonymous": True}, "stranger", Unauthorized),
        ({"anonymous": True}, "", Forbidden),
        ({"webhook_authentication": False}, "good", Unauthorized),
        ({"anonymous": True, "webhook_authorization": False}, "", None),
    ],
)
async def test_who_is_let_in(options, token, expected):
    ask = Asked(**options)
    if expected is None:
        assert await ask("/pods", token=token) == ANONYMOUS
        return
    with pytest.raises(expected):
        await ask("/pods", token=token)


@pytest.mark.parametrize(
    ("options", "token", "expected"),
    [
        ({}, "", Unauthorized),
        ({"anonymous": True}, "", Unauthorized),
        ({}, "stranger", Unauthorized),
        ({}, "good", "bob"),
        ({"webhook_authentication": False}, "good", Unauthorized),
    ],
)
async def test_a_certificate_that_nobody_vouches_for(options, token, expected):
    ask = Asked("get pods", **options)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    request = Request("GET", "/pods", headers=headers, shown_certificates=(make("admin").der,))
    if expected is Unauthorized:
        with pytest.raises(Unauthorized):
            await ask.access.check(request)
    else:
        assert (await ask.access.check(request)).name == expected


async def test_a_certificate_ends_while_its_connection_does_not():
    ask = Asked("get pods")
    request = Request("GET", "/pods", shown_certificates=(certificate("bob"),))
    assert (await ask.access.check(request)).name == "bob"
    ask.clock.advance(3651 * 24 * 3600)
    with pytest.raises(Unauthorized):
        await ask.access.check(request)


async def test_without_authorities_certificates_say_nothing():
    ask = Asked(anonymous=True)
    ask.access.trust(b"")
    request = Request("GET", "/pods", shown_certificates=(certificate("x", "system:masters"),))
    with pytest.raises(Forbidden, match="user=system:anonymous"):
        await ask.access.check(request)


async def test_administrators_need_no_question():
    ask = Asked()
    request = Request("GET", "/exec/a/b/c", shown_certificates=(certificate("x", "system:masters"),))
    assert (await ask.access.check(request)).name == "x"
    assert ask.reviewer.asked == []


async def test_nobody_to_ask_is_no_permission():
    ask = Asked("get proxy")
    ask.reviewer.broken = True
    with pytest.raises(InternalError) as failed:
        await ask("/exec/a/b/c", who="bob")
    assert failed.value.message == (
        "Authorization error (user=bob, verb=get, resource=nodes, subresource=proxy)"
    )
    with pytest.raises(Unauthorized):
        await ask("/exec/a/b/c", token="good")
    ask.reviewer.broken = False
    assert (await ask("/exec/a/b/c", who="bob")).name == "bob"  # a failure is not remembered


async def test_how_long_answers_are_remembered():
    ask = Asked("get stats", authorized_ttl_s=300, unauthorized_ttl_s=30, token_ttl_s=120)

    async def kinds(path):
        ask.reviewer.asked.clear()
        try:
            await ask(path, token="good")
        except StatusError:
            pass
        return [one["kind"].removesuffix("Review") for one in ask.reviewer.asked]

    assert await kinds("/stats/summary") == ["Token", "SubjectAccess"]
    assert await kinds("/logs/") == ["SubjectAccess"]
    ask.clock.advance(29)
    assert await kinds("/logs/") == []
    ask.clock.advance(2)
    assert await kinds("/logs/") == ["SubjectAccess"]
    ask.clock.advance(100)
    assert await kinds("/stats/summary") == ["Token"]
    ask.clock.advance(200)
    assert await kinds("/stats/summary") == ["Token", "SubjectAccess"]


def test_settings_are_shown_as_they_are(tmp_path):
    options = KubeletOptions(
        "n1", max_pods=42, static_pod_dir=tmp_path, eviction_transition_s=90,
        thresholds=parse_thresholds("memory.available<1Mi", "nodefs.available<5%", "nodefs.available=2m"),
        reserved=({"cpu": "100m"}, {}),
        server=ServerOptions(client_ca=tmp_path / "ca", access=AccessOptions(anonymous=True)),
    )  # fmt: skip
    found = configuration(options)
    assert (found["maxPods"], found["staticPodPath"]) == (42, str(tmp_path))
    assert found["evictionHard"] == {"memory.available": "1Mi"}
    assert found["evictionSoft"] == {"nodefs.available": "5%"}
    assert found["evictionSoftGracePeriod"] == {"nodefs.available": "2m0s"}
    assert found["evictionPressureTransitionPeriod"] == "1m30s"
    assert found["systemReserved"] == {"cpu": "100m"}
    assert "kubeReserved" not in found
    assert found["authentication"] == {
        "x509": {"clientCAFile": str(tmp_path / "ca")},
        "webhook": {"enabled": True, "cacheTTL": "2m0s"}, "anonymous": {"enabled": True},
    }  # fmt: skip
    assert found["authorization"]["mode"] == "Webhook"
    alone = configuration(KubeletOptions("n1", server=None))
    assert alone["enableServer"] is False
    assert "authentication" not in alone
