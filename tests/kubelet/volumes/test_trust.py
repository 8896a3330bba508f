"""Which trust bundles a projected volume shows, and as what."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pods import pod

from tiphys.apimachinery.errors import NotFound
from tiphys.kubelet.kuberuntime.downward import NodeFacts, PodAddresses
from tiphys.kubelet.volumes.atomic import Payload
from tiphys.kubelet.volumes.manager import Volumes
from tiphys.kubelet.volumes.payload import Sources, VolumeProblem, volume_files
from tiphys.kubelet.volumes.trust import NoBundle, trust_anchors

A, B, C = (ssl.DER_cert_to_PEM_cert(name * 80) for name in (b"a", b"b", b"c"))


def bundle(name: str, *anchors: str, signer: str = "", **labels: str) -> dict[str, Any]:
    spec = {"trustBundle": "".join(anchors), **({"signerName": signer} if signer else {})}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


BUNDLES = [
    bundle("roots", B, "noise\n", A, B),
    bundle("e.com:s:1", A, signer="e.com/s", live="yes"),
    bundle("e.com:s:2", C, A, signer="e.com/s", live="no"),
    bundle("e.com:t:1", B, signer="e.com/t", live="yes"),
]
SIGNER = {"signerName": "e.com/s"}


@pytest.mark.parametrize(
    ("source", "anchors"),
    [
        ({"name": "roots"}, A + B),
        ({"name": "no", "optional": True}, ""),
        ({**SIGNER, "labelSelector": {}}, A + C),
        ({**SIGNER, "labelSelector": {"matchLabels": {"live": "yes"}}}, A),
        ({**SIGNER, "optional": True}, ""),
    ],
)
def test_what_is_shown(source: Mapping[str, Any], anchors: str) -> None:
    assert trust_anchors(source, BUNDLES).decode() == anchors


ZERO = "combination of signerName and labelSelector matched zero ClusterTrustBundles"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            {"name": "no"},
            'while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io "no" not found',
        ),
        (SIGNER, ZERO),
        ({**SIGNER, "labelSelector": {"matchLabels": {"live": "maybe"}}}, ZERO),
    ],
)
def test_what_is_not_there(source: Mapping[str, Any], text: str) -> None:
    with pytest.raises(NoBundle) as caught:
        trust_anchors(source, BUNDLES)
    assert str(caught.value) == text


def volume(**source: Any) -> dict[str, Any]:
    return {"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "a.pem", **source}}]}}


SOURCES = Sources(
    lambda _: None, lambda _: None, PodAddresses(), NodeFacts(), lambda _audience, _seconds: b""
)


def test_files_are_for_the_user_that_is_known() -> None:
    sources = replace(SOURCES, trust_bundles=BUNDLES)
    roots = (A + B).encode()
    assert volume_files(pod(), volume(name="roots"), sources) == {"a.pem": Payload(roots, 0o644)}
    owned = pod(securityContext={"runAsUser": 7})
    assert volume_files(owned, volume(name="roots"), sources) == {"a.pem": Payload(roots, 0o600, 7)}
    with pytest.raises(VolumeProblem, match=ZERO):
        volume_files(pod(), volume(**SIGNER), sources)


class Api:
    """Serves trust bundles at one version, and counts who asks."""

    def __init__(self, version: str) -> None:
        self.version, self.asked = version, list[str]()

    async def list(self, gvr: Any) -> dict[str, Any]:
        self.asked.append(gvr.version)
        if gvr.version != self.version:
            raise NotFound("the server could not find the requested resource")
        return {"items": BUNDLES}


@pytest.mark.parametrize(
    ("version", "asked"), [("v1beta1", ["v1beta1"]), ("v1alpha1", ["v1beta1", "v1alpha1"])]
)
async def test_who_needs_them_asks_for_them(tmp_path: Path, version: str, asked: list[str]) -> None:
    api: Any = Api(version)
    nobody: Any = None
    volumes = Volumes(tmp_path, api, nobody, nobody)
    sources = await volumes._sources(pod(), {"name": "v", "projected": {"sources": []}}, PodAddresses())
    assert (sources.trust_bundles, api.asked) == ((), [])
    sources = await volumes._sources(pod(), volume(name="roots"), PodAddresses())
    assert (sources.trust_bundles, api.asked) == (BUNDLES, asked)


def test_what_is_no_certificate_is_left_out() -> None:
    broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"
    shown = trust_anchors({"name": "x"}, [bundle("x", broken, A)])
    assert ssl.PEM_cert_to_DER_cert(shown.decode()) == b"a" * 80
