"""DELETE of one object that cannot be read: past its finalizers, preconditions and admission.

Only where ``AllowUnsafeMalformedObjectDeletion`` is on, and for who may do that on top of deleting.
"""

from __future__ import annotations

from dataclasses import replace

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import Conflict, Forbidden, Invalid, NotFound, StatusError
from tiphys.apiserver.cache.corrupt import CorruptObject
from tiphys.apiserver.endpoints import respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import UNSAFE
from tiphys.wire.message import Response

_VERB = "unsafe-delete-ignore-read-errors"
_NOTE = "apiserver.k8s.io/unsafe-delete-ignore-read-error"
_READABLE = "is exclusively used to delete corrupt object(s), try again by removing this option"


async def handle(call: Call) -> Response:
    """Take away what cannot be read; whoever watches its kind begins anew."""
    call.request.scope.setdefault("audit_annotations", {})[_NOTE] = ""
    await _authorize(call)
    resource, store = call.resource, call.backend.store
    stored = call.backend.table.stored(resource)
    while True:
        revision = await _unreadable(call)
        try:
            await store.delete(stored, call.namespace, call.name, revision)
        except Conflict:
            continue
        except (NotFound, CorruptObject):  # who would convert what is gone cannot read it either
            pass
        details = {"name": call.name, "kind": resource.kind}
        return respond.respond(call, {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            "code": 200,
        })  # fmt: skip


async def _authorize(call: Call) -> None:
    decision = await call.backend.authorizer.decide(call.user, replace(call.info, verb=_VERB))
    if decision.allowed:
        return
    why = f'not permitted to do "{_VERB}", reason: {decision.reason}'
    if decision.error:
        why = f'error while checking permission for "{_VERB}", {decision.error}'
    raise Forbidden.of(call.resource.group, call.resource.plural, call.name, why)


async def _unreadable(call: Call) -> int:
    """Return the revision of the object. Raises Invalid for one that can be read, or is not there."""
    resource = call.resource
    try:
        cached = await call.backend.store.get(call.backend.table.stored(resource), call.namespace, call.name)
        _ = cached.object
    except CorruptObject as error:
        return error.revision
    except StatusError:
        pass
    fault = field_errors.invalid(UNSAFE, True, _READABLE)
    raise Invalid.of(resource.group, resource.plural, call.name, [fault])
