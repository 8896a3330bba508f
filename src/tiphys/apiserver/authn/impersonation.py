"""``--as``: a user who may impersonate speaks as another.

Two ways: *constrained*, where one right names the other (``impersonate:<mode>``) and one names what may be
done as the other (``impersonate-on:<mode>:<verb>``); and the older one, ``impersonate``, without bounds.

Owns: the headers, the modes, the rights that each asks for, and who comes of it.
Source: the "User impersonation" page; KEP-5284.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Final

from tiphys.apimachinery import names
from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest, Forbidden
from tiphys.apimachinery.families import Metric
from tiphys.apis.value_validation import domain_prefixed_path
from tiphys.apiserver.authn.impersonation_counts import ALLOWED, DENIED, Decides, ImpersonationCounts
from tiphys.apiserver.authn.user import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    NODES,
    UNAUTHENTICATED,
    User,
    extra_key,
    split_service_account,
)
from tiphys.apiserver.authz.attributes import forbidden
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.wire.message import values_of

_PREFIX: Final = "impersonate-"
_USER: Final = "impersonate-user"
_UID: Final = "impersonate-uid"
_GROUPS: Final = "impersonate-group"
_EXTRA: Final = "impersonate-extra-"
_NODE: Final = "system:node:"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_NODE_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"
_GROUP: Final = "authentication.k8s.io"
_MANY: Final = 4
"""From so many groups or extras on it is first asked whether all are allowed."""
_REMEMBERED: Final = 10_000
_RECENT_S: Final = 10.0
"""So long what a bounded way has allowed is not asked anew."""


def wanted(headers: Mapping[str, str]) -> bool:
    """Tell whether a request asks to speak as somebody else."""
    if _PREFIX not in " ".join(headers):
        return False
    if _first(headers, _USER) or _first(headers, _UID) or _GROUPS in headers:
        return True
    return any(name.startswith(_EXTRA) for name in headers)


def read(headers: Mapping[str, str]) -> User:
    """Return whom the headers name, nothing added. Raises BadRequest: groups, a uid or extras of nobody."""
    extra: dict[str, tuple[str, ...]] = {}
    for name in headers:
        if name.startswith(_EXTRA):
            key = extra_key(name[len(_EXTRA) :])
            extra[key] = (*extra.get(key, ()), *values_of(headers, name))
    found = User(
        _first(headers, _USER),
        _first(headers, _UID),
        tuple(values_of(headers, _GROUPS)),
        tuple(sorted(extra.items())),
    )
    if not found.name:
        raise BadRequest(f"requested {_shown(found)} without impersonating a user name")
    return found


def _first(headers: Mapping[str, str], name: str) -> str:
    return next(iter(values_of(headers, name)), "")


def _shown(user: User) -> str:
    """Print a user as upstream does."""

    def texts(values: tuple[str, ...]) -> str:
        return "{" + ", ".join(f'"{value}"' for value in values) + "}"

    groups = "[]string" + (texts(user.groups) if user.groups else "(nil)")
    pairs = ", ".join(f'"{key}":[]string{texts(values)}' for key, values in user.extra)
    extra = "map[string][]string" + (f"{{{pairs}}}" if user.extra else "(nil)")
    return f'&user.DefaultInfo{{Name:"{user.name}", UID:"{user.uid}", Groups:{groups}, Extra:{extra}}}'


@dataclass(frozen=True, slots=True)
class _Mode:
    """One way to speak as another."""

    name: str
    constrained: bool = True

    @property
    def verb(self) -> str:
        return f"impersonate:{self.name}" if self.constrained else "impersonate"

    def fits(self, real: User, other: User) -> bool:
        """Tell whether ``other`` is of the kind that this mode is for."""
        node, account = _node(other.name), split_service_account(other.name)
        alone = not (other.uid or other.groups or other.extra)
        match self.name:
            case "associated-node":
                at_home = dict(real.extra).get(_NODE_NAME) == (node,)
                return alone and bool(node) and at_home and split_service_account(real.name) is not None
            case "arbitrary-node":
                return alone and bool(node)
            case "serviceaccount":
                return alone and account is not None
            case "user-info":
                return not node and account is None
        return True

    def asking(self, real: User) -> User:
        """Return as whom the rights are asked for: of an account on its node, whichever node that is."""
        if self.name != "associated-node":
            return real
        return replace(real, extra=((_NODE_KEYS, tuple(sorted(key for key, _ in real.extra))),))


_MODES: Final = (
    _Mode("associated-node"),
    _Mode("arbitrary-node"),
    _Mode("serviceaccount"),
    _Mode("user-info"),
    _Mode("legacy", constrained=False),
)


class _Recent:
    """What was allowed a short while ago, by what it was about."""

    def __init__(self, clock: Clock) -> None:
        self._now = clock.monotonic
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return self._until.get(key, 0.0) > self._now()

    def add(self, key: bytes) -> None:
        now, until = self._now(), self._until
        until[key] = now + _RECENT_S
        until.move_to_end(key)
        while len(until) > _REMEMBERED or next(iter(until.values())) <= now:
            until.popitem(last=False)


class Impersonation:
    """Tries the modes in order, the one that worked last for this user first."""

    def __init__(self, clock: Clock, *, constrained: bool = True) -> None:
        """``constrained``: not only the older way is open."""
        self._constrained = constrained
        self._modes = _MODES if constrained else _MODES[-1:]
        self._last: OrderedDict[str, _Mode] = OrderedDict()
        self._recent = _Recent(clock)
        self._now = clock.monotonic
        self._counts = ImpersonationCounts(clock)

    async def impersonate(
        self, user: User, headers: Mapping[str, str], info: RequestInfo, authorizer: Decides
    ) -> tuple[User, str]:
        """Return who the request speaks as, and the right that bounds it (empty for the older way).

        Raises:
            BadRequest: nobody is named. Forbidden: the user may not; of several ways the first one's error.
        """
        other, began = read(headers), self._now()
        last = self._last.get(user.name)
        modes = self._modes if last is None else (last, *(mode for mode in self._modes if mode is not last))
        failed: Forbidden | None = None
        for mode in modes:
            if not mode.fits(user, other):
                continue
            try:
                await self._authorize(mode, user, other, info, authorizer)
            except Forbidden as error:
                failed = failed or error
                continue
            self._counts.attempted(mode.name, ALLOWED, self._now() - began)
            self._remember(user, mode)
            return _become(mode, other), mode.verb if mode.constrained else ""
        self._counts.attempted("", DENIED, self._now() - began)
        assert failed is not None  # the last mode fits everybody
        raise failed

    async def _authorize(
        self, mode: _Mode, user: User, other: User, info: RequestInfo, authorizer: Decides
    ) -> None:
        """Ask for every right that a mode needs, unless it was there a moment ago. Raises Forbidden."""
        user, authorizer = mode.asking(user), self._counts.asking(authorizer, mode.name)
        if not mode.constrained:
            await _require_all(mode, user, other, authorizer)
            return
        about = (mode.name, _ANY_NODE if mode.name == "associated-node" else other, user)
        identity, whole = _digest(about), _digest((*about, info))
        if whole in self._recent:
            return
        await _require(authorizer, user, replace(info, verb=f"impersonate-on:{mode.name}:{info.verb}"))
        if identity not in self._recent:
            await _require_all(mode, user, other, authorizer)
            self._recent.add(identity)
        self._recent.add(whole)

    def _remember(self, user: User, mode: _Mode) -> None:
        self._last[user.name] = mode
        self._last.move_to_end(user.name)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; there are none where only the older way is open."""
        if self._constrained:
            yield from self._counts.collect()


