"""The API server's CA is published as one bundle of its signer, whatever else lies there."""

import hashlib

import pytest
from tests.controllers.test_metrics import Since

from tiphys.apimachinery.errors import NotFound
from tiphys.client.kinds import CLUSTER_TRUST_BUNDLES, CLUSTER_TRUST_BUNDLES_V1ALPHA1
from tiphys.controllers import metrics
from tiphys.controllers.certificates.trust_bundles import SIGNER, TrustBundlePublisher

NAME = f"kubernetes.io:kube-apiserver-serving:{hashlib.sha256(b'PEM').hexdigest()[:24]}"


def serve(world, *served):
    for version in ("v1beta1", "v1alpha1"):
        path = f"/apis/certificates.k8s.io/{version}"
        if version in served:
            world.api.discovery[path] = {"resources": [{"name": "clustertrustbundles"}]}

    def away(request):
        gone = request.path in {f"/apis/certificates.k8s.io/{one}" for one in ("v1beta1", "v1alpha1")}
        return NotFound("away") if gone and request.path not in world.api.discovery else None

    world.api.reactors.append(away)


def bundle(name, pem, signer=SIGNER):
    return {"metadata": {"name": name}, "spec": {"signerName": signer, "trustBundle": pem}}


@pytest.mark.parametrize(
    ("served", "gvr"),
    [
        (("v1beta1", "v1alpha1"), CLUSTER_TRUST_BUNDLES),
        (("v1alpha1",), CLUSTER_TRUST_BUNDLES_V1ALPHA1),
    ],
    ids=["both", "alpha"],
)
async def test_one_bundle(make_world, served, gvr):
    world = make_world(root_ca_pem="PEM")
    serve(world, *served)
    world.api.put(gvr, bundle("old", "OLD"))
    world.api.put(gvr, bundle("other", "OTHER", "example.com/other"))
    since = Since(metrics.REGISTRY)
    async with world.running(TrustBundlePublisher):
        await world.settle()
        found = {one["metadata"]["name"]: one["spec"] for one in world.api.all(gvr)}
        assert found.keys() == {NAME, "other"}
        assert found[NAME] == {"signerName": SIGNER, "trustBundle": "PEM"}
        world.api.put(gvr, bundle(NAME, "CHANGED"))
        await world.settle()
        assert world.api.get(gvr, NAME)["spec"]["trustBundle"] == "PEM"
        world.api.remove(gvr, NAME)
        await world.settle()
        assert world.api.get(gvr, NAME) is not None
    assert since("clustertrustbundle_publisher_sync_total", code="200") >= 3
    assert since("clustertrustbundle_publisher_sync_duration_seconds_count", code="200") >= 3


@pytest.mark.parametrize(("pem", "served"), [("", ("v1beta1",)), ("PEM", ())], ids=["no CA", "not served"])
async def test_nothing_to_publish(make_world, pem, served):
    world = make_world(root_ca_pem=pem)
    serve(world, *served)
    async with world.running(TrustBundlePublisher):
        await world.settle()
    assert not world.api.writes()
