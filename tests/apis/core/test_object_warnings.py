"""What clients are warned about in objects other than pods, and when updates are silent."""

# ruff: noqa: E501

from __future__ import annotations

import random
from typing import Any

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.apis.core.address_warnings import cidr_warnings, ip_warnings
from tiphys.apis.core.path_warnings import overlapping_paths
from tiphys.apis.core.pod_warnings import pod_warnings
from tiphys.apis.meta_validation import finalizer_warnings
from tiphys.apis.strategies import strategy_for

OLD_CLASS = {"annotations": {"volume.beta.kubernetes.io/storage-class": "a"}}
OLD_CLASS_TEXT = (
    'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" '
    "attribute instead"
)
ZONE = "failure-domain.beta.kubernetes.io/zone"
ARCH_TEXT = 'deprecated since v1.14; use "kubernetes.io/arch" instead'
ZONE_TEXT = 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
FUTURE = "will be considered invalid in a future Kubernetes release: use"
TEMPLATE = {"spec": {"containers": [{"name": "c"}], "nodeSelector": {"beta.kubernetes.io/arch": "x"}}}
MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)
INDEXED = {"completionMode": "Indexed", "completions": 200_000, "parallelism": 20_000}

CASES: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "a plain volume": ("", "PersistentVolume", {"spec": {}}, []),
    "a volume with options": (
        "",
        "PersistentVolume",
        {"metadata": {"annotations": {"volume.beta.kubernetes.io/mount-options": ""}}, "spec": {}},
        [
            "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use "
            '"mountOptions" attribute instead'
        ],
    ),
    "an old volume": (
        "",
        "PersistentVolume",
        {
            "metadata": OLD_CLASS,
            "spec": {
                "persistentVolumeReclaimPolicy": "Recycle",
                "storageos": {},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE}]}]}},
            },
        },
        [
            OLD_CLASS_TEXT,
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
            "recommended approach is to use dynamic provisioning.",
            f"spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {ZONE} is {ZONE_TEXT}",
            "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
        ],
    ),
    "an old claim": (
        "",
        "PersistentVolumeClaim",
        {
            "metadata": OLD_CLASS,
            "spec": {"resources": {"requests": {"storage": "1500m"}, "limits": {"storage": "2500m"}}},
        },
        [
            OLD_CLASS_TEXT,
            'spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer',
            'spec.resources.limits[storage]: fractional byte value "2500m" is invalid, must be an integer',
        ],
    ),
    "an old node": (
        "",
        "Node",
        {"spec": {"configSource": {}, "externalID": "x", "podCIDRs": ["10.0.0.0/24", "fd00:0::/64"]}},
        [
            "spec.configSource: the feature is removed",
            "spec.externalID: this field is deprecated, and is unused by Kubernetes",
            'spec.podCIDRs[1]: IPv6 CIDR value "fd00:0::/64" should be in RFC 5952 canonical format ("fd00::/64")',
        ],
    ),
    "an account": (
        "",
        "ServiceAccount",
        {"metadata": {"annotations": {ENFORCE: "true"}}},
        [
            f"metadata.annotations[{ENFORCE}]: deprecated in v1.32+; prefer separate namespaces to isolate access "
            "to mounted secrets"
        ],
    ),
    "endpoints": (
        "",
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "notReadyAddresses": [{"ip": "FD00::1"}]}]},
        [
            'subsets[0].notReadyAddresses[0].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format '
            '("fd00::1")'
        ],
    ),
    "endpoints of their controller": (
        "",
        "Endpoints",
        {
            "metadata": {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
            "subsets": [{"addresses": [{"ip": "FD00::1"}]}],
        },
        [],
    ),
    "a pod template": (
        "",
        "PodTemplate",
        {"template": TEMPLATE},
        [f"template.spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH_TEXT}"],
    ),
    "a dotted controller": (
        "",
        "ReplicationController",
        {"metadata": {"name": "a.b"}, "spec": {"template": TEMPLATE}},
        [
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS "
            "label is recommended: [must not contain dots]",
            f"spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH_TEXT}",
        ],
    ),
    "a replication controller": (
        "",
        "ReplicationController",
        {"spec": {"template": TEMPLATE}},
        [f"spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: {ARCH_TEXT}"],
    ),
    "a runtime class": (
        "node.k8s.io",
        "RuntimeClass",
        {"scheduling": {"nodeSelector": {"beta.kubernetes.io/arch": "x"}}},
        [f"scheduling.nodeSelector: {ARCH_TEXT}"],
    ),
    "a job of many indexes": ("batch", "Job", {"spec": INDEXED}, [f"spec: {MANY}"]),
    "a cron job of many indexes": (
        "batch",
        "CronJob",
        {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": INDEXED}}},
        [f"spec.jobTemplate.spec: {MANY}"],
    ),
}


@pytest.mark.parametrize(("group", "kind", "obj", "expected"), CASES.values(), ids=CASES)
def test_new(group: str, kind: str, obj: dict[str, Any], expected: list[str]) -> None:
    obj = {**obj, "metadata": {"name": "x", "generation": 1, **obj.get("metadata", {})}}
    assert strategy_for(GVK(group, "v1", kind)).warnings(obj, None) == expected


SILENT = {
    "a deployment": ("apps", "Deployment", {"spec": {"template": TEMPLATE}}),
    "a daemon set": ("apps", "DaemonSet", {"spec": {"template": TEMPLATE}}),
    "a stateful set": ("apps", "StatefulSet", {"spec": {"template": TEMPLATE}}),
    "a job": ("batch", "Job", {"spec": {"template": TEMPLATE}}),
    "a cron job": ("batch", "CronJob", {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}),
    "a pod template": ("", "PodTemplate", {"template": TEMPLATE}),
}


@pytest.mark.parametrize(("group", "kind", "obj"), SILENT.values(), ids=SILENT)
def test_templates_are_only_told_of_when_the_spec_changes(group: str, kind: str, obj: dict[str, Any]) -> None:
    warnings = strategy_for(GVK(group, "v1", kind)).warnings
    old = {**obj, "metadata": {"name": "x", "generation": 1}}
    assert warnings({**old, "metadata": {"name": "x", "generation": 1, "labels": {"a": "b"}}}, old) == []
    assert len(warnings({**old, "metadata": {"name": "x", "generation": 2}}, old)) == 1


def test_changes_of_pods_are_silent() -> None:
    pod = {"metadata": {"name": "p"}, **TEMPLATE}
    assert len(pod_warnings(pod, None)) == 1
    assert pod_warnings(pod, pod) == []


def test_an_account_is_told_of_once() -> None:
    account = {"metadata": {"name": "a", "annotations": {ENFORCE: "true"}}}
    assert strategy_for(GVK("", "v1", "ServiceAccount")).warnings(account, account) == []


def test_of_an_accounts_secrets_only_names_are_kept() -> None:
    account: dict[str, Any] = {"secrets": [{"name": "a", "namespace": "n", "uid": "u"}, {}]}
    strategy = strategy_for(GVK("", "v1", "ServiceAccount"))
    strategy.prepare_create(account)
    assert account["secrets"] == [{"name": "a"}, {"name": ""}]


ADDRESSES = {
    "plain": ("1.2.3.4", []),
    "no address": ("x", []),
    "zeros": ("010.1.2.3", [f'a: non-standard IP address "010.1.2.3" {FUTURE} "10.1.2.3"']),
    "mapped": ("::ffff:1.2.3.4", [f'a: non-standard IP address "::ffff:1.2.3.4" {FUTURE} "1.2.3.4"']),
    "large": ("FD00::1", ['a: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")']),
}


@pytest.mark.parametrize(("value", "expected"), ADDRESSES.values(), ids=ADDRESSES)
def test_addresses(value: str, expected: list[str]) -> None:
    assert ip_warnings("a", value) == expected


RANGES = {
    "plain": ("1.2.3.0/24", []),
    "no range": ("1.2.3.0", []),
    "too long": ("1.2.3.0/33", []),
    "inside": (
        "1.2.3.4/24",
        ['a: CIDR value "1.2.3.4/24" is ambiguous in this context (should be "1.2.3.0/24" or "1.2.3.4/32"?)'],
    ),
    "zeros": ("010.0.0.0/8", [f'a: non-standard CIDR value "010.0.0.0/8" {FUTURE} "10.0.0.0/8"']),
    "mapped": (
        "::ffff:1.2.3.0/120",
        [f'a: non-standard CIDR value "::ffff:1.2.3.0/120" {FUTURE} "1.2.3.0/24"'],
    ),
    "large": (
        "FD00::/8",
        ['a: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")'],
    ),
}


@pytest.mark.parametrize(("value", "expected"), RANGES.values(), ids=RANGES)
def test_ranges(value: str, expected: list[str]) -> None:
    assert cidr_warnings("a", value) == expected


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}]}


