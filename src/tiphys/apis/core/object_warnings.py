"""What the API tells clients about nodes, volumes, claims, accounts and endpoints that it lets through."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.meta import Object
from tiphys.apis.core.address_warnings import cidr_warnings, ip_warnings
from tiphys.apis.core.pod_warnings import fractions, spec_warnings, term_warnings, unchanged
from tiphys.apis.defaulting import each, peek

_CLASS = "volume.beta.kubernetes.io/storage-class"
_OLD_CLASS = (
    f'metadata.annotations[{_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
)
_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_OLD_OPTIONS = (
    f'metadata.annotations[{_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead'
)
_OLD_VOLUMES = {
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_MANAGED_BY, _MANAGER = "endpoints.kubernetes.io/managed-by", "endpoint-controller"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


def volume_warnings(volume: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a PersistentVolume."""
    spec, annotations = peek(volume, "spec"), peek(volume, "metadata", "annotations")
    old = ((_CLASS, _OLD_CLASS), (_OPTIONS, _OLD_OPTIONS))
    found = [text for key, text in old if key in annotations]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
            "recommended approach is to use dynamic provisioning."
        )
    for index, term in enumerate(each(spec, "nodeAffinity", "required", "nodeSelectorTerms")):
        found += term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    return found + [
        f"spec.{shown}: {text}" for key, (shown, text) in _OLD_VOLUMES.items() if spec.get(key) is not None
    ]


def claim_warnings(claim: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a PersistentVolumeClaim."""
    found = [_OLD_CLASS] if _CLASS in peek(claim, "metadata", "annotations") else []
    for kind in ("requests", "limits"):
        amounts = peek(claim, "spec", "resources", kind)
        found += fractions(amounts, f"spec.resources.{kind}", ("storage",))
    return found


def node_warnings(node: Object, _old: Object | None) -> list[str]:
    """Return the warnings about a Node."""
    spec = peek(node, "spec")
    found = ["spec.configSource: the feature is removed"] if spec.get("configSource") is not None else []
    if spec.get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for index, cidr in enumerate(spec.get("podCIDRs") or ()):
        found += cidr_warnings(f"spec.podCIDRs[{index}]", str(cidr))
    return found


def account_warnings(account: Object, old: Object | None) -> list[str]:
    """Return the warnings about a ServiceAccount; what it had before is not told again."""
    if _ENFORCE in peek(old or {}, "metadata", "annotations"):
        return []
    if _ENFORCE not in peek(account, "metadata", "annotations"):
        return []
    return [
        f"metadata.annotations[{_ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate "
        "access to mounted secrets"
    ]


def endpoints_warnings(endpoints: Object, _old: Object | None) -> list[str]:
    """Return the warnings about the addresses of Endpoints; a controller puts its own right by itself."""
    if peek(endpoints, "metadata", "labels").get(_MANAGED_BY) == _MANAGER:
        return []
    return list(_endpoint_addresses(endpoints))


def _endpoint_addresses(endpoints: Object) -> Iterator[str]:
    for number, subset in enumerate(each(endpoints, "subsets")):
        for key in ("addresses", "notReadyAddresses"):
            for index, address in enumerate(each(subset, key)):
                yield from ip_warnings(f"subsets[{number}].{key}[{index}].ip", str(address.get("ip")))


def pod_template_warnings(obj: Object, old: Object | None) -> list[str]:
    """Return the warnings about a PodTemplate."""
    template = peek(obj, "template")
    if unchanged(obj, old):
        return []
    annotations = peek(template, "metadata", "annotations")
    return spec_warnings(
        peek(template, "spec"), "template.spec", annotations, "template.metadata.annotations"
    )
