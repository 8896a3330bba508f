"""Who writes an admission policy, or binds one, may read the parameters that it is evaluated with.

A rule of the kinds themselves: what users may not read they could have told them by a policy.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery.errors import Invalid
from tiphys.apimachinery.field_errors import forbidden
from tiphys.apimachinery.meta import GVK, Object, split_api_version
from tiphys.apis.defaulting import peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.rbac import is_master
from tiphys.apiserver.filters.requestinfo import RequestInfo

GROUP: Final = "admissionregistration.k8s.io"
_POLICIES: Final = ("validatingadmissionpolicies", "mutatingadmissionpolicies")
_BINDINGS: Final = {
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
}
_LACKS: Final = 'user %s does not have "%s" permission on the object referenced by paramRef'
_LACKS_ALL: Final = (
    'unable to {} to determine minimum required permissions and user %s does not have "%s" permission for '
    "all groups, versions and resources"
)


class PolicyParamsAuthorization:
    """Asks the authorizers about ``paramKind`` and ``paramRef``."""

    NAME = "PolicyParamsAuthorization"
    RESOURCES = frozenset((GROUP, plural) for plural in (*_POLICIES, *_BINDINGS))
    SUBRESOURCES = frozenset({""})
    VALIDATES = frozenset({"CREATE", "UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        if attributes.obj is None or is_master(attributes.call.user):
            return
        spec = peek(attributes.obj, "spec")
        if attributes.plural in _BINDINGS:
            await self._binding(attributes, spec)
        else:
            await self._policy(attributes, spec)

    async def _policy(self, attributes: Attributes, spec: Object) -> None:
        kind = spec.get("paramKind")
        if kind is None or peek(attributes.old or {}, "spec").get("paramKind") == kind:
            return
        if not await _may(attributes, "get", kind, "*", "*"):
            shown = f"(kind={kind['kind']}, apiVersion={kind['apiVersion']})"
            text = (
                f'user {_shown(attributes.call.user)} must have "get" permission on all objects of the '
                f"referenced paramKind {shown}"
            )
            raise _refusal(attributes, "spec.paramKind", text)

    async def _binding(self, attributes: Attributes, spec: Object) -> None:
        """Ask at every write: the API compares references by where they lie, not by what they say."""
        ref = spec.get("paramRef")
        if ref is None:
            return
        policy = await attributes.find(GROUP, "v1", _BINDINGS[attributes.plural], spec["policyName"])
        kind = peek(policy or {}, "spec").get("paramKind")
        verb = "get" if ref.get("name") else "list"
        if not await _may(attributes, verb, kind, ref.get("namespace") or "", ref.get("name") or ""):
            user = _shown(attributes.call.user)
            if attributes.plural == "mutatingadmissionpolicybindings":
                verb, user = user, verb  # the API mistakes the one for the other
                lacks = _LACKS
            elif policy is None:
                lacks = _LACKS_ALL.format(f"get policy {spec['policyName']}")
            elif kind is not None and _plural(attributes, kind) is None:
                lacks = _LACKS_ALL.format(f"resolve paramKind &{{{kind['apiVersion']} {kind['kind']}}}")
            else:
                lacks = _LACKS
            raise _refusal(attributes, "spec.paramRef", lacks % (user, verb))


async def _may(attributes: Attributes, verb: str, kind: Object | None, namespace: str, name: str) -> bool:
    """Tell whether the user may read objects of a kind; of every kind where that is not known."""
    group, version, plural = "*", "*", "*"
    if kind is not None:
        group, version = split_api_version(kind["apiVersion"])
        plural = _plural(attributes, kind) or "*"
    info = RequestInfo(
        path="", verb=verb, is_resource=True, group=group, version=version, namespace=namespace,
        resource=plural, name=name,
    )  # fmt: skip
    return (await attributes.call.backend.authorizer.decide(attributes.call.user, info)).allowed


def _plural(attributes: Attributes, kind: Object) -> str | None:
    """Return the plural of a kind of parameters, None: nobody serves it."""
    row = attributes.call.backend.table.by_kind(GVK(*split_api_version(kind["apiVersion"]), kind["kind"]))
    return None if row is None else row.plural


def _refusal(attributes: Attributes, path: str, text: str) -> Invalid:
    return Invalid.of(GROUP, attributes.call.resource.kind, attributes.name, [forbidden(path, text)])


def _shown(user: User) -> str:
    """Return a user as Go prints one."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
