"""Authorization checks: ``authorizer.group('apps').resource('deployments').check('create').allowed()``.

Who may do what is none of the engine's business: an ``Authorizer`` in the activation decides.

Source: "Kubernetes authorizer library".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tiphys.apimachinery import names
from tiphys.apimachinery.cel import prices
from tiphys.apimachinery.cel.errors import EvaluationError
from tiphys.apimachinery.cel.functions import Library, member
from tiphys.apimachinery.cel.types import BOOL, STRING, opaque
from tiphys.apimachinery.dataclass import dataclass

AUTHORIZER = opaque("kubernetes.authorization.Authorizer")
PATH_CHECK = opaque("kubernetes.authorization.PathCheck")
GROUP_CHECK = opaque("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK = opaque("kubernetes.authorization.ResourceCheck")
DECISION = opaque("kubernetes.authorization.Decision")


@dataclass(frozen=True, slots=True)
class Decision:
    """What an authorizer said; ``error`` is why it could not say."""

    allowed: bool
    reason: str = ""
    error: str | None = None
    type_name = DECISION.name
    cel_opaque = True


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """What an expression asks about. A service account stands in for the request's user."""

    verb: str = ""
    path: str | None = None
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str | None = None
    label_selector: str | None = None
    service_account: tuple[str, str] | None = None
    """Namespace and name."""


Decide = Callable[[AccessCheck], Decision]


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The value of ``authorizer``; also what its checks are while they are put together."""

    decide: Decide
    access: AccessCheck = AccessCheck()
    type_name: str = AUTHORIZER.name
    cel_opaque = True


def resource_check(decide: Decide, access: AccessCheck) -> Authorizer:
    """Return the value of ``authorizer.requestResource``."""
    return Authorizer(decide, access, RESOURCE_CHECK.name)


def _with(one: Authorizer, type_name: str | None = None, **parts: object) -> Authorizer:
    access = replace(one.access, **parts)  # type: ignore[arg-type]
    return Authorizer(one.decide, access, type_name or one.type_name)


def _path(one: Authorizer, path: str) -> Authorizer:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return _with(one, PATH_CHECK.name, path=path)


def _service_account(one: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.is_dns1123_subdomain(name):
        raise EvaluationError("Invalid service account name")
    if names.is_dns1123_label(namespace):
        raise EvaluationError("Invalid service account namespace")
    return _with(one, service_account=(namespace, name))


def _resource(one: Authorizer, resource: str) -> Authorizer:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return _with(one, RESOURCE_CHECK.name, resource=resource)


def _set(part: str) -> Callable[[Authorizer, str], Authorizer]:
    return lambda one, value: _with(one, **{part: value})


def _check(one: Authorizer, verb: str) -> Decision:
    return one.decide(replace(one.access, verb=verb))


_REFINED = (
    ("resourcecheck_subresource", "subresource", "subresource", None),
    ("resourcecheck_namespace", "namespace", "namespace", None),
    ("resourcecheck_name", "name", "name", None),
    ("authorizer_fieldselector", "fieldSelector", "field_selector", prices.SELECTOR),
    ("authorizer_labelselector", "labelSelector", "label_selector", prices.SELECTOR),
)

LIBRARY = Library(
    "kubernetes.authz",
    (
        member("authorizer_path", "path", (AUTHORIZER, STRING), PATH_CHECK, _path),
        member(
            "authorizer_group",
            "group",
            (AUTHORIZER, STRING),
            GROUP_CHECK,
            lambda one, group: _with(one, GROUP_CHECK.name, group=group),
        ),
        member(
            "authorizer_serviceaccount",
            "serviceAccount",
            (AUTHORIZER, STRING, STRING),
            AUTHORIZER,
            _service_account,
        ),
        member("groupcheck_resource", "resource", (GROUP_CHECK, STRING), RESOURCE_CHECK, _resource),
        *(
            member(id_, name, (RESOURCE_CHECK, STRING), RESOURCE_CHECK, _set(field), price=price)
            for id_, name, field, price in _REFINED
        ),
        member("pathcheck_check", "check", (PATH_CHECK, STRING), DECISION, _check, price=prices.CHECKED),
        member(
            "resourcecheck_check", "check", (RESOURCE_CHECK, STRING), DECISION, _check, price=prices.CHECKED
        ),
        member("decision_errored", "errored", (DECISION,), BOOL, lambda decision: decision.error is not None),
        member("decision_error", "error", (DECISION,), STRING, lambda decision: decision.error or ""),
        member("decision_allowed", "allowed", (DECISION,), BOOL, lambda decision: decision.allowed),
        member("decision_reason", "reason", (DECISION,), STRING, lambda decision: decision.reason),
    ),
    types=(AUTHORIZER, PATH_CHECK, GROUP_CHECK, RESOURCE_CHECK, DECISION),
)
