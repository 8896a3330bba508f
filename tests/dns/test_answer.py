"""Queries and replies over one small cluster; and bytes that are no queries."""

from __future__ import annotations

from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from tiphys.dns.answer import answer, merge_chased
from tiphys.dns.records import Records

ZONE = "cluster.local"
WEB, DB, NS = f"web.default.svc.{ZONE}", f"db.default.svc.{ZONE}", f"default.svc.{ZONE}"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def endpoints(*items: tuple[str, str, bool], port: int = 5432) -> dict[str, Any]:
    return {
        "metadata": {"name": "x", "namespace": "default"},
        "endpoints": [
            {"addresses": [ip], "conditions": {"ready": ready}, **({"hostname": host} if host else {})}
            for ip, host, ready in items
        ],
        "ports": [{"name": "pg", "port": port, "protocol": "TCP"}],
    }


@pytest.fixture
def records() -> Records:
    found = Records(ZONE, "10.64.0.10")
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 81}]
    found.update(
        service("web", clusterIP="10.64.0.20", clusterIPs=["10.64.0.20", "fd00::20"], ports=ports), []
    )
    found.update(
        service("db", clusterIP="None"),
        [endpoints(("10.128.1.5", "db-0", True), ("10.128.1.6", "", True), ("10.128.1.7", "db-2", False))],
    )
    found.update(service("empty", clusterIP="None"), [])
    found.update(service("ext", type="ExternalName", externalName="example.test."), [])
    found.update(service("alias", type="ExternalName", externalName=WEB), [])
    return found


def ask(records: Records, name: str, kind: str = "A", **options: Any) -> DNSRecord:
    return DNSRecord.parse(answer(bytes(DNSRecord.question(name, kind).pack()), records, **options).reply)


def shown(reply: DNSRecord) -> list[str]:
    return sorted(f"{QTYPE.get(item.rtype)} {item.rdata}".rstrip(".") for item in reply.rr)


FOUND = [
    (WEB, "A", ["A 10.64.0.20"]),
    (WEB.upper(), "A", ["A 10.64.0.20"]),
    (WEB, "AAAA", ["AAAA fd00::20"]),
    (f"_http._tcp.{WEB}", "SRV", [f"SRV 0 100 80 {WEB}"]),
    (WEB, "SRV", [f"SRV 0 100 80 {WEB}", f"SRV 0 100 81 {WEB}"]),
    ("20.0.64.10.in-addr.arpa", "PTR", [f"PTR {WEB}"]),
    (DB, "A", ["A 10.128.1.5", "A 10.128.1.6"]),
    (f"db-0.{DB}", "A", ["A 10.128.1.5"]),
    (f"10-128-1-6.{DB}", "A", ["A 10.128.1.6"]),
    (f"_pg._tcp.{DB}", "SRV", [f"SRV 0 100 5432 10-128-1-6.{DB}", f"SRV 0 100 5432 db-0.{DB}"]),
    ("5.1.128.10.in-addr.arpa", "PTR", [f"PTR db-0.{DB}"]),
    (f"alias.{NS}", "A", ["A 10.64.0.20", f"CNAME {WEB}"]),
    (f"ext.{NS}", "CNAME", ["CNAME example.test"]),
    (f"10-128-1-9.default.pod.{ZONE}", "A", ["A 10.128.1.9"]),
    (f"dns-version.{ZONE}", "TXT", ['TXT "1.1.0"']),
    (ZONE, "NS", [f"NS ns.dns.{ZONE}"]),
    (f"ns.dns.{ZONE}", "A", ["A 10.64.0.10"]),
]


@pytest.mark.parametrize(("name", "kind", "want"), FOUND, ids=[f"{kind} {name}" for name, kind, _ in FOUND])
def test_found(records: Records, name: str, kind: str, want: list[str]) -> None:
    reply = ask(records, name, kind)
    assert shown(reply) == want
    assert (reply.header.rcode, reply.header.aa, reply.header.ra) == (RCODE.NOERROR, 1, 1)


