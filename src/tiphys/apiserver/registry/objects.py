"""Objects as the handlers see them: bytes encoded once, indexed for selectors, watched without copying.

``ObjectStore`` (built in ``apiserver.cache`` over any ``Store``) keeps every live object's JSON bytes in
memory. GET writes those bytes, LIST joins them, a WATCH event is framed once for all its watchers.
The stored value has room for the ``resourceVersion``, which is put in when the revision is known.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.wire.outlet import Writer

if TYPE_CHECKING:
    from tiphys.apiserver.cache.counts import KindCounts


class Cached(Protocol):
    """One live version, read-only."""

    @property
    def key(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    def check(self) -> None:
        """Raises StatusError while it cannot be read, as all that looks into it does then."""
        ...

    @property
    def raw(self) -> bytes:
        """The object's JSON in its storage version, with resourceVersion."""
        ...

    @property
    def listed(self) -> bytes:
        """The same as an item of a list: of built-in kinds without apiVersion and kind."""
        ...

    @property
    def size(self) -> int:
        """Bytes of that JSON, about."""
        ...

    @property
    def revision(self) -> int: ...

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def fields(self) -> Mapping[str, str]:
        """Values of the selectable fields, metadata.name and metadata.namespace included."""
        ...

    @property
    def object(self) -> Object:
        """The decoded object, shared: never change it."""
        ...

    @property
    def head(self) -> Object:
        """At least apiVersion, kind and metadata of it, for less where it is large. Shared as well."""
        ...


