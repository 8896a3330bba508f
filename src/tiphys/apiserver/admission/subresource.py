"""Admission of what is created on a subresource: bindings, evictions, token requests.

Such an object is of another kind than its resource, and nobody stores it.
"""

from __future__ import annotations

from tiphys.apimachinery.meta import Object
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.endpoints.call import Call


async def admit(call: Call, obj: Object, *, dry_run: bool) -> Attributes:
    """Let plugins change or refuse it; hand what comes back to ``validate`` when it has been checked."""
    attributes = Attributes(call, "CREATE", obj, None, subresource=call.info.subresource, dry_run=dry_run)
    await call.backend.admission.admit(attributes)
    return attributes


async def validate(attributes: Attributes) -> None:
    """Let plugins refuse it. Raises what a plugin raises."""
    await attributes.call.backend.admission.validate(attributes)
