"""Questions about rights: the SubjectAccessReview family and SelfSubjectRulesReview.

Owns: what a question may look like, in upstream's words, and how decisions are shown. ``reviews`` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.errors import BadRequest, FieldError, Invalid
from tiphys.apimachinery.fields import escape, parse_field_selector
from tiphys.apimachinery.labels import from_label_selector, parse_selector
from tiphys.apimachinery.meta import Object
from tiphys.apis.value_validation import label_requirement
from tiphys.apiserver.admission import subresource as admission
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import aggregate
from tiphys.apiserver.authz.node import node_of
from tiphys.apiserver.authz.webhook import WebhookAuthorizer
from tiphys.apiserver.endpoints import bodies, respond
from tiphys.apiserver.endpoints.call import Call
from tiphys.apiserver.endpoints.params import write_options
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.registry import meta_rules
from tiphys.wire.message import Response

_GROUP = "authorization.k8s.io"
_IGNORED = "spec.resourceAttributes.{} {}ignored due to parse error"
_EXACT = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def decode(call: Call) -> Object:
    """Read a review from the body; everything but its spec is the server's to say.

    Raises:
        BadRequest: it is of another namespace.
    """
    options = write_options(call, "CreateOptions")
    obj = await bodies.decode_aside(call, call.resource.gvk, options.field_validation)
    meta_rules.forget_system_fields(obj)
    meta_rules.check_namespace(obj, call.resource, call.namespace)
    obj["metadata"].pop("managedFields", None)
    obj.setdefault("spec", {})
    obj.pop("status", None)
    return obj


async def admitted_review(call: Call) -> tuple[Object, Attributes]:
    """Read a review and let admission change it; ``admission.validate`` is for when it is checked."""
    review = await decode(call)
    dry_run = write_options(call, "CreateOptions").dry_run
    return review, await admission.admit(call, review, dry_run=dry_run)


async def subject_access_review(call: Call) -> Response:
    """Tell whether somebody may do something."""
    review, admitted = await admitted_review(call)
    faults = [*_spec_faults(review["spec"], subject=True), *_meta_faults(review)]
    _raise(call, faults)
    await admission.validate(admitted)
    return await _answer(call, review, _subject(review["spec"]))


async def local_subject_access_review(call: Call) -> Response:
    """The same within one namespace."""
    review, admitted = await admitted_review(call)
    spec, meta = review["spec"], review["metadata"]
    namespace = meta["namespace"]
    faults = [*_spec_faults(spec, subject=True), *_meta_faults(review, namespaced=True)]
    asked = spec.get("resourceAttributes")
    if asked is not None and asked.get("namespace", "") != namespace:
        path = "spec.resourceAttributes.namespace"
        faults.append(field_errors.invalid(path, asked.get("namespace", ""), "must match metadata.namespace"))
    if spec.get("nonResourceAttributes") is not None:
        text = "disallowed on this kind of request"
        shown = _shown(spec["nonResourceAttributes"])
        faults.append(field_errors.invalid("spec.nonResourceAttributes", shown, text))
    _raise(call, faults)
    await admission.validate(admitted)
    return await _answer(call, review, _subject(spec))


async def self_subject_access_review(call: Call) -> Response:
    """Tell whether the asking user may do something."""
    review, admitted = await admitted_review(call)
    faults = [*_spec_faults(review["spec"], subject=False), *_meta_faults(review)]
    _raise(call, faults)
    await admission.validate(admitted)
    return await _answer(call, review, call.user)


async def self_subject_rules_review(call: Call) -> Response:
    """List what the asking user may do in a namespace."""
    review, admitted = await admitted_review(call)
    namespace = review["spec"].get("namespace", "")
    if not namespace:
        raise BadRequest("no namespace on request")
    await admission.validate(admitted)
    review["status"] = rules_status(call, namespace)
    return respond.respond(call, review, 201)


def rules_status(call: Call, namespace: str) -> Object:
    """Return the rules that authorizers can list, and why there may be others."""
    authorizer, user = call.backend.authorizer, call.user
    resource_rules: list[Object] = []
    other_rules: list[Object] = []
    faults: list[str] = []
    incomplete = False
    for mode in authorizer.modes:
        if isinstance(mode, WebhookAuthorizer):
            incomplete = True
            faults.append("webhook authorizer does not support user rule resolution")
        elif mode == "Node" and node_of(user):
            incomplete = True
            faults.append("node authorizer does not support user rule resolution")
        elif mode == "AlwaysAllow":
            resource_rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
            other_rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        elif mode == "ABAC" and authorizer.abac is not None:
            for rule in authorizer.abac.rules_for(user, namespace):
                (other_rules if rule.urls else resource_rules).append(rule.to_object())
        elif mode == "RBAC":
            for rule in authorizer.rbac.rules_for(user, namespace):
                shown = rule.to_object()
                (other_rules if rule.urls else resource_rules).append(shown)
            faults += authorizer.rbac.faults_for(user, namespace)
    status: Object = {
        "resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": incomplete
    }  # fmt: skip
    if faults:
        status["evaluationError"] = aggregate(faults)
    return status


async def _answer(call: Call, review: Object, user: User) -> Response:
    spec = review["spec"]
    decision = await call.backend.authorizer.decide(user, asked_about(spec))
    status: Object = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    faults = [*filter(None, (decision.error,)), *_unread(spec.get("resourceAttributes") or {})]
    if faults:
        status["evaluationError"] = "; ".join(faults)
    review["status"] = status
    return respond.respond(call, review, 201)


def _raise(call: Call, faults: list[FieldError]) -> None:
    if faults:
        raise Invalid.of(_GROUP, call.resource.kind, "", faults)


def asked_about(spec: Object) -> RequestInfo:
    """Return the request that a review asks about. Pure."""
    asked = spec.get("resourceAttributes")
    if asked is not None:
        return RequestInfo(
            path="", verb=asked.get("verb", ""), is_resource=True, group=asked.get("group", ""),
            version=asked.get("version") or "*", namespace=asked.get("namespace", ""),
            resource=asked.get("resource", ""), subresource=asked.get("subresource", ""),
            name=asked.get("name", ""), field_selector=_fields(asked.get("fieldSelector") or {}),
            label_selector=_labels(asked.get("labelSelector") or {}),
        )  # fmt: skip
    other = spec.get("nonResourceAttributes") or {}
    return RequestInfo(path=other.get("path", ""), verb=other.get("verb", ""))


def _unread(asked: Object) -> Iterator[str]:
    """Tell of selectors that narrow less than they say, as something in them could not be read."""
    for name, terms, parse in (
        ("fieldSelector", _field_terms, parse_field_selector),
        ("labelSelector", _label_terms, parse_selector),
    ):
        selector = asked.get(name) or {}
        read, said = list(terms(selector)), selector.get("requirements") or ()
        if selector.get("rawSelector"):
            try:
                parse(selector["rawSelector"])
            except BadRequest:
                yield _IGNORED.format(name, "")
        elif len(read) < len(said):
            yield _IGNORED.format(name, "partially " if read else "")


def _fields(selector: Mapping[str, Any]) -> str:
    """Return a field selector as text. A requirement that no text can say is left out: it only narrows."""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    return ",".join(_field_terms(selector))


def _field_terms(selector: Mapping[str, Any]) -> Iterator[str]:
    for one in selector.get("requirements") or ():
        values = one.get("values") or []
        if one.get("operator") in ("In", "NotIn") and len(values) == 1:
            sign = "=" if one["operator"] == "In" else "!="
            yield f"{one['key']}{sign}{escape(values[0])}"


def _labels(selector: Mapping[str, Any]) -> str:
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    return ",".join(_label_terms(selector))


def _label_terms(selector: Mapping[str, Any]) -> Iterator[str]:
    for one in selector.get("requirements") or ():
        with suppress(BadRequest):
            yield str(from_label_selector({"matchExpressions": [one]}))


def _subject(spec: Object) -> User:
    extra = tuple(sorted((key.lower(), tuple(values)) for key, values in (spec.get("extra") or {}).items()))
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def _shown(attributes: Object) -> Object:
    return {"Path": attributes.get("path", ""), "Verb": attributes.get("verb", "")}


def _meta_faults(review: Object, *, namespaced: bool = False) -> list[FieldError]:
    ignored = "namespace" if namespaced else ""
    meta = {key: value for key, value in review["metadata"].items() if key != ignored and value}
    if not meta:
        return []
    text = "must be empty except for namespace" if namespaced else "must be empty"
    return [field_errors.invalid("metadata", meta, text)]


def _spec_faults(spec: Object, *, subject: bool) -> list[FieldError]:
    faults: list[FieldError] = []
    asked, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if asked is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        faults.append(field_errors.invalid("spec.nonResourceAttributes", _shown(other), text))
    elif asked is None and other is None:
        faults.append(field_errors.invalid("spec.resourceAttributes", None, _EXACT))
    if subject and not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        faults.append(field_errors.invalid("spec.user", "", text))
    if asked is not None:
        rules = (("fieldSelector", _field_requirement), ("labelSelector", _label_requirement))
        for name, rule in rules:
            selector = asked.get(name)
            if selector is not None:
                faults += _selector_faults(f"spec.resourceAttributes.{name}", selector, rule)
    return faults


def _selector_faults(
    path: str, selector: Object, rule: Callable[[Object, str], list[FieldError]]
) -> list[FieldError]:
    raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or []
    faults = []
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        faults.append(field_errors.invalid(f"{path}.rawSelector", raw, text))
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        faults.append(field_errors.required(f"{path}.requirements", text))
    for at, one in enumerate(requirements):
        faults += rule(one, f"{path}.requirements[{at}]")
    return faults


def _label_requirement(requirement: Object, path: str) -> list[FieldError]:
    """Operators that newer clients know are no fault."""
    return label_requirement(requirement, path, unknown_operators=True)


def _field_requirement(requirement: Object, path: str) -> list[FieldError]:
    operator, values = requirement.get("operator") or "", requirement.get("values")
    faults = []
    if not requirement.get("key"):
        faults.append(field_errors.required(f"{path}.key", "must be specified"))
    if operator in ("In", "NotIn") and not values:
        text = "must be specified when `operator` is 'In' or 'NotIn'"
        faults.append(field_errors.required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        faults.append(field_errors.forbidden(f"{path}.values", text))
    return faults
