"""Ranges for nodes: the first that is free, of every family."""

import pytest

from tiphys.controllers.nodeipam.plan import allot, pools


@pytest.mark.parametrize(
    ("cidr", "taken", "chosen"),
    [
        ("10.0.0.0/16", [], ["10.0.0.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/24", "10.0.2.0/24"], ["10.0.1.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/23"], ["10.0.2.0/24"]),
        ("10.0.0.0/24", ["10.0.0.0/24"], None),
        ("10.0.0.0/16,fd00::/56", [], ["10.0.0.0/24", "fd00::/64"]),
        ("", [], []),
    ],
)
def test_allot(cidr, taken, chosen):
    assert allot(pools(cidr, 24, 64), taken) == chosen


@pytest.mark.parametrize("cidr", ["10.0.0.0/30", "nonsense", "10.0.0.1/16"])
def test_unusable_ranges_are_refused(cidr):
    with pytest.raises(ValueError):
        pools(cidr, 24, 64)
