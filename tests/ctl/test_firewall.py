"""Rules for a cluster's bridge in the machine's own packet filter, by how ``iptables -S`` tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.ctl import firewall
from tiphys.ctl.firewall import guarded, plan_closing, plan_opening
from tiphys.ctl.layout import Cluster, CtlError

OPEN = Cluster("default", 0, Path("/x"), 2)
CLOSED = Cluster("default", 0, Path("/x"), 2, outbound=False)
EMPTY = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
DOCKER = """\
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-USER -j RETURN
-A DOCKER ! -i docker0 -o docker0 -j DROP
"""
UFW = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A INPUT -j ufw-before-input\n"
REJECTS = (
    "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n"
    "-A OTHER -j DROP\n"
)
AMONG = "FORWARD -i tiphys0 -o tiphys0 -j ACCEPT"
TO_US = "INPUT -i tiphys0 -p tcp -m tcp --dport 6443 -j ACCEPT"
NAMES = [f"INPUT -i tiphys0 -p {way} -m {way} --dport 53 -j ACCEPT" for way in ("udp", "tcp")]
OUT = "FORWARD -i tiphys0 ! -o tiphys0 -j ACCEPT"
BACK = "FORWARD ! -i tiphys0 -o tiphys0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
CASES = {
    "no filter": ("", set(), []),
    "a filter that lets all pass": (EMPTY, set(), []),
    "docker": (DOCKER, {"FORWARD"}, [AMONG, OUT, BACK]),
    "ufw": (UFW, {"FORWARD", "INPUT"}, [AMONG, TO_US, OUT, BACK, *NAMES]),
    "a rule at the end": (REJECTS, {"FORWARD"}, [AMONG, OUT, BACK]),
    "what is there already": (f"{DOCKER}-A {AMONG}\n-A {BACK}\n", {"FORWARD"}, [OUT]),
    "another cluster's": (f"{DOCKER}-A {AMONG.replace('s0', 's1')}\n", {"FORWARD"}, [AMONG, OUT, BACK]),
}


@pytest.mark.parametrize(("listing", "chains", "wanted"), CASES.values(), ids=CASES)
def test_opening(listing: str, chains: set[str], wanted: list[str]) -> None:
    assert guarded(listing) == chains
    assert [" ".join(rule) for rule in plan_opening(listing, OPEN)] == wanted
    inside = [one for one in wanted if one in (AMONG, TO_US)]
    assert [" ".join(rule) for rule in plan_opening(listing, CLOSED)] == inside


def test_closing_takes_back_what_is_there_and_no_more() -> None:
    listing = f"{UFW}-A {AMONG}\n-A {TO_US}\n-A {AMONG.replace('s0', 's1')}\n"
    assert [" ".join(rule) for rule in plan_closing(listing, CLOSED)] == [AMONG, TO_US]
    assert plan_closing(DOCKER, OPEN) == []


def test_a_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([(0, DOCKER, ""), (4, "", "another app is holding the lock")])
    monkeypatch.setattr(firewall, "_iptables", lambda *_: _Done(*next(answers)))
    with pytest.raises(CtlError, match="does not let tiphys0 through: another app"):
        firewall.let_through(CLOSED)


class _Done:
    def __init__(self, returncode: int, stdout: str, stderr: str) -> None:
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr
