"""pods/binding: the scheduler's word on where a pod runs. The hottest write there is."""

from __future__ import annotations

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, Conflict, FieldError
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import write_options
from tiphys.apiserver.handlers.update import MAX_RETRIES, unmet
from tiphys.apiserver.registry import meta_rules
from tiphys.wire.message import Response

_BINDING = GVK("", "v1", "Binding")


async def handle(call: Call) -> Response:
    """Bind the pod of the URL."""
    return await bind(call, call.name)


async def handle_legacy(call: Call) -> Response:
    """Bind the pod that the body names (``POST .../bindings``)."""
    return await bind(call, "")


async def bind(call: Call, name: str) -> Response:
    """Set a pod's node and its PodScheduled condition.

    Raises:
        BadRequest: it names another pod, or the target is no node (which upstream answers with 500).
        Conflict: the pod has a node, is going, or is gated.
    """
    options = write_options(call, "CreateOptions")
    binding = await bodies.decode_aside(call, _BINDING, options.field_validation)
    pods = call.backend.table.by_path("", "v1", "pods")
    namespace = call.info.namespace
    meta_rules.check_namespace(binding, pods, namespace)
    if name and name != binding["metadata"].get("name"):
        raise BadRequest("name in URL does not match name in Binding object")
    name = binding["metadata"].get("name", "")
    admitted = await admission.admit(call, binding, dry_run=options.dry_run)
    faults = _faults(binding)
    if faults:
        texts = [str(fault) for fault in faults]
        raise BadRequest(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    await admission.validate(admitted)
    store, attempt = call.backend.store, 0
    while True:
        attempt += 1
        cached = await store.get(pods, namespace, name)
        bound = _bound(call, pods, cached.object, binding)
        if options.dry_run:
            break
        try:
            await store.update(pods, bound, cached.revision)
            break
        except Conflict:
            if attempt >= MAX_RETRIES:
                raise
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return respond.respond(call, status, 201)


def _faults(binding: Object) -> list[FieldError]:
    target = binding.get("target") or {}
    faults = []
    if target.get("kind") not in (None, "", "Node"):
        faults.append(field_errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        faults.append(field_errors.required("target.name"))
    return faults


def _bound(call: Call, pods: Resource, pod: Object, binding: Object) -> Object:
    """Return a copy of the pod on its node; the cached pod itself is shared and stays as it is."""
    meta, spec = pod["metadata"], pod["spec"]
    name, node = meta["name"], binding["target"]["name"]
    wanted = binding["metadata"]
    if wanted.get("uid") and wanted["uid"] != meta["uid"]:
        raise unmet(pods, pod, "UID", wanted["uid"])
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != meta["resourceVersion"]:
        raise unmet(pods, pod, "ResourceVersion", wanted["resourceVersion"])
    if meta.get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    new_meta = {key: value for key, value in meta.items() if key != "resourceVersion"}
    for key in ("annotations", "labels"):
        if wanted.get(key):
            new_meta[key] = {**(meta.get(key) or {}), **wanted[key]}
    status = dict(pod.get("status") or {})
    status.pop("nominatedNodeName", None)  # what was promised or expected is a fact now
    scheduled = {
        "type": "PodScheduled", "status": "True", "lastProbeTime": None,
        "lastTransitionTime": rfc3339(call.backend.clock.now()),
    }  # fmt: skip
    if meta.get("generation"):
        scheduled["observedGeneration"] = meta["generation"]
    conditions = status.get("conditions") or ()
    status["conditions"] = [scheduled if c.get("type") == "PodScheduled" else c for c in conditions]
    if scheduled not in status["conditions"]:
        status["conditions"].append(scheduled)
    return {**pod, "metadata": new_meta, "spec": {**spec, "nodeName": node}, "status": status}


def _conflict(name: str, why: str) -> Conflict:
    return Conflict.of("", "pods/binding", name, why)
