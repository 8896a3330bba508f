"""What is asked of an authorizer, and what it answers."""

from __future__ import annotations

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.counts import Tally
from tiphys.apiserver.requestinfo import RequestInfo


@dataclass(frozen=True, slots=True)
class Decision:
    """``denied`` ends the search through authorizers; neither flag means no opinion."""

    allowed: bool = False
    denied: bool = False
    reason: str = ""
    error: str = ""
    """An authorizer could not tell; where nobody allows, that is what the client hears."""


NO_OPINION = Decision()


@dataclass(frozen=True, slots=True)
class Lasting:
    """A decision that holds until there are changes; ``tally`` counts each request that it lets pass."""

    decision: Decision
    tally: Tally


def forbidden(user: User, info: RequestInfo, reason: str = "") -> Forbidden:
    """Return the 403 that upstream answers for this user and request."""
    if not info.is_resource:
        text = f'User "{user.name}" cannot {info.verb} path "{info.path}"'
        return Forbidden.of("", "", "", text + (f": {reason}" if reason else ""))
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    text = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}"'
    if info.namespace:
        text += f' in the namespace "{info.namespace}"'
    else:
        text += " at the cluster scope"
    return Forbidden.of(info.group, info.resource, info.name, text + (f": {reason}" if reason else ""))
