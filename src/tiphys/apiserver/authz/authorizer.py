"""Asks each authorizer in the order of ``--authorization-mode`` or of the configuration file.

Owns: the order, who passes without being asked, and what comes of authorizers that fail. ``decide`` asks all
of them; ``authorize`` answers at once, from what this process knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tiphys.apimachinery.errors import InternalError
from tiphys.apiserver.authn.user import NODES, User
from tiphys.apiserver.authz.abac import Abac
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision, Lasting, aggregate, forbidden
from tiphys.apiserver.authz.counts import WEBHOOK, AuthorizerCounts, Tally
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac, is_master
from tiphys.apiserver.authz.webhook import WebhookAuthorizer
from tiphys.apiserver.filters.requestinfo import RequestInfo

_MASTER = Decision(allowed=True)
_EVERYTHING = Decision(allowed=True)
_DENIED = Decision(reason="Everything is forbidden.")
_NOT_ASKED = Decision(reason="the webhook authorizer has not been asked")
Mode = str | WebhookAuthorizer
_Local = Callable[[User, RequestInfo], Decision]
_Link = tuple[_Local | WebhookAuthorizer, Tally, Tally]
"""An authorizer, and what counts that it allows and that it denies."""
_UNCOUNTED = Tally()
"""Of those who pass without anybody having been asked."""


class Authorizer:
    """system:masters first, then the configured authorizers until one allows or denies."""

    def __init__(
        self,
        modes: Sequence[Mode],
        rbac: Rbac,
        node: NodeAuthorizer,
        counts: AuthorizerCounts | None = None,
        abac: Abac | None = None,
    ) -> None:
        self.rbac, self.abac = rbac, abac
        self.counts = counts or AuthorizerCounts()
        self._known: dict[str, _Local] = {
            "AlwaysAllow": lambda _user, _info: _EVERYTHING,
            "AlwaysDeny": lambda _user, _info: _DENIED,
            "RBAC": rbac.authorize,
            "Node": node.authorize,
        }
        if abac is not None:
            self._known["ABAC"] = abac.authorize
        self.modes: tuple[Mode, ...] = ()
        self._chain: list[_Link] = []
        self.local = True
        """Nobody outside of this process is asked."""
        self.changes = 0
        self.replace(modes)

    def replace(self, modes: Sequence[Mode]) -> None:
        """Ask these from now on. Raises ValueError for a mode that is not known."""
        chain: list[_Link] = []
        for mode in modes:
            if isinstance(mode, str) and mode not in self._known:
                raise ValueError(f'unknown authorization mode "{mode}"')
            ask = self._known[mode] if isinstance(mode, str) else mode
            name, kind = (mode.lower(), mode) if isinstance(mode, str) else (mode.name, WEBHOOK)
            tally = self.counts.tally
            chain.append((ask, tally("allowed", name, kind), tally("denied", name, kind)))
        self.modes, self._chain = tuple(modes), chain
        self.changes += 1
        self.local = not any(isinstance(mode, WebhookAuthorizer) for mode in modes)

    def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Decide without asking anybody outside: a webhook counts by what is remembered of its answers.

        Where one would have to be asked, nothing is allowed by those behind it.
        """
        found = self._look(user, info)
        found.tally.count += 1
        return found.decision

    def _look(self, user: User, info: RequestInfo) -> Lasting:
        if is_master(user):
            return Lasting(_MASTER, _UNCOUNTED)
        reasons = _Reasons()
        for ask, allowed, denied in self._chain:
            if isinstance(ask, WebhookAuthorizer):
                decision = ask.known(user, info) or _NOT_ASKED
                if decision is _NOT_ASKED:
                    return Lasting(decision, _UNCOUNTED)
            else:
                decision = ask(user, info)
            if decision.allowed or decision.denied:
                return Lasting(decision, allowed if decision.allowed else denied)
            reasons.add(decision)
        return Lasting(reasons.decision(), _UNCOUNTED)

    def decide_nowait(self, user: User, info: RequestInfo) -> Decision | None:
        """Return what ``decide`` would; None where a webhook has to be asked first."""
        decision = self.authorize(user, info)
        return None if decision is _NOT_ASKED else decision

    def allowed(self, user: User, info: RequestInfo) -> Lasting | None:
        """Return that a request is allowed until there are ``changes``; None: it is not. Counts nothing."""
        found = self._look(user, info)
        return found if found.decision.allowed else None

    def for_every_name(self, user: User, info: RequestInfo) -> Lasting | None:
        """Return that such requests are allowed, whatever object they name, until there are ``changes``.

        None: they are not, or it depends on more, as what a node may do follows its pods. Counts nothing.
        """
        if is_master(user):
            return Lasting(_MASTER, _UNCOUNTED)
        if not self.local or NODES in user.groups or self.rbac.names_matter(user, info):
            return None
        return self.allowed(user, info)

    async def decide(self, user: User, info: RequestInfo) -> Decision:
        """Return the first decision; reasons of the authorizers that had no opinion are joined."""
        if self.local:
            return self.authorize(user, info)
        if is_master(user):
            return _MASTER
        reasons = _Reasons()
        for ask, allowed, denied in self._chain:
            if isinstance(ask, WebhookAuthorizer):
                decision = await ask.authorize(user, info)
            else:
                decision = ask(user, info)
            if decision.allowed or decision.denied:
                (allowed if decision.allowed else denied).count += 1
                return decision
            reasons.add(decision)
        return reasons.decision()

    async def require(self, user: User, info: RequestInfo) -> None:
        """Ask about a request.

        Raises:
            Forbidden: worded as upstream, unless the user may. InternalError: nobody could tell.
        """
        enforce(await self.decide(user, info), user, info)

    async def close(self) -> None:
        """Close the connections of those that ask others. Idempotent."""
        for mode in self.modes:
            if isinstance(mode, WebhookAuthorizer):
                await mode.close()


def enforce(decision: Decision, user: User, info: RequestInfo) -> None:
    """Let a request pass or not.

    Raises:
        Forbidden: worded as upstream, unless the user may. InternalError: nobody could tell.
    """
    if decision.allowed:
        return
    if decision.error:
        raise InternalError(f'Internal Server Error: "{info.path}": {decision.error}')
    raise forbidden(user, info, decision.reason)


class _Reasons:
    """What authorizers without an opinion have said."""

    def __init__(self) -> None:
        self._reasons: list[str] = []
        self._errors: list[str] = []

    def add(self, decision: Decision) -> None:
        if decision.reason:
            self._reasons.append(decision.reason)
        if decision.error:
            self._errors.append(decision.error)

    def decision(self) -> Decision:
        if not self._reasons and not self._errors:
            return NO_OPINION
        error = aggregate(self._errors) if self._errors else ""
        return Decision(reason="\n".join(self._reasons), error=error)
