"""Asks a remote service what a user may do: ``--authorization-webhook-config-file``.

Owns: the question, what is remembered of answers, and what a failed call means. Source: the "Webhook Mode"
page; authorization.k8s.io SubjectAccessReview.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson

from tiphys.apimachinery.clock import Clock
from tiphys.apimachinery.dataclass import dataclass
from tiphys.apimachinery.errors import BadRequest
from tiphys.apimachinery.fields import parse_field_selector
from tiphys.apimachinery.labels import parse_selector
from tiphys.apiserver.authn.expressions import Expression, ExpressionError
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import NO_OPINION, Decision
from tiphys.apiserver.authz.counts import ERROR, SUCCESS, TIMEOUT, AuthorizerCounts
from tiphys.apiserver.filters.requestinfo import RequestInfo
from tiphys.apiserver.observe.certificate_counts import AUDITED
from tiphys.apiserver.outgoing.remote import Remote, RemoteFailed
from tiphys.apiserver.outgoing.typed_answers import shapes_of

log = logging.getLogger(__name__)
_GROUP = "authorization.k8s.io"
_MAX_CACHED = 8192
_MAX_CACHED_BYTES = 10_000
"""Questions about longer things are asked anew each time: who asks does not get to fill the memory."""
_LABEL_OPERATORS = {"in": "In", "=": "In", "==": "In", "notin": "NotIn", "!=": "NotIn"}


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How one webhook is asked."""

    name: str = "default"
    version: str = "v1beta1"
    authorized_ttl_s: float = 300.0
    unauthorized_ttl_s: float = 30.0
    denies_on_failure: bool = False
    conditions: tuple[Expression, ...] = ()
    """The webhook is asked where all of them hold."""


class WebhookAuthorizer:
    """One remote authorizer."""

    def __init__(
        self,
        remote: Remote,
        settings: WebhookSettings,
        clock: Clock,
        counts: AuthorizerCounts | None = None,
    ) -> None:
        self.name = settings.name
        self._counts = counts or AuthorizerCounts()
        self._remote = remote
        self._settings = settings
        self._clock = clock
        self._cache: OrderedDict[bytes, tuple[float, Decision]] = OrderedDict()

    def known(self, user: User, info: RequestInfo) -> Decision | None:
        """Return an answer that is remembered, None where the service would have to be asked."""
        spec = question(user, info)
        holds, faults = self._judge(spec)
        if faults and holds:
            return None
        if not holds:
            return NO_OPINION
        return self._recall(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS))

    async def authorize(self, user: User, info: RequestInfo) -> Decision:
        """Ask the service, unless it is remembered or not concerned."""
        spec = question(user, info)
        began = self._clock.monotonic()
        holds, faults = self._judge(spec)
        if self._settings.conditions:
            self._counts.judged(self.name, self._clock.monotonic() - began, failed=bool(faults))
        if not holds:
            self._counts.excluded[self.name] += 1
            return NO_OPINION
        if faults:
            return self._failed(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        known = self._recall(key)
        if known is not None:
            return known
        review = {
            "kind": "SubjectAccessReview",
            "apiVersion": f"{_GROUP}/{self._settings.version}",
            "metadata": {},
            "spec": _as_v1beta1(spec) if self._settings.version == "v1beta1" else spec,
            "status": {"allowed": False},
        }
        began = self._clock.monotonic()
        try:
            shapes = shapes_of(_GROUP, "SubjectAccessReview")
            answer = await self._remote.post(review, shapes, AUDITED.get())
        except RemoteFailed as error:
            result = TIMEOUT if error.timed_out else ERROR
            self._counts.asked(self.name, result, self._clock.monotonic() - began)
            if not self._settings.denies_on_failure:
                self._counts.fail_open[self.name, result] += 1
            return self._failed(str(error))
        self._counts.asked(self.name, SUCCESS, self._clock.monotonic() - began)
        decision = _decision(answer.get("status") or {})
        ttl_s = self._settings.authorized_ttl_s if decision.allowed else self._settings.unauthorized_ttl_s
        if ttl_s > 0 and _size(info) < _MAX_CACHED_BYTES:
            self._cache[key] = (self._clock.monotonic() + ttl_s, decision)
            self._cache.move_to_end(key)
            if len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)
        return decision

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._remote.close()

    def _judge(self, spec: dict[str, Any]) -> tuple[bool, list[str]]:
        """Tell whether no condition is false, and the faults, each once, of those that were evaluated."""
        conditions = self._settings.conditions
        if not conditions:
            return True, []
        shown, faults = _as_variable(spec), dict[str, None]()
        for condition in conditions:
            try:
                if condition.evaluate(shown) is not True:
                    return False, list(faults)
            except ExpressionError as error:
                faults[f"cel evaluation error: {error}"] = None
        return True, list(faults)

    def _recall(self, key: bytes) -> Decision | None:
        kept = self._cache.get(key)
        return kept[1] if kept is not None and kept[0] > self._clock.monotonic() else None

    def _failed(self, why: str) -> Decision:
        log.error("failed to make webhook authorizer request name=%s err=%s", self._settings.name, why)
        return Decision(denied=self._settings.denies_on_failure, error=why)


