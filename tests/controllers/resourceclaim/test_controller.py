"""The shell around pods' claims: what is made once, told, reserved and taken back; what is tried again."""

import pytest

from tiphys.apimachinery.errors import Conflict, Forbidden
from tiphys.client.kinds import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from tiphys.controllers.resourceclaim.controller import ResourceClaimController
from tiphys.controllers.resourceclaim.plan import FINALIZER, POD_CLAIM_NAME

SPEC = {"devices": {"requests": [{"name": "gpu"}]}}


def put_pod(world, *asked, name="web", node="", phase="Pending"):
    spec = {"resourceClaims": list(asked), **({"nodeName": node} if node else {})}
    meta = {"name": name, "namespace": "d"}
    return world.api.put(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": phase}}
    )


def put_template(world, name="t"):
    return world.api.put(
        RESOURCE_CLAIM_TEMPLATES, {"metadata": {"name": name, "namespace": "d"}, "spec": {"spec": SPEC}}
    )


def put_claim(world, name="shared", consumers=(), **meta):
    status = {"allocation": {"devices": {}}, "reservedFor": [consumer(pod) for pod in consumers]}
    return world.api.put(
        RESOURCE_CLAIMS,
        {"metadata": {"name": name, "namespace": "d", **meta}, "spec": SPEC, "status": status},
    )


def consumer(pod):
    return {"resource": "pods", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}


FROM_TEMPLATE = {"name": "gpu", "resourceClaimTemplateName": "t"}
SHARED = {"name": "gpu", "resourceClaimName": "shared"}


def claims(world):
    return world.api.all(RESOURCE_CLAIMS)


def statuses(world, name="web"):
    return world.api.get(PODS, name, "d")["status"].get("resourceClaimStatuses")


async def test_a_claim_is_made_once_and_told(world):
    pod = put_pod(world, FROM_TEMPLATE)
    put_template(world)
    async with world.running(ResourceClaimController):
        (claim,) = claims(world)
        meta = claim["metadata"]
        assert (claim["spec"], meta["annotations"]) == (SPEC, {POD_CLAIM_NAME: "gpu"})
        assert [one["uid"] for one in meta["ownerReferences"]] == [pod["metadata"]["uid"]]
        assert statuses(world) == [{"name": "gpu", "resourceClaimName": meta["name"]}]
        live = world.api.get(PODS, "web", "d")
        world.api.put(PODS, {**live, "metadata": {**live["metadata"], "labels": {"a": "b"}}})
        await world.settle()
        assert len(claims(world)) == 1


async def test_one_that_was_made_before_a_restart_is_found_again(world, make_world):
    """The controller ended after it had made the claim, and before it could tell the pod."""
    put_pod(world, FROM_TEMPLATE)
    put_template(world)
    world.api.reactors.append(lambda request: Forbidden("no") if request.method == "PATCH" else None)
    async with world.running(ResourceClaimController):
        (claim,) = claims(world)
        assert statuses(world) is None
    after = make_world()
    after.api.objects, after.api.revision = world.api.objects, world.api.revision
    async with after.running(ResourceClaimController):
        assert [one["metadata"]["name"] for one in claims(after)] == [claim["metadata"]["name"]]
        assert statuses(after) == [{"name": "gpu", "resourceClaimName": claim["metadata"]["name"]}]


async def test_a_template_may_come_later(world):
    put_pod(world, FROM_TEMPLATE)
    async with world.running(ResourceClaimController):
        text = 'resource claim template "t": resourceclaimtemplate.resource.k8s.io "t" not found'
        assert ("FailedResourceClaimCreation", f"PodResourceClaim gpu: {text}") in world.events()
        assert claims(world) == []
        put_template(world)
        await world.settle()
        assert len(claims(world)) == 1


async def test_a_claim_that_is_refused_is_told_of_and_tried_again(world):
    put_pod(world, FROM_TEMPLATE)
    put_template(world)
    world.api.reactors.append(lambda request: Forbidden("quota") if request.method == "POST"
                              and request.path.endswith("/resourceclaims") else None)  # fmt: skip
    async with world.running(ResourceClaimController):
        assert ("FailedResourceClaimCreation", "PodResourceClaim gpu: quota") in world.events()
        world.api.reactors.clear()
        await world.advance(1000)
        assert len(claims(world)) == 1


async def test_a_pod_that_nobody_scheduled_becomes_a_consumer(world):
    pod = put_pod(world, SHARED, node="n1")
    other = put_pod(world, SHARED, name="other", phase="Running", node="n1")
    put_claim(world, consumers=[other])
    async with world.running(ResourceClaimController):
        (claim,) = claims(world)
        assert claim["status"]["reservedFor"] == [consumer(other), consumer(pod)]


async def test_a_reservation_that_lost_a_race_is_made_after_all(world):
    """Somebody else changed the shared claim meanwhile, and nothing else ever happens to the pod."""
    pod = put_pod(world, SHARED, node="n1")
    put_claim(world)
    lost = []

    def react(request):
        if request.method == "PUT" and request.path.endswith("/shared/status") and not lost:
            lost.append(request)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(ResourceClaimController):
        assert lost
        (claim,) = claims(world)
        assert claim["status"]["reservedFor"] == [consumer(pod)]


async def test_devices_go_back_when_their_last_pod_is_done(world):
    first, second = (put_pod(world, SHARED, name=name, node="n1", phase="Running") for name in ("a", "b"))
    put_claim(world, consumers=[first, second], finalizers=[FINALIZER])
    async with world.running(ResourceClaimController):
        world.api.put(PODS, {**first, "status": {"phase": "Succeeded"}})
        await world.settle()
        (claim,) = claims(world)
        assert claim["status"]["reservedFor"] == [consumer(second)]
        assert "allocation" in claim["status"]
        world.api.remove(PODS, "b", "d")
        await world.settle()
        (claim,) = claims(world)
        assert claim["status"] == {}
        assert claim["metadata"].get("finalizers") == []


async def test_a_pods_own_claim_goes_when_the_pod_is_done(world):
    pod = put_pod(world, FROM_TEMPLATE)
    put_template(world)
    async with world.running(ResourceClaimController):
        assert len(claims(world)) == 1
        world.api.put(PODS, {**world.api.get(PODS, "web", "d"), "status": {"phase": "Failed"}})
        await world.settle()
        assert claims(world) == []
    assert pod["metadata"]["uid"] == world.api.get(PODS, "web", "d")["metadata"]["uid"]


@pytest.mark.parametrize("verb", ["PUT", "DELETE"])
async def test_one_that_goes_meanwhile_is_no_fault(world, verb, caplog):
    pod = put_pod(world, SHARED, node="n1", phase="Failed")
    own = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "web",
        "uid": pod["metadata"]["uid"],
        "controller": True,
    }
    consumers = [pod] if verb == "PUT" else []
    put_claim(world, consumers=consumers, ownerReferences=[own])

    def react(request):
        if request.method == verb and "resourceclaims" in request.path and claims(world):
            world.api.remove(RESOURCE_CLAIMS, "shared", "d")
        return

    world.api.reactors.append(react)
    async with world.running(ResourceClaimController):
        assert claims(world) == []
    assert "failed" not in caplog.text
