"""One version of one object: bytes encoded once, everything else worked out when first asked for.

Also the frames of watch events, built from the same bytes. Called by the rest of ``apiserver.cache``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import orjson

from tiphys.apimachinery.go_text import without_markup
from tiphys.apimachinery.meta import Object, gvk_of
from tiphys.apimachinery.resource import Resource
from tiphys.apimachinery.schema import raw_text
from tiphys.apis.schemas import schema_for
from tiphys.apiserver.cache.form import at_revision, head_of, item_at_revision
from tiphys.apiserver.observe import latencies
from tiphys.apiserver.registry.objects import Change

_KEPT_OBJECTS: Final = 4096
_KEPT_WRITTEN: Final = 256
_KEPT_BYTES: Final = 16 * 1024
_LARGE_BYTES: Final = 32 * 1024
_KEPT_LARGE: Final = 32
"""A definition of a custom kind takes a megabyte once it is decoded; there may be hundreds."""
_NO_LABELS: Final[Mapping[str, str]] = {}


class FieldReader(Protocol):
    """Reads the selectable fields of the objects of one kind, and what the store could not open."""

    @property
    def has_fields(self) -> bool:
        """Whether objects of this kind can be selected by anything but their names."""
        ...

    @property
    def custom(self) -> bool:
        """Whether the kind is one that a definition brings."""
        ...

    def read_fields(self, obj: Object) -> dict[str, str]: ...

    def is_stale(self, key: str) -> bool:
        """Tell whether the stored form is out of date though the object is not."""
        ...

    def unseal(self, key: str, value: bytes, revision: int) -> bytes:
        """Open a value that could not be read when it came. Raises CorruptObject."""
        ...


class Entry:
    """A ``Cached`` over a stored value. Read-only; shared by everyone."""

    __slots__ = (
        "_fields", "_labels", "_object", "_reader", "_written", "key", "lease", "name", "namespace",
        "revision", "value",
    )  # fmt: skip

    def __init__(
        self,
        reader: FieldReader,
        key: str,
        namespace: str,
        name: str,
        value: bytes,
        *,
        revision: int,
        lease: int,
    ) -> None:
        self._reader = reader
        self.key = key
        self.namespace = namespace
        self.name = name
        self.value = value
        self.revision = revision
        self.lease = lease
        self._labels: Mapping[str, str] | None = None
        self._fields: dict[str, str] | None = None
        self._object: Object | None = None
        self._written: Object | None = None

    @property
    def raw(self) -> bytes:
        """The object's JSON in its storage version, with resourceVersion.

        Put together when asked for: keeping it too would double what the cache weighs.
        """
        return at_revision(self.value, self.revision)

    @property
    def listed(self) -> bytes:
        """What a list of its storage version shows of it: of built-in kinds no item says what it is."""
        if self._reader.custom:
            return self.raw
        return item_at_revision(self.value, self.revision)

    def check(self) -> None:
        """Raises CorruptObject while it cannot be read."""

    @property
    def size(self) -> int:
        return len(self.value)

    @property
    def object(self) -> Object:
        """The decoded object, shared: never change it."""
        found = self._object
        if found is None:
            written, self._written = self._written, None
            if written is None:
                with latencies.spending(latencies.DECODE):
                    found = self._decode()
            else:
                meta = {**written["metadata"], "resourceVersion": str(self.revision)}
                found = {**written, "metadata": meta}
            self._object = found
            kept, most = (
                (_decoded, _KEPT_OBJECTS)
                if len(self.value) <= _LARGE_BYTES
                else (_decoded_large, _KEPT_LARGE)
            )
            kept.append(self)
            if len(kept) > most:
                kept.popleft()._object = None
        return found

    def _decode(self) -> Object:
        found: Object = orjson.loads(self.raw)
        return found

    @property
    def at_hand(self) -> Object | None:
        """The object where it is decoded, else None."""
        return self._object or self._written

    @property
    def head(self) -> Object:
        """What is asked of hundreds of large objects at a time: their metadata. Not kept."""
        if self._object is None and len(self.value) > _LARGE_BYTES:
            found = head_of(self.raw)
            if found is not None:
                return found
        return self.object

    def keep(self, written: Object) -> None:
        """Take what ``ordered`` made and the value was made of: what was just written is often read next.

        Nobody changes it any more.
        """
        if len(self.value) <= _KEPT_BYTES:
            self._written = written
            _kept.append(self)
            if len(_kept) > _KEPT_WRITTEN:
                _kept.popleft()._written = None

    @property
    def labels(self) -> Mapping[str, str]:
        if self._labels is None:
            self.extract(self.object)
        return self._labels or _NO_LABELS

    @property
    def fields(self) -> Mapping[str, str]:
        """Values of the selectable fields, metadata.name and metadata.namespace included."""
        found = self._fields
        if found is None:
            named = {"metadata": {"name": self.name, "namespace": self.namespace}}
            obj = self.object if self._reader.has_fields else named
            found = self._fields = self._reader.read_fields(obj)
        return found

    def extract(self, obj: Object) -> None:
        """Take from the object, where it is at hand anyway, what selectors may ask for."""
        labels = obj["metadata"].get("labels")
        self._labels = dict(labels) if labels and isinstance(labels, dict) else _NO_LABELS
        if self._reader.has_fields:
            self._fields = self._reader.read_fields(obj)

    @property
    def stale(self) -> bool:
        """The stored form is out of date: writing the same object again changes it."""
        return self._reader.is_stale(self.key)

    def forget_fields(self) -> None:
        """The kind has other selectable fields now."""
        self._fields = None

    def at(self, revision: int) -> Entry:
        """The same state as of another revision: what a deletion shows."""
        moved = type(self)(
            self._reader, self.key, self.namespace, self.name, self.value, revision=revision, lease=self.lease
        )
        moved._labels, moved._fields = self._labels, self._fields
        return moved

    def ended(self, revision: int) -> Entry:
        """The same for who deleted it, who has mostly had it decoded before: that need not be done again."""
        last = self.at(revision)
        last._written = self.at_hand
        return last


class ClosedEntry(Entry):
    """One whose value could not be read when it came: whoever wants it tries again."""

    __slots__ = ("_opened",)

    @property
    def raw(self) -> bytes:
        """The object's JSON. Raises CorruptObject while it cannot be read."""
        self._open()
        return super().raw

    @property
    def listed(self) -> bytes:
        """What a list shows of it. Raises CorruptObject while it cannot be read."""
        self._open()
        return super().listed

    def check(self) -> None:
        self._open()

    def _open(self) -> None:
        if not hasattr(self, "_opened"):
            self.value = self._reader.unseal(self.key, self.value, self.revision)
            self._opened = True


