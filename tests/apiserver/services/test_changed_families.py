"""What becomes of a Service's addresses and ports when it changes: upstream's tables of its storage."""

from __future__ import annotations

from typing import Any

import pytest

Spec = dict[str, Any]
SERVICES = "/api/v1/namespaces/default/services"
PATH = f"{SERVICES}/s"
IPADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
FAMILIES = {"4": "IPv4", "6": "IPv6"}
RANGES = {"4": "10.0.0.0/24", "6": "fd00::/112"}
ADDRESSES = {"4": "10.0.0.77", "6": "fd00::77"}
SWAPPED = str.maketrans("46", "64")
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"

# A column each for the families told and the addresses told with them: none, one, two of each, families
# first. The number of families after it; - where it is refused.
COLUMNS = [(families, addresses) for families in ("", "4", "46") for addresses in ("", "4", "46")]
FROM_ONE = {"": "1 1 - 1 1 - - - -", SINGLE: "1 1 - 1 1 - - - -"} | dict.fromkeys((PREFER, REQUIRE), "2 " * 9)
FROM_BOTH = {SINGLE: "1 " * 9} | dict.fromkeys(("", PREFER, REQUIRE), "2 - 2 - - - 2 - 2")
# Headless ones are told families only.
HEADLESS_ONE = {"": "1 1 -", SINGLE: "1 1 -", PREFER: "2 2 2", REQUIRE: "2 2 2"}
HEADLESS_BOTH = {"": "2 - 2", SINGLE: "1 1 1", PREFER: "2 - 2", REQUIRE: "2 - 2"}


def service(**spec: Any) -> Spec:
    told = {key: value for key, value in spec.items() if value}
    if told.get("clusterIPs"):
        told["clusterIP"] = told["clusterIPs"][0]
    return {
        "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}], "selector": {"k": "v"}, **told},
    }


async def held(api: Any) -> list[str]:
    found = [item["metadata"]["name"] for item in (await api.get(IPADDRESSES))["items"]]
    own = (await api.get(f"{SERVICES}/kubernetes"))["spec"]["clusterIPs"]
    return sorted(name for name in found if name not in own)


@pytest.mark.parametrize("served", ["46", "64"])
@pytest.mark.parametrize(("first", "table"), [(SINGLE, FROM_ONE), (REQUIRE, FROM_BOTH)], ids=["one", "both"])
async def test_families_of_a_changed_service(
    serving: Any, served: str, first: str, table: dict[str, str]
) -> None:
    def own(digits: str) -> str:
        return digits.translate(SWAPPED) if served == "64" else digits

    ranges = tuple(RANGES[digit] for digit in served)
    whole = [ADDRESSES[digit] for digit in (served if first == REQUIRE else served[0])]
    async with serving(bare=True, service_cluster_ip_ranges=ranges) as api:
        for policy, row in table.items():
            found = []
            for families, addresses in COLUMNS:
                await api.create(SERVICES, service(ipFamilyPolicy=first, clusterIPs=whole))
                told = service(
                    ipFamilyPolicy=policy,
                    ipFamilies=[FAMILIES[digit] for digit in own(families)],
                    clusterIPs=[ADDRESSES[digit] for digit in own(addresses)],
                )
                told["spec"]["selector"] = {"k2": "v2"}
                answer = await api("PUT", PATH, told)
                spec = (await api.get(PATH))["spec"]
                assert await held(api) == sorted(spec["clusterIPs"])
                if answer.status == 422:
                    found.append("-")
                    assert (spec["clusterIPs"], spec["selector"]) == (whole, {"k": "v"})
                else:
                    assert answer.status == 200
                    found.append(str(len(spec["ipFamilies"])))
                    assert spec["ipFamilies"] == [FAMILIES[digit] for digit in served][: int(found[-1])]
                    assert spec["clusterIPs"][0] == whole[0]
                    assert len(spec["clusterIPs"]) == len(spec["ipFamilies"])
                    assert spec["ipFamilyPolicy"] == (policy or first)
                await api("DELETE", PATH)
                assert await held(api) == []
            assert found == row.split(), policy


