"""What goes over the wire to etcd v3: message classes, and records, compares and watches as messages.

Owns the mapping between ``storage.base`` and etcd's protobuf. Refuses: connections and decisions.
Called by the other ``etcd`` modules of this package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final

from tiphys.apimachinery.protobuf import Messages, build
from tiphys.storage.base import Delete, Event, Put, Record
from tiphys.storage.keyspace import prefix_end

RANGE: Final = "/etcdserverpb.KV/Range"
TXN: Final = "/etcdserverpb.KV/Txn"
COMPACT: Final = "/etcdserverpb.KV/Compact"
WATCH: Final = "/etcdserverpb.Watch/Watch"
LEASE_GRANT: Final = "/etcdserverpb.Lease/LeaseGrant"
LEASE_LEFT: Final = "/etcdserverpb.Lease/LeaseTimeToLive"
STATUS: Final = "/etcdserverpb.Maintenance/Status"
LEASE_REVOKE: Final = "/etcdserverpb.Lease/LeaseRevoke"

_ALL: Final = b"\0"
"""As key: the first there is; as range end: no end."""
_MOD: Final = 2
DELETED: Final = 1


@cache
def _facts() -> dict[str, Any]:
    file = resources.files("tiphys.storage") / "data" / "etcd_v3.json"
    facts: dict[str, Any] = json.loads(file.read_text())
    return facts


@cache
def _messages() -> Messages:
    return build(_facts()["messages"], _facts()["enums"])


def _new(name: str, **fields: Any) -> Any:
    return _messages()["etcdserverpb." + name](**fields)


def request(method: str, **fields: Any) -> Any:
    """Make the request of one of the methods above."""
    return _messages()[_facts()["methods"][method][0]](**fields)


def response_class(method: str) -> Any:
    """Return the class of its response."""
    return _messages()[_facts()["methods"][method][1]]


def span(prefix: bytes, start: bytes = b"") -> dict[str, bytes]:
    """Return ``key`` and ``range_end`` of all keys with ``prefix`` from ``start`` on."""
    end = prefix_end(prefix.decode("ascii"))
    return {"key": max(prefix, start) or _ALL, "range_end": end.encode("ascii") if end else _ALL}


def watch_all(start_revision: int) -> Any:
    """Ask for every event of the whole key space.

    Whoever sees all of it can tell that nothing is missing: each revision has at least one event.
    """
    create = _new(
        "WatchCreateRequest", start_revision=start_revision, prev_kv=True, fragment=True, **span(b"")
    )
    return request(WATCH, create_request=create)


class Keys:
    """Turns keys and values into records and back; every key in etcd begins with ``root``.

    ``root`` goes before a key, or in the place of ``base``, which every key then begins with.
    """

    def __init__(self, root: str = "", base: str = "") -> None:
        self.root = root.encode("ascii")
        self._base = base
        self._own = self.root + b"/" if base else self.root

    def encode(self, key: str) -> bytes:
        """Return the key, or the prefix of keys, in etcd. Raises ValueError: not one of ours."""
        if key.startswith(self._base):
            return self.root + key[len(self._base) :].encode("ascii")
        if self._base.startswith(key):  # a prefix of all keys
            return self._own
        raise ValueError(f"key {key!r} does not begin with {self._base}")

    def span(self, prefix: str, start: str = "") -> dict[str, bytes]:
        return span(self.encode(prefix), self.encode(start))

    def record(self, kv: Any) -> Record:
        key = self._base + kv.key[len(self.root) :].decode("ascii", "replace")
        return Record(key, kv.value, kv.mod_revision, kv.create_revision, kv.lease)

    def events(self, found: Iterable[Any]) -> list[Event]:
        """Return those events that are about keys under ``root``."""
        events: list[Event] = []
        for event in found:
            kv = event.kv
            if not kv.key.startswith(self._own):
                continue
            previous = self.record(event.prev_kv) if event.HasField("prev_kv") else None
            if event.type == DELETED:
                last = previous or self.record(kv)
                gone = Record(last.key, last.value, kv.mod_revision, last.create_revision, last.lease)
                events.append(Event(gone, True, previous))
            else:
                events.append(Event(self.record(kv), False, previous))
        return events

    def transaction(self, writes: Sequence[Put | Delete]) -> Any:
        """Return all writes as one transaction that answers a failed compare with the keys compared."""
        compare, success, failure = [], [], []
        for write in writes:
            key = self.encode(write.key)
            if write.expect is not None:
                compare.append(_new("Compare", key=key, target=_MOD, mod_revision=write.expect))
                failure.append(_new("RequestOp", request_range=_new("RangeRequest", key=key)))
            if isinstance(write, Put):
                put = _new("PutRequest", key=key, value=write.value, lease=write.lease)
                success.append(_new("RequestOp", request_put=put))
            else:
                success.append(_new("RequestOp", request_delete_range=_new("DeleteRangeRequest", key=key)))
        return request(TXN, compare=compare, success=success, failure=failure)

    def compared(self, response: Any) -> list[Record | None]:
        """Return what a failed transaction found at the keys it compared, in their order."""
        found: list[Record | None] = []
        for answer in response.responses:
            kvs = answer.response_range.kvs
            found.append(self.record(kvs[0]) if kvs else None)
        return found