def items(*paths: str) -> list[dict[str, str]]:
    return [{"key": "k", "path": path} for path in paths]


PATHS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "apart": (volume(configMap={"name": "m", "items": items("a", "c/d")}), []),
    "the same": (
        volume(configMap={"name": "m", "items": items("a", "a/")}),
        ['volume "v" (ConfigMap "m"): overlapping paths: "a" with "a"'],
    ),
    "one in the other": (
        volume(secret={"secretName": "s", "items": items("a/b", "ab", "a", "a/b/c")}),
        [
            'volume "v" (Secret "s"): overlapping paths: "a" with "a/b"',
            'volume "v" (Secret "s"): overlapping paths: "a/b/c" with "a/b"',
            'volume "v" (Secret "s"): overlapping paths: "a/b/c" with "a"',
        ],
    ),
    "of fields": (
        volume(downwardAPI={"items": items("a", "a")}),
        ['volume "v" (DownwardAPI): overlapping paths: "a" with "a"'],
    ),
    "of two sources": (
        volume(
            projected={
                "sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"clusterTrustBundle": {"signerName": "s", "path": "token"}},
                ]
            }
        ),
        [
            'volume "v" (Projected): overlapping paths: "token" (ClusterTrustBundle "s") with "token" '
            "(ServiceAccountToken)"
        ],
    ),
    "of a certificate": (
        volume(
            projected={
                "sources": [
                    {"podCertificate": {"keyPath": "k", "certificateChainPath": "k/c"}},
                    {"configMap": {"name": "m"}},
                ]
            }
        ),
        [
            f'volume "v" (Projected): overlapping paths: {one} with {other}'
            for key, chain in [('"k" (PodCertificate key)', '"k/c" (PodCertificate chain)')]
            for one, other in [
                (chain, key),
                (key, key),
                (key, chain),
                (chain, key),
                (chain, chain),
                (chain, key),
            ]
        ],
    ),
    "of no source": (
        volume(projected={"sources": [{}]}),
        ['volume "v" (Projected) has no sources provided'],
    ),
    "all that an account has": (
        volume(
            projected={
                "sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": items("ca.crt")}},
                    {"downwardAPI": {"items": items("namespace")}},
                ]
            }
        ),
        [],
    ),
}


