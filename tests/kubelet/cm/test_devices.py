"""Which devices containers get."""

import pytest
from pods import container, pod

from tiphys.kubelet.admission import Rejection
from tiphys.kubelet.cm.devices import Extras, asked, assign, counted

GPU, NIC = "example.com/gpu", "example.com/nic"
POOLS = {GPU: {"g0": True, "g1": True, "g2": False, "g3": True}, NIC: {"n0": True}}


def wants(name, amount, resource=GPU, **fields):
    return container(name, resources={"limits": {resource: str(amount), "cpu": "1"}}, **fields)


def test_only_what_plugins_have_is_asked_for():
    one = container(resources={"limits": {GPU: "2", "example.com/other": "1", NIC: "0"}})
    assert asked(one, POOLS) == {GPU: 2}


@pytest.mark.parametrize(
    ("the_pod", "taken", "expected"),
    [
        pytest.param(pod(wants("a", 2)), {}, {"a": {GPU: ["g0", "g1"]}}, id="the first that are free"),
        pytest.param(pod(wants("a", 2)), {GPU: {"g0"}}, {"a": {GPU: ["g1", "g3"]}}, id="healthy ones only"),
        pytest.param(
            pod(wants("a", 1), wants("b", 1, NIC)),
            {},
            {"a": {GPU: ["g0"]}, "b": {NIC: ["n0"]}},
            id="two resources",
        ),
        pytest.param(
            pod(wants("a", 2), init=[wants("i", 1)]),
            {},
            {"i": {GPU: ["g0"]}, "a": {GPU: ["g0", "g1"]}},
            id="what an init container had is used again",
        ),
        pytest.param(
            pod(wants("a", 1), init=[wants("s", 1, restartPolicy="Always")]),
            {},
            {"s": {GPU: ["g0"]}, "a": {GPU: ["g1"]}},
            id="a sidecar keeps its own",
        ),
        pytest.param(pod(), {}, {}, id="none asked for"),
    ],
)
def test_assignment(the_pod, taken, expected):
    assert assign(the_pod, POOLS, taken) == expected


def test_too_few():
    found = assign(pod(wants("a", 3)), POOLS, {GPU: {"g0"}})
    text = (
        "Allocate failed due to requested number of devices unavailable for example.com/gpu. "
        "Requested: 3, Available: 2, which is unexpected"
    )
    assert found == Rejection("UnexpectedAdmissionError", text)


def test_none_that_is_healthy():
    found = assign(pod(wants("a", 1)), {GPU: {"g0": False}}, {})
    text = (
        "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices "
        "example.com/gpu, which is unexpected"
    )
    assert found == Rejection("UnexpectedAdmissionError", text)


def test_counts():
    assert counted(POOLS) == {GPU: (4, 3), NIC: (1, 1)}


def test_extras_are_joined():
    one = Extras({"A": "1"}, [{"m": 1}], [{"d": 1}], {"x": "y"}, ["v/c=a"])
    other = Extras({"A": "2", "B": "3"}, (), [{"d": 2}], {}, ["v/c=b"])
    both = one.joined(other)
    assert both.env == {"A": "1", "B": "3"}
    assert both.devices == ({"d": 1}, {"d": 2})
    assert both.cdi == ("v/c=a", "v/c=b")