_ANY_NODE: Final = User(f"{_NODE}*")


def _digest(about: tuple[object, ...]) -> bytes:
    """Return a key of one size for what is as long as a client wants it to be."""
    return sha256(repr(about).encode()).digest()


async def _require_all(mode: _Mode, user: User, other: User, authorizer: Decides) -> None:
    """Ask for every right to be another. Raises Forbidden."""
    await _require(authorizer, user, _name_question(mode, other))
    if other.uid:
        await _require(authorizer, user, _question(mode, "uids", other.uid))
    await _require_groups(mode, user, other, authorizer)
    await _require_extra(mode, user, other, authorizer)


async def _require_groups(mode: _Mode, user: User, other: User, authorizer: Decides) -> None:
    group = _GROUP if mode.constrained else ""
    if mode.constrained:
        for name, text in (("", "the empty string"), (MASTERS, f"the {MASTERS}")):
            if name in other.groups:
                why = f"impersonating {text} group is not allowed"
                raise forbidden(user, _question(mode, "groups", name), why)
        if len(other.groups) >= _MANY and await _may(authorizer, user, _question(mode, "groups", "*")):
            return
    for name in other.groups:
        await _require(authorizer, user, _question(mode, "groups", name, group=group))


async def _require_extra(mode: _Mode, user: User, other: User, authorizer: Decides) -> None:
    if mode.constrained:
        why = _extra_fault(other.extra)
        if why:
            raise forbidden(user, _question(mode, "userextras", ""), why)
        if max(len(other.extra), sum(len(values) for _, values in other.extra)) >= _MANY and await _may(
            authorizer, user, replace(_question(mode, "userextras", "*"), subresource="*")
        ):
            return
    for key, values in other.extra:
        for value in values:
            asked = replace(_question(mode, "userextras", value), subresource=key)
            await _require(authorizer, user, asked)


