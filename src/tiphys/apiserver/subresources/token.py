"""serviceaccounts/token: a token of the account, bound to a pod, secret or node.

Source: authentication.k8s.io/v1 TokenRequest; KEP-1205.
"""

from __future__ import annotations

from datetime import timedelta

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, Conflict, FieldError, Forbidden, Invalid, NotFound
from tiphys.apimachinery.meta import GVK, Object
from tiphys.apiserver import bodies, meta_rules, respond
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.authn.serviceaccount import Binding, TokenRequest
from tiphys.apiserver.authz.node import node_of
from tiphys.apiserver.call import Call
from tiphys.apiserver.params import write_options
from tiphys.wire.message import Response

_KIND = GVK("authentication.k8s.io", "v1", "TokenRequest")
_DEFAULT_S = 3600
_MIN_S = 600
_MAX_S = 1 << 32
_OWN_REQUEST_S = 3607
"""What the server's own projected volumes ask for; such tokens are extended, with a warning mark."""
_EXTENDED_S = 365 * 24 * 3600


async def handle(call: Call) -> Response:
    """Sign a token for the account of the URL."""
    options = write_options(call, "CreateOptions")
    request = bodies.decode(call, _KIND, options.field_validation)
    meta_rules.check_name(request, call.name)
    meta_rules.check_namespace(request, call.resource, call.namespace)
    accounts = call.backend.table.by_path("", "v1", "serviceaccounts")
    account = (await call.backend.store.get(accounts, call.namespace, call.name)).object
    spec = request.setdefault("spec", {})
    lifetime_s = spec.get("expirationSeconds") or _DEFAULT_S
    audiences = tuple(spec.get("audiences") or call.backend.authenticator.api_audiences)
    faults = _faults(lifetime_s)
    if faults:
        raise Invalid.of("authentication.k8s.io", "TokenRequest", "", faults)
    bindings = await _bindings(call, spec.get("boundObjectRef"))
    own = call.backend.options.service_account_extend_token_expiration and lifetime_s == _OWN_REQUEST_S
    extended = own and set(audiences) <= set(call.backend.authenticator.api_audiences)
    now = call.backend.clock.now()
    token = call.backend.keys.sign(
        TokenRequest(
            account, audiences, _EXTENDED_S if extended else lifetime_s, bindings,
            warn_after_s=_OWN_REQUEST_S if extended else 0,
        ),
        now,
    )  # fmt: skip
    meta = {
        "name": call.name,
        "namespace": call.namespace,
        "creationTimestamp": rfc3339(now),
    }
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": meta,
        "spec": {
            "audiences": list(audiences),
            "expirationSeconds": lifetime_s,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": token, "expirationTimestamp": rfc3339(now + timedelta(seconds=lifetime_s))},
    }
    return respond.respond(call, answer, 201)


def _faults(lifetime_s: int) -> list[FieldError]:
    path = "spec.expirationSeconds"
    if lifetime_s < _MIN_S:
        return [field_errors.invalid(path, lifetime_s, "may not specify a duration less than 10 minutes")]
    if lifetime_s > _MAX_S:
        return [field_errors.invalid(path, lifetime_s, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _bindings(call: Call, reference: Object | None) -> tuple[Binding, ...]:
    if not reference:
        return ()
    kind, name, uid = reference.get("kind"), reference.get("name") or "", reference.get("uid") or ""
    plurals = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
    if kind not in plurals or reference.get("apiVersion", "v1") not in ("", "v1"):
        raise BadRequest(
            f'cannot bind token for serviceaccount "{call.name}" to object of type "/v1, Kind={kind}"'
        )
    backend, plural = call.backend, plurals[kind]
    found = await find(backend, "", "v1", plural, name, "" if kind == "Node" else call.namespace)
    if found is None:
        raise NotFound.of("", plural, name)
    if uid and found["metadata"]["uid"] != uid:
        raise Conflict.of(
            "", plural, name,
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    bindings = [Binding(kind.lower(), name, found["metadata"]["uid"])]
    if kind == "Pod":
        await _check_pod(call, found)
        node_name = found["spec"].get("nodeName")
        node = await find(backend, "", "v1", "nodes", node_name) if node_name else None
        if node_name:
            bindings.append(Binding("node", node_name, node["metadata"]["uid"] if node else ""))
    return tuple(bindings)


async def _check_pod(call: Call, pod: Object) -> None:
    name = pod["spec"].get("serviceAccountName", "")
    if name != call.name:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{call.name}" to pod running with different '
            "serviceaccount name."
        )
    node = node_of(call.user)
    if node and pod["spec"].get("nodeName") != node:
        raise Forbidden.of(
            "",
            "serviceaccounts",
            call.name,
            "node requested token bound to a pod scheduled on a different node",
        )
