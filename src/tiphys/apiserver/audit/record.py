"""One request that is kept, while it is under way: what is known of it, and the object that it brings.

Owns: where a request has its record, and what an object in its body adds to it: who it is, and itself with
the defaults of its version, as upstream reads it. Called by whoever decodes bodies.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Final

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.meta import GVK, Object, copy_object
from tiphys.apimachinery.schema.structural import settle_numbers
from tiphys.apiserver.audit.event import without_managed_fields
from tiphys.apiserver.audit.policy import Verdict
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.registry import machinery
from tiphys.wire.message import Request

KEY: Final = "audit"
"""In a request's ``scope``."""
_TOLD: Final = ("namespace", "name", "uid", "resourceVersion")


@dataclass(slots=True)
class Record:
    """One request that is kept."""

    verdict: Verdict
    event: Object
    long: bool
    annotations: dict[str, str] = field(default_factory=dict)
    body: Any = None
    """The object that the request brings, where it is kept."""
    request: Request | None = None
    """Whose times are told where they are long: none of a watch."""
    fault: bool = False
    """Its stream ended in a fault of ours."""

    def note_object(self, call: Call, obj: Object, gvk: GVK) -> None:
        """Add what the request's object, just decoded, tells."""
        if "objectRef" not in self.event:
            return
        meta = obj.get("metadata") or {}
        told = {name: meta[name] for name in _TOLD if meta.get(name)}
        self.event["objectRef"] = {**told, **self.event["objectRef"]}
        if self.verdict.with_request:
            found = _defaulted(call, obj) if gvk == call.resource.gvk else copy_object(obj)
            if call.resource.custom:
                settle_numbers(found)  # as Go writes them
            self.body = without_managed_fields(found) if self.verdict.omit_managed_fields else found

    def note_options(self, options: Object) -> None:
        """Add the options of a deletion, which may have come without a kind."""
        if self.verdict.with_request:
            head = {"kind": "DeleteOptions", "apiVersion": options.get("apiVersion") or "meta.k8s.io/v1"}
            self.body = {**head, **copy_object(options), **head}


def _defaulted(call: Call, obj: Object) -> Object:
    """Return a copy with the defaults of its kind; what only a webhook could convert is as it came."""
    resource = call.resource
    found: Object = copy_object(obj)
    there = resource.storage == resource.gvk
    if resource.custom and not there:
        return found
    found = found if there else machinery.convert(found, resource.storage)
    machinery.strategy_for(resource).default(found)
    return found if there else machinery.convert(found, resource.gvk)