def _extra_fault(extra: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """Return what keeps extras from being taken on; older impersonation takes any."""
    for key, values in extra:
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        faults = domain_prefixed_path(key, "extra.key")
        if faults:
            return f"impersonating an invalid key in extra is not allowed: {faults[0]}"
        if key != key.lower():
            return f'impersonating a non-lowercase key in extra is not allowed: "{key}"'
        if not values:
            return "impersonating empty values in extra is not allowed"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _question(
    mode: _Mode, resource: str, name: str, *, group: str = _GROUP, namespace: str = ""
) -> RequestInfo:
    return RequestInfo(
        path="", verb=mode.verb, is_resource=True, group=group, version="v1", namespace=namespace,
        resource=resource, name=name,
    )  # fmt: skip


def _name_question(mode: _Mode, other: User) -> RequestInfo:
    group = _GROUP if mode.constrained else ""
    account, node = split_service_account(other.name), _node(other.name)
    if account is not None:
        return _question(mode, "serviceaccounts", account[1], group=group, namespace=account[0])
    if mode.constrained and node:
        return _question(mode, "nodes", "*" if mode.name == "associated-node" else node)
    return _question(mode, "users", other.name, group=group)


async def _may(authorizer: Decides, user: User, info: RequestInfo) -> bool:
    return (await authorizer.decide(user, info)).allowed


async def _require(authorizer: Decides, user: User, info: RequestInfo) -> None:
    decision = await authorizer.decide(user, info)
    if not decision.allowed:
        parts = [text for text in (decision.error, decision.reason) if text]
        raise forbidden(user, info, ": ".join(parts))


def _become(mode: _Mode, other: User) -> User:
    """Return the user whom others see: the groups that follow from a name, and the one of all users."""
    groups, account = other.groups, split_service_account(other.name)
    if mode.constrained and _node(other.name):
        groups = (NODES,)
    elif account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if other.name == ANONYMOUS:
        everybody = UNAUTHENTICATED
    elif UNAUTHENTICATED in groups:
        return replace(other, groups=groups)
    else:
        everybody = AUTHENTICATED
    return replace(other, groups=groups if everybody in groups else (*groups, everybody))


def _node(name: str) -> str:
    """Return the node that a user name is of, empty for others."""
    node = name[len(_NODE) :] if name.startswith(_NODE) else ""
    return node if node and not names.is_dns1123_subdomain(node) else ""
