"""Devices: what slices offer, which of it claims get, and what the scheduler says when they get nothing."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.apimachinery.meta import Object
from tiphys.scheduler.columns import Columns
from tiphys.scheduler.devices.allocate import allocate
from tiphys.scheduler.devices.inventory import read_pools
from tiphys.scheduler.devices.result import allocation
from tiphys.scheduler.framework import decide
from tiphys.scheduler.plugins.dynamic import (
    NOT_READ,
    DeviceChoice,
    after_filters,
    choose_devices,
    claim_keys,
    deallocatable,
    waits_for_claims,
)
from tiphys.scheduler.podinfo import PodInfo
from tiphys.scheduler.profile import default_profile

DRIVER = "gpu.example.com"


_KINDS = {int: "int", bool: "bool", str: "string"}


def device(name: str, *, memory: str = "", **attributes: Any) -> dict[str, Any]:
    values = {
        key.replace("__", "/"): {_KINDS[type(one)]: one}
        if not isinstance(one, list)
        else {f"{_KINDS[type(one[0])]}s": one}
        for key, one in attributes.items()
    }
    capacity = {"capacity": {"memory": {"value": memory}}} if memory else {}
    return {"name": name, "attributes": values, **capacity}


def slice_(name: str, *devices: dict[str, Any], on: str = "a", pool: str = "", **spec: Any) -> Object:
    place = {"nodeName": on} if on else {}
    counted = {"name": pool or name, "generation": spec.pop("generation", 1), "resourceSliceCount": 1}
    counted["resourceSliceCount"] = spec.pop("count", 1)
    return {
        "metadata": {"name": name},
        "spec": {"driver": DRIVER, "pool": counted, "devices": list(devices), **place, **spec},
    }


def cel(*expressions: str) -> list[dict[str, Any]]:
    return [{"cel": {"expression": one}} for one in expressions]


def request(name: str = "gpu", *selectors: str, kind: str = "gpu", **more: Any) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": kind, "selectors": cel(*selectors), **more}}


def first_of(name: str, *subs: dict[str, Any]) -> dict[str, Any]:
    flat = [{"name": one["name"], **one["exactly"]} for one in subs]
    return {"name": name, "firstAvailable": flat}


def claim(name: str, *requests: dict[str, Any], **more: Any) -> Object:
    status = more.pop("status", {})
    devices = {"requests": list(requests), **more}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"devices": devices},
        "status": status,
    }


CLASSES: dict[str, Object] = {
    "gpu": {
        "metadata": {"name": "gpu"},
        "spec": {
            "selectors": cel(f'device.driver == "{DRIVER}"'),
            "config": [{"opaque": {"driver": DRIVER}}],
        },
    },
    "any": {"metadata": {"name": "any"}, "spec": {}},
}


def given(
    claims: list[Object], slices: list[Object], taken: set[tuple[str, str, str]] | None = None, on: str = "a"
) -> list[list[tuple[str, str]]] | None:
    """Return for each claim the request and device of every grant."""
    found = allocate(claims, node(on), read_pools(slices), CLASSES, taken or set())
    return None if found is None else [[(one.wanted.name, one.device.id[2]) for one in own] for own in found]


TWO = slice_(
    "s", device("d1", model="small", numa=0, memory="4Gi"), device("d2", model="big", numa=1, memory="8Gi")
)
OWN = f'device.attributes["{DRIVER}"]'
ALIKE = {"constraints": [{"matchAttribute": f"{DRIVER}/numa"}]}
LISTS = slice_(
    "s", device("d0", numa=[0, 1], at=["a"]), device("d1", numa=[1, 2], at=["a", "b"]),
    device("d2", numa=[2, 0], at="c"), device("d3", numa=1, at=["b"]),
)  # fmt: skip
FOUR = slice_("s", *(device(f"d{index}", numa=index % 2) for index in range(4)))

CASES: dict[str, tuple[list[Object], list[Object], list[list[tuple[str, str]]] | None]] = {
    "any of them": ([claim("c", request())], [TWO], [[("gpu", "d1")]]),
    "by an attribute": (
        [claim("c", request("gpu", f'{OWN}.model == "big"'))], [TWO], [[("gpu", "d2")]],
    ),
    "by an attribute alone": (
        [claim("c", request("gpu", f"{OWN}.fast"))],
        [slice_("s", device("d1", fast=False), device("d2", fast=True))],
        [[("gpu", "d2")]],
    ),
    "by capacity": (
        [claim("c", request("gpu", f'device.capacity["{DRIVER}"].memory.compareTo(quantity("6Gi")) >= 0'))],
        [TWO],
        [[("gpu", "d2")]],
    ),
    "every selector must agree": (
        [claim("c", request("gpu", "true", f'device.attributes["{DRIVER}"].numa == 7'))], [TWO], None,
    ),
    "a domain nobody used": (
        [claim("c", request("gpu", '!has(device.attributes["other.example.com"].numa)'))],
        [TWO],
        [[("gpu", "d1")]],
    ),
    "two of them": ([claim("c", request(count=2))], [TWO], [[("gpu", "d1"), ("gpu", "d2")]]),
    "three are too many": ([claim("c", request(count=3))], [TWO], None),
    "all of them": ([claim("c", request(allocationMode="All"))], [TWO], [[("gpu", "d1"), ("gpu", "d2")]]),
    "all of none": (
        [claim("c", request("gpu", 'device.driver == "x"', kind="any", allocationMode="All"))], [TWO], None,
    ),
    "two claims share nothing": (
        [claim("c", request()), claim("d", request())], [TWO], [[("gpu", "d1")], [("gpu", "d2")]],
    ),
    "the first claim gives way": (
        [claim("c", request()), claim("d", request("gpu", f'{OWN}.model == "small"'))],
        [TWO],
        [[("gpu", "d2")], [("gpu", "d1")]],
    ),
    "of one kind": ([claim("c", request(count=2), **ALIKE)], [FOUR], [[("gpu", "d0"), ("gpu", "d2")]]),
    "never three of one kind": ([claim("c", request(count=3), **ALIKE)], [FOUR], None),
    "the constraint names requests": (
        [
            claim(
                "c", request("one"), request("two"), request("free"),
                constraints=[{"matchAttribute": f"{DRIVER}/numa", "requests": ["one", "two"]}],
            )
        ],
        [FOUR],
        [[("one", "d0"), ("two", "d2"), ("free", "d1")]],
    ),
    "all different": (
        [claim("c", request(count=2), constraints=[{"distinctAttribute": f"{DRIVER}/numa"}])],
        [FOUR],
        [[("gpu", "d0"), ("gpu", "d1")]],
    ),
    "one value common to all": (
        [claim("c", request(count=3), **ALIKE)], [LISTS], [[("gpu", "d0"), ("gpu", "d1"), ("gpu", "d3")]],
    ),
    "none has all values in common": ([claim("c", request(count=4), **ALIKE)], [LISTS], None),
    "no value common to two": (
        [claim("c", request(count=3), constraints=[{"distinctAttribute": f"{DRIVER}/at"}])],
        [LISTS],
        [[("gpu", "d0"), ("gpu", "d2"), ("gpu", "d3")]],
    ),
    "by what a list includes": (
        [claim("c", request("gpu", f"{OWN}.numa.includes(2)", f"{OWN}.numa.exists(n, n == 0)"))],
        [LISTS],
        [[("gpu", "d2")]],
    ),
    "an attribute that is not there": (
        [claim("c", request(), constraints=[{"matchAttribute": f"{DRIVER}/boats"}])], [FOUR], None,
    ),
    "the first that is to be had": (
        [
            claim(
                "c",
                first_of(
                    "gpu",
                    request("huge", f'device.attributes["{DRIVER}"].model == "huge"'),
                    request("pair", count=2),
                    request("one"),
                ),
            )
        ],
        [TWO],
        [[("gpu/pair", "d1"), ("gpu/pair", "d2")]],
    ),
    "on another node": ([claim("c", request())], [slice_("s", device("d"), on="b")], None),
    "on all nodes": (
        [claim("c", request())], [slice_("s", device("d"), on="", allNodes=True)], [[("gpu", "d")]],
    ),
    "each device says where": (
        [claim("c", request())],
        [
            slice_(
                "s", {**device("far"), "nodeName": "b"}, {**device("near"), "nodeName": "a"},
                on="", perDeviceNodeSelection=True,
            )
        ],
        [[("gpu", "near")]],
    ),
    "only the newest generation": (
        [claim("c", request())],
        [slice_("old", device("d1"), pool="p"), slice_("new", device("d2"), pool="p", generation=2)],
        [[("gpu", "d2")]],
    ),
    "a pool with a slice missing": ([claim("c", request())], [slice_("s", device("d"), count=2)], None),
    "all, but one pool is not known whole": (
        [claim("c", request(allocationMode="All"))],
        [slice_("s", device("d")), slice_("t", device("e"), count=2)],
        None,
    ),
    "a taint": (
        [claim("c", request())],
        [slice_("s", {**device("d1"), "taints": [{"key": "x", "effect": "NoSchedule"}]}, device("d2"))],
        [[("gpu", "d2")]],
    ),
    "a taint that is tolerated": (
        [claim("c", request(tolerations=[{"operator": "Exists"}]))],
        [slice_("s", {**device("d1"), "taints": [{"key": "x", "effect": "NoExecute"}]})],
        [[("gpu", "d1")]],
    ),
    "no such class": ([claim("c", request(kind="boats"))], [TWO], None),
    "nothing is asked": ([claim("c")], [TWO], [[]]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_allocation(case: tuple[list[Object], list[Object], list[list[tuple[str, str]]] | None]) -> None:
    claims, slices, expected = case
    assert given(claims, slices) == expected


def test_what_is_taken_is_not_given_again_but_to_administrators() -> None:
    taken = {(DRIVER, "s", "d1"), (DRIVER, "s", "d2")}
    assert given([claim("c", request())], [TWO], taken) is None
    assert given([claim("c", request(adminAccess=True))], [TWO], taken) == [[("gpu", "d1")]]
    assert given([claim("c", request(allocationMode="All"))], [TWO], {(DRIVER, "s", "d2")}) is None


def test_parts_of_a_device_share_its_counters() -> None:
    def part(name: str, amount: str) -> dict[str, Any]:
        uses = {"counterSet": "whole", "counters": {"memory": {"value": amount}}}
        return {**device(name), "consumesCounters": [uses]}

    counters = [{"name": "whole", "counters": {"memory": {"value": "10Gi"}}}]
    pool = slice_(
        "s", part("large", "8Gi"), part("half", "5Gi"), part("half2", "5Gi"), sharedCounters=counters
    )
    assert given([claim("c", request(count=2))], [pool]) == [[("gpu", "half"), ("gpu", "half2")]]
    assert given([claim("c", request())], [pool], {(DRIVER, "s", "half")}) == [[("gpu", "half2")]]
    assert given([claim("c", request())], [pool], {(DRIVER, "s", "large")}) is None


def test_a_search_that_finds_no_end_is_given_up() -> None:
    many = slice_("s", *(device(f"d{index:03}", one=index) for index in range(60)))
    hopeless = claim("c", request(count=20), constraints=[{"distinctAttribute": f"{DRIVER}/one"}])
    last = claim("d", request("x", f'device.attributes["{DRIVER}"].one == 70'))
    assert given([hopeless, last], [many]) is None


def test_the_status_says_all_a_driver_needs() -> None:
    config = [{"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}, {"requests": ["other"], "opaque": {}}]
    asked = claim("c", request(adminAccess=True), config=config)
    (granted,) = allocate([asked], node("a"), read_pools([TWO]), CLASSES, set()) or [[]]
    assert allocation(asked, granted, CLASSES, node("a")) == {
        "devices": {
            "results": [
                {"request": "gpu", "driver": DRIVER, "pool": "s", "device": "d1", "adminAccess": True}
            ],
            "config": [
                {"source": "FromClass", "requests": ["gpu"], "opaque": {"driver": DRIVER}},
                {"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": {"a": 1}}},
            ],
        },
        "nodeSelector": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
            ]
        },
    }


def test_devices_of_many_nodes_bind_to_all_of_them() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["z"]}
    shared = slice_(
        "s", device("d"), on="", nodeSelector={"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    )
    asked, here = claim("c", request(kind="any")), node("a", labels={"zone": "z"})
    (granted,) = allocate([asked], here, read_pools([shared]), CLASSES, set()) or [[]]
    made = allocation(asked, granted, CLASSES, here)
    assert made["nodeSelector"] == {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    free = slice_("s", device("d"), on="", allNodes=True)
    (granted,) = allocate([asked], here, read_pools([free]), CLASSES, set()) or [[]]
    assert "nodeSelector" not in allocation(asked, granted, CLASSES, here)


# -- the plugin


def using(*claims: str, name: str = "web", **status: Any) -> PodInfo:
    made = info(name, resourceClaims=[{"name": one, "resourceClaimName": one} for one in claims])
    made.pod["status"] = status
    return made


def cluster(*claims: Object, slices: tuple[Object, ...] = (TWO,)) -> Columns:
    made = columns(node("a"), node("b"))
    for one in slices:
        made.devices.set_slice(None, one)
    for one in CLASSES.values():
        made.devices.set_class(None, one)
    for one in claims:
        made.devices.set_claim(None, one)
    return made


def on_node(name: str) -> dict[str, Any]:
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    result = {"request": "gpu", "driver": DRIVER, "pool": "s", "device": "d1"}
    return {
        "devices": {"results": [result]},
        "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
    }


def message(pod: PodInfo, made: Columns) -> str:
    return decide(pod, made, default_profile()).message()


START = "0/2 nodes are available:"


def test_a_pod_goes_where_its_devices_are() -> None:
    made, pod = cluster(claim("c", request())), using("c")
    assert decide(pod, made, default_profile()).node == "a"
    ((key, chosen),) = choose_devices(pod, made, "a").claims
    assert key == "default/c"
    assert chosen is not None
    made.devices.assume(key, chosen)
    assert made.devices.taken == {(DRIVER, "s", "d1")}
    assert choose_devices(using("c"), made, "a") == DeviceChoice((("default/c", None),)), "it has its devices"
    made.devices.forget(key)
    assert not made.devices.taken


def test_what_a_claim_has_is_taken() -> None:
    made = cluster(claim("c", request(), status={"allocation": on_node("a")}), claim("d", request(count=2)))
    assert message(using("d"), made) == f"{START} 2 cannot allocate all claims."
    made.devices.set_claim(claim("c", request()), None)
    assert decide(using("d"), made, default_profile()).node == "a"


def test_devices_are_elsewhere() -> None:
    made = cluster(claim("c", request(), status={"allocation": on_node("gone")}))
    assert message(using("c"), made) == f"{START} 2 resourceclaim not available on the node."
    assert decide(using("c"), made, default_profile()).resolvable() is None


FAULTS: dict[str, tuple[Object, str]] = {
    "class": (claim("c", request(kind="boats")), "request gpu: device class boats does not exist"),
    "class of an alternative": (
        claim("c", first_of("gpu", request("x", kind="boats"))),
        "request gpu/x: device class boats does not exist",
    ),
    "being deleted": (
        {**claim("c"), "metadata": {"name": "c", "namespace": "default", "deletionTimestamp": "now"}},
        'resourceclaim "c" is being deleted',
    ),
    "shared by too many": (
        claim("c", status={"allocation": {}, "reservedFor": [{"uid": str(index)} for index in range(256)]}),
        "resourceclaim in use",
    ),
    "no expression": (
        claim("c", request("gpu", "device.boats")),
        "claim default/c: selector #0: CEL compile error: compilation failed: ERROR: <input>:1:7: ",
    ),
    "no truth": (
        claim("c", request("gpu", "1")),
        "claim default/c: selector #0: CEL compile error: must evaluate to bool or the unknown type, not int",
    ),
    "no truth once it is known": (
        claim("c", request("gpu", f'device.attributes["{DRIVER}"].model')),
        "claim default/c: selector #0: CEL runtime error: CEL result of type string could not be converted "
        "to bool: unsupported native conversion from string to 'bool'",
    ),
    "no answer": (
        claim("c", request("gpu", f'device.attributes["{DRIVER}"].boats == 1')),
        "claim default/c: selector #0: CEL runtime error: no such key: boats",
    ),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_the_claim_is_at_fault(case: tuple[Object, str]) -> None:
    asked, text = case
    assert message(using("c"), cluster(asked)).startswith(f"{START} {text}")


def test_a_claim_made_for_another_pod() -> None:
    made = cluster(claim("web-c-x", request()))
    pod = using(resourceClaimStatuses=[{"name": "c", "resourceClaimName": "web-c-x"}])
    pod.pod["spec"]["resourceClaims"] = [{"name": "c", "resourceClaimTemplateName": "t"}]
    assert message(pod, made) == (
        f"{START} ResourceClaim default/web-c-x was not created for pod default/web (pod is not owner)."
    )
    owner = {"kind": "Pod", "uid": pod.uid, "controller": True}
    own = claim("web-c-x", request())
    own["metadata"]["ownerReferences"] = [owner]
    assert decide(pod, cluster(own), default_profile()).node == "a"


def test_a_pod_waits_until_its_claims_are_made() -> None:
    made, pod = cluster(), using()
    assert not waits_for_claims(info(), made)
    pod.pod["spec"]["resourceClaims"] = [{"name": "c", "resourceClaimTemplateName": "t"}]
    assert claim_keys(pod.pod) is None
    assert waits_for_claims(pod, made)
    pod.pod["status"] = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "web-c-x"}]}
    assert waits_for_claims(pod, made)
    made.devices.set_claim(None, claim("web-c-x", request()))
    assert not waits_for_claims(pod, made)
    pod.pod["status"] = {"resourceClaimStatuses": [{"name": "c"}]}
    assert claim_keys(pod.pod) == {}, "it turned out that none is needed"
    assert not waits_for_claims(pod, made)


def test_a_claim_that_only_this_pod_would_use_may_go_back() -> None:
    pod = using("c")
    free = claim("c", request(), status={"allocation": on_node("gone")})
    assert deallocatable(pod, cluster(free)) == "default/c"
    own = {"allocation": on_node("gone"), "reservedFor": [{"uid": pod.uid}]}
    assert deallocatable(pod, cluster(claim("c", request(), status=own))) == "default/c"
    shared = {"allocation": on_node("gone"), "reservedFor": [{"uid": "another"}]}
    assert not deallocatable(pod, cluster(claim("c", request(), status=shared)))
    assert not deallocatable(pod, cluster(claim("c", request())))


def tried(pod: PodInfo, made: Columns) -> str:
    return after_filters(pod, made, decide(pod, made, default_profile()))


def test_what_is_tried_once_no_node_fits() -> None:
    assert tried(info("web", cpu="99"), cluster()) == "no new claims to deallocate"
    free = claim("c", request(), status={"allocation": on_node("gone")})
    assert tried(using("c"), cluster(free)) == "deallocation of ResourceClaim completed"
    large = info("web", cpu="99", resourceClaims=[{"name": "c", "resourceClaimName": "c"}])
    assert tried(large, cluster(free)) == "still not schedulable", "the claim was not looked at"
    shared = {"allocation": on_node("gone"), "reservedFor": [{"uid": "another"}]}
    assert tried(using("c"), cluster(claim("c", request(), status=shared))) == "still not schedulable"


def test_what_is_tried_for_a_pod_that_is_at_fault_itself() -> None:
    unknown = claim("c", request(kind="none"))
    assert tried(using("c"), cluster(unknown)) == "no new claims to deallocate"
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    assert tried(info("web", volumes=volumes), cluster()) == NOT_READ
