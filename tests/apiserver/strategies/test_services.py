"""What a changed Service keeps of what its type no longer has a use for: upstream's tables of strategies."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = "/api/v1/namespaces/default/services"
Body = dict[str, Any]
LOAD, NODE, PLAIN, NAME = "LoadBalancer", "NodePort", "ClusterIP", "ExternalName"
GONE: Any = None
ADDRESS: Body = {"clusterIP": "10.96.0.77", "clusterIPs": ["10.96.0.77"]}
FIELDS = (
    *ADDRESS, "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "allocateLoadBalancerNodePorts",
    "loadBalancerClass", "externalTrafficPolicy",
)  # fmt: skip


def entry(name: str, port: int, node: int = 0, protocol: str = "TCP") -> Body:
    made = {"name": name, "protocol": protocol, "port": port, "targetPort": port}
    return {**made, "nodePort": node} if node else made


P, Q = entry("p", 8675), entry("q", 309)
PORTS, NODES = [P, Q], [entry("p", 8675, 30000), entry("q", 309, 30001)]


def service(kind: str, **spec: Any) -> Body:
    spec = {"type": kind, "ports": PORTS, "selector": {"k": "v"}, **ADDRESS, **spec}
    return {"metadata": {"name": "s"}, "spec": spec}


def to(kind: str, **spec: Any) -> Body:
    return {"type": kind, **({"externalName": "a.b"} if kind == NAME else {}), **spec}


HELD: Body = {**ADDRESS, "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
OUTSIDE = {"externalTrafficPolicy": "Cluster"}
HEALTH = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}
NO_PORTS, WITH_PORTS = {"allocateLoadBalancerNodePorts": False}, {"allocateLoadBalancerNodePorts": True}
CLASS, OTHER_CLASS = {"loadBalancerClass": "a.b/c"}, {"loadBalancerClass": "a.b/d"}

CHANGED: dict[str, tuple[Body, Body, Body, list[int]]] = {
    # before, what changes, the fields above as they are then, the numbers of its entries
    "addresses stay": (service(PLAIN), {}, HELD, [0, 0]),
    "addresses go": (service(PLAIN), to(NAME), {}, [0, 0]),
    "node ports stay": (service(NODE, ports=NODES), {}, HELD | OUTSIDE, [30000, 30001]),
    "node ports of a balancer stay": (
        service(LOAD, ports=NODES), {}, HELD | OUTSIDE | WITH_PORTS, [30000, 30001]
    ),
    "node ports go": (service(LOAD, ports=NODES), to(PLAIN), HELD, [0, 0]),
    "node ports go, an entry comes": (
        service(LOAD, ports=NODES), to(PLAIN, ports=[*NODES, entry("new", 80)]), HELD, [0, 0, 0]
    ),
    "node ports go, an entry too": (service(LOAD, ports=NODES), to(PLAIN, ports=NODES[:1]), HELD, [0]),
    "node ports go, an entry changes": (
        service(LOAD, ports=NODES), to(PLAIN, ports=[entry("p", 8775, 30000, "UDP"), NODES[1]]), HELD, [0, 0]
    ),
    "the number of the check stays": (
        service(LOAD, ports=NODES, **HEALTH), {}, HELD | HEALTH | WITH_PORTS, [30000, 30001]
    ),
    "the number of the check goes": (service(LOAD, ports=NODES, **HEALTH), to(PLAIN), HELD, [0, 0]),
    "true: the same, so it goes": (
        service(LOAD, ports=NODES, **WITH_PORTS), to(NODE), HELD | OUTSIDE, [30000, 30001]
    ),
    "false: the same, so it goes": (
        service(LOAD, ports=NODES, **NO_PORTS), to(NODE), HELD | OUTSIDE, [30000, 30001]
    ),
    "true: taken back": (
        service(LOAD, ports=NODES, **WITH_PORTS), to(NODE, allocateLoadBalancerNodePorts=GONE),
        HELD | OUTSIDE, [30000, 30001],
    ),
    "false: taken back": (
        service(LOAD, ports=NODES, **NO_PORTS), to(NODE, allocateLoadBalancerNodePorts=GONE),
        HELD | OUTSIDE, [30000, 30001],
    ),
    "a class goes": (service(LOAD, ports=NODES, **CLASS), to(PLAIN), HELD, [0, 0]),
    "a class comes with the type": (
        service(PLAIN), to(LOAD, ports=NODES, **CLASS), HELD | OUTSIDE | WITH_PORTS | CLASS, [30000, 30001]
    ),
    "a class stays": (
        service(LOAD, ports=NODES, **CLASS), {}, HELD | OUTSIDE | WITH_PORTS | CLASS, [30000, 30001]
    ),
    "the policy goes with the addresses": (
        service(PLAIN, externalIPs=["1.1.1.1"], **OUTSIDE), to(PLAIN, externalIPs=GONE), HELD, [0, 0]
    ),
}  # fmt: skip


def changed(before: Body, change: Body) -> Body:
    after = deepcopy(before)
    after["metadata"].pop("resourceVersion", None)
    for key, value in change.items():
        after["spec"][key] = value
        if value is GONE:
            after["spec"].pop(key)
    return after


@pytest.mark.parametrize(("before", "change", "fields", "nodes"), CHANGED.values(), ids=CHANGED)
async def test_what_a_changed_service_keeps(
    api: Any, before: Body, change: Body, fields: Body, nodes: list[int]
) -> None:
    made = await api.create(SERVICES, before)
    spec = (await api.put(f"{SERVICES}/s", changed(made, change)))["spec"]
    assert {key: spec[key] for key in FIELDS if key in spec} == fields
    assert [port.get("nodePort", 0) for port in spec["ports"]] == nodes


NO_NAME = "may not be set for ExternalName services"
NO_BALANCER = "may only be used when `type` is 'LoadBalancer'"
NO_PORT = "Forbidden: may not be used when `type` is 'ClusterIP'"
NO_NODE = [f"spec.ports[{at}].nodePort: {NO_PORT}" for at in range(3)]
NO_CHECK = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
KEPT: dict[str, tuple[Body, Body, str]] = {
    "other addresses": (
        service(PLAIN), to(NAME, clusterIP="10.96.0.78", clusterIPs=["10.96.0.78"]),
        f"spec.clusterIPs: Forbidden: {NO_NAME}",
    ),
    "other families": (
        service(PLAIN), to(NAME, ipFamilies=["IPv6"]), f"spec.ipFamilies: Forbidden: {NO_NAME}"
    ),
    "another policy": (
        service(PLAIN), to(NAME, ipFamilyPolicy="PreferDualStack"),
        f"spec.ipFamilyPolicy: Forbidden: {NO_NAME}",
    ),
    "other node ports": (
        service(LOAD, ports=NODES), to(PLAIN, ports=[entry("p", 8675, 30100), entry("q", 309, 30101)]),
        f"[{', '.join(NO_NODE[:2])}]",
    ),
    "another node port": (
        service(LOAD, ports=NODES), to(PLAIN, ports=[*NODES, entry("new", 80, 30002)]),
        f"[{', '.join(NO_NODE)}]",
    ),
    "another number of the check": (
        service(LOAD, ports=NODES, **HEALTH), to(PLAIN, healthCheckNodePort=32100),
        f"spec.healthCheckNodePort: Invalid value: 32100: {NO_CHECK}",
    ),
    "node ports after all": (
        service(LOAD, ports=NODES, **NO_PORTS), to(NODE, **WITH_PORTS),
        f"spec.allocateLoadBalancerNodePorts: Forbidden: {NO_BALANCER}",
    ),
    "no node ports after all": (
        service(LOAD, ports=NODES, **WITH_PORTS), to(NODE, **NO_PORTS),
        f"spec.allocateLoadBalancerNodePorts: Forbidden: {NO_BALANCER}",
    ),
    "another class": (
        service(LOAD, ports=NODES, **CLASS), OTHER_CLASS,
        'spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set',
    ),
    "no class": (
        service(LOAD, ports=NODES, **CLASS), {"loadBalancerClass": GONE},
        "spec.loadBalancerClass: Invalid value: null: may not change once set",
    ),
    "another class and type": (
        service(LOAD, ports=NODES, **CLASS), to(PLAIN, **OTHER_CLASS),
        f"spec.loadBalancerClass: Forbidden: {NO_BALANCER}",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "change", "fault"), KEPT.values(), ids=KEPT)
async def test_what_was_just_written_is_not_taken_away(
    api: Any, before: Body, change: Body, fault: str
) -> None:
    """So it is refused."""
    made = await api.create(SERVICES, before)
    answer = await api("PUT", f"{SERVICES}/s", changed(made, change))
    assert (answer.status, answer.message) == (422, f'Service "s" is invalid: {fault}')


HEADLESS = "labelSelector=!service.kubernetes.io/headless"
FOUND: dict[str, tuple[str, set[str]]] = {
    "by name": ("fieldSelector=metadata.name=none", {"none"}),
    "by no such name": ("fieldSelector=metadata.name=x", set()),
    "by namespace": ("fieldSelector=metadata.namespace=default", {"none", "one", "node", "load", "marked"}),
    "by another namespace": ("fieldSelector=metadata.namespace=x", set()),
    "by type": ("fieldSelector=spec.type=LoadBalancer", {"load"}),
    "headless": ("fieldSelector=spec.clusterIP=None", {"none", "marked"}),
    "not headless": ("fieldSelector=spec.clusterIP!=None", {"one", "node", "load"}),
    "with an address": ('fieldSelector=spec.clusterIP!=""', {"none", "one", "node", "load", "marked"}),
    "by address": ("fieldSelector=spec.clusterIP=10.96.0.77", {"one"}),
    "by no such address": ("fieldSelector=spec.clusterIP=2001:db2::1", set()),
    "neither headless nor marked so": (
        f"fieldSelector=spec.clusterIP!=None&{HEADLESS}", {"one", "node", "load"}
    ),
    "not marked": (HEADLESS, {"none", "one", "node", "load"}),
}  # fmt: skip


@pytest.mark.parametrize(("query", "names"), FOUND.values(), ids=FOUND)
async def test_how_services_are_found(api: Any, query: str, names: set[str]) -> None:
    none, free = {"clusterIP": "None", "clusterIPs": ["None"]}, {"clusterIP": "", "clusterIPs": []}
    for name, body in {
        "none": service(PLAIN, **none), "one": service(PLAIN), "node": service(NODE, **free),
        "load": service(LOAD, **free), "marked": service(PLAIN, **none),
    }.items():  # fmt: skip
        labels = {"service.kubernetes.io/headless": ""} if name == "marked" else {}
        await api.create(SERVICES, {**body, "metadata": {"name": name, "labels": labels}})
    found = {item["metadata"]["name"] for item in (await api.get(f"{SERVICES}?{query}"))["items"]}
    assert found - {"kubernetes"} == names


AT = "status.loadBalancer.ingress[0]"
SPELLING = 'IPv6 address \\"0:0::2\\" should be in RFC 5952 canonical format (\\"::2\\")'


async def test_a_write_of_the_status_changes_nothing_else(api: Any, told: Any) -> None:
    made = await api.create(SERVICES, service(LOAD, ports=NODES, sessionAffinity="None"))
    spec = {**made["spec"], "sessionAffinity": "ClientIP"}

    async def write(address: str) -> Any:
        status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
        return await api("PUT", f"{SERVICES}/s/status", {**made, "spec": spec, "status": status}), status

    answer, status = await write("127.0.0.2")
    assert (answer.json["spec"], answer.json["status"], told(answer)) == (made["spec"], status, [])
    made["metadata"]["resourceVersion"] = answer.json["metadata"]["resourceVersion"]
    answer, _ = await write("0:0::2")
    assert told(answer) == [f"{AT}: {SPELLING}"]
    made["metadata"]["resourceVersion"] = answer.json["metadata"]["resourceVersion"]
    answer, _ = await write("127.000.000.002")
    fault = f'{AT}.ip: Invalid value: "127.000.000.002": must not have leading 0s'
    assert (answer.status, answer.message) == (422, f'Service "s" is invalid: {fault}')


@pytest.mark.parametrize("kind", [PLAIN, NODE, NAME])
async def test_what_a_balancer_said_goes_with_it(api: Any, kind: str) -> None:
    made = await api.create(SERVICES, service(LOAD, ports=NODES))
    ready = {"type": "Ready", "status": "True", "reason": "r", "message": ""}
    ready["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    status = {"loadBalancer": {"ingress": [{"ip": "127.0.0.2", "ipMode": "VIP"}]}, "conditions": [ready]}
    made = await api.put(f"{SERVICES}/s/status", {**made, "status": status})
    after = await api.put(f"{SERVICES}/s", changed(made, to(kind)))
    assert after["status"] == {"loadBalancer": {}, "conditions": [ready]}


V6 = "fd00::77"
ONE, TWO, EITHER = "SingleStack", "RequireDualStack", "PreferDualStack"
STORED: dict[str, tuple[Body, Body]] = {
    "an address of old": (
        {"clusterIP": "10.96.0.77"},
        {"clusterIPs": ["10.96.0.77"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": ONE},
    ),
    "one of the other family": (
        {"clusterIP": V6}, {"clusterIPs": [V6], "ipFamilies": ["IPv6"], "ipFamilyPolicy": ONE}
    ),
    "two": (
        {"clusterIP": V6, "clusterIPs": [V6, "10.96.0.77"]},
        {"clusterIPs": [V6, "10.96.0.77"], "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": TWO},
    ),
    "none": (
        {"clusterIP": "None", "selector": {"a": "b"}},
        {"clusterIPs": ["None"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": ONE},
    ),
    "none, for no pods": (
        {"clusterIP": "None", "selector": None},
        {"clusterIPs": ["None"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": TWO},
    ),
    "all of it": (HELD | {"ipFamilyPolicy": EITHER}, HELD | {"ipFamilyPolicy": EITHER}),
    "another's name": ({"type": NAME, "externalName": "a.b", "internalTrafficPolicy": "Cluster"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("left", "shown"), STORED.values(), ids=STORED)
async def test_what_an_older_server_left_of_it_is_completed(
    api: Any, left_behind: Any, left: Body, shown: Body
) -> None:
    made = await api.create(SERVICES, service(PLAIN))
    spec = {"type": PLAIN, "ports": PORTS, "selector": {"k": "v"}, **left}
    found = (await left_behind(SERVICES, {**made, "spec": spec}))["spec"]
    assert {key: found[key] for key in (*FIELDS[1:], "internalTrafficPolicy") if key in found} == {
        **{key: shown[key] for key in FIELDS[1:] if key in shown},
        **({} if left.get("type") == NAME else {"internalTrafficPolicy": "Cluster"}),
    }
    listed = (await api.get(f"{SERVICES}?fieldSelector=metadata.name=s"))["items"]
    assert [item["spec"] for item in listed] == [found]


CLUSTERS: dict[str, tuple[tuple[str, ...], str]] = {
    "IPv4": (("10.0.0.0/24",), "10.0.0.77"),
    "IPv6": (("fd00::/112",), "fd00::77"),
    "IPv4 and IPv6": (("10.0.0.0/24", "fd00::/112"), "10.0.0.77"),
    "IPv6 and IPv4": (("fd00::/112", "10.0.0.0/24"), "fd00::77"),
}


@pytest.mark.parametrize(("ranges", "address"), CLUSTERS.values(), ids=CLUSTERS)
async def test_a_new_service_has_one_address_in_both_ways(
    serving: Any, ranges: tuple[str, ...], address: str
) -> None:
    family = "IPv6" if ":" in address else "IPv4"
    async with serving(bare=True, service_cluster_ip_ranges=ranges) as api:
        for name, given in (("any", {}), ("own", {"clusterIP": address})):
            spec = {"ports": PORTS, "selector": {"k": "v"}, **given}
            found = (await api.create(SERVICES, {"metadata": {"name": name}, "spec": spec}))["spec"]
            assert found["clusterIP"] == given.get("clusterIP", found["clusterIP"])
            assert found["clusterIPs"] == [found["clusterIP"]]
            assert (found["ipFamilies"], found["ipFamilyPolicy"]) == ([family], ONE)
        external = {"type": NAME, "externalName": "a.b"}
        found = (await api.create(SERVICES, {"metadata": {"name": "e"}, "spec": external}))["spec"]
        assert not [
            key for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy") if key in found
        ]
        for policy, families in ((ONE, ["IPv6"]), (EITHER, ["IPv4", "IPv6"]), (TWO, ["IPv6", "IPv4"])):
            asked = {**external, "ipFamilyPolicy": policy, "ipFamilies": families}
            answer = await api("POST", SERVICES, {"metadata": {"name": "f"}, "spec": asked})
            assert answer.status == 422