@pytest.mark.parametrize(
    ("name", "kind", "rcode"),
    [
        (f"nosuch.{NS}", "A", "NXDOMAIN"),
        (f"web.other.svc.{ZONE}", "A", "NXDOMAIN"),
        (f"other.svc.{ZONE}", "A", "NXDOMAIN"),
        (f"db-2.{DB}", "A", "NXDOMAIN"),
        (f"{WEB}.{NS}", "A", "NXDOMAIN"),
        (f"300-1-1-1.default.pod.{ZONE}", "A", "NXDOMAIN"),
        (WEB, "MX", "NOERROR"),
        (DB, "AAAA", "NOERROR"),
        (f"empty.{NS}", "A", "NOERROR"),
        (NS, "A", "NOERROR"),
        (f"_tcp.{WEB}", "SRV", "NOERROR"),
        (f"svc.{ZONE}", "A", "NOERROR"),
    ],
)
def test_negative_answers_carry_the_soa(records: Records, name: str, kind: str, rcode: str) -> None:
    reply = ask(records, name, kind)
    assert reply.header.rcode == getattr(RCODE, rcode)
    assert not reply.rr
    assert [QTYPE.get(item.rtype) for item in reply.auth] == ["SOA"]


def test_srv_brings_addresses_along(records: Records) -> None:
    reply = ask(records, f"_pg._tcp.{DB}", "SRV")
    assert sorted(str(item.rdata) for item in reply.ar) == ["10.128.1.5", "10.128.1.6"]


def test_answers_take_turns(records: Records) -> None:
    first = set()
    for number in (10, 11):
        query = DNSRecord.question(DB)
        query.header.id = number
        first.add(str(DNSRecord.parse(answer(bytes(query.pack()), records).reply).rr[0].rdata))
    assert first == {"10.128.1.5", "10.128.1.6"}


def test_names_of_others(records: Records) -> None:
    query = bytes(DNSRecord.question("example.test").pack())
    assert answer(query, records, upstream=True).forward
    assert DNSRecord.parse(answer(query, records).reply).header.rcode == RCODE.NXDOMAIN


def test_external_name_is_chased_and_joined(records: Records) -> None:
    outcome = answer(bytes(DNSRecord.question(f"ext.{NS}").pack()), records, upstream=True)
    assert outcome.chase == "example.test"
    theirs = DNSRecord.question("example.test").reply()
    theirs.add_answer(*DNSRecord.parse(ask(records, WEB).pack()).rr)
    joined = DNSRecord.parse(merge_chased(outcome.reply, bytes(theirs.pack()), tcp=False))
    assert shown(joined) == ["A 10.64.0.20", "CNAME example.test"]


@pytest.mark.parametrize(
    ("edns", "tcp", "truncated", "count"), [(0, False, 1, 30), (1232, False, 1, 70), (0, True, 0, 100)]
)
def test_truncation(records: Records, edns: int, tcp: bool, truncated: int, count: int) -> None:
    many = [(f"10.128.3.{number}", "", True) for number in range(100)]
    records.update(service("db", clusterIP="None"), [{**endpoints(*many), "ports": []}])
    query = DNSRecord.question(DB)
    if edns:
        query.add_ar(EDNS0(udp_len=edns))
    data = answer(bytes(query.pack()), records, tcp=tcp).reply
    reply = DNSRecord.parse(data)
    assert reply.header.tc == truncated
    assert len(data) <= (edns or 512) or tcp
    assert count - 5 <= len(reply.rr) <= count + 5
    assert bool(reply.ar) == bool(edns)


def test_unknown_edns_version(records: Records) -> None:
    query = DNSRecord.question(WEB)
    query.add_ar(EDNS0(udp_len=1232, version=1))
    reply = DNSRecord.parse(answer(bytes(query.pack()), records).reply)
    assert not reply.rr
    assert int(reply.ar[0].ttl) >> 24 == 1


def test_other_opcodes_and_replies(records: Records) -> None:
    query = DNSRecord.question(WEB)
    query.header.opcode = 4
    assert DNSRecord.parse(answer(bytes(query.pack()), records).reply).header.rcode == RCODE.NOTIMP
    assert answer(bytes(DNSRecord.question(WEB).reply().pack()), records).reply == b""


def test_broken_query_is_told_so(records: Records) -> None:
    data = bytes(DNSRecord.question(WEB).pack())[:-6]
    reply = answer(data, records).reply
    assert reply[:2] == data[:2]
    assert reply[3] & 0xF == RCODE.FORMERR


@given(st.binary(max_size=80))
def test_any_bytes_are_survived(data: bytes) -> None:
    answer(data, Records(ZONE))
