"""Who may write what of a claim's status: who binds claims, and drivers, each for its own devices.

The right to write the status is not enough: each part asks for a subresource of its own, which nobody serves.

Source: KEP-4817, granular authorization of claims' statuses (on from v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from tiphys.apimachinery import names
from tiphys.apimachinery.errors import FieldError, Invalid
from tiphys.apimachinery.field_errors import forbidden
from tiphys.apimachinery.meta import Object
from tiphys.apis.defaulting import each, peek
from tiphys.apiserver.admission.attributes import Attributes
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz import attributes as authz
from tiphys.apiserver.filters.requestinfo import RequestInfo

_GROUP: Final = "resource.k8s.io"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_ACCOUNTS: Final = "system:serviceaccount:"


class ClaimStatusWriters:
    """Asks the authorizer about the parts of a status that a write changes."""

    NAME = "ResourceClaimGranularStatusAuthorization"
    RESOURCES = frozenset({(_GROUP, "resourceclaims")})
    SUBRESOURCES = frozenset({"status"})
    VALIDATES = frozenset({"UPDATE"})

    async def validate(self, attributes: Attributes) -> None:
        new, old = peek(attributes.obj or {}, "status"), peek(attributes.old or {}, "status")
        faults = [*await _binding(attributes, new, old), *await _devices(attributes, new, old)]
        if faults:
            raise Invalid.of(_GROUP, attributes.call.resource.kind, attributes.name, faults)


async def _refusal(attributes: Attributes, info: RequestInfo) -> str:
    """Return why the caller may not; empty when he may."""
    call = attributes.call
    decision = await call.backend.authorizer.decide(call.user, info)
    if decision.allowed:
        return ""
    reason = ": ".join(text for text in (decision.error, decision.reason) if text)
    return authz.forbidden(call.user, info, reason).message


async def _binding(attributes: Attributes, new: Object, old: Object) -> list[FieldError]:
    """The allocation and for whom it is reserved: asked of all claims of the cluster."""
    if all((new.get(key) or None) == (old.get(key) or None) for key in ("allocation", "reservedFor")):
        return []
    info = replace(attributes.call.info, subresource="binding", namespace="", name="")
    refusal = await _refusal(attributes, info)
    if not refusal:
        return []
    text = (
        'changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", '
        f'verb="{info.verb}" permission: {refusal}'
    )
    return [forbidden("status", text)]


async def _devices(attributes: Attributes, new: Object, old: Object) -> list[FieldError]:
    """What drivers report of devices: asked for each driver, by name.

    Whoever may take the devices away may take away what was said of them.
    """
    if old.get("allocation") and not new.get("allocation") and not new.get("devices"):
        return []
    info = attributes.call.info
    prefixes = ["arbitrary-node:"]
    if of_node(attributes.call.user, peek(new, "allocation")):
        prefixes.insert(0, "associated-node:")
    verbs = [prefix + info.verb for prefix in prefixes]
    faults: list[FieldError] = []
    for driver in sorted(changed_drivers(new, old)):
        refusals: list[str] = []
        for verb in verbs:
            about = replace(info, verb=verb, subresource="driver", name=driver)
            refusals.append(await _refusal(attributes, about))
            if not refusals[-1]:
                break
        else:
            text = (
                'changing status.devices requires resource="resourceclaims/driver", '
                f'verb="[{" ".join(verbs)}]" permission: {refusals[0]}'
            )
            faults.append(forbidden("status.devices", text))
    return faults


def _by_device(status: Object) -> Iterator[tuple[tuple[Any, ...], Object]]:
    for device in each(status, "devices"):
        yield tuple(device.get(key) or "" for key in ("driver", "pool", "device", "shareID")), device


def changed_drivers(new: Object, old: Object) -> set[str]:
    """Return whose devices a status says something else of."""
    before, after = dict(_by_device(old)), dict(_by_device(new))
    return {str(key[0]) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def _node_of(allocation: Object) -> str:
    """Return the one node that an allocation is for; empty when it is for several."""
    terms = peek(allocation, "nodeSelector").get("nodeSelectorTerms") or []
    if len(terms) != 1 or terms[0].get("matchExpressions"):
        return ""
    fields = terms[0].get("matchFields") or []
    if len(fields) != 1 or (fields[0].get("key"), fields[0].get("operator")) != ("metadata.name", "In"):
        return ""
    values = fields[0].get("values") or []
    return str(values[0]) if len(values) == 1 else ""


def of_node(user: User, allocation: Object) -> bool:
    """Tell whether a service account's token is bound to a pod on the one node that an allocation is for."""
    node = _node_of(allocation)
    if not node or not user.name.startswith(_ACCOUNTS) or len(user.name.split(":")) != 4:
        return False
    return dict(user.extra).get(_NODE_NAME) == (node,) and not names.is_dns1123_subdomain(node)
