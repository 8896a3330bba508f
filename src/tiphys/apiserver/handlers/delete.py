"""DELETE of one object: what ``deletion`` plans, admitted and written."""

from __future__ import annotations

import logging
from dataclasses import replace

from tiphys.apimachinery import tracing
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Conflict, NotFound, StatusError
from tiphys.apimachinery.meta import Object
from tiphys.apis.returned import ANSWERED
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import DeleteOptions, delete_options
from tiphys.apiserver.evaluating import aside
from tiphys.apiserver.handlers import unsafe_deletion
from tiphys.apiserver.handlers.deletion import Plan, check_preconditions, plan
from tiphys.apiserver.handlers.release import release
from tiphys.apiserver.registry import machinery, raw_values
from tiphys.apiserver.registry.objects import Cached
from tiphys.wire.message import Response

log = logging.getLogger(__name__)

_LEFT_BEHIND = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or set propagationPolicy=Orphan to suppress this warning"
)


def warn_of_orphans(call: Call, options: DeleteOptions) -> None:
    """Jobs leave their pods behind unless they are told what to do: few expect it."""
    if (call.resource.group, call.resource.plural) == ("batch", "jobs") and not options.propagation:
        call.warn(_LEFT_BEHIND)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of an object: ``gone`` or marked as being deleted."""

    obj: Object
    gone: bool


async def handle(call: Call) -> Response:
    """Delete one object, now or once everybody has let go of it."""
    said = await bodies.decode_options_aside(call)
    if said is not None:
        tracing.event("Decoded delete options")
        tracing.event("Recorded the audit event")
    options = delete_options(call, said)
    if options.ignore_read_error:
        return await unsafe_deletion.handle(call)
    warn_of_orphans(call, options)
    tracing.event("About to delete object from database")
    deleted = await delete_object(call, call.name, options)
    tracing.event("Object deleted from database")
    resource = call.resource
    obj = deleted.obj
    if deleted.gone and (resource.group, resource.plural) not in ANSWERED:
        meta = obj["metadata"]
        return respond.respond(
            call, respond.success(resource.group, resource.plural, meta["name"], meta.get("uid", ""))
        )
    status = 202 if options.cascades and not deleted.gone else 200
    return respond.respond_object(call, machinery.convert(obj, resource.gvk), status)


async def delete_object(
    call: Call, name: str, options: DeleteOptions, *, namespace: str | None = None, admits: bool = True
) -> Deleted:
    """Delete one object; lost races are retried unless the caller named a resourceVersion.

    ``admits`` False: admission has been asked about what leads to this.

    Raises:
        NotFound, Conflict (a precondition does not hold), Forbidden.
    """
    backend = call.backend
    stored = backend.table.stored(call.resource)
    where = call.namespace if namespace is None else namespace
    while True:
        cached = await backend.store.get(stored, where, name)
        old = cached.object
        check_preconditions(call.resource, old, options)
        strategy = machinery.strategy_for(call.resource)
        planned = plan(call.resource, strategy, old, options, backend.clock.now())
        if admits and not planned.idle:
            attributes = Attributes(call, "DELETE", None, old, dry_run=options.dry_run)
            await backend.admission.admit(attributes)
            await backend.admission.validate(attributes)
        if options.dry_run:
            return Deleted(planned.write or old, planned.remove)
        try:
            return await _apply(call, cached, planned, where)
        except Conflict:
            if options.resource_version:
                raise


async def _apply(call: Call, cached: Cached, planned: Plan, namespace: str) -> Deleted:
    """Mark, then take away: whoever watches sees what is without grace marked as such before it goes."""
    store, stored = call.backend.store, call.backend.table.stored(call.resource)
    if planned.write is not None:
        planned.write["metadata"].pop("resourceVersion", None)
        sized = replace(call, live_size=cached.size)
        made, value = await aside(sized.size, raw_values.stored, sized, planned.write, cached)
        cached = await store.update(stored, made, cached.revision, value=value)
    if not planned.remove:
        return Deleted(cached.object, gone=False)
    try:
        cached = await store.delete(stored, namespace, cached.name, cached.revision)
    except NotFound:
        if planned.write is None:
            raise
        return Deleted(cached.object, gone=True)  # somebody else was quicker
    await settle(call, cached)
    return Deleted(cached.object, gone=True)


async def settle(call: Call, last: Cached) -> None:
    """Do what an object's end asks for: give back what it held, and take a Service's Endpoints away.

    Whoever makes a Service of the name anew must not find the old ones' addresses.
    """
    if not call.resource.group and call.resource.plural == "services":
        endpoints = replace(call, resource=call.backend.table.by_path("", "v1", "endpoints"))
        meta = last.object["metadata"]
        try:
            await delete_object(
                endpoints, meta["name"], DeleteOptions(), namespace=meta["namespace"], admits=False
            )
        except NotFound:
            pass
        except StatusError as error:
            log.warning(
                "endpoints left service=%s/%s error=%s", meta["namespace"], meta["name"], error.message
            )
    await release(call, last)


async def delete_quietly(call: Call, name: str, options: DeleteOptions, namespace: str) -> Deleted | None:
    """Delete one of many: what is already gone is no fault."""
    try:
        return await delete_object(call, name, options, namespace=namespace)
    except NotFound:
        return None
