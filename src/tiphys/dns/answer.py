"""One query, the records, one reply.

Pure: bytes in, ``Outcome`` out; sockets and upstream servers are ``server``'s.

Source: RFC 1035 (messages), RFC 2308 (negative answers), RFC 6891 (EDNS), RFC 4343 (case).
"""

from __future__ import annotations

from dnslib import (
    AAAA,
    CLASS,
    CNAME,
    EDNS0,
    NS,
    OPCODE,
    PTR,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    TXT,
    A,
    DNSError,
    DNSRecord,
)

from tiphys.apimachinery.dataclass import dataclass
from tiphys.dns.records import TTL_S, Record, Records

PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 1232
_CNAME_LIMIT = 8
_ADDRESS_TYPES = ("A", "AAAA")
_BADVERS = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do with a query: send ``reply``, or ask an upstream server; neither means to stay silent.

    ``chase`` is a name outside of the cluster that a CNAME in the reply points to: where there is an upstream
    server its addresses belong in the answer, too.
    """

    reply: bytes = b""
    forward: bool = False
    chase: str = ""


def answer(query: bytes, records: Records, *, tcp: bool = False, upstream: bool = False) -> Outcome:
    """Decide the reply to one message; ``upstream`` says whether names of others can be asked for."""
    try:
        message = DNSRecord.parse(query)
    except (DNSError, ValueError, IndexError, UnicodeError):
        return Outcome(_format_error(query))
    if message.header.qr:
        return Outcome()
    reply = message.reply(ra=1, aa=0)
    size, known_version = _edns(message, reply)
    fault = _fault(message)
    if fault or not known_version:
        reply.header.rcode = fault
        return Outcome(_pack(reply, size, tcp=tcp))
    name = str(message.q.qname).rstrip(".").lower()
    if message.q.qclass != CLASS.IN or not records.covers(name):
        if upstream:
            return Outcome(forward=True)
        reply.header.rcode = RCODE.NXDOMAIN
        return Outcome(_pack(reply, size, tcp=tcp))
    chase = _fill(message, reply, records, name)
    return Outcome(_pack(reply, size, tcp=tcp), chase=chase)


def _format_error(query: bytes) -> bytes:
    """FORMERR with the query's id, when at least its header is whole and it is no reply itself."""
    if len(query) < 12 or query[2] & 0x80:
        return b""
    return query[:2] + bytes((0x80 | (query[2] & 0x79), 0x80 | RCODE.FORMERR)) + bytes(8)


def _fault(message: DNSRecord) -> int:
    if message.header.opcode != OPCODE.QUERY:
        return int(RCODE.NOTIMP)
    if len(message.questions) != 1:
        return int(RCODE.FORMERR)
    return 0


def _edns(message: DNSRecord, reply: DNSRecord) -> tuple[int, bool]:
    """Answer OPT with ours; return the bytes a UDP reply may have, and if the version is known."""
    for record in message.ar:
        if record.rtype == QTYPE.OPT:
            version = (int(record.ttl) >> 16) & 0xFF
            reply.add_ar(EDNS0(udp_len=MAX_UDP_BYTES, ext_rcode=_BADVERS >> 4 if version else 0))
            return int(min(max(record.rclass, PLAIN_UDP_BYTES), MAX_UDP_BYTES)), not version
    return PLAIN_UDP_BYTES, True


def _fill(message: DNSRecord, reply: DNSRecord, records: Records, name: str) -> str:
    """Add answers, following CNAMEs within the cluster; return a name to chase outside of it."""
    reply.header.aa = 1
    wanted = str(QTYPE.get(message.q.qtype))
    owner = message.q.qname
    for _ in range(_CNAME_LIMIT):
        found = records.find(name)
        if found is None and not reply.rr:
            reply.header.rcode = RCODE.NXDOMAIN
        matching = [item for item in found or () if wanted in (item.type, "ANY")]
        turn = message.header.id % len(matching) if matching else 0
        for item in matching[turn:] + matching[:turn]:
            reply.add_answer(_resource(owner, item))
            _add_targets(reply, records, item)
        alias = next((item for item in found or () if item.type == "CNAME"), None)
        if matching or alias is None:
            break
        reply.add_answer(_resource(owner, alias))
        owner = name = alias.value
        if not records.covers(name):
            return name if wanted in _ADDRESS_TYPES else ""
    if not reply.rr:
        if wanted == "SOA" and name == records.zone:
            reply.add_answer(_soa(records))
        else:
            reply.add_auth(_soa(records))
    return ""


def _add_targets(reply: DNSRecord, records: Records, item: Record) -> None:
    """An SRV answer brings the addresses of its target along."""
    if item.type != "SRV":
        return
    for address in records.find(item.value) or ():
        if address.type in _ADDRESS_TYPES:
            extra = _resource(item.value, address)
            if extra not in reply.ar:
                reply.add_ar(extra)


def _resource(owner: object, item: Record) -> RR:
    data = {
        "A": lambda: A(item.value),
        "AAAA": lambda: AAAA(item.value),
        "CNAME": lambda: CNAME(item.value),
        "NS": lambda: NS(item.value),
        "PTR": lambda: PTR(item.value),
        "TXT": lambda: TXT(item.value),
        "SRV": lambda: SRV(0, 100, item.port, item.value),
    }[item.type]()
    return RR(owner, getattr(QTYPE, item.type), ttl=TTL_S, rdata=data)


def _soa(records: Records) -> RR:
    times = (records.serial, 7200, 1800, 86400, TTL_S)
    data = SOA(f"ns.dns.{records.zone}", f"hostmaster.{records.zone}", times)
    return RR(records.zone, QTYPE.SOA, ttl=TTL_S, rdata=data)


def _pack(reply: DNSRecord, size: int, *, tcp: bool) -> bytes:
    """Encode; over UDP what does not fit goes: additional records first, then answers, marked truncated."""
    data = bytes(reply.pack())
    if tcp or len(data) <= size:
        return data
    reply.ar = [item for item in reply.ar if item.rtype == QTYPE.OPT]
    data = bytes(reply.pack())
    if len(data) <= size:
        return data
    reply.header.tc = 1
    while reply.rr and len(data) > size:
        reply.rr.pop()
        data = bytes(reply.pack())
    return data


def merge_chased(reply: bytes, upstream_reply: bytes, *, tcp: bool, size: int = MAX_UDP_BYTES) -> bytes:
    """Join the addresses that an upstream server found for a CNAME's target into the reply."""
    ours = DNSRecord.parse(reply)
    try:
        theirs = DNSRecord.parse(upstream_reply)
    except (DNSError, ValueError, IndexError, UnicodeError):
        return reply
    ours.rr.extend(theirs.rr)
    edns = any(item.rtype == QTYPE.OPT for item in ours.ar)
    return _pack(ours, size if edns else PLAIN_UDP_BYTES, tcp=tcp)
