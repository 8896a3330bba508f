"""What clients are warned about in pods and their templates: upstream's table, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.featuregates import FeatureGates, using
from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apis.core.path_warnings import overlapping_paths
from tiphys.apis.core.pod_warnings import pod_warnings
from tiphys.apis.strategies import strategy_for

Body = dict[str, Any]
Row = tuple[Body, list[str]]
Source = tuple[Body, str]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

GONE = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
KINDS = {"storageos": "storageOS"}
ROWS: dict[str, Row] = {
    kind: ({"volumes": [{"name": "v", kind: {}}]}, [f"spec.volumes[0].{KINDS.get(kind, kind)}: {text}"])
    for kind, text in GONE.items()
}


def items(*paths: str) -> list[Body]:
    return [{"key": "k", "path": path} for path in paths]


CONFIG = ({"configMap": {"name": "Test"}}, 'ConfigMap "Test"')
SECRET = ({"secret": {"name": "Test"}}, 'Secret "Test"')
TOKEN: Source = ({"serviceAccountToken": {}}, "ServiceAccountToken")
FIELDS: Source = ({"downwardAPI": {}}, "DownwardAPI")
BUNDLE = ({"clusterTrustBundle": {"name": "Test"}}, 'ClusterTrustBundle "Test"')
SIGNED = ({"clusterTrustBundle": {"signerName": "Test"}}, 'ClusterTrustBundle "Test"')


def projected(*given: tuple[Source, str]) -> list[Body]:
    sources = []
    for (shape, _), path in given:
        ((kind, fields),) = shape.items()
        at = {"items": items(path)} if kind in ("configMap", "secret", "downwardAPI") else {"path": path}
        sources.append({kind: {**fields, **at}})
    return [{"name": "foo", "projected": {"sources": sources}}]


def pair(one: tuple[Source, str], other: tuple[Source, str]) -> str:
    (_, first), at = one
    (_, second), before = other
    return f'volume "foo" (Projected): overlapping paths: "{at}" ({first}) with "{before}" ({second})'


OVERLAPS: dict[str, tuple[tuple[Source, str], ...]] = {
    "a token and a file": ((CONFIG, "test"), (TOKEN, "test")),
    "a token in a file's place": ((CONFIG, "test"), (TOKEN, "test/file")),
    "a file in a token's place": ((CONFIG, "test/file"), (TOKEN, "test")),
    "a token and a secret": ((SECRET, "test"), (TOKEN, "test")),
    "a token and fields": ((FIELDS, "test"), (TOKEN, "test")),
    "a token and a bundle": ((BUNDLE, "test"), (TOKEN, "test")),
    "a token and a signer's bundle": ((SIGNED, "test"), (TOKEN, "test")),
    "a secret and a file": ((SECRET, "test"), (CONFIG, "test/test1")),
    "a secret and fields": ((SECRET, "test"), (FIELDS, "test/test2")),
    "fields and a bundle": ((FIELDS, "test/test2"), (BUNDLE, "test")),
}
ROWS |= {
    name: ({"volumes": projected(first, second)}, [pair(second, first)])
    for name, (first, second) in OVERLAPS.items()
}
MANY = ((SIGNED, "test/test"), (FIELDS, "test"), (SECRET, "test"), (TOKEN, "test"))
TWICE = [{"serviceAccountToken": {"path": "test/test2"}}, {"downwardAPI": {"items": items("test", "test")}}]
ROWS |= {
    "several sources": (
        {"volumes": projected(*MANY)},
        [pair(MANY[at], MANY[before]) for at in range(4) for before in range(at)],
    ),
    "fields twice in a token's place": (
        {"volumes": [{"name": "foo", "projected": {"sources": TWICE}}]},
        [
            *[pair((FIELDS, "test"), (TOKEN, "test/test2"))] * 2,
            pair((FIELDS, "test"), (FIELDS, "test")),
        ],
    ),
    "no sources": (
        {"volumes": [{"name": "foo", "projected": {"sources": [{}]}}]},
        ['volume "foo" (Projected) has no sources provided'],
    ),
    "hosts thrice": (
        {"hostAliases": [{"ip": "1.1.1.1"}] * 3},
        [f'spec.hostAliases[{at}].ip: duplicate ip "1.1.1.1"' for at in (1, 2)],
    ),
    "secrets thrice": (
        {"imagePullSecrets": [{"name": "a"}] * 3},
        [f'spec.imagePullSecrets[{at}].name: duplicate name "a"' for at in (1, 2)],
    ),
    "a secret of no name": (
        {"imagePullSecrets": [{"name": ""}]}, ['spec.imagePullSecrets[0].name: invalid empty name ""']
    ),
}  # fmt: skip


def variables(name: str) -> list[Body]:
    values = (name, name, "other", "", f"$({name})")
    found: list[Body] = [{"name": name, "value": value} for value in values]
    return [*found, {"name": name, "valueFrom": {}}, {"name": name, "value": f"$({name}) $({name})"}]


HIDES = 'spec.{}[0].env[{}]: hides previous definition of "{}", which may be dropped when using apply'
SMALL = {"cpu": "100m", "memory": "4m", "ephemeral-storage": "4m"}
ASKED = {"requests": SMALL, "limits": SMALL}
PARTS = 'fractional byte value "4m" is invalid, must be an integer'
LISTS = ("initContainers", "containers")
FRACTIONS = [*(f"{kind}[0].resources.{asked}" for kind in LISTS for asked in ASKED), "overhead"]
OLD = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}
SINCE = {key: f'deprecated since {since}; use "{now}" instead' for key, (since, now) in OLD.items()}
TERM = {"matchExpressions": [{"key": key} for key in ("foo", *OLD)]}


def of_keys(at: str, field: str) -> list[str]:
    return [f"spec.{at}[{n}].{field}: {key} is {text}" for n, (key, text) in enumerate(SINCE.items(), 1)]


NULL = "labelSelector: a null labelSelector results in matching no pod"
TERMS: Body = {REQUIRED: [{"labelSelector": {}}, {}]}
TERMS[PREFERRED] = [{"podAffinityTerm": term} for term in TERMS[REQUIRED]]
VALUE = "preference.matchExpressions[0].values[0]"
NO_LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
FUTURE = "will be considered invalid in a future Kubernetes release: use"
TREATED = "negative values are invalid and will be treated as 1"
BYTES = "volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]"


def ephemeral(size: str) -> Body:
    spec = {"resources": {"requests": {"storage": size}}}
    return {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]}


def preferring(value: str) -> Body:
    term = {"matchExpressions": [{"key": "foo", "operator": "In", "values": [value]}]}
    return {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 10, "preference": term}]}}}


ROWS |= {
    "variables": (
        {"initContainers": [{"env": variables("a")}], "containers": [{"env": variables("b")}]},
        [
            HIDES.format(kind, at, name)
            for kind, name in (("initContainers", "a"), ("containers", "b")) for at in range(1, 6)
        ],
    ),
    "fractions": (
        {"initContainers": [{"resources": ASKED}], "containers": [{"resources": ASKED}], "overhead": SMALL},
        [f"spec.{at}[{name}]: {PARTS}" for at in FRACTIONS for name in ("ephemeral-storage", "memory")],
    ),
    "old labels": (
        {"nodeSelector": dict.fromkeys(OLD, "true")},
        [f"spec.nodeSelector[{key}]: {text}" for key, text in sorted(SINCE.items())],
    ),
    "old labels, required": (
        {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TERM]}}}},
        of_keys(f"affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions", "key"),
    ),
    "old labels, preferred": (
        {"affinity": {"nodeAffinity": {PREFERRED: [{"preference": TERM}]}}},
        of_keys(f"affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions", "key"),
    ),
    "old labels, spread": (
        {"topologySpreadConstraints": [{"topologyKey": key, "labelSelector": {}} for key in ("foo", *OLD)]},
        of_keys("topologySpreadConstraints", "topologyKey"),
    ),
    "200Mi": (ephemeral("200Mi"), []),
    "200m": (ephemeral("200m"), [f"spec.{BYTES}: {PARTS.replace('4m', '200m')}"]),
    "no grace": (
        {"terminationGracePeriodSeconds": -1},
        [f"spec.terminationGracePeriodSeconds: must be >= 0; {TREATED}"],
    ),
    "spread among nobody": (
        {"topologySpreadConstraints": [{"labelSelector": {}}, {}]},
        [f"spec.topologySpreadConstraints[1].{NULL}"],
    ),
    "near nobody": (
        {"affinity": {"podAffinity": TERMS, "podAntiAffinity": TERMS}},
        [
            f"spec.affinity.{kind}.{how}[1].{inner}{NULL}"
            for kind in ("podAffinity", "podAntiAffinity")
            for how, inner in ((REQUIRED, ""), (PREFERRED, "podAffinityTerm."))
        ],
    ),
    "no label's value": (
        preferring("-1"),
        [f"spec.affinity.nodeAffinity.{PREFERRED}[0].{VALUE}: -1 is invalid, {NO_LABEL}"],
    ),
    "addresses": (
        {"dnsConfig": {"nameservers": ["1.2.3.4", "05.06.07.08"]}, "hostAliases": [{"ip": "::ffff:1.2.3.4"}]},
        [
            f'spec.dnsConfig.nameservers[1]: non-standard IP address "05.06.07.08" {FUTURE} "5.6.7.8"',
            f'spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" {FUTURE} "1.2.3.4"',
        ],
    ),
}  # fmt: skip


def ports(*containers: list[Body], kind: str = "containers") -> Body:
    return {kind: [{"name": f"c{at}", "ports": found} for at, found in enumerate(containers)]}


def port(number: int, host: int = 0, address: str = "", protocol: str = "UDP", name: str = "") -> Body:
    given = {"containerPort": number, "hostPort": host, "hostIP": address, "protocol": protocol, "name": name}
    return {key: value for key, value in given.items() if value}


def clash(what: str, one: tuple[int, int], other: tuple[int, int]) -> str:
    at, before = (f"spec.containers[{container}].ports[{number}]" for container, number in (one, other))
    return f"{at}: {what} port definition with {before}"


ONE, TWO = "10.0.0.1", "10.0.0.2"
SAME, AMBIGUOUS, LAX = "duplicate", "dangerously ambiguous", "overlapping"
NO_HOST = "hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:UDP HostIP:10.0.0.1}"
APART: list[list[Body]] = [
    [port(80), port(81)],
    [port(80), port(80, protocol="TCP")],
    [port(80, 80), port(80, 81)],
    [port(80, 80, ONE), port(80, 80, TWO)],
]
CLASHING: list[tuple[Body, Body, str]] = [
    (port(80), port(80), SAME),
    (port(80, 80), port(80, 80), SAME),
    (port(80, 80, ONE), port(80, 80, ONE), SAME),
    (port(80, 80), port(80, 80, ONE), AMBIGUOUS),
    (port(80, 80, ONE), port(80, 80), AMBIGUOUS),
    (port(80, 80, ONE), port(80, address=ONE), LAX),
]
FIVE = ports([port(80, 80), port(180, 80), port(80, 80)], [port(80, 80), port(80, 80)])
ROWS |= {"no ports": (ports([]), []), "one port": (ports([port(80, 80)]), [])}
for number, (first, second) in enumerate(APART):
    ROWS[f"ports apart {number}"] = (ports([first, second]), [])
    ROWS[f"ports of two apart {number}"] = (ports([first], [second]), [])
for number, (first, second, what) in enumerate(CLASHING):
    for of, (spec, at) in {
        "one": (ports([first, second]), (0, 1)), "two": (ports([first], [second]), (1, 0))
    }.items():  # fmt: skip
        told = [clash(what, at, (0, 0))]
        if what == LAX:
            told.append(f"spec.containers[{at[0]}].ports[{at[1]}]: {NO_HOST}")
        ROWS[f"ports of {of} clash {number}"] = (spec, told)
ROWS |= {
    "an address without its port": (
        ports([port(80, address=ONE)]), [f"spec.containers[0].ports[0]: {NO_HOST}"]
    ),
    "all addresses between two": (
        ports([port(80, 80, ONE), port(80, 80), port(80, 80, TWO)]),
        [clash(AMBIGUOUS, (0, 1), (0, 0)), clash(AMBIGUOUS, (0, 2), (0, 1))],
    ),
    "five ports": (
        FIVE,
        [
            clash(SAME, one, other)
            for one, others in (
                ((0, 2), [(0, 0)]), ((1, 0), [(0, 0), (0, 2)]), ((1, 1), [(0, 0), (0, 2), (1, 0)])
            )
            for other in others
        ],
    ),
}  # fmt: skip
A, B, C = port(80, name="test"), port(8090, name="test1"), port(8092, name="test")
FIRST = "services and probes that select ports by name will use spec"
NAMES: dict[str, tuple[Body, str, str]] = {
    "of containers": (ports([A], [B, C]), "containers[1].ports[1]", "containers[0].ports[0]"),
    "of sidecars": (
        ports([A], [B, C], kind="initContainers"),
        "initContainers[1].ports[1]", "initContainers[0].ports[0]",
    ),
    "of both": (
        ports([A], kind="initContainers") | ports([B, C]),
        "containers[0].ports[1]", "initContainers[0].ports[0]",
    ),
}  # fmt: skip
ROWS |= {
    f"names {of}": (spec, [f'spec.{at}: duplicate port name "test" with spec.{before}, {FIRST}.{before}'])
    for of, (spec, at, before) in NAMES.items()
}


@pytest.mark.parametrize(("spec", "expected"), ROWS.values(), ids=ROWS)
def test_pods_and_templates(spec: Body, expected: list[str]) -> None:
    given = copy_object(spec)
    assert sorted(pod_warnings({"metadata": {"name": "p"}, "spec": given}, None)) == sorted(expected)
    template = {"metadata": {"name": "t"}, "template": {"spec": given}}
    found = strategy_for(GVK("", "v1", "PodTemplate")).warnings(template, None)
    assert sorted(text.replace("template.spec", "spec") for text in found) == sorted(expected)
    assert given == spec


def test_a_repository_where_a_gate_lets_it_be() -> None:
    spec = {"volumes": [{"name": "s", "gitRepo": {}}]}
    with using(FeatureGates({"GitRepoVolumeDriver": True})):
        found = pod_warnings({"metadata": {"name": "p"}, "spec": spec}, None)
    assert found == ["spec.volumes[0].gitRepo: deprecated in v1.11"]


SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
DEAD = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "seccomp.security.alpha.kubernetes.io/pod": SECCOMP,
    "container.seccomp.security.alpha.kubernetes.io/foo": SECCOMP,
    "security.alpha.kubernetes.io/sysctls": SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": SYSCTLS,
}
PROFILE = {"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}


@pytest.mark.parametrize("field", [False, True])
def test_annotations_without_effect(*, field: bool) -> None:
    spec = {"containers": [{"name": "foo", **(PROFILE if field else {})}], **(PROFILE if field else {})}
    annotations = {"foo": "bar", **dict.fromkeys(DEAD, "default")}
    found = pod_warnings({"metadata": {"name": "p", "annotations": annotations}, "spec": spec}, None)
    dead = [key for key, text in DEAD.items() if not (field and text == SECCOMP)]
    assert sorted(found) == sorted(f"metadata.annotations[{key}]: {DEAD[key]}" for key in dead)


ARMOR = "container.apparmor.security.beta.kubernetes.io/foo"
UNCONFINED = {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}


@pytest.mark.parametrize(
    ("whole", "own", "told"), [({}, {}, True), (UNCONFINED, {}, False), ({}, UNCONFINED, False)]
)
def test_profiles_in_annotations_of_templates(whole: Body, own: Body, *, told: bool) -> None:
    """Pods are told of them as they get the field."""
    meta = {"name": "t", "annotations": {ARMOR: "unconfined"}}
    given = {"metadata": meta, "spec": {"containers": [{"name": "foo", **own}], **whole}}
    template = {"metadata": {"name": "t"}, "template": given}
    found = strategy_for(GVK("", "v1", "PodTemplate")).warnings(template, None)
    text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
    assert found == ([f"template.metadata.annotations[{ARMOR}]: {text}"] if told else [])
    assert pod_warnings(given, None) == []


PATHS: dict[str, tuple[list[str], str, list[str]]] = {
    "the same": (["path/path1"], "path/path1", ["path/path1"]),
    "another": (["path/path1"], "path2/path1", []),
    "no other": ([], "path2/path1", []),
    "an empty one before": ([""], "path2/path1", []),
    "an empty one": (["test"], "", []),
    "empty ones": ([""], "", []),
    "a folder of a file": (["path/path1"], "path", ["path/path1"]),
    "a file in a folder": (["path"], "path/path1", ["path"]),
    "several others": (["path1/path", "path2/path", "path3/path"], "path4/path", []),
    "one of several": (["path1/path", "path2/path", "path3/path"], "path3/path", ["path3/path"]),
    "a folder of several": (["path/path1", "path/path2"], "path", ["path/path1", "path/path2"]),
    "the same beginning": (["path1/path", "path2/path", "path3/path"], "path101/path3", []),
    "the same beginning of a file": (["dir/path1", "dir/path2", "dir/path3"], "dir/path345", []),
    "a slash behind": (["path1/path3"], "path1/path3/", ["path1/path3"]),
    "a slash behind the one before": (["path1/path3/"], "path1/path3", ["path1/path3"]),
}  # fmt: skip


@pytest.mark.parametrize(("before", "path", "over"), PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(("kind", "key"), [("configMap", "name"), ("secret", "secretName")])
def test_paths_of_a_volume(kind: str, key: str, before: list[str], path: str, over: list[str]) -> None:
    volume = {"name": "Test", kind: {key: "foo", "items": items(*before, path)}}
    shown = {"configMap": "ConfigMap", "secret": "Secret"}[kind]
    assert list(overlapping_paths({"volumes": [volume]})) == [
        f'volume "Test" ({shown} "foo"): overlapping paths: "{path.rstrip("/")}" with "{one}"' for one in over
    ]
