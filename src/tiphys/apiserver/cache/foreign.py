"""Values that lie in the store in another form than this server writes: upstream's, or an older version's.

Upstream keeps built-in kinds as protobuf, definitions at v1beta1, and orders JSON its own way; a server keeps
a kind at another version than its predecessor did. What is read so is brought into this server's form, in
memory; in the store it stays as it is until somebody writes it. Pure. Called by ``bucket``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import orjson

from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apimachinery.protowire import ProtobufError
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema import raw_text, strict_json
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.shown import filled
from tiphys.apimachinery.schema.type_meta import NO_KIND
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.conversion import convert
from tiphys.apis.protobuf import codec
from tiphys.apis.schemas import SHOWN_SPECS, schema_for, sections
from tiphys.apis.strategies import strategy_for
from tiphys.apiserver.cache.form import encode, is_roomy, ordered

KEPT_AS_SENT: Final = frozenset((
    ("apps", "ControllerRevision"), ("resource.k8s.io", "DeviceClass"), ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
))  # fmt: skip
"""Kinds that have values of which Go keeps the bytes."""


class NotStored(ValueError):
    """Bytes that are no object of the kind; the text says why, as upstream's decoder does."""


def decode(value: bytes) -> Object:
    """Read a stored object in any form but a sealed one. Raises NotStored."""
    try:
        if value.startswith(codec.MAGIC):
            return codec.decode(value)
        found = orjson.loads(value)
    except ProtobufError as error:
        raise NotStored(str(error)) from error
    except ValueError as error:
        raise NotStored(f"{NO_KIND}: {_fault(value, error)}") from error
    if not isinstance(found, dict):
        raise NotStored("the stored value is no object")
    return found


def _fault(value: bytes, error: ValueError) -> str:
    """Say what is wrong with a JSON that cannot be read, where possible in the words of Go's parser."""
    try:
        strict_json.loads(value)
    except strict_json.JsonError as told:
        return str(told)
    return str(error)


class Read(NamedTuple):
    """What was found in the store."""

    value: bytes
    """In the form it is written in here."""
    obj: Object
    """What it says, decoded; its resourceVersion is empty."""


class StoredForm:
    """How the objects of one kind lie in the store when this server writes them."""

    def __init__(self, row: Resource) -> None:
        self._storage = row.storage
        self._custom = row.custom
        self._raw = (row.group, row.kind) in KEPT_AS_SENT
        kind = f'"kind":"{re.escape(row.storage.kind)}"'
        head = f'{kind},"apiVersion":"{re.escape(row.storage.api_version)}"'
        if row.custom:
            head = f'"apiVersion":"{re.escape(row.storage.group)}/[^"/]*",{kind}'
        self._head = re.compile(f'\\{{{head},"metadata":\\{{'.encode())

    def _is_own(self, value: bytes, obj: Object) -> bool:
        """Whether a value begins as what is written here begins, and has the room that is left here."""
        return self._head.match(value) is not None and is_roomy(obj)

    def read(self, value: bytes) -> Read:
        """Bring a value into the form it is written in here. Raises NotStored."""
        obj = decode(value)
        if not isinstance(obj.get("metadata"), dict):
            raise NotStored("the stored object has no metadata")
        if self._is_own(value, obj):
            return Read(value, obj)
        if gvk_of(obj).kind != self._storage.kind:
            raise NotStored(f"the stored object is a {gvk_of(obj).kind}, not a {self._storage.kind}")
        if self._custom:
            return Read(encode(obj), obj)
        if self._raw and not value.startswith(codec.MAGIC):
            obj = raw_text.with_texts(obj, schema_for(gvk_of(obj)), value)
        made = ordered(self._shaped(convert(obj, self._storage)))
        return Read(raw_text.dumps(made), made)

    def _shaped(self, obj: Object) -> Object:
        """Complete an object as a write of it would: what is always shown, and defaults younger than it."""
        try:
            decode_check(obj, schema_for(self._storage))
        except DecodeError as error:
            raise NotStored(str(error)) from error
        strategy = strategy_for(self._storage)
        strategy.default(obj)
        strategy.complete_stored(obj)
        for name in sections(self._storage):
            obj.setdefault(name, {})
        shown = schema_for(self._storage).properties
        if (self._storage.group, self._storage.kind) in SHOWN_SPECS:
            obj["spec"] = filled(obj["spec"], shown["spec"])
        if isinstance(obj.get("status"), dict) and "status" in shown:
            obj["status"] = filled(obj["status"], shown["status"])
        return obj
