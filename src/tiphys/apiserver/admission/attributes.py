"""What admission is asked about: one write, as it would be stored."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from tiphys.apimachinery import names
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden, NotFound
from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.reads import Reads

if TYPE_CHECKING:
    from tiphys.apiserver.endpoints.call import Call
    from tiphys.apiserver.registry.objects import Cached


@dataclass(slots=True)
class Called:
    """Which webhooks, or which policies, were called about a write, so that some can be called again."""

    before: set[str] = field(default_factory=set)
    """Those that want to be called again should anything change after them."""
    due: set[str] = field(default_factory=set)
    """Those that will be called the second time."""
    left: Object | None = None
    """The object as the last of them has left it."""

    def again(self) -> None:
        """Something has changed the object: whoever was called before, and wants to, is called again."""
        self.due |= self.before
        self.before = set()


@dataclass(slots=True)
class Reinvocation:
    """What mutating webhooks and policies have done, so that some can be asked again after later changes."""

    wanted: bool = False
    """Somebody has changed the object: all mutating plugins run a second time."""
    again: bool = False
    """This is the second time."""
    policies: Called = field(default_factory=Called)
    webhooks: Called = field(default_factory=Called)


class About(NamedTuple):
    """What decides which plugins are asked about a write."""

    group: str
    plural: str
    subresource: str
    operation: str


@dataclass(slots=True)
class Attributes:
    """One write. ``obj`` may be changed by mutating plugins; ``old`` never."""

    call: Call
    operation: str
    """CREATE, UPDATE, DELETE or CONNECT."""
    obj: Object | None
    old: Object | None
    subresource: str = ""
    dry_run: bool = field(default=False)
    _reinvocation: Reinvocation | None = None
    reads: Reads | None = None
    """Where what plugins look up is noted, when somebody wants to know."""
    generated: bool = False
    """The new object has got its name already, which the request does not have."""
    about: About = field(init=False)
    request_name: str = field(init=False)
    """The name in the request; a new object that is to get one has none, and neither has a collection."""

    def __post_init__(self) -> None:
        resource = self.call.resource
        self.request_name = self.call.info.name
        if self.operation == "CREATE" and self.obj is not None and not (self.request_name or self.generated):
            self.request_name = str(self.obj["metadata"].get("name") or "")
        self.about = About(resource.group, resource.plural, self.subresource, self.operation)

    @property
    def reinvocation(self) -> Reinvocation:
        """Made when it is first asked for: most writes meet no webhook and no policy."""
        if self._reinvocation is None:
            self._reinvocation = Reinvocation()
        return self._reinvocation

    @property
    def runs_again(self) -> bool:
        """Tell whether all mutating plugins are to be asked a second time."""
        return self._reinvocation is not None and self._reinvocation.wanted

    @property
    def group(self) -> str:
        return self.call.resource.group

    @property
    def plural(self) -> str:
        return self.call.resource.plural

    @property
    def scales(self) -> bool:
        """Tell whether this writes a Scale: whoever looks on from outside sees that, not the whole object."""
        return self.operation == "UPDATE" and self.subresource == "scale"

    @property
    def namespace(self) -> str:
        """The namespace written in; a namespace is taken to be in itself."""
        found = self.call.info.namespace
        return self.request_name if not found and self.core("namespaces", self.subresource) else found

    @property
    def name(self) -> str:
        for obj in (self.obj, self.old):
            if obj is not None and (obj.get("metadata") or {}).get("name"):
                return str(obj["metadata"]["name"])
        return self.call.info.name

    def core(self, plural: str, subresource: str = "") -> bool:
        """Tell whether this is about a core resource."""
        return not self.group and self.plural == plural and self.subresource == subresource

    async def find_cached(
        self, group: str, version: str, plural: str, name: str, namespace: str = ""
    ) -> Cached | None:
        """Return another object's live version, None when there is none."""
        backend = self.call.backend
        row = backend.table.by_path(group, version, plural)
        try:
            cached = await backend.store.seen(row, namespace, name)
        except NotFound:
            if self.reads is not None:
                self.reads.complete = False
            return None
        if self.reads is not None:
            self.reads.found(row, cached)
        return cached

    async def find(
        self, group: str, version: str, plural: str, name: str, namespace: str = ""
    ) -> Object | None:
        """Return another object (shared, read-only), None when there is none."""
        cached = await self.find_cached(group, version, plural, name, namespace)
        return None if cached is None else cached.object

    async def find_all(self, group: str, version: str, plural: str, namespace: str = "") -> list[Object]:
        """Return every object of a kind (shared, read-only), in one namespace or all."""
        backend = self.call.backend
        row = backend.table.by_path(group, version, plural)
        items = await backend.store.all(row, namespace)
        if self.reads is not None:
            self.reads.listed(row, namespace, items)
        return [item.object for item in items]

    def refuse(self, why: str) -> Forbidden:
        """Return the 403 of an admission plugin."""
        return Forbidden.of(self.group, self.plural, self._shown_name, why)

    @property
    def _shown_name(self) -> str:
        """What refusals call the object: before it has its name, by what that will begin with."""
        meta = (self.obj or {}).get("metadata") or {}
        return str(self.request_name or meta.get("name") or meta.get("generateName") or "Unknown")

    @property
    def is_audited(self) -> bool:
        """Whether somebody keeps annotations of this request."""
        return "audit_annotations" in self.call.request.scope

    def annotate(self, key: str, value: str, *, with_body: bool = False) -> None:
        """Keep an annotation of this request for whoever audits it; what is said of a key first stays.

        A key is a name with a domain before it; others come to nothing. ``with_body``: it shows what the body
        holds, so it is kept only where bodies are.
        """
        if not self.is_audited or "/" not in key or names.is_qualified_name(key):
            return
        scope = self.call.request.scope
        if not with_body or scope.get("audit_bodies"):
            scope.setdefault("audit_annotations", {}).setdefault(key, value)
