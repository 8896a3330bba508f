"""Which addresses a new Service is given, on clusters of each kind: upstream's table of its storage."""

from __future__ import annotations

from typing import Any

import pytest

SERVICES = "/api/v1/namespaces/default/services"
FAMILIES = {"4": "IPv4", "6": "IPv6"}
RANGES = {"4": "10.0.0.0/24", "6": "fd00::/112"}
ADDRESSES = {"4": "10.0.0.77", "6": "fd00::77"}
POLICIES = ("", "SingleStack", "PreferDualStack", "RequireDualStack")
ORDERS = ("", "4", "6", "46", "64")
"""The families asked for."""

# For each policy in the order above, what becomes of each order of families: the families given, - where
# it is refused. A row is called after the addresses asked for.
NONE = "- - - - -"
ONE_FIRST = "4 4 - - -"
ONE_OF_BOTH = "4 4 6 - -"
BOTH = "46 46 64 46 64"
FROM_FOUR, FROM_SIX = "46 46 - 46 -", "64 - 64 - 64"
ON_ONE: dict[str, tuple[str, str, str, str]] = {
    "any": (ONE_FIRST, ONE_FIRST, ONE_FIRST, NONE),
    "4": (ONE_FIRST, ONE_FIRST, ONE_FIRST, NONE),
    "6": (NONE, NONE, NONE, NONE),
    "46": (NONE, NONE, NONE, NONE),
    "64": (NONE, NONE, NONE, NONE),
    "headless": (ONE_FIRST, ONE_FIRST, ONE_FIRST, NONE),
    "headless, without selector": (BOTH, ONE_OF_BOTH, BOTH, BOTH),
}
ON_BOTH: dict[str, tuple[str, str, str, str]] = {
    "any": (ONE_OF_BOTH, ONE_OF_BOTH, BOTH, BOTH),
    "4": (ONE_FIRST, ONE_FIRST, FROM_FOUR, FROM_FOUR),
    "6": ("6 - 6 - -", "6 - 6 - -", FROM_SIX, FROM_SIX),
    "46": (NONE, NONE, FROM_FOUR, FROM_FOUR),
    "64": (NONE, NONE, FROM_SIX, FROM_SIX),
    "headless": (ONE_OF_BOTH, ONE_OF_BOTH, BOTH, BOTH),
    "headless, without selector": (BOTH, ONE_OF_BOTH, BOTH, BOTH),
}
SWAPPED = str.maketrans("46", "64")


def asked(case: str, policy: str, order: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"ports": [{"port": 80}], "selector": {"k": "v"}}
    if case.startswith("headless"):
        spec["clusterIPs"] = ["None"]
    elif case != "any":
        spec["clusterIPs"] = [ADDRESSES[digit] for digit in case]
    if spec.get("clusterIPs"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if case.endswith("without selector"):
        del spec["selector"]
    if policy:
        spec["ipFamilyPolicy"] = policy
    if order:
        spec["ipFamilies"] = [FAMILIES[digit] for digit in order]
    return spec


def given(case: str, policy: str, spec: dict[str, Any]) -> str:
    """Return the families of a new Service, having held its policy and addresses against them."""
    families = [family[-1] for family in spec["ipFamilies"]]
    default = "RequireDualStack" if case.endswith("without selector") else "SingleStack"
    assert spec["ipFamilyPolicy"] == (policy or default)
    assert spec["clusterIP"] == spec["clusterIPs"][0]
    if case.startswith("headless"):
        assert spec["clusterIPs"] == ["None"]
    else:
        assert ["6" if ":" in address else "4" for address in spec["clusterIPs"]] == families
        wanted = [] if case == "any" else [ADDRESSES[digit] for digit in case]
        assert spec["clusterIPs"][: len(wanted)] == wanted
    return "".join(families)


@pytest.mark.parametrize("served", ["4", "6", "46", "64"])
async def test_what_a_new_service_is_given(serving: Any, served: str) -> None:
    table = ON_ONE if len(served) == 1 else ON_BOTH
    swapped = served[0] == "6"
    async with serving(bare=True, service_cluster_ip_ranges=tuple(RANGES[digit] for digit in served)) as api:
        for case, rows in table.items():
            for policy, row in zip(POLICIES, rows, strict=True):
                told = case.translate(SWAPPED) if swapped else case
                found = []
                for order in ORDERS:
                    spec = asked(told, policy, order.translate(SWAPPED) if swapped else order)
                    answer = await api("POST", SERVICES, {"metadata": {"name": "s"}, "spec": spec})
                    assert answer.status in {201, 422}
                    if answer.status == 422:
                        found.append("-")
                        continue
                    families = given(told, policy, answer.json["spec"])
                    found.append(families.translate(SWAPPED) if swapped else families)
                    await api("DELETE", f"{SERVICES}/s")
                assert " ".join(found) == row, (served, told, policy)
