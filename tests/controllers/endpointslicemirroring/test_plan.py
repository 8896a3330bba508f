import pytest

from tiphys.controllers.endpointslicemirroring.plan import MIRROR, is_mirrored, plan, skipped_event

SERVICE = {"metadata": {"name": "s", "namespace": "d"}, "spec": {}}


def endpoints(subsets=(), labels=None, annotations=None):
    meta = {"name": "s", "namespace": "d", "uid": "e", "labels": labels or {}}
    return {"metadata": {**meta, "annotations": annotations or {}}, "subsets": list(subsets)}


def subset(*ips, port=80, unready=()):
    found = {"addresses": [{"ip": ip} for ip in ips], "ports": [{"port": port}]}
    if unready:
        found["notReadyAddresses"] = [{"ip": ip} for ip in unready]
    return found


@pytest.mark.parametrize(
    ("case", "obj", "service", "expected"),
    [
        ("by hand", endpoints(), SERVICE, True),
        ("no service", endpoints(), None, False),
        ("selects pods", endpoints(), {**SERVICE, "spec": {"selector": {"a": "b"}}}, False),
        ("left alone", endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), SERVICE, False),
        (
            "an old lock",
            endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": ""}),
            SERVICE,
            False,
        ),
    ],
)
def test_is_mirrored(case, obj, service, expected):
    assert is_mirrored(obj, service) is expected, case


def test_one_slice_for_each_family_and_ports():
    planned = plan(
        endpoints([subset("10.0.0.1", "fd00::1"), subset("10.0.0.2", port=81)], {"a": "b"}), SERVICE, []
    )
    found = {(item["addressType"], item["ports"][0]["port"]): item for item in planned.create}
    assert set(found) == {("IPv4", 80), ("IPv6", 80), ("IPv4", 81)}
    labels = found["IPv4", 81]["metadata"]["labels"]
    assert labels == {
        "a": "b",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": MIRROR,
    }
    assert found["IPv4", 81]["endpoints"] == [{"addresses": ["10.0.0.2"], "conditions": {"ready": True}}]


def test_it_settles_changes_and_goes():
    first = plan(endpoints([subset("10.0.0.1")]), SERVICE, []).create[0]
    again = plan(endpoints([subset("10.0.0.1")]), SERVICE, [first])
    assert (again.create, again.update, again.delete) == ([], [], [])
    changed = plan(endpoints([subset("10.0.0.1", unready=["10.0.0.9"])]), SERVICE, [first])
    assert [item["conditions"]["ready"] for item in changed.update[0]["endpoints"]] == [True, False]
    other = plan(endpoints([subset("10.0.0.1", port=99)]), SERVICE, [first])
    assert (len(other.create), other.delete) == (1, [first])
    assert plan(None, SERVICE, [first]).delete == [first]


def test_addresses_that_are_too_many_are_told():
    many = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(1003)]
    assert skipped_event(endpoints([subset("1.1.1.1")])) is None
    event = skipped_event(endpoints([subset(*many), subset("1.1.1.1", port=81)]))
    most = "A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset."
    assert event == ("Warning", "TooManyAddressesToMirror", f"{most} 3 addresses were skipped")
    assert (
        sum(len(item["endpoints"]) for item in plan(endpoints([subset(*many)]), SERVICE, []).create) == 1000
    )
