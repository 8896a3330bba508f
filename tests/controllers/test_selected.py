"""Who selects a pod, and whom a Service selects: found by a label, and the same as by looking at all."""

import itertools
import random

import pytest

from tiphys.apimachinery.labels import from_label_selector
from tiphys.client.kinds import PODS, REPLICA_SETS, SERVICES
from tiphys.controllers.selected import Selecting, index_labels, selected_by, service_selector


def pod(name, labels, namespace="d"):
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}}


def service(name, selector, namespace="d"):
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector}}


def names(objects):
    return sorted(item["metadata"]["name"] for item in objects)


CASES = [
    ("one label", {"app": "web"}, ["both", "web"]),
    ("two labels", {"app": "web", "tier": "front"}, ["both"]),
    ("in another order", {"tier": "front", "app": "web"}, ["both"]),
    ("another value", {"app": "db"}, ["db"]),
    ("a label that nobody has", {"app": "web", "no": "body"}, []),
    ("an empty value is a value", {"empty": ""}, ["empty"]),
    ("no selector", None, []),
    ("an empty one", {}, []),
]
PODS_THERE = [
    pod("web", {"app": "web"}),
    pod("both", {"app": "web", "tier": "front"}),
    pod("db", {"app": "db", "tier": "back"}),
    pod("empty", {"empty": ""}),
    pod("bare", None),
    pod("elsewhere", {"app": "web", "tier": "front"}, "e"),
]


@pytest.mark.parametrize(("selector", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_each_finds_the_other_without_looking_at_all(world, monkeypatch, selector, expected):
    pods, services = world.informers.get(PODS), world.informers.get(SERVICES)
    index_labels(pods)
    selecting = Selecting(services, service_selector)
    for item in PODS_THERE:
        world.api.put(PODS, item)
    asked = service("asked", selector)
    world.api.put(SERVICES, asked)
    world.api.put(SERVICES, service("other", {"app": "other"}))
    async with world.running():
        monkeypatch.setattr(type(pods), "list", None)
        assert names(selected_by(pods, "d", service_selector(asked))) == expected
        found = [item for item in PODS_THERE if "asked" in names(selecting.of(item))]
        assert names(found) == expected


def needs(*requirements):
    return {"matchExpressions": [{"key": k, "operator": o, "values": v} for k, o, v in requirements]}


EXPRESSIONS = [
    ("one value", needs(("app", "In", ["web"])), ["both", "web"]),
    ("several", needs(("app", "In", ["web", "db"])), ["both", "db", "web"]),
    ("after one that fixes nothing", needs(("tier", "Exists", []), ("app", "In", ["db"])), ["db"]),
    ("nothing fixed", needs(("tier", "Exists", [])), ["both", "db"]),
    ("not so", needs(("app", "NotIn", ["web"])), ["bare", "db", "empty"]),
    ("all", {}, ["bare", "both", "db", "empty", "web"]),
    ("none", None, []),
]


@pytest.mark.parametrize(
    ("selector", "expected"), [case[1:] for case in EXPRESSIONS], ids=[c[0] for c in EXPRESSIONS]
)
async def test_owners_select_by_expressions_too(world, selector, expected):
    owners = world.informers.get(REPLICA_SETS)
    selecting = Selecting(owners, lambda owner: from_label_selector(owner["spec"].get("selector")))
    pods = world.informers.get(PODS)
    index_labels(pods)
    for item in PODS_THERE:
        world.api.put(PODS, item)
    meta = {"name": "asked", "namespace": "d"}
    world.api.put(REPLICA_SETS, {"kind": "ReplicaSet", "metadata": meta, "spec": {"selector": selector}})
    async with world.running():
        assert names(item for item in PODS_THERE if selecting.of(item)) == expected
        assert names(selected_by(pods, "d", from_label_selector(selector))) == expected


async def test_a_change_concerns_who_selected_before_and_who_selects_now(world):
    services = world.informers.get(SERVICES)
    selecting = Selecting(services, service_selector)
    web, both = PODS_THERE[0], PODS_THERE[1]
    assert selecting.of_change(web, both) == [], "nobody selects anything yet"
    for name, selector in (("web", {"app": "web"}), ("front", {"tier": "front"}), ("db", {"app": "db"})):
        world.api.put(SERVICES, service(name, selector))
    async with world.running():
        assert names(selecting.of_change(None, web)) == ["web"]
        assert names(selecting.of_change(web, None)) == ["web"]
        assert names(selecting.of_change(web, web)) == ["web"]
        assert set(names(selecting.of_change(both, web))) == {"front", "web"}
        assert set(names(selecting.of_change(web, PODS_THERE[2]))) == {"db", "web"}
        assert selecting.of_change(None, None) == []


async def test_a_selector_that_is_none_breaks_nobody_elses_events(world):
    owners = world.informers.get(REPLICA_SETS)
    selecting = Selecting(owners, lambda owner: from_label_selector(owner["spec"]["selector"]))
    for name, operator in (("bad", "Like"), ("good", "In")):
        spec = {"selector": needs(("app", operator, ["web"]))}
        world.api.put(REPLICA_SETS, {"metadata": {"name": name, "namespace": "d"}, "spec": spec})
    async with world.running():
        assert names(selecting.of(PODS_THERE[0])) == ["good"]


@pytest.mark.parametrize("seed", range(5))
async def test_it_is_what_looking_at_all_finds(world, seed):
    dice = random.Random(seed)

    def some():
        return {key: dice.choice("12") for key in "abc" if dice.random() < 0.6}

    pods, services = world.informers.get(PODS), world.informers.get(SERVICES)
    index_labels(pods)
    selecting = Selecting(services, service_selector)
    there = [pod(f"p{index}", some(), dice.choice("de")) for index in range(20)]
    asking = [service(f"s{index}", some(), dice.choice("de")) for index in range(20)]
    for gvr, item in [*((PODS, one) for one in there), *((SERVICES, one) for one in asking)]:
        world.api.put(gvr, item)
    async with world.running():
        for one in there[:5]:  # a change moves a pod from label to label
            one["metadata"]["labels"] = some()
            world.api.put(PODS, one)
        await world.settle()
        pairs = {
            (one["metadata"]["name"], its["metadata"]["name"])
            for one, its in itertools.product(there, asking)
            if its["spec"]["selector"]
            and one["metadata"]["namespace"] == its["metadata"]["namespace"]
            and its["spec"]["selector"].items() <= one["metadata"]["labels"].items()
        }
        chosen = [
            (one["metadata"]["name"], its["metadata"]["name"])
            for its in asking
            for one in selected_by(pods, its["metadata"]["namespace"], service_selector(its))
        ]
        assert len(chosen) == len(pairs)
        assert pairs == set(chosen)
        assert pairs == {(one["metadata"]["name"], its) for one in there for its in names(selecting.of(one))}