def _size(info: RequestInfo) -> int:
    """Return how much of a question is in the hands of who asks."""
    texts = (info.namespace, info.verb, info.resource, info.subresource, info.group, info.version, info.name)
    return sum(map(len, texts)) + len(info.path)


def _decision(status: dict[str, Any]) -> Decision:
    allowed, denied = status.get("allowed", False), status.get("denied", False)
    reason = status.get("reason", "")
    if allowed and denied:
        text = "webhook subject access review returned both allow and deny response"
        return Decision(denied=True, reason=reason, error=text)
    return Decision(allowed=allowed, denied=denied, reason=reason)


def question(user: User, info: RequestInfo) -> dict[str, Any]:
    """Return the ``spec`` of the SubjectAccessReview about a request. Pure."""
    spec: dict[str, Any] = {"user": user.name, "uid": user.uid, "groups": list(user.groups)}
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    if not info.is_resource:
        spec["nonResourceAttributes"] = _filled({"path": info.path, "verb": info.verb})
        return _filled(spec)
    asked: dict[str, Any] = {
        "namespace": info.namespace, "verb": info.verb, "group": info.group, "version": info.version,
        "resource": info.resource, "subresource": info.subresource, "name": info.name,
    }  # fmt: skip
    if info.field_selector:
        asked["fieldSelector"] = _selector(_field_requirements(info.field_selector))
    if info.label_selector:
        asked["labelSelector"] = _selector(_label_requirements(info.label_selector))
    spec["resourceAttributes"] = _filled(asked)
    return _filled(spec)


def _as_variable(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a question as match conditions see it: texts that are empty are there as well."""
    shown = {"user": "", "uid": "", "groups": [], "extra": {}, **spec}
    asked = spec.get("resourceAttributes")
    if asked is not None:
        empty = dict.fromkeys(
            ("namespace", "verb", "group", "version", "resource", "subresource", "name"), ""
        )
        shown["resourceAttributes"] = {**empty, **asked}
        for name in ("fieldSelector", "labelSelector"):
            if name in asked:
                found = [{"values": [], **one} for one in asked[name]["requirements"]]
                shown["resourceAttributes"][name] = {"requirements": found}
    path = spec.get("nonResourceAttributes")
    if path is not None:
        shown["nonResourceAttributes"] = {"path": "", "verb": "", **path}
    return shown


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


def _selector(requirements: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"requirements": list(requirements)} if requirements else {}


def _field_requirements(text: str) -> list[dict[str, Any]]:
    try:
        found = parse_field_selector(text)
    except BadRequest:
        return []  # a selector that cannot be read narrows nothing
    return [
        {"key": one.path, "operator": "NotIn" if one.negated else "In", "values": [one.value]}
        for one in found
    ]


def _label_requirements(text: str) -> list[dict[str, Any]]:
    try:
        found = parse_selector(text).requirements
    except BadRequest:
        return []
    shown = []
    for one in found:
        if one.operator in _LABEL_OPERATORS:
            shown.append(
                {"key": one.key, "operator": _LABEL_OPERATORS[one.operator], "values": list(one.values)}
            )
        elif one.operator in ("exists", "!"):
            shown.append(
                {"key": one.key, "operator": "Exists" if one.operator == "exists" else "DoesNotExist"}
            )
    return shown


def _as_v1beta1(spec: dict[str, Any]) -> dict[str, Any]:
    """The older version calls the groups ``group``."""
    return {("group" if key == "groups" else key): value for key, value in spec.items()}
