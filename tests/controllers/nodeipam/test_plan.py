"""Ranges for nodes: the next that is free, of every family."""

import ipaddress
import random

import pytest

from tiphys.controllers.nodeipam.plan import Ledger, pools


@pytest.mark.parametrize(
    ("cidr", "taken", "chosen"),
    [
        ("10.0.0.0/16", [], ["10.0.0.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/24", "10.0.2.0/24"], ["10.0.1.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/23"], ["10.0.2.0/24"]),
        ("10.0.0.0/24", ["10.0.0.0/24"], None),
        ("10.0.0.0/16,fd00::/56", [], ["10.0.0.0/24", "fd00::/64"]),
        ("10.0.0.0/16", ["10.0.0.16/28", "10.1.0.0/24", "fd00::/64"], ["10.0.1.0/24"]),
        ("10.1.0.0/16", ["10.0.0.0/8"], None),
        ("10.1.0.0/16,fd00::/56", ["fd00::/16"], None),
        ("fd00::/48", ["fd00::/50", "fd00:0:0:4000::/64"], ["fd00:0:0:4001::/64"]),
        ("10.0.9.9/16", ["10.0.0.7/30"], ["10.0.1.0/24"]),
        ("10.10.0.1/22", ["10.10.0.1/24", "nonsense"], ["10.10.1.0/24"]),
        ("", [], []),
    ],
)
def test_allot(cidr, taken, chosen):
    for ledger in (Ledger(pools(cidr, 24, 64), taken), Ledger(pools(cidr, 24, 64))):
        for text in taken:
            ledger.hold(text, [text])
        assert ledger.allot("new") == chosen
        assert ledger.held("new") == (chosen or [])


def test_what_is_given_back_is_given_again_when_nobody_else_has_it():
    ledger = Ledger(pools("10.0.0.0/22", 24, 64))
    assert [ledger.allot(name)[0][5] for name in "abcd"] == ["0", "1", "2", "3"]
    assert ledger.allot("e") is None
    ledger.hold("twin", ["10.0.1.0/24"])
    ledger.release("b")
    assert ledger.allot("e") is None, "two had it, by somebody's mistake: one still has"
    ledger.release("twin")
    ledger.release("nobody")
    assert ledger.allot("e") == ["10.0.1.0/24"]
    ledger.hold("e", ["10.0.1.0/24"])
    ledger.hold("e", ["10.9.0.0/24"])
    assert ledger.allot("f") == ["10.0.1.0/24"]


def test_what_is_given_back_stays_unused_for_as_long_as_it_can():
    """Routes of a node that has gone may still be about."""
    ledger = Ledger(pools("127.123.234.0/28", 30, 64))
    assert ledger.allot("a") == ["127.123.234.0/30"]
    ledger.release("a")
    assert ledger.allot("b") == ["127.123.234.4/30"]
    ledger.hold("c", ["127.123.234.8/30"])
    assert ledger.allot("d") == ["127.123.234.12/30"]
    assert ledger.allot("e") == ["127.123.234.0/30"]
    assert ledger.allot("f") is None
    ledger.release("d")
    assert ledger.allot("f") == ["127.123.234.12/30"]


def test_nothing_is_given_of_one_pool_when_another_is_used_up():
    ledger = Ledger(pools("10.0.0.0/22,fd00::/63", 24, 64))
    assert ledger.allot("a") == ["10.0.0.0/24", "fd00::/64"]
    assert ledger.allot("b") == ["10.0.1.0/24", "fd00:0:0:1::/64"]
    assert ledger.allot("c") is None
    ledger.release("a")
    assert ledger.allot("c") == ["10.0.2.0/24", "fd00::/64"]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_next_that_overlaps_nothing(seed):
    dice = random.Random(seed)
    pool, ledger, there = ipaddress.ip_network("10.0.0.0/18"), Ledger(pools("10.0.0.0/18", 24, 64)), {}
    subnets, behind = list(pool.subnets(new_prefix=24)), 0
    for step in range(300):
        name = f"n{dice.randrange(40)}"
        if dice.random() < 0.3:
            ledger.release(name)
            there.pop(name, None)
        elif dice.random() < 0.3:
            start, mask = dice.randrange(2**15), dice.choice([20, 22, 24, 26])
            net = ipaddress.ip_network((int(pool.network_address) + start, mask), strict=False)
            ledger.hold(name, [str(net)])
            there[name] = net
        else:
            taken = [net for one, net in there.items() if one != name]
            ledger.release(name)
            order = subnets[behind:] + subnets[:behind]
            expected = next((c for c in order if not any(c.overlaps(net) for net in taken)), None)
            there.pop(name, None)
            assert ledger.allot(name) == (None if expected is None else [str(expected)]), step
            if expected is not None:
                there[name], behind = expected, (subnets.index(expected) + 1) % len(subnets)


def test_the_thousandth_node_looks_at_no_range_of_the_others(monkeypatch):
    ledger = Ledger(pools("10.0.0.0/8", 24, 64))
    for index in range(1000):
        ledger.allot(f"n{index}")
    read = []
    network = ipaddress.ip_network
    monkeypatch.setattr(ipaddress, "ip_network", lambda text, strict: read.append(text) or network(text))
    assert ledger.allot("last") == ["10.3.232.0/24"]
    assert read == ["10.3.232.0/24"]


@pytest.mark.parametrize("cidr", ["10.0.0.0/30", "nonsense", "10.0.0.0/33"])
def test_unusable_ranges_are_refused(cidr):
    with pytest.raises(ValueError):
        pools(cidr, 24, 64)
