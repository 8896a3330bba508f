"""Questions that are asked by creating an object that nobody stores.

TokenReview, the SubjectAccessReview family, SelfSubjectRulesReview, SelfSubjectReview, and the legacy
``bindings`` resource. ``REVIEWS`` is the list.
"""

from __future__ import annotations

from tiphys.apimachinery import field_errors
from tiphys.apimachinery.clock import rfc3339
from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apimachinery.meta import Object
from tiphys.apiserver import bodies, meta_rules, respond
from tiphys.apiserver.authn.tokens import Refused
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.call import Call, CallHandler
from tiphys.apiserver.params import write_options
from tiphys.apiserver.requestinfo import RequestInfo
from tiphys.apiserver.subresources import binding
from tiphys.wire.message import Response


def _decode(call: Call) -> Object:
    options = write_options(call, "CreateOptions")
    obj = bodies.decode(call, call.resource.gvk, options.field_validation)
    obj.setdefault("spec", {})
    return obj


async def token_review(call: Call) -> Response:
    """Tell whom a token names."""
    review = _decode(call)
    spec = review["spec"]
    if not spec.get("token"):
        fault = field_errors.required("spec.token", "token is required for TokenReview in authentication")
        raise Invalid.of("authentication.k8s.io", "TokenReview", "", [fault])
    authenticator = call.backend.authenticator
    audiences = tuple(spec.get("audiences") or authenticator.api_audiences)
    status: Object = {"user": {}}
    try:
        found = await authenticator.authenticate_token(spec["token"], audiences)
    except Refused as error:
        found, status["error"] = None, str(error)
    if found is not None:
        status = {"authenticated": True, "user": found.user.to_info()}
        if found.audiences:
            status["audiences"] = list(found.audiences)
    else:
        status.setdefault("error", "invalid bearer token")
    review["status"] = status
    return respond.respond(call, review, 201)


async def self_subject_review(call: Call) -> Response:
    """Tell the asking user who it is."""
    review = _decode(call)
    review.pop("spec", None)
    review["metadata"] = {"creationTimestamp": rfc3339(call.backend.clock.now())}
    review["status"] = {"userInfo": call.user.to_info()}
    return respond.respond(call, review, 201)


def _question(spec: Object) -> RequestInfo:
    asked = spec.get("resourceAttributes")
    if asked:
        return RequestInfo(
            path="", verb=asked.get("verb", ""), is_resource=True, group=asked.get("group", ""),
            version=asked.get("version", ""), namespace=asked.get("namespace", ""),
            resource=asked.get("resource", ""), subresource=asked.get("subresource", ""),
            name=asked.get("name", ""),
        )  # fmt: skip
    other = spec.get("nonResourceAttributes") or {}
    return RequestInfo(path=other.get("path", ""), verb=other.get("verb", ""))


def _spec_faults(spec: Object, *, subject: bool) -> list[FieldError]:
    faults = []
    both = spec.get("resourceAttributes") is not None, spec.get("nonResourceAttributes") is not None
    if all(both):
        text = "cannot be specified in combination with resourceAttributes"
        faults.append(field_errors.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], text))
    elif not any(both):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        faults.append(field_errors.invalid("spec.resourceAttributes", spec.get("resourceAttributes"), text))
    if subject and not spec.get("user") and not spec.get("groups"):
        faults.append(
            field_errors.invalid("spec.user", "", "at least one of user or group must be specified")
        )
    return faults


def _answer(call: Call, review: Object, user: User) -> Response:
    decision = call.backend.authorizer.authorize(user, _question(review["spec"]))
    status: Object = {"allowed": decision.allowed}
    if decision.denied:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    review["status"] = status
    return respond.respond(call, review, 201)


def _subject(spec: Object) -> User:
    extra = tuple(sorted((key.lower(), tuple(values)) for key, values in (spec.get("extra") or {}).items()))
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


async def subject_access_review(call: Call) -> Response:
    """Tell whether somebody may do something."""
    review = _decode(call)
    faults = _spec_faults(review["spec"], subject=True)
    if faults:
        raise Invalid.of("authorization.k8s.io", call.resource.kind, "", faults)
    return _answer(call, review, _subject(review["spec"]))


async def local_subject_access_review(call: Call) -> Response:
    """The same within one namespace."""
    review = _decode(call)
    meta_rules.check_namespace(review, call.resource, call.namespace)
    spec = review["spec"]
    faults = _spec_faults(spec, subject=True)
    asked = spec.get("resourceAttributes") or {}
    if asked.get("namespace") != call.namespace:
        text = "must match metadata.namespace"
        faults.append(
            field_errors.invalid("spec.resourceAttributes.namespace", asked.get("namespace", ""), text)
        )
    if faults:
        raise Invalid.of("authorization.k8s.io", call.resource.kind, "", faults)
    return _answer(call, review, _subject(spec))


async def self_subject_access_review(call: Call) -> Response:
    """Tell whether the asking user may do something."""
    review = _decode(call)
    faults = _spec_faults(review["spec"], subject=False)
    if faults:
        raise Invalid.of("authorization.k8s.io", call.resource.kind, "", faults)
    return _answer(call, review, call.user)


async def self_subject_rules_review(call: Call) -> Response:
    """List what the asking user may do in a namespace."""
    review = _decode(call)
    namespace = review["spec"].get("namespace", "")
    if not namespace:
        fault = field_errors.required("spec.namespace", "no namespace on request")
        raise Invalid.of("authorization.k8s.io", call.resource.kind, "", [fault])
    resource_rules, other_rules = [], []
    for rule in call.backend.authorizer.rbac.rules_for(call.user, namespace):
        shown = rule.to_object()
        if rule.urls:
            other_rules.append({"nonResourceURLs": shown["nonResourceURLs"], "verbs": shown["verbs"]})
        else:
            resource_rules.append(shown)
    if "AlwaysAllow" in call.backend.options.authorization_modes:
        resource_rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
        other_rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
    incomplete = "Node" in call.backend.options.authorization_modes
    review["status"] = {
        "resourceRules": resource_rules, "nonResourceRules": other_rules, "incomplete": incomplete
    }  # fmt: skip
    if incomplete:
        review["status"]["evaluationError"] = "node authorizer does not support user rule resolution"
    return respond.respond(call, review, 201)


REVIEWS: dict[tuple[str, str], CallHandler] = {
    ("", "bindings"): binding.handle_legacy,
    ("authentication.k8s.io", "tokenreviews"): token_review,
    ("authentication.k8s.io", "selfsubjectreviews"): self_subject_review,
    ("authorization.k8s.io", "subjectaccessreviews"): subject_access_review,
    ("authorization.k8s.io", "localsubjectaccessreviews"): local_subject_access_review,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): self_subject_access_review,
    ("authorization.k8s.io", "selfsubjectrulesreviews"): self_subject_rules_review,
}
