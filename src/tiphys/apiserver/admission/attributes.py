"""What admission is asked about: one write, as it would be stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tiphys.apimachinery.errors import Forbidden
from tiphys.apimachinery.meta import Object

if TYPE_CHECKING:
    from tiphys.apiserver.call import Call


@dataclass(slots=True)
class Reinvocation:
    """What mutating webhooks and policies have seen, so that some can be asked again after later changes."""

    seen: dict[str, Object] = field(default_factory=dict)
    """By webhook: the object as it was when it had been asked."""
    wanted: bool = False
    """Somebody has changed the object: all mutating plugins run a second time."""
    again: bool = False
    """This is the second time."""
    policies_called: set[str] = field(default_factory=set)
    """Policies that want to be called again should anything change after them."""
    policies_due: set[str] = field(default_factory=set)
    """Those that will be called the second time."""
    policies_left: Object | None = None
    """The object as policies have left it."""

    def call_policies_again(self) -> None:
        """Something has changed the object: whoever was called before, and wants to, is called again."""
        self.policies_due |= self.policies_called
        self.policies_called = set()


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
    reinvocation: Reinvocation = field(default_factory=Reinvocation)
    about: About = field(init=False)

    def __post_init__(self) -> None:
        resource = self.call.resource
        self.about = About(resource.group, resource.plural, self.subresource, self.operation)

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
        return self.call.info.namespace

    @property
    def name(self) -> str:
        for obj in (self.obj, self.old):
            if obj is not None and (obj.get("metadata") or {}).get("name"):
                return str(obj["metadata"]["name"])
        return self.call.info.name

    def core(self, plural: str, subresource: str = "") -> bool:
        """Tell whether this is about a core resource."""
        return not self.group and self.plural == plural and self.subresource == subresource

    def refuse(self, why: str) -> Forbidden:
        """Return the 403 of an admission plugin."""
        return Forbidden.of(self.group, self.plural, self.name, why)

    def annotate(self, key: str, value: str) -> None:
        """Keep an annotation of this request for whoever audits it."""
        self.call.request.scope.setdefault("audit_annotations", {})[key] = value
