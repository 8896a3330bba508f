"""serviceaccounts/token: a token of the account, bound to a pod, secret or node.

Source: authentication.k8s.io/v1 TokenRequest; KEP-1205, KEP-4193.
"""

from __future__ import annotations

from datetime import timedelta

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import BadRequest, Conflict, FieldError, Invalid, NotFound
from tiphys.apimachinery.featuregates import on
from tiphys.apimachinery.meta import GVK, Object, new_uid
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.lookup import find
from tiphys.apiserver.authn.serviceaccount import Binding, TokenRequest
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import write_options
from tiphys.apiserver.registry import meta_rules
from tiphys.wire.message import Response

_KIND = GVK("authentication.k8s.io", "v1", "TokenRequest")
_DEFAULT_S = 3600
_MIN_S = 600
_MAX_S = 1 << 32
_OWN_REQUEST_S = 3607
"""What the server's own projected volumes ask for; such tokens are extended, with a warning mark."""
_EXTENDED_S = 365 * 24 * 3600
_UID_GATE = "TokenRequestServiceAccountUIDValidation"
_PLURALS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


async def handle(call: Call) -> Response:
    """Sign a token for the account of the URL."""
    options = write_options(call, "CreateOptions")
    request = await bodies.decode_aside(call, _KIND, options.field_validation)
    meta_rules.check_namespace(request, call.resource, call.namespace)
    _default(request)
    admitted = await admission.admit(call, request, dry_run=options.dry_run)
    spec = _default(request)
    _check_name(call, request)
    accounts = call.backend.table.by_path("", "v1", "serviceaccounts")
    account = (await call.backend.store.get(accounts, call.namespace, call.name)).object
    _check_uid(call, request, admitted, account["metadata"]["uid"])
    now = call.backend.clock.now()
    request["metadata"] |= {
        "name": call.name, "namespace": call.namespace, "creationTimestamp": rfc3339(now)
    }  # fmt: skip
    request.pop("status", None)
    if not spec.get("audiences"):
        spec["audiences"] = list(call.backend.authenticator.api_audiences)
    faults = _faults(spec["expirationSeconds"])
    if faults:
        raise Invalid.of("authentication.k8s.io", "TokenRequest", "", faults)
    await admission.validate(admitted)
    bindings = await _bindings(call, spec.get("boundObjectRef"))
    spec.setdefault("boundObjectRef", None)
    asked = _asked(call, account, spec, bindings)
    spec["expirationSeconds"] = asked.warn_after_s or asked.lifetime_s
    credential = f"JTI={asked.credential_id}"
    admitted.annotate("authentication.kubernetes.io/issued-credential-id", credential)
    # The client is told the time that it asked for, also where the token itself lasts longer.
    until = now + timedelta(seconds=spec["expirationSeconds"])
    request["status"] = {
        "token": "" if options.dry_run else await call.backend.keys.issue(asked, now),
        "expirationTimestamp": rfc3339(until),
    }
    return respond.respond(call, request, 201)


def _default(request: Object) -> Object:
    """Return the spec of a request, how long its token lasts filled in."""
    spec: Object = request.setdefault("spec", {})
    spec.setdefault("expirationSeconds", _DEFAULT_S)
    return spec


def _check_name(call: Call, request: Object) -> None:
    """Raise Invalid when the body names another account than the URL."""
    given = request["metadata"].get("name")
    if given and given != call.name:
        text = "must match the service account name if specified"
        fault = field_errors.invalid("metadata.name", given, text)
        raise Invalid.of("authentication.k8s.io", "TokenRequest", call.name, [fault])


def _check_uid(call: Call, request: Object, admitted: Attributes, uid: str) -> None:
    """Fill in the account's uid; raise Conflict when the body means another account of the name."""
    given = request["metadata"].setdefault("uid", uid)
    if given == uid:
        return
    text = f"the UID in the token request ({given}) does not match the UID of the service account ({uid})"
    if on(_UID_GATE):
        raise Conflict.of("authentication.k8s.io", "TokenRequest", call.name, text)
    admitted.annotate("authentication.k8s.io/token-request-uid-mismatch", text)
    call.warn(f"{text} but {_UID_GATE} is not enabled. In the future, this will return a conflict error")


def _asked(call: Call, account: Object, spec: Object, bindings: tuple[Binding, ...]) -> TokenRequest:
    """Return what to sign: no longer than the server allows, longer for its own projected volumes."""
    options, own = call.backend.options, call.backend.authenticator.api_audiences
    longest_s = call.backend.keys.longest_s
    lifetime_s, most_s = int(spec["expirationSeconds"]), options.service_account_max_token_expiration_s
    most_s = most_s or longest_s
    if 0 < most_s < lifetime_s:
        call.warn(f"requested expiration of {lifetime_s} seconds shortened to {most_s} seconds")
        lifetime_s = most_s
    audiences = tuple(spec["audiences"])
    extended = (
        options.service_account_extend_token_expiration
        and lifetime_s == _OWN_REQUEST_S
        and set(audiences) <= set(own)
        and any(binding.kind == "pod" for binding in bindings)
    )
    return TokenRequest(
        account,
        audiences,
        min(_EXTENDED_S, longest_s or _EXTENDED_S) if extended else lifetime_s,
        bindings,
        warn_after_s=lifetime_s if extended else 0,
        credential_id=new_uid(),
    )


def _faults(lifetime_s: int) -> list[FieldError]:
    path = "spec.expirationSeconds"
    if lifetime_s < _MIN_S:
        return [field_errors.invalid(path, lifetime_s, "may not specify a duration less than 10 minutes")]
    if lifetime_s > _MAX_S:
        return [field_errors.invalid(path, lifetime_s, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _bindings(call: Call, reference: Object | None) -> tuple[Binding, ...]:
    if reference is None:
        return ()
    kind, name, uid = reference.get("kind") or "", reference.get("name") or "", reference.get("uid") or ""
    version = reference.get("apiVersion") or ""
    if kind not in _PLURALS or "/" in version:
        group, _, number = version.rpartition("/")
        raise BadRequest(f"cannot bind token to object of type {group}/{number}, Kind={kind}")
    backend, plural = call.backend, _PLURALS[kind]
    found = await find(backend, "", "v1", plural, name, namespace="" if kind == "Node" else call.namespace)
    if found is None:
        raise NotFound.of("", plural, name)
    if kind == "Pod" and found["spec"].get("serviceAccountName", "") != call.name:
        raise BadRequest(
            f'cannot bind token for serviceaccount "{call.name}" to pod running with different '
            "serviceaccount name."
        )
    if uid and found["metadata"]["uid"] != uid:
        raise Conflict.of(
            "", kind, name,
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    bindings = [Binding(kind.lower(), name, found["metadata"]["uid"])]
    node_name = found["spec"].get("nodeName") if kind == "Pod" else ""
    if node_name:
        node = await find(backend, "", "v1", "nodes", node_name)
        bindings.append(Binding("node", node_name, node["metadata"]["uid"] if node else ""))
    return tuple(bindings)