Predicate = Callable[[Cached], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch is about. ``matches`` None takes everything in the namespace."""

    namespace: str = ""
    """Empty: all namespaces."""
    name: str = ""
    """metadata.name=x given as field selector: answered by key."""
    matches: Predicate | None = None
    field_equals: tuple[str, str] | None = None
    """A field=value requirement that an index can answer (spec.nodeName=x for pods)."""
    whole: bool = True
    """Tell nothing where something cannot be read; else it is among the rest: ``Cached.check`` says so."""

    def names_one(self, resource: Resource) -> bool:
        """Tell whether it is about one object at most."""
        return bool(self.name) and (bool(self.namespace) or not resource.namespaced)


@dataclass(frozen=True, slots=True)
class Page:
    """A consistent slice of a list."""

    items: Sequence[Cached]
    revision: int
    continue_token: str = ""
    remaining: int | None = None
    joined: Callable[[], bytes] | None = None
    """Returns the items as lists show them (``listed``), joined by commas, where that is at hand."""
    shared: Callable[[Hashable, object, Callable[[], bytes]], Awaitable[bytes]] | None = None
    """Returns what somebody made of the items in some form under a stamp, or makes and keeps it."""
    shard: str = ""
    """By which expression it was narrowed to a part of the collection."""
    stored: bool = False
    """Whether the store was asked, for what memory does not hold any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event for one watcher: ADDED, MODIFIED, DELETED (as its selection sees it) or BOOKMARK.

    ``frame`` is the ready JSON line in the storage version, shared between watchers.
    ``cached`` is the object (None for a bookmark); ``initial_end`` marks the bookmark that ends
    sendInitialEvents.
    """

    type: str
    revision: int
    frame: bytes
    cached: Cached | None
    initial_end: bool = False


class EventOutlet(Protocol):
    """Where events of a watch may go past its reader, while that waits."""

    @property
    def form(self) -> Hashable:
        """Outlets of equal forms take the same bytes for the same changes."""
        ...

    @property
    def anywhere(self) -> bool:
        """Whether its writer may be called on another thread, while the loop's own waits."""
        ...

    def chunk(self, changes: Sequence[Change], watchers: int) -> bytes:
        """Encode and frame changes as the connection of each of so many sends them."""
        ...

    def writer(self, gone: Callable[[], None]) -> Writer | None:
        """Return what sends such chunks, until ``gone`` is called; None: the reader is to take what comes."""
        ...

    def rescue(self, chunk: bytes, error: Exception) -> bool:
        """Take over where the writer raised; False: the reader is to take those changes."""
        ...

    def count(self, events: int) -> None:
        """So many events were written, by all outlets of this form."""
        ...


class ObjectStore(Protocol):
    """CRUD and watch by resource row. Errors are ``StatusError``s in upstream's wording."""

    @property
    def revision(self) -> int:
        """The newest revision that reads show; of the first store, where some kinds are in others."""
        ...

    def revision_of(self, resource: Resource) -> int:
        """Return the newest revision that reads of a kind show."""
        ...

    def count(self, resource: Resource, namespace: str = "") -> int:
        """Return how many live objects of a kind are in memory; 0 for one that nobody has read yet."""
        ...

    def average_bytes(self, resource: Resource) -> int:
        """Return about how large an object of a kind is; 0 where none is in memory."""
        ...

    def counts(self, resource: Resource) -> KindCounts | None:
        """Return what is counted of a kind; None for one that nobody has read yet."""
        ...

    @property
    def alone(self) -> bool:
        """Nobody else writes to the store: what is in memory is what there is, at every moment."""
        ...

    def key_of(self, resource: Resource, namespace: str, name: str) -> str:
        """Return the key that an object of a kind is kept under."""
        ...

    def at_hand(self, resource: Resource, key: str) -> Cached | None:
        """Read one object, linearizable, without waiting; None where it is not there or others write too."""
        ...

    def all_at_hand(self, resource: Resource, namespace: str) -> Sequence[Cached] | None:
        """Return what ``all`` would, without waiting; None where others write too or nobody has asked yet."""
        ...

    async def get(self, resource: Resource, namespace: str, name: str) -> Cached:
        """Linearizable read. Raises NotFound."""
        ...

    async def seen(self, resource: Resource, namespace: str, name: str) -> Cached:
        """Read what a request is judged by: as ``get``, but of one store among several that is away as it
        was last known. Raises NotFound.
        """
        ...

    async def list(
        self,
        resource: Resource,
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> Page:
        """Raises Expired (410) for a compacted revision or token, BadRequest for nonsense."""
        ...

    async def all(self, resource: Resource, namespace: str = "") -> Sequence[Cached]:
        """Return every object as ``seen``, in key order; for kinds that have few and are asked for often."""
        ...

    def watch(
        self,
        resource: Resource,
        selection: Selection,
        *,
        resource_version: str = "",
        send_initial_events: bool | None = None,
        bookmarks: bool = False,
        lasts_s: float = 0,
        outlet: EventOutlet | None = None,
    ) -> AsyncIterator[builtins.list[Change]]:
        """Yield batches until closed. ``""``/``"0"``: synthetic ADDED for what exists, then changes.

        A batch is the reader's, who may empty it: else what it told is held until the next is asked for.

        ``send_initial_events`` asks for those, or refuses them, at any version. With ``bookmarks`` one marks
        where they end, and one comes before the reader ends it (after ``lasts_s``).

        Raises Expired on the first step when history is gone; a watcher too slow is ended. While the reader
        waits, changes may go to ``outlet`` instead.
        """
        ...

    async def create(
        self, resource: Resource, obj: Object, *, ttl_s: int = 0, value: bytes | None = None
    ) -> Cached:
        """Write a new object (complete, without resourceVersion). Raises AlreadyExists.

        ``value`` is what ``cache.form.encode`` would write, where the caller has that already, but for the
        texts of numbers; then the object is as ``cache.form.ordered`` would make it.
        """
        ...

    async def update(
        self,
        resource: Resource,
        obj: Object,
        expect_revision: int,
        *,
        ttl_s: int = 0,
        value: bytes | None = None,
    ) -> Cached:
        """Replace. Raises Conflict when the live revision differs, NotFound when it is gone.

        ``ttl_s`` begins the object's time to live anew; without it an object keeps the one that it has.
        ``value`` is as in ``create``.
        """
        ...

    async def delete(self, resource: Resource, namespace: str, name: str, expect_revision: int) -> Cached:
        """Remove; return the last state carrying the deletion's revision. Raises Conflict, NotFound."""
        ...
