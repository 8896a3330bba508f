"""Asks each authorizer in the order that ``--authorization-mode`` names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision, forbidden
from tiphys.apiserver.authz.node import NodeAuthorizer, node_of
from tiphys.apiserver.authz.rbac import Rbac, is_master
from tiphys.apiserver.requestinfo import RequestInfo

_MASTER = Decision(allowed=True)
_ALWAYS_ALLOWED = ("/healthz", "/livez", "/readyz")
"""Paths that health checkers reach without a right, as ``--authorization-always-allow-paths`` has it."""


class Authorizer:
    """system:masters first, then the configured modes until one allows or denies."""

    def __init__(self, modes: Sequence[str], rbac: Rbac, node: NodeAuthorizer) -> None:
        self.rbac = rbac
        self._node_authorizer = node
        known: dict[str, Callable[[User, RequestInfo], Decision]] = {
            "AlwaysAllow": lambda _user, _info: _MASTER,
            "AlwaysDeny": lambda _user, _info: NO_OPINION,
            "RBAC": rbac.authorize,
            "Node": self._node,
        }
        unknown = [mode for mode in modes if mode not in known]
        if unknown:
            raise ValueError(f'unknown authorization mode "{unknown[0]}"')
        self._chain = [known[mode] for mode in modes]

    def _node(self, user: User, info: RequestInfo) -> Decision:
        """The node authorizer; what it leaves open to kubelets is in role ``system:node``, bound to none."""
        decision = self._node_authorizer.authorize(user, info)
        if decision != NO_OPINION or not node_of(user):
            return decision
        rules = self.rbac.role_rules("", "system:node") or ()
        return _MASTER if any(rule.allows(info) for rule in rules) else NO_OPINION

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Return the first decision; reasons of the authorizers that had no opinion are joined."""
        if is_master(user):
            return _MASTER
        if not info.is_resource and info.path in _ALWAYS_ALLOWED:
            return _MASTER
        reasons = []
        for ask in self._chain:
            decision = ask(user, info)
            if decision.allowed or decision.denied:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(reason=", ".join(reasons)) if reasons else NO_OPINION

    def require(self, user: User, info: RequestInfo) -> None:
        """Raises Forbidden, worded as upstream, unless the user may."""
        decision = self.authorize(user, info)
        if not decision.allowed:
            raise forbidden(user, info, decision.reason)
