"""The names that fields have in Go, which is how messages that cannot be read are told of.

Owns: from a field's JSON name to its name in Go. Refuses: reading messages. Called by ``plan`` and
``special``, when something is wrong only.
"""

from __future__ import annotations

import re
from typing import Final

from tiphys.apimachinery.protowire import ProtobufError

_FIRST: Final = re.compile(r"[a-z]+|.")
_CAPITALS: Final = frozenset(
    ("api", "aws", "ca", "cel", "cidr", "cidrs", "csi", "dns", "fc", "fs", "gce", "gid", "gmsa", "grpc",
     "http", "id", "ip", "iqn", "iscsi", "json", "nfs", "os", "pkix", "qos", "rbd", "se", "ssl", "tcp", "tls",
     "ttl", "tty", "uid", "url")
)  # fmt: skip
_ODD: Final = {
    "cephfs": "CephFS",
    "ips": "IPs",
    "storageos": "StorageOS",
    "wwids": "WWIDs",
    "pdName": "PDName",
    "chapAuthDiscovery": "DiscoveryCHAPAuth",
    "chapAuthSession": "SessionCHAPAuth",
}


def go_name(name: str, kind: str) -> str:
    """Return what Go calls the field that JSON calls ``name``; ``kind`` is its message."""
    if not name or kind in ("meta.v1.ObjectMeta", "meta.v1.ListMeta"):
        return kind.rpartition(".")[2]
    if name in _ODD:
        return _ODD[name]
    if name.startswith("x-kubernetes-"):
        return "X" + "".join(word.capitalize() for word in name.split("-")[2:])
    name = name.lstrip("$")
    first = (_FIRST.match(name) or [""])[0]
    return (first.upper() if first in _CAPITALS else first[:1].upper() + first[1:]) + name[len(first) :]


def wrong_wire(wire_type: int, field: str) -> ProtobufError:
    """Return the fault of a field that is written as another type would be; ``field`` is its name in Go."""
    return ProtobufError(f"proto: wrong wireType = {wire_type} for field {field}")