@pytest.mark.parametrize(("spec", "expected"), PATHS.values(), ids=PATHS)
def test_paths(spec: dict[str, Any], expected: list[str]) -> None:
    assert list(overlapping_paths(spec)) == expected


def test_a_host_address_needs_a_host_port() -> None:
    ports = [{"name": "w", "containerPort": 80, "hostIP": "1.2.3.4"}]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "ports": ports}]}}
    assert pod_warnings(pod, None) == [
        "spec.containers[0].ports[0]: hostIP set without hostPort: "
        "{Name:w HostPort:0 ContainerPort:80 Protocol:TCP HostIP:1.2.3.4}"
    ]


def test_addresses_in_pods() -> None:
    spec = {
        "containers": [],
        "dnsConfig": {"nameservers": ["01.2.3.4"]},
        "hostAliases": [{"ip": "FD00::1"}],
    }
    assert pod_warnings({"metadata": {"name": "p"}, "spec": spec}, None) == [
        f'spec.dnsConfig.nameservers[0]: non-standard IP address "01.2.3.4" {FUTURE} "1.2.3.4"',
        'spec.hostAliases[0].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")',
    ]


def test_finalizers_of_custom_resources() -> None:
    def obj(*finalizers: str) -> dict[str, Any]:
        return {"metadata": {"finalizers": list(finalizers)}}

    assert finalizer_warnings(obj("a.b/c", "orphan"), None) == []
    assert finalizer_warnings(obj("a.b"), None) == [
        'metadata.finalizers: "a.b": prefer a domain-qualified finalizer name including a path (/) to avoid '
        "accidental conflicts with other finalizer writers"
    ]
    assert finalizer_warnings(obj("a.b"), obj("a.b")) == []


STATUSES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "a pod": (
        "Pod",
        {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "FD00::1"}], "hostIPs": [{"ip": "010.0.0.1"}]},
        [
            'status.podIPs[1].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")',
            'status.hostIPs[0].ip: non-standard IP address "010.0.0.1" will be considered invalid in a future '
            'Kubernetes release: use "10.0.0.1"',
        ],
    ),
    "a service": (
        "Service",
        {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "FD00::1"}]}},
        [
            'status.loadBalancer.ingress[1]: IPv6 address "FD00::1" should be in RFC 5952 canonical format '
            '("fd00::1")'
        ],
    ),
    "an ingress": (
        "Ingress",
        {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "FD00::1"}]}},
        [
            'status.loadBalancer.ingress[1]: IPv6 address "FD00::1" should be in RFC 5952 canonical format '
            '("fd00::1")'
        ],
    ),
    "a namespace": ("Namespace", {"phase": "Active"}, []),
}


@pytest.mark.parametrize(("kind", "status", "expected"), STATUSES.values(), ids=STATUSES)
def test_statuses(kind: str, status: dict[str, Any], expected: list[str]) -> None:
    group = "networking.k8s.io" if kind == "Ingress" else ""
    assert strategy_for(GVK(group, "v1", kind)).status_warnings({"status": status}) == expected


def test_overlapping_paths_are_those_of_which_one_is_above_the_other() -> None:
    def clash(one: str, other: str) -> bool:
        short, long = sorted((one, other), key=len)
        return bool(short) and f"{long}/".startswith(f"{short}/")

    random_ = random.Random(7)
    paths = ["/".join(random_.choices(["a", "b", "ab", ""], k=random_.randrange(1, 5))) for _ in range(60)]
    items = [{"key": "k", "path": path} for path in paths]
    spec = {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": items}}]}
    bare = [path.rstrip("/") for path in paths]
    wanted = [
        f'volume "v" (Secret "s"): overlapping paths: "{one}" with "{other}"'
        for at, one in enumerate(bare)
        for other in bare[:at]
        if clash(one, other)
    ]
    found = list(overlapping_paths(spec))
    assert found == wanted
    assert len(found) > 50


def test_of_many_overlapping_paths_some_are_told() -> None:
    items = [{"key": "k", "path": "a" if at % 2 else f"a/{at}"} for at in range(3000)]
    spec = {"volumes": [{"name": "v", "secret": {"secretName": "s", "items": items}}]}
    assert len(list(overlapping_paths(spec))) == 2000
