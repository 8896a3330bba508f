"""Zones that fail in part or whole, and the pace of giving nodes up."""

import pytest

from tiphys.controllers.nodelifecycle.zones import Rates, Zones, ZoneState, zone_of


def node(name, ready="True", zone="", region=""):
    labels = {}
    if zone:
        labels["topology.kubernetes.io/zone"] = zone
    if region:
        labels["topology.kubernetes.io/region"] = region
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": ready}] if ready else []},
    }


def zones(up, down, *, zone="", rates=None):
    made = Zones(rates or Rates())
    for number in range(up):
        made.put(node(f"up-{zone}-{number}", zone=zone))
    for number in range(down):
        made.put(node(f"down-{zone}-{number}", "Unknown", zone=zone))
    return made


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        (3, 0, ZoneState.NORMAL),
        (1, 1, ZoneState.NORMAL),
        (1, 2, ZoneState.NORMAL),
        (2, 3, ZoneState.PARTIAL),
        (3, 3, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL),
        (0, 0, ZoneState.NORMAL),
    ],
)
def test_states(up, down, expected):
    assert zones(up, down).state("") is expected


def test_nodes_that_are_not_to_count_do_not():
    made = Zones(Rates())
    made.put(node("up"))
    for number in range(4):
        silent = node(f"down-{number}", "Unknown")
        silent["metadata"]["labels"]["node.kubernetes.io/exclude-disruption"] = ""
        made.put(silent)
    assert made.state("") is ZoneState.NORMAL
    assert made.sizes() == {"": (1, 0)}
    assert made.may_give_up(node("down-0", "Unknown"), 100.0)


def test_one_node_in_ten_seconds():
    made = zones(9, 2)
    first, second = node("down--0", "Unknown"), node("down--1", "Unknown")
    assert made.may_give_up(first, 100.0)
    assert not made.may_give_up(second, 109.0)
    assert made.may_give_up(second, 110.5)


def test_a_node_is_not_given_up_before_it_is_clear_who_else_is_down():
    made = Zones(Rates(), settle_s=5.0)
    made.put(node("up"), 0.0)
    made.put(node("down", "Unknown"), 100.0)
    assert not made.may_give_up(node("down"), 104.0)
    made.put(node("down", "False"), 104.0)
    assert made.may_give_up(node("down"), 105.0)


def test_zones_do_not_wait_for_each_other():
    made = zones(3, 1, zone="a")
    made.put(node("b-up", zone="b"))
    made.put(node("b-down", "False", zone="b"))
    assert made.may_give_up(node("down-a-0", zone="a"), 0.0)
    assert made.may_give_up(node("b-down", zone="b"), 0.0)
    assert not made.may_give_up(node("down-a-0", zone="a"), 0.0)


def test_zones_that_need_not_wait_are_forgotten():
    made = Zones(Rates())
    made.put(node("up"))
    for number in range(20):
        silent = node(f"down-{number}", "Unknown", zone=f"z-{number}")
        made.put(silent)
        assert made.may_give_up(silent, 100.0 * number)
        made.remove(f"down-{number}")
    assert len(made._next_at) == 1


def test_a_small_zone_that_is_half_gone_gives_up_nobody():
    made = zones(2, 8)
    assert not made.may_give_up(node("down--0"), 0.0)
    large = zones(20, 40)
    assert large.may_give_up(node("down--0"), 0.0)
    assert not large.may_give_up(node("down--1"), 99.0)
    assert large.may_give_up(node("down--1"), 100.5)


def test_nobody_is_given_up_while_all_are_down():
    made = zones(0, 3)
    assert made.all_down
    assert not made.may_give_up(node("down--0"), 0.0)
    made.put(node("back"))
    assert not made.all_down
    made.remove("back")
    assert made.all_down
    for number in range(3):
        made.remove(f"down--{number}")
    assert not made.all_down, "no nodes at all"


def test_a_whole_zone_goes_at_the_usual_pace_while_others_stand():
    made = zones(0, 3, zone="a")
    made.put(node("b-up", zone="b"))
    assert made.state("a" and zone_of(node("x", zone="a"))) is ZoneState.FULL
    assert made.may_give_up(node("down-a-0", zone="a"), 0.0)


def test_names_of_zones():
    assert zone_of(node("n")) == ""
    assert zone_of(node("n", zone="z", region="r")) == "r:\0:z"
    old = {"metadata": {"labels": {"failure-domain.beta.kubernetes.io/zone": "z"}}}
    assert zone_of(old) == ":\0:z"
