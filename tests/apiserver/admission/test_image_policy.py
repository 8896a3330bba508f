"""ImagePolicyWebhook: what is asked, what is remembered, and what a service that fails means."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Forbidden
from tiphys.apis.table import TABLE
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.image_policy import ImagePolicy, ImagePolicyWebhook, question
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed

POD = {
    "metadata": {"name": "p", "annotations": {"a.image-policy.k8s.io/t": "1", "b": "2"}},
    "spec": {
        "containers": [{"image": "a"}], "initContainers": [{"image": "b"}],
        "ephemeralContainers": [{"image": "c"}],
    },
}  # fmt: skip


class Service:
    """Answers with one status, or fails."""

    def __init__(self, status: dict[str, Any] | None) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []
        self.closed = False

    async def post(self, body: dict[str, Any], _shapes: Any, _notes: Any = None) -> dict[str, Any]:
        self.asked.append(body)
        if self.status is None:
            raise RemoteFailed("connection refused")
        return {"status": self.status}

    async def close(self) -> None:
        self.closed = True


def attributes(clock: FakeClock, pod: dict[str, Any] = POD) -> Attributes:
    row = TABLE.by_path("", "v1", "pods")
    info = RequestInfo("", "create", is_resource=True, resource="pods", namespace="ns")
    request = SimpleNamespace(scope={})
    backend = SimpleNamespace(clock=clock, certificates=None)
    call = SimpleNamespace(resource=row, info=info, backend=backend, request=request)
    return Attributes(cast(Call, call), "CREATE", pod, None)


def plugin(service: Service, **policy: Any) -> ImagePolicyWebhook:
    return ImagePolicyWebhook(cast(Remote, service), ImagePolicy(**policy))


def test_the_question() -> None:
    told = {"a.image-policy.k8s.io/t": "1"}
    images = [{"image": "a"}, {"image": "b"}]
    assert question(POD, "ns", "") == {"containers": images, "namespace": "ns", "annotations": told}
    assert question(POD, "ns", "ephemeralcontainers")["containers"] == [{"image": "c"}]
    assert "annotations" not in question({"metadata": {}, "spec": {}}, "ns", "")


REFUSALS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "with a reason": (
        {"allowed": False, "reason": "old"}, "image policy webhook backend denied one or more images: old",
    ),
    "without": ({"allowed": False}, "one or more images rejected by webhook backend"),
    "no answer": (None, "connection refused"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "why"), REFUSALS.values(), ids=REFUSALS)
async def test_refusals(status: dict[str, Any] | None, why: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await plugin(Service(status)).validate(attributes(FakeClock()))
    assert caught.value.message == f'pods "p" is forbidden: {why}'


def audited() -> Attributes:
    made = attributes(FakeClock())
    made.call.request.scope["audit_annotations"] = {}
    return made


async def test_no_answer_may_mean_yes_and_is_noted() -> None:
    asked = audited()
    await plugin(Service(None), default_allow=True).validate(asked)
    noted = asked.call.request.scope["audit_annotations"]
    assert noted == {"imagepolicywebhook.image-policy.k8s.io/failed-open": "true"}


async def test_what_the_service_notes() -> None:
    asked = audited()
    await plugin(Service({"allowed": True, "auditAnnotations": {"k": "v"}})).validate(asked)
    assert asked.call.request.scope["audit_annotations"] == {"imagepolicywebhook.image-policy.k8s.io/k": "v"}


@pytest.mark.parametrize(("allowed", "ttl_s"), [(True, 300.0), (False, 30.0)])
async def test_answers_are_kept_for_a_time(allowed: bool, ttl_s: float) -> None:
    clock, service = FakeClock(), Service({"allowed": allowed})
    asks = plugin(service)

    async def ask() -> int:
        try:
            await asks.validate(attributes(clock))
        except Forbidden:
            assert not allowed
        return len(service.asked)

    assert [await ask(), await ask()] == [1, 1]
    clock.advance(ttl_s + 1)
    assert await ask() == 2


async def test_failures_are_not_kept() -> None:
    service = Service(None)
    asks = plugin(service, default_allow=True)
    for _ in range(2):
        await asks.validate(attributes(FakeClock()))
    assert len(service.asked) == 2


async def test_a_configured_service_is_asked(serving: Any, webhooks: Any, tmp_path: Path) -> None:
    async with webhooks.webhook_server() as server:
        (tmp_path / "ca.pem").write_bytes(server.ca.certificate)
        cluster = {"server": f"https://127.0.0.1:{server.port}/images", "certificate-authority": "ca.pem"}
        (tmp_path / "kube").write_text(yaml.safe_dump({
            "clusters": [{"name": "c", "cluster": cluster}], "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        }))  # fmt: skip
        said = {"imagePolicy": {"kubeConfigFile": str(tmp_path / "kube"), "retryBackoff": 1, "denyTTL": -1}}
        (tmp_path / "a.yaml").write_text(yaml.safe_dump(said))
        server.raw["/images"] = webhooks.Response(
            200, {"content-type": "application/json"},
            b'{"kind":"ImageReview","status":{"allowed":false,"reason":"no"}}',
        )  # fmt: skip
        off, on = ("ServiceAccount",), ("ImagePolicyWebhook",)
        async with serving(
            enabled_admission=on, disabled_admission=off, admission_config=tmp_path / "a.yaml"
        ) as api:
            answer = await api("POST", "/api/v1/namespaces/default/pods", {
                "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a:1"}]},
            })  # fmt: skip
        assert answer.message == (
            'pods "p" is forbidden: image policy webhook backend denied one or more images: no'
        )
        assert server.paths == ["/images?timeout=30s"]


async def test_connections_end_with_the_chain() -> None:
    service = Service(None)
    await plugin(service).close()
    assert service.closed
