"""What every cluster has from the first moment: namespaces, roles, priority classes, the service range.

Owns: the list, and writing what is missing of it. Runs at each start; what users changed stays, except that
default roles get back what they lost (annotation ``autoupdate``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import AlreadyExists, Conflict, InternalError, Invalid, NotFound, StatusError
from tiphys.apimachinery.featuregates import DEFAULTS, FeatureGates
from tiphys.apimachinery.meta import GVK, Object, copy_object, gvk_of, new_uid
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.authz import defaults
from tiphys.apiserver.authz.mending import AUTOUPDATE, grown_out_of, inherited, mended
from tiphys.apiserver.endpoints.call import Backend
from tiphys.apiserver.registry import machinery
from tiphys.apiserver.registry.objects import Cached, Selection

log = logging.getLogger(__name__)

TRACKING = "kube-apiserver-legacy-service-account-token-tracking"
_RBAC = "rbac.authorization.k8s.io"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_CRITICAL = (
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node "
        "if necessary.",
    ),
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)


async def bootstrap(backend: Backend) -> None:
    """Write what is missing, every write at once so that the store can group them.

    What is there and cannot be read stays as it is.
    """
    cidr = _left_if_unreadable(ensure_default_cidr(backend), "ServiceCIDR", "kubernetes")
    await asyncio.gather(ensure_namespaces(backend), cidr)
    roles = policy(backend.options.feature_gates)
    grown = grown_out_of(roles)
    await asyncio.gather(*(_spared(_take_over(backend, obj, source), obj) for obj, source in grown))
    rest = [*roles, *_priority_classes(), tracking(backend)]
    await asyncio.gather(*(_spared(_ensure(backend, obj), obj) for obj in rest))


def _spared(work: Awaitable[None], obj: Object) -> Awaitable[None]:
    return _left_if_unreadable(work, obj["kind"], obj["metadata"]["name"])


async def _left_if_unreadable(work: Awaitable[None], kind: str, name: str) -> None:
    """Do what needs an object to be read; where it cannot be, the server starts without."""
    try:
        await work
    except StatusError as error:
        if error.status_code != InternalError.code:
            raise
        log.error("left as it is: it cannot be read kind=%s name=%s error=%s", kind, name, error.message)


async def ensure_namespaces(backend: Backend) -> None:
    """Write those namespaces of the system that are missing."""
    await asyncio.gather(*(_ensure(backend, obj) for obj in _namespaces()))


async def _ensure(backend: Backend, obj: Object) -> None:
    row = backend.table.by_kind(gvk_of(obj))
    meta = obj["metadata"]
    try:
        existing = await backend.store.get(row, meta.get("namespace", ""), meta["name"])
    except NotFound:
        await create(backend, obj)
        return
    if (meta.get("annotations") or {}).get(AUTOUPDATE) == "true":
        await _reconcile(backend, existing, obj)


async def create(backend: Backend, obj: Object) -> None:
    """Write an object, unless somebody else has."""
    row = backend.table.by_kind(gvk_of(obj))
    strategy = machinery.strategy_for(row)
    if row.group == _RBAC:  # long, and whole as they are: shared, but for the metadata
        obj = {**obj, "metadata": dict(obj["metadata"])}
    else:
        obj = copy_object(obj)
        strategy.default(obj)
    obj["metadata"]["uid"] = new_uid()
    obj["metadata"]["creationTimestamp"] = rfc3339(backend.clock.now())
    if strategy.has_generation:
        obj["metadata"]["generation"] = 1
    try:
        if row.plural == "services":
            async with backend.services.allocate(obj, None):
                await backend.store.create(row, obj)
        else:
            await backend.store.create(row, obj)
    except AlreadyExists:
        return
    except Invalid as error:  # a range that was changed by hand: the server must start all the same
        log.error("not written kind=%s name=%s error=%s", row.kind, obj["metadata"]["name"], error.message)


async def _reconcile(backend: Backend, existing: Cached, wanted: Object) -> None:
    """Give a default role or binding back what it lost."""
    changed = mended(existing.object, wanted)
    if changed is None:
        return
    row = backend.table.by_kind(gvk_of(wanted))
    meta = changed["metadata"]
    meta.pop("resourceVersion", None)
    try:
        if "uid" in meta:
            await backend.store.update(row, changed, existing.revision)
            return
        await backend.store.delete(row, "", meta["name"], existing.revision)
    except (Conflict, NotFound):
        return
    await create(backend, changed)


async def _take_over(backend: Backend, wanted: Object, source: str) -> None:
    """Make a default role or binding out of the one that it was part of in earlier versions."""
    row = backend.table.by_kind(gvk_of(wanted))
    if await _find(backend, row, wanted["metadata"]["name"]) is not None:
        return
    origin = await _find(backend, row, source)
    made = None if origin is None else inherited(wanted, origin.object)
    if made is not None:
        await create(backend, made)


async def _find(backend: Backend, row: Resource, name: str) -> Cached | None:
    try:
        return await backend.store.get(row, "", name)
    except NotFound:
        return None


def _object(api_version: str, kind: str, name: str, **rest: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **rest}


def _namespaces() -> list[Object]:
    found = []
    for name in NAMESPACES:
        namespace = _object(
            "v1", "Namespace", name, spec={"finalizers": ["kubernetes"]}, status={"phase": "Active"}
        )
        namespace["metadata"]["labels"] = {"kubernetes.io/metadata.name": name}
        found.append(namespace)
    return found


def policy(gates: FeatureGates = DEFAULTS) -> list[Object]:
    """Return the default roles and bindings, with all that defaults would add. Shared: read only."""
    reader = _object(
        f"{_RBAC}/v1", "ClusterRole", "system:aggregated-metrics-reader",
        rules=[{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"],
                "verbs": ["get", "list", "watch"]}],
    )  # fmt: skip
    into = ("admin", "edit", "view")
    reader["metadata"]["labels"] = {f"{_RBAC}/aggregate-to-{role}": "true" for role in into}
    return [*defaults.policy(gates), reader]


def _priority_classes() -> list[Object]:
    return [
        _object(
            "scheduling.k8s.io/v1", "PriorityClass", name, value=value, description=description,
            preemptionPolicy="PreemptLowerPriority",
        )
        for name, value, description in _CRITICAL
    ]  # fmt: skip


def tracking(backend: Backend) -> Object:
    """Return the ConfigMap that says since when the use of tokens in Secrets is written down."""
    found = _object("v1", "ConfigMap", TRACKING, data={"since": backend.clock.now().strftime("%Y-%m-%d")})
    found["metadata"]["namespace"] = "kube-system"
    return found


async def ensure_default_cidr(backend: Backend) -> None:
    """Write the ServiceCIDR ``kubernetes``, or add the second family that the flag has gained."""
    wanted = list(backend.options.service_cluster_ip_ranges)
    cidr = _object(
        "networking.k8s.io/v1", "ServiceCIDR", "kubernetes",
        spec={"cidrs": wanted},
        status={"conditions": [{
            "type": "Ready", "status": "True", "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": rfc3339(backend.clock.now())}]},
    )  # fmt: skip
    await _ensure(backend, cidr)
    row = backend.table.by_kind(gvk_of(cidr))
    live = await backend.store.get(row, "", "kubernetes")
    present = live.object["spec"]["cidrs"]
    if len(wanted) == 2 and present == wanted[:1]:
        changed = copy_object(live.object)
        changed["metadata"].pop("resourceVersion", None)
        changed["spec"]["cidrs"] = wanted
        try:
            live = await backend.store.update(row, changed, live.revision)
        except Conflict:
            live = await backend.store.get(row, "", "kubernetes")
    elif present != wanted:
        log.warning("default service range differs from the flag object=%s flag=%s", present, wanted)
    backend.services.addresses.observe_cidr(None, live)


async def exists(backend: Backend, gvk: GVK) -> bool:
    """Tell whether any object of a kind is stored."""
    row = backend.table.by_kind(gvk)
    return bool((await backend.store.list(row, Selection(), limit=1)).items)
