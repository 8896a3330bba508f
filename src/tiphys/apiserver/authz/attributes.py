"""What is asked of an authorizer, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import Forbidden
from tiphys.apimachinery.go_text import syntax
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.counts import Tally
from tiphys.apiserver.filters.requestinfo import RequestInfo


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


def aggregate(faults: Iterable[str]) -> str:
    """Return several faults as one text, each told once."""
    unique = list(dict.fromkeys(faults))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"


class NotAllowed(Forbidden):
    """An authorizer has not allowed a request. Browsers shall take nothing in it for a page."""


def forbidden(user: User, info: RequestInfo, reason: str = "") -> NotAllowed:
    """Return the 403 that upstream answers for this user and request."""
    who = f"User {syntax(user.name)} cannot {info.verb}"
    why = f": {reason}" if reason else ""
    if not info.is_resource:
        return NotAllowed.of("", "", "", escape(f"{who} path {syntax(info.path)}", quote=False) + why)
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    text = f"{who} resource {syntax(resource)} in API group {syntax(info.group)}"
    text += f" in the namespace {syntax(info.namespace)}" if info.namespace else " at the cluster scope"
    return NotAllowed.of(info.group, info.resource, info.name, escape(text, quote=False) + why)
