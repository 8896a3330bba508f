"""Finds the parameters that a binding refers to: built-in or custom objects, in a namespace or in none.

Everything comes from the cache, which this server's own writes reach at once.
"""

from __future__ import annotations

from tiphys.apimachinery.errors import NotFound, TiphysError
from tiphys.apimachinery.labels import from_label_selector
from tiphys.apimachinery.meta import Object
from tiphys.apimachinery.resource import Resource
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.admission.policies.policy import Binding, Policy
from tiphys.apiserver.admission.versions import seen_as
from tiphys.apiserver.registry.objects import Selection


class Misconfigured(TiphysError):
    """A policy or a binding cannot be used as it is; the policy's ``failurePolicy`` says what that means."""


def param_row(policy: Policy, attributes: Attributes) -> Resource | None:
    """Return the row of a policy's parameters, None where it has none.

    Raises:
        Misconfigured: nothing of that kind is served.
    """
    kind = policy.param_kind
    if kind is None:
        return None
    row: Resource | None = attributes.call.backend.table.by_kind(kind)
    if row is None:
        shown = f"{kind.group}/{kind.version}, Kind={kind.kind}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown}'")
    return row


async def find_params(row: Resource | None, binding: Binding, attributes: Attributes) -> list[Object | None]:
    """Return what a binding's policy is to be evaluated with, once for each; None: without parameters.

    Raises:
        Misconfigured: the reference does not fit, or nothing is there and that is to be refused.
    """
    ref = binding.spec.get("paramRef")
    if row is None or ref is None:
        return [None]
    namespace = _namespace(row, ref, attributes)
    found: list[Object | None] = []
    backend = attributes.call.backend.custom or attributes.call.backend
    if ref.get("name"):
        try:
            found = [seen_as((await backend.store.get(row, namespace, ref["name"])).object, row)]
        except NotFound:
            found = []
    elif ref.get("selector") is not None:
        selector = from_label_selector(ref["selector"])
        page = await backend.store.list(row, Selection(namespace=namespace))
        found = [
            seen_as(item.object, row)
            for item in page.items
            if selector.matches((item.object["metadata"].get("labels")) or {})
        ]
    else:
        raise Misconfigured("one of name or selector must be provided")
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _namespace(row: Resource, ref: Object, attributes: Attributes) -> str:
    given = str(ref.get("namespace") or "")
    if not row.namespaced:
        if given:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    namespace = given or attributes.namespace
    if not namespace:
        raise Misconfigured(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return namespace