class RawEntry(Entry):
    """One of a kind with values that are kept as they came: spaces are stored, and nobody is shown them."""

    __slots__ = ("_shown",)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._shown = without_markup(raw_text.compact(self.value))

    @property
    def raw(self) -> bytes:
        """The object's JSON without spaces."""
        return at_revision(self._shown, self.revision)

    @property
    def listed(self) -> bytes:
        """What a list shows of it."""
        return item_at_revision(self._shown, self.revision)

    def _decode(self) -> Object:
        """Return the object; its raw values know how they were written."""
        found = super()._decode()
        with suppress(ValueError, RecursionError):
            found = raw_text.with_texts(found, schema_for(gvk_of(found)), self.value)
        return found

    def keep(self, written: Object) -> None:
        """What was written knows nothing of how it was."""


_kept: deque[Entry] = deque()
"""Entries that hold what they were written from, oldest first."""
_decoded: deque[Entry] = deque()
_decoded_large: deque[Entry] = deque()
"""Entries that hold a decoded object, oldest first: memory goes to what was looked at lately."""


def age(parts: int) -> None:
    """Let the oldest of these go, one part in so many: what is wanted again is decoded again."""
    for kept in (_decoded, _decoded_large):
        for _ in range(-(-len(kept) // parts)):
            kept.popleft()._object = None
    for _ in range(-(-len(_kept) // parts)):
        _kept.popleft()._written = None


def change(type_: str, entry: Entry) -> Change:
    """Frame an event once for all its watchers."""
    frame = b'{"type":"%b","object":%b}\n' % (type_.encode(), entry.raw)
    return Change(type_, entry.revision, frame, entry)


def bookmark(resource: Resource, revision: int, *, initial_end: bool = False) -> Change:
    """Frame a bookmark: an object of the kind with nothing but a resourceVersion."""
    meta: dict[str, Any] = {"resourceVersion": str(revision)}
    if initial_end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
    frame = orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"
    return Change("BOOKMARK", revision, frame, None, initial_end)
