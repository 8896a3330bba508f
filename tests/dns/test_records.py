"""The index stays equal to a fresh one, whatever came and went."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiphys.dns.records import Records


def service(name: str, ip: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}]
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"clusterIP": ip, "ports": ports}}


NAMES = ("a", "b", "c")
STEPS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(("", "10.64.0.1", "10.64.0.2", "None"))))


@given(STEPS)
def test_incremental_equals_fresh(steps: list[tuple[str, str]]) -> None:
    kept, present = Records(), {}
    for name, ip in steps:
        if ip:
            kept.update(service(name, ip), [])
            present[name] = ip
        else:
            kept.remove(f"ns/{name}")
            present.pop(name, None)
    fresh = Records()
    for name, ip in present.items():
        fresh.update(service(name, ip), [])
    asked = ["ns.svc.cluster.local", "1.0.64.10.in-addr.arpa", "64.10.in-addr.arpa"]
    asked += [
        f"{prefix}{name}.ns.svc.cluster.local" for name in NAMES for prefix in ("", "_tcp.", "_http._tcp.")
    ]
    for name in asked:
        mine, theirs = kept.find(name), fresh.find(name)
        assert (mine is None) == (theirs is None)
        assert set(mine or ()) == set(theirs or ())


def test_serial_moves_only_with_content() -> None:
    records = Records()
    records.update(service("a", "10.64.0.1"), [])
    before = records.serial
    records.update(service("a", "10.64.0.1"), [])
    assert records.serial == before
    records.update(service("a", "10.64.0.2"), [])
    assert records.serial == before + 1