@pytest.mark.parametrize(
    ("first", "table"), [(SINGLE, HEADLESS_ONE), (REQUIRE, HEADLESS_BOTH)], ids=["one", "both"]
)
async def test_families_of_a_changed_headless_service(
    serving: Any, first: str, table: dict[str, str]
) -> None:
    async with serving(bare=True, service_cluster_ip_ranges=tuple(RANGES.values())) as api:
        for policy, row in table.items():
            found = []
            for families in ("", "4", "46"):
                await api.create(SERVICES, service(ipFamilyPolicy=first, clusterIPs=["None"]))
                told = [FAMILIES[digit] for digit in families]
                answer = await api("PUT", PATH, service(ipFamilyPolicy=policy, ipFamilies=told))
                spec = (await api.get(PATH))["spec"]
                assert (spec["clusterIP"], spec["clusterIPs"]) == ("None", ["None"])
                found.append("-" if answer.status == 422 else str(len(spec["ipFamilies"])))
                assert await held(api) == []
                await api("DELETE", PATH)
            assert found == row.split(), policy


WRONG: dict[str, tuple[str, Spec]] = {
    "families the other way round": (SINGLE, {"ipFamilyPolicy": REQUIRE, "ipFamilies": ["IPv6", "IPv4"]}),
    "addresses the other way round": (
        SINGLE,
        {"ipFamilyPolicy": REQUIRE, "clusterIPs": [ADDRESSES["6"], ADDRESSES["4"]]},
    ),
    "an address that is taken": (
        SINGLE,
        {"ipFamilyPolicy": REQUIRE, "clusterIPs": [ADDRESSES["4"], "fd00::99"]},
    ),
    "the second family alone": (REQUIRE, {"ipFamilyPolicy": SINGLE, "ipFamilies": ["IPv6"]}),
    "the second address alone": (REQUIRE, {"ipFamilyPolicy": SINGLE, "clusterIPs": [ADDRESSES["6"]]}),
    "headless from now on": (SINGLE, {"clusterIPs": ["None"]}),
    "another address": (SINGLE, {"clusterIPs": ["10.0.0.93"]}),
    "two other addresses": (REQUIRE, {"ipFamilyPolicy": PREFER, "clusterIPs": ["10.0.0.93", "fd00::93"]}),
}


@pytest.mark.parametrize(("first", "told"), WRONG.values(), ids=WRONG)
async def test_families_that_cannot_change(serving: Any, first: str, told: Spec) -> None:
    async with serving(bare=True, service_cluster_ip_ranges=tuple(RANGES.values())) as api:
        other = service(clusterIPs=["fd00::99"])
        other["metadata"]["name"] = "other"
        await api.create(SERVICES, other)
        whole = list(ADDRESSES.values())[: 2 if first == REQUIRE else 1]
        made = await api.create(SERVICES, service(ipFamilyPolicy=first, clusterIPs=whole))
        assert (await api("PUT", PATH, service(**told))).status == 422
        assert await api.get(PATH) == made
        assert await held(api) == sorted([*whole, "fd00::99"])


async def test_one_family_stays_one(serving: Any) -> None:
    async with serving(bare=True, service_cluster_ip_ranges=(RANGES["4"],)) as api:
        await api.create(SERVICES, service(ipFamilyPolicy=SINGLE))
        both = ["IPv4", "IPv6"]
        for told in (
            {"ipFamilyPolicy": REQUIRE, "ipFamilies": both},
            {"ipFamilyPolicy": REQUIRE},
            {"ipFamilies": both},
        ):
            assert (await api("PUT", PATH, service(**told))).status == 422
        assert len((await api.put(PATH, service(ipFamilyPolicy=SINGLE)))["spec"]["ipFamilies"]) == 1
        # A headless one may not gain an address.
        await api("DELETE", PATH)
        await api.create(SERVICES, service(clusterIPs=["None"]))
        assert (await api("PUT", PATH, service(clusterIPs=["10.0.0.93"]))).status == 422


def ports(*rows: tuple[str, int, int]) -> list[Spec]:
    found = [{"name": name, "port": port, "nodePort": node} for name, port, node in rows]
    return [{key: value for key, value in port.items() if value} for port in found]


LOCAL = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
BEFORE = ports(("p", 867, 30093), ("q", 5309, 30076))
HEALTH = 30118
PORTS: dict[str, tuple[list[Spec], int, list[int] | None]] = {
    "none told": (ports(("p", 867, 0), ("q", 5309, 0)), 0, [30093, 30076]),
    "one told": (ports(("p", 867, 30093), ("q", 5309, 0)), 0, [30093, 30076]),
    "the other way round": (ports(("q", 5309, 0), ("p", 867, 0)), 0, [30076, 30093]),
    "one is the other's": (ports(("p", 867, 30076), ("q", 5309, 0)), HEALTH, [30076, 0]),
    "one is the health check's": (ports(("p", 867, 30076), ("q", 5309, HEALTH)), 0, None),
    "one is the health check's, one untold": (ports(("p", 867, HEALTH), ("q", 5309, 0)), 0, None),
    "another health check": (BEFORE, 30111, None),
}
"""The ports told, the health check's told; the ports found, where 0 is any that none of them had."""


@pytest.mark.parametrize(("told", "health", "expected"), PORTS.values(), ids=PORTS)
async def test_node_ports_of_a_changed_service(
    serving: Any, told: list[Spec], health: int, expected: list[int] | None
) -> None:
    async with serving(bare=True) as api:
        made = await api.create(SERVICES, service(**LOCAL, ports=BEFORE, healthCheckNodePort=HEALTH))
        answer = await api("PUT", PATH, service(**LOCAL, ports=told, healthCheckNodePort=health))
        taken = sorted(await api.server.backend.services.ports.read())
        if expected is None:
            assert answer.status == 422
            assert await api.get(PATH) == made
            assert taken == [30076, 30093, HEALTH]
            return
        assert answer.status == 200
        spec = answer.json["spec"]
        assert (spec["clusterIP"], spec["healthCheckNodePort"]) == (made["spec"]["clusterIP"], HEALTH)
        found = [port["nodePort"] for port in spec["ports"]]
        assert taken == sorted([*found, HEALTH])
        for number, wanted in zip(found, expected, strict=True):
            assert number == wanted or (wanted == 0 and number not in {30076, 30093, HEALTH})


ONE, TWO = ports(("p", 80, 0)), ports(("p", 80, 0), ("q", 443, 0))
LISTS: dict[str, tuple[str, list[Spec], str, list[Spec]]] = {
    "one more": ("ClusterIP", ONE, "ClusterIP", TWO),
    "one more, with node ports": ("ClusterIP", ONE, "NodePort", TWO),
    "one more, without node ports": ("NodePort", ONE, "ClusterIP", TWO),
    "one less": ("ClusterIP", TWO, "ClusterIP", ONE),
    "one less, with node ports": ("ClusterIP", TWO, "NodePort", ONE),
    "one less, without node ports": ("NodePort", TWO, "ClusterIP", ONE),
    "the other way round": ("NodePort", TWO, "NodePort", TWO[::-1]),
    "other ports": ("NodePort", TWO, "NodePort", ports(("p", 8080, 0), ("q", 8443, 0))),
}


@pytest.mark.parametrize(("before", "had", "after", "told"), LISTS.values(), ids=LISTS)
async def test_ports_come_and_go(
    serving: Any, before: str, had: list[Spec], after: str, told: list[Spec]
) -> None:
    async with serving(bare=True) as api:
        made = (await api.create(SERVICES, service(type=before, ports=had)))["spec"]
        spec = (await api.put(PATH, service(type=after, ports=told)))["spec"]
        assert spec["clusterIPs"] == made["clusterIPs"]
        assert [port["port"] for port in spec["ports"]] == [port["port"] for port in told]
        numbers = [port["nodePort"] for port in spec["ports"] if "nodePort" in port]
        assert len(set(numbers)) == (len(told) if after == "NodePort" else 0)
        assert sorted(await api.server.backend.services.ports.read()) == sorted(numbers)
        if before == after == "NodePort":
            kept = {port["port"]: port["nodePort"] for port in made["ports"]}
            assert all(kept.get(port["port"], port["nodePort"]) == port["nodePort"] for port in spec["ports"])
