"""What happened to one object, and whether it may help a pod that a plugin keeps waiting."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import anti, columns, info, near, node, pod

from tiphys.client.kinds import PODS
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.hints import Change, Hints
from tiphys.scheduler.podinfo import PodInfo, pod_info
from tiphys.scheduler.profile import default_profile
from tiphys.scheduler.reporter import scheduler_of
from tiphys.testing import Cluster

Object = dict[str, Any]


def ask(plugin: str, waiting: PodInfo, change: Change, there: Columns | None = None) -> bool:
    hints = Hints({"default-scheduler": default_profile()}, scheduler_of, there or columns())
    hint = hints.of(change)
    assert hint is not None
    return hint(plugin, waiting)


def bare(*, cordoned: bool = False, **labels: str) -> Object:
    made = node("n", unschedulable=cordoned)
    made["metadata"]["labels"] = labels
    return made


def spread(app: str, *keys: str) -> list[Object]:
    rule = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": _exists(app)}
    return [{**rule, "topologyKey": key} for key in keys]


def _exists(label: str) -> Object:
    return {"matchExpressions": [{"key": label, "operator": "Exists"}]}


def wants(kind: str, label: str, *values: str, key: str = "region") -> Object:
    expression = {"key": label, "operator": "In", "values": list(values)}
    term = {"labelSelector": {"matchExpressions": [expression]}, "topologyKey": key}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


ZONES = info(topologySpreadConstraints=spread("foo", "zone"))
BOTH = info(topologySpreadConstraints=spread("foo", "zone", "node"))
NEAR = info(affinity=wants("podAffinity", "service", "securityscan", "value2", key="zone"))
FAR = info(affinity=wants("podAntiAffinity", "another", "label", key="zone"))
TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}
TOLERANT = info(tolerations=[{"key": "k", "operator": "Exists"}])
SSD = info(nodeSelector={"disk": "ssd"})
BIG = info(cpu="2", memory="2Gi")

NODES: dict[str, tuple[str, PodInfo, Object | None, Object | None, bool]] = {
    # plugin, who waits, before, after -> may it help
    "spread: a label moves a node": ("PodTopologySpread", ZONES, bare(zone="1"), bare(zone="2"), True),
    "spread: of a node that is nowhere": ("PodTopologySpread", ZONES, bare(foo="1"), bare(foo="2"), False),
    "spread: another label": (
        "PodTopologySpread", BOTH, bare(zone="1", node="1", foo="x"), bare(zone="1", node="1"), True,
    ),
    "spread: a node without the label": ("PodTopologySpread", ZONES, None, bare(foo="x"), False),
    "spread: a node with it": ("PodTopologySpread", ZONES, None, bare(zone="1"), True),
    "spread: a node without it goes": ("PodTopologySpread", ZONES, bare(foo="x"), None, False),
    "spread: a node with it goes": ("PodTopologySpread", ZONES, bare(zone="1"), None, True),
    "spread: one label of two": ("PodTopologySpread", BOTH, None, bare(zone="1"), False),
    "spread: both labels": ("PodTopologySpread", BOTH, None, bare(zone="1", node="1"), True),
    "spread: one of two moves": ("PodTopologySpread", BOTH, bare(zone="1"), bare(zone="2"), False),
    "affinity: a node with the label": ("InterPodAffinity", NEAR, None, bare(zone="1"), True),
    "affinity: a node without it": ("InterPodAffinity", NEAR, None, bare(other="1"), False),
    "affinity: other labels": ("InterPodAffinity", NEAR, bare(a="a"), bare(a="b"), False),
    "affinity: one more label": ("InterPodAffinity", NEAR, bare(zone="1"), bare(zone="1", x="y"), False),
    "affinity: the label changes": ("InterPodAffinity", NEAR, bare(zone="1"), bare(zone="2"), True),
    "affinity: the label comes": ("InterPodAffinity", NEAR, bare(a="a"), bare(zone="1"), True),
    "anti: a node with the label": ("InterPodAffinity", FAR, None, bare(zone="1"), True),
    "anti: a node without it": ("InterPodAffinity", FAR, None, bare(), True),
    "anti: one more label": ("InterPodAffinity", FAR, bare(zone="1"), bare(zone="1", x="y"), False),
    "anti: the label changes": ("InterPodAffinity", FAR, bare(zone="1"), bare(zone="2"), True),
    "anti: the label comes": ("InterPodAffinity", FAR, bare(a="a"), bare(zone="1"), False),
    "anti: the label goes": ("InterPodAffinity", FAR, bare(zone="1"), bare(a="a"), True),
    "name: it comes": ("NodeName", info(nodeName="n"), None, bare(), True),
    "name: another": ("NodeName", info(nodeName="m"), None, bare(), False),
    "cordoned: a node that is not": ("NodeUnschedulable", info(), None, bare(), True),
    "cordoned: a node that is": ("NodeUnschedulable", info(), None, bare(cordoned=True), False),
    "cordoned: not any more": ("NodeUnschedulable", info(), bare(cordoned=True), bare(), True),
    "cordoned: never was": ("NodeUnschedulable", info(), bare(), bare(a="b"), False),
    "cordoned: still": ("NodeUnschedulable", info(), bare(cordoned=True), bare(cordoned=True, a="b"), False),
    "taints: a tainted node": ("TaintToleration", info(), None, node("n", taints=[TAINT]), False),
    "taints: one that is tolerated": ("TaintToleration", TOLERANT, None, node("n", taints=[TAINT]), True),
    "taints: it goes": ("TaintToleration", info(), node("n", taints=[TAINT]), node("n"), True),
    "taints: it comes": ("TaintToleration", info(), node("n"), node("n", taints=[TAINT]), False),
    "taints: there was none": ("TaintToleration", info(), node("n"), node("n", labels={"a": "b"}), False),
    "labels: a node that matches": ("NodeAffinity", SSD, None, bare(disk="ssd"), True),
    "labels: one that does not": ("NodeAffinity", SSD, None, bare(disk="hdd"), False),
    "labels: they come to match": ("NodeAffinity", SSD, bare(), bare(disk="ssd"), True),
    "labels: they matched before": ("NodeAffinity", SSD, bare(disk="ssd"), bare(disk="ssd", a="b"), False),
    "fit: a node that is large enough": ("NodeResourcesFit", BIG, None, node("n"), True),
    "fit: one that is not": ("NodeResourcesFit", BIG, None, node("n", cpu="1"), False),
    "fit: it offers more": ("NodeResourcesFit", BIG, node("n", cpu="2"), node("n", cpu="3"), True),
    "fit: more, and not enough": ("NodeResourcesFit", BIG, node("n", cpu="1"), node("n", cpu="1500m"), False),
    "fit: more of something else": (
        "NodeResourcesFit", BIG, node("n"), node("n", extended={"a/b": "3"}), False,
    ),
    "fit: more pods": ("NodeResourcesFit", BIG, node("n", pods="1"), node("n", pods="2"), True),
    "fit: no pods at all": ("NodeResourcesFit", info(), None, node("n", pods="0"), False),
    "fit: only labels": ("NodeResourcesFit", BIG, node("n"), node("n", labels={"a": "b"}), False),
    "ports: a new node": ("NodePorts", info(host_ports=[80]), None, node("n"), True),
    "ports: another label": ("NodePorts", info(host_ports=[80]), bare(), bare(a="b"), False),
    "volumes: labels": ("VolumeBinding", info(), bare(), bare(a="b"), True),
    "volumes: taints": ("VolumeBinding", info(), node("n"), node("n", taints=[TAINT]), False),
    "limits: a new node": ("NodeVolumeLimits", info(), None, node("n"), True),
    "limits: labels": ("NodeVolumeLimits", info(), bare(), bare(a="b"), False),
    "devices: labels": ("DynamicResources", info(), bare(), bare(a="b"), True),
    "devices: taints": ("DynamicResources", info(), node("n"), node("n", taints=[TAINT]), False),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_nodes(name: str) -> None:
    plugin, waiting, old, new, expected = NODES[name]
    event = "node-removed" if new is None else "node-static"
    assert ask(plugin, waiting, Change(event, old=old, new=new)) is expected


def placed(*labels: str, affinity: Object | None = None, cpu: str = "", **more: Any) -> PodInfo:
    pairs = dict(label.split("=") for label in labels)
    spec = {"affinity": affinity} if affinity else {}
    return pod_info(pod("other", labels=pairs, cpu=cpu, nodeName="n", **spec, **more))


SCAN = wants("podAffinity", "service", "securityscan", "value2")
SHUN = wants("podAntiAffinity", "service", "securityscan", "value2")
SEEKS, SHUNS = info(affinity=SCAN), info(affinity=SHUN)
SELF = info(affinity=SCAN, labels={"service": "value2"})
TWO = info(
    affinity={
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": _exists(label), "topologyKey": "hostname"} for label in ("aaa", "bbb")
            ]
        }
    }
)
FOO = info(labels={"foo": ""}, topologySpreadConstraints=spread("foo", "zone"))
FOO_BAR = info(labels={"foo": ""}, topologySpreadConstraints=[*spread("foo", "zone"), *spread("bar", "node")])
ELSEWHERE = pod_info({**pod(), "metadata": {"name": "x", "namespace": "y", "labels": {"foo": ""}}})
CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "mine"}}]}

PODS_CASES: dict[str, tuple[str, PodInfo, PodInfo | None, PodInfo | None, bool]] = {
    "affinity: one that matches": ("InterPodAffinity", SEEKS, None, placed("service=securityscan"), True),
    "affinity: one that does not": ("InterPodAffinity", SEEKS, None, placed("aaa=a"), False),
    "affinity: it comes to match": (
        "InterPodAffinity", SEEKS, placed("aaa=a"), placed("service=securityscan"), True,
    ),
    "affinity: it matched before": (
        "InterPodAffinity", SEEKS, placed("service=value2"), placed("service=securityscan"), False,
    ),
    "affinity: it matches no more": (
        "InterPodAffinity", SEEKS, placed("service=securityscan"), placed("aaa=a"), False,
    ),
    "affinity: it goes": ("InterPodAffinity", SEEKS, placed("service=securityscan"), None, False),
    "affinity: it goes, and the pod is of its kind": (
        "InterPodAffinity", SELF, placed("service=securityscan"), None, True,
    ),
    "affinity: one term of two": ("InterPodAffinity", TWO, placed("aaa=a"), placed("service=x"), False),
    "affinity: both terms": ("InterPodAffinity", TWO, placed("aaa=a"), placed("aaa=", "bbb="), True),
    "anti: it matches no more": (
        "InterPodAffinity", SHUNS, placed("service=securityscan"), placed("service=aaaa"), True,
    ),
    "anti: it comes to match": (
        "InterPodAffinity", SHUNS, placed("service=bbb"), placed("service=securityscan"), False,
    ),
    "anti: one that does not goes": ("InterPodAffinity", SHUNS, placed("aaa=a"), None, False),
    "anti: one that does goes": ("InterPodAffinity", SHUNS, placed("service=securityscan"), None, True),
    "anti: one that shuns the pod goes": (
        "InterPodAffinity", info(labels={"service": "securityscan"}), placed(affinity=SHUN), None, True,
    ),
    "anti: one that shuns others goes": (
        "InterPodAffinity", info(labels={"service": "foo"}), placed(affinity=SHUN), None, False,
    ),
    "anti: neither shuns the other": (
        "InterPodAffinity", info(labels={"service": "foo"}, affinity=SHUN),
        placed("service=foo", affinity=SHUN), None, False,
    ),
    "spread: one that counts": ("PodTopologySpread", FOO, None, placed("foo="), True),
    "spread: in another namespace": ("PodTopologySpread", FOO, None, ELSEWHERE, False),
    "spread: one that does not": ("PodTopologySpread", FOO, None, placed("bar="), False),
    "spread: one that counts goes": ("PodTopologySpread", FOO, placed("foo="), None, True),
    "spread: one that does not goes": ("PodTopologySpread", FOO, placed("bar="), None, False),
    "spread: other labels": (
        "PodTopologySpread", FOO, placed("foo=", "bar=1"), placed("foo=", "bar=2"), False,
    ),
    "spread: it comes to count": ("PodTopologySpread", FOO, placed(), placed("foo="), True),
    "spread: it counts no more": ("PodTopologySpread", FOO, placed("foo="), placed(), True),
    "spread: another value": ("PodTopologySpread", FOO, placed("foo=1"), placed("foo=2"), False),
    "spread: it counts for one more": (
        "PodTopologySpread", FOO_BAR, placed("foo="), placed("foo=", "bar=2"), True,
    ),
    "spread: it counts as before": (
        "PodTopologySpread", FOO_BAR, placed("foo="), placed("foo=", "baz="), False,
    ),
    "fit: a pod goes": ("NodeResourcesFit", BIG, placed(), None, True),
    "fit: one asks for less": ("NodeResourcesFit", BIG, placed(cpu="2"), placed(cpu="1"), True),
    "fit: one asks for more": ("NodeResourcesFit", BIG, placed(cpu="1"), placed(cpu="2"), False),
    "fit: less of what nobody wants": ("NodeResourcesFit", info(), placed(cpu="2"), placed(cpu="1"), False),
    "ports: it had the port": ("NodePorts", info(host_ports=[80]), placed(host_ports=[80]), None, True),
    "ports: it had another": ("NodePorts", info(host_ports=[80]), placed(host_ports=[81]), None, False),
    "claims: it used the same": ("VolumeRestrictions", info(**CLAIM), placed(**CLAIM), None, True),
    "claims: it used none": ("VolumeRestrictions", info(**CLAIM), placed(), None, False),
    "limits: it had volumes": ("NodeVolumeLimits", info(**CLAIM), placed(**CLAIM), None, True),
    "limits: it had none": ("NodeVolumeLimits", info(**CLAIM), placed(), None, False),
}  # fmt: skip


@pytest.mark.parametrize("name", PODS_CASES)
def test_pods(name: str) -> None:
    plugin, waiting, before, after, expected = PODS_CASES[name]
    event = "pod-placed" if before is None else "pod-removed" if after is None else "pod-relabelled"
    assert ask(plugin, waiting, Change(event, before=before, after=after)) is expected


def claim(name: str, **status: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {}, "status": status}


def limits(**counts: int) -> Object:
    drivers = [{"name": name, "allocatable": {"count": count}} for name, count in counts.items()]
    return {"metadata": {"name": "n"}, "spec": {"drivers": drivers}}


def made_for(waiting: PodInfo) -> Object:
    made = claim("made")
    made["metadata"]["ownerReferences"] = [{"uid": waiting.uid, "controller": True}]
    return made


MINE, DEVICE = info(**CLAIM), info(resourceClaims=[{"name": "d", "resourceClaimName": "mine"}])
GIVEN = {"allocation": {"devices": {}}}
OTHERS: dict[str, tuple[str, PodInfo, str, Object | None, Object | None, bool]] = {
    # plugin, who waits, what of, before, after -> may it help
    "its own claim": ("VolumeBinding", MINE, "persistentvolumeclaims", None, claim("mine"), True),
    "another's claim": ("VolumeBinding", MINE, "persistentvolumeclaims", None, claim("other"), False),
    "a volume": ("VolumeBinding", MINE, "persistentvolumes", None, {}, True),
    "a driver": ("VolumeBinding", MINE, "csidrivers", None, {}, True),
    "zones: its own claim": ("VolumeZone", MINE, "persistentvolumeclaims", None, claim("mine"), True),
    "zones: another's": ("VolumeZone", MINE, "persistentvolumeclaims", None, claim("other"), False),
    "zones: a volume": ("VolumeZone", MINE, "persistentvolumes", None, {}, True),
    "zones: a driver": ("VolumeZone", MINE, "csidrivers", None, {}, False),
    "sharing: its own": ("VolumeRestrictions", MINE, "persistentvolumeclaims", None, claim("mine"), True),
    "sharing: a volume": ("VolumeRestrictions", MINE, "persistentvolumes", None, {}, False),
    "limits: higher": ("NodeVolumeLimits", MINE, "csinodes", limits(a=1), limits(a=2), True),
    "limits: lower": ("NodeVolumeLimits", MINE, "csinodes", limits(a=2), limits(a=1), False),
    "limits: none any more": ("NodeVolumeLimits", MINE, "csinodes", limits(a=2), limits(), True),
    "limits: its own claim": ("NodeVolumeLimits", MINE, "persistentvolumeclaims", None, claim("mine"), True),
    "limits: an attachment goes": ("NodeVolumeLimits", MINE, "volumeattachments", {}, None, True),
    "devices: its own claim": ("DynamicResources", DEVICE, "resourceclaims", None, claim("mine"), True),
    "devices: another's": ("DynamicResources", DEVICE, "resourceclaims", None, claim("other"), False),
    "devices: another gives its own back": (
        "DynamicResources", DEVICE, "resourceclaims", claim("other", **GIVEN), claim("other"), True,
    ),
    "devices: another that had some goes": (
        "DynamicResources", DEVICE, "resourceclaims", claim("other", **GIVEN), None, True,
    ),
    "devices: another gets some": (
        "DynamicResources", DEVICE, "resourceclaims", claim("other"), claim("other", **GIVEN), False,
    ),
    "devices: it was made for the pod": (
        "DynamicResources", DEVICE, "resourceclaims", None, made_for(DEVICE), True,
    ),
    "devices: more are offered": ("DynamicResources", DEVICE, "resourceslices", None, {}, True),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str) -> None:
    plugin, waiting, resource, old, new, expected = OTHERS[name]
    event = "device" if resource.startswith("resource") else "volume"
    assert ask(plugin, waiting, Change(event, old=old, new=new, resource=resource)) is expected


def test_a_node_that_moves_away_from_those_who_shun_the_pod_helps() -> None:
    there = columns(node("n", labels={"zone": "1"}))
    there.add_pod(placed(affinity=anti("web", "zone")), "n")
    change = Change("node-static", old=bare(zone="1"), new=bare(zone="2"))
    assert ask("InterPodAffinity", info(labels={"app": "web"}), change, there)
    assert not ask("InterPodAffinity", info(labels={"app": "other"}), change, there)


def test_plugins_that_give_no_hints_are_helped_by_everything() -> None:
    change = Change("node-static", new=bare())
    assert ask("Extender", info(), change)
    assert ask("NodeName", info(nodeName="m", schedulerName="another"), change)
    hints = Hints({"default-scheduler": default_profile()}, scheduler_of, columns())
    assert hints.of(Change("pod-removed")) is None


def test_affinity_of_several_terms_wants_one_pod_that_they_all_speak_of() -> None:
    there = columns(node("a", labels={"hostname": "a"}), node("b", labels={"hostname": "b"}))
    profile = default_profile()
    plugin = next(one for one in profile.filters if one.name == "InterPodAffinity")

    def rows() -> list[str]:
        found = plugin.filter(TWO, there)
        assert found is not None
        return [name for name, row in there.rows.items() if found.passes[row]]

    there.add_pod(placed("aaa=1"), "a")
    there.add_pod(placed("bbb=1"), "a")
    assert rows() == []
    there.add_pod(placed("aaa=1", "bbb=1"), "b")
    assert rows() == ["b"]


def test_the_first_of_a_kind_does_not_look_at_pods_that_are_nowhere() -> None:
    there = columns(node("a", labels={"zone": "1"}), node("b"))
    plugin = next(one for one in default_profile().filters if one.name == "InterPodAffinity")
    there.add_pod(placed("app=web"), "b")  # which has no zone
    found = plugin.filter(info(labels={"app": "web"}, affinity=near("web", "zone")), there)
    assert found is not None
    assert found.passes[there.rows["a"]]
    assert not found.passes[there.rows["b"]]


async def test_a_pod_that_comes_near_helps_at_once() -> None:
    """The scheduler itself has placed it: its Binding is the news."""
    async with Cluster(nodes=1) as cluster:
        waiting = pod("waits", affinity=near("web"))
        await cluster.client.create(PODS, waiting)
        await cluster.wait_for(
            PODS, "waits", "default", lambda one: bool(one and (one.get("status") or {}).get("conditions"))
        )
        await cluster.client.create(PODS, pod("web", labels={"app": "web"}))
        await cluster.wait_for(
            PODS, "waits", "default", lambda one: bool(one and one["spec"].get("nodeName"))
        )
