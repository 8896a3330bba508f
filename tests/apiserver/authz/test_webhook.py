"""A remote authorizer: its questions, its answers, and what is done without one."""
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tiphys.apimachinery.clock import FakeClock
from tiphys.apimachinery.errors import Forbidden, InternalError
from tiphys.apiserver.authn.expressions import ExpressionError, compile_expression
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.counts import AuthorizerCounts
from tiphys.apiserver.authz.graph import NodeGraph
from tiphys.apiserver.authz.node import NodeAuthorizer
from tiphys.apiserver.authz.rbac import Rbac
from tiphys.apiserver.authz.webhook import WebhookAuthorizer, WebhookSettings, question
from tiphys.apiserver.filters.requestinfo import RequestInfo, parse
from tiphys.apiserver.outgoing.remote import RemoteFailed

JANE = User("jane", "7", ("dev",), (("k", ("a",)),))
LIST = parse(
    "GET",
    "/api/v1/namespaces/ns/pods",
    "fieldSelector=spec.nodeName%3Dn,a!%3Db&labelSelector=x in (1,2),!y,z",
)


class Service:
    """Answers with one status, or fails."""

    slow = False

    def __init__(self, status: dict[str, Any] | None) -> None:
        self.status = status
        self.asked: list[dict[str, Any]] = []

    async def post(self, body: dict[str, Any], _shapes: Any, _notes: Any = None) -> dict[str, Any]:
        self.asked.append(body)
        if self.status is None:
            raise RemoteFailed("connection refused", timed_out=self.slow)
        return {"status": self.status}

    async def close(self) -> None:
        self.status = None


@dataclass(frozen=True)
class Condition:
    """A match condition about the user's name."""

    name: str
    text: str = "a condition"

    def selects(self, field: str) -> bool:
        return field == "user"

    def evaluate(self, value: Any) -> Any:
        if not self.name:
            raise ExpressionError("no such key: user")
        return value["user"] == self.name


def webhook(status: dict[str, Any] | None, **settings: Any) -> tuple[WebhookAuthorizer, Service, FakeClock]:
    service, clock = Service(status), FakeClock()
    remote: Any = service
    return WebhookAuthorizer(remote, WebhookSettings(**settings), clock), service, clock


def test_questions() -> None:
    assert question(JANE, LIST) == {
        "user": "jane", "uid": "7", "groups": ["dev"], "extra": {"k": ["a"]},
        "resourceAttributes": {
            "namespace": "ns", "verb": "list", "version": "v1", "resource": "pods",
            "fieldSelector": {"requirements": [
                {"key": "spec.nodeName", "operator": "In", "values": ["n"]},
                {"key": "a", "operator": "NotIn", "values": ["b"]},
            ]},
            "labelSelector": {"requirements": [
                {"key": "x", "operator": "In", "values": ["1", "2"]},
                {"key": "y", "operator": "DoesNotExist"}, {"key": "z", "operator": "Exists"},
            ]},
        },
    }  # fmt: skip
    assert question(User("x"), RequestInfo(path="/metrics", verb="get")) == {
        "user": "x", "nonResourceAttributes": {"path": "/metrics", "verb": "get"}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "want"),
    [
        ({"allowed": True, "reason": "r"}, (True, False, "r", "")),
        ({"allowed": False, "reason": "r"}, (False, False, "r", "")),
        ({"denied": True, "reason": "r"}, (False, True, "r", "")),
        ({"allowed": True, "denied": True}, (False, True, "", "webhook subject access review returned both allow and deny response")),
        (None, (False, False, "", "connection refused")),
    ],
)  # fmt: skip
async def test_answers(status: dict[str, Any] | None, want: tuple[Any, ...]) -> None:
    asks, _, _ = webhook(status)
    decision = await asks.authorize(JANE, LIST)
    assert (decision.allowed, decision.denied, decision.reason, decision.error) == want


@pytest.mark.parametrize(("version", "key"), [("v1", "groups"), ("v1beta1", "group")])
async def test_versions(version: str, key: str) -> None:
    asks, service, _ = webhook({"allowed": True}, version=version)
    await asks.authorize(JANE, LIST)
    (review,) = service.asked
    assert review["apiVersion"] == f"authorization.k8s.io/{version}"
    assert review["spec"][key] == ["dev"]


@pytest.mark.parametrize(("allowed", "ttl_s"), [(True, 300), (False, 30)])
async def test_answers_are_remembered(allowed: bool, ttl_s: int) -> None:
    asks, service, clock = webhook({"allowed": allowed})
    for _ in range(2):
        await asks.authorize(JANE, LIST)
    clock.advance(ttl_s - 1)
    await asks.authorize(JANE, LIST)
    assert len(service.asked) == 1
    await asks.authorize(JANE, parse("GET", "/api/v1/namespaces/ns/pods"))
    assert len(service.asked) == 2
    clock.advance(2)
    await asks.authorize(JANE, LIST)
    assert len(service.asked) == 3


async def test_long_questions_and_failures_are_not() -> None:
    asks, service, _ = webhook({"allowed": True})
    for _ in range(2):
        await asks.authorize(JANE, RequestInfo(path="/" + "x" * 10_000, verb="get"))
    service.status = None
    for _ in range(2):
        await asks.authorize(JANE, LIST)
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    ("names", "asked", "denied"),
    [
        ((), 1, False),
        (("jane",), 1, False),
        (("jane", "bob"), 0, False),
        (("",), 0, True),
        (("", "bob"), 0, False),
        (("", "jane"), 0, True),
    ],
)
async def test_match_conditions(names: tuple[str, ...], asked: int, denied: bool) -> None:
    conditions = tuple(Condition(name) for name in names)
    asks, service, _ = webhook({"allowed": True}, conditions=conditions, denies_on_failure=True)
    decision = await asks.authorize(JANE, LIST)
    assert len(service.asked) == asked
    assert decision.denied is denied


async def test_what_is_said_of_conditions_that_fail() -> None:
    written = (
        "request.resourceAttributes.verb == 'get'",
        "request.user == 'jane'",
        "request.extra['x'][0] == 'y'",
    )
    conditions = tuple(compile_expression(text, "request", boolean=True) for text in written)
    asks, service, _ = webhook({"allowed": True}, conditions=conditions)
    decision = await asks.authorize(JANE, RequestInfo("/metrics", "get"))
    assert not service.asked
    first, second = (f"cel evaluation error: expression '{text}' resulted in error" for text in written[::2])
    assert decision.error == f"[{first}: no such key: resourceAttributes, {second}: no such key: x]"


@pytest.mark.parametrize(
    "text",
    [
        "request.nonResourceAttributes.path == '' && request.nonResourceAttributes.verb == 'get'",
        "request.resourceAttributes.labelSelector.requirements.all(one, has(one.values))",
        "request.resourceAttributes.labelSelector.requirements.exists(one, one.values.size() == 0)",
        "!has(request.resourceAttributes.labelSelector.rawSelector)",
        "request.resourceAttributes.namespace == 'ns' && request.resourceAttributes.name == ''",
    ],
)
async def test_what_conditions_see_of_what_is_empty(text: str) -> None:
    condition = compile_expression(text, "request", boolean=True)
    asks, _, _ = webhook({"allowed": True}, conditions=(condition,))
    info = RequestInfo("", "get") if "nonResource" in text else LIST
    assert (await asks.authorize(JANE, info)).allowed


async def test_a_user_of_many_groups_is_remembered() -> None:
    asks, service, _ = webhook({"allowed": True})
    many = User("jane", groups=tuple(f"group-{number:05}" for number in range(2000)))
    for _ in range(2):
        await asks.authorize(many, LIST)
    assert len(service.asked) == 1


def chain(*modes: Any) -> Authorizer:
    return Authorizer(modes, Rbac(), NodeAuthorizer(NodeGraph()))


async def test_what_several_say_that_fail() -> None:
    fails, _, _ = webhook(None)
    faulty, _, _ = webhook({}, conditions=(Condition(""),))
    told = (await chain(fails, faulty, fails).decide(JANE, LIST)).error
    first, second = [(await chain(one).decide(JANE, LIST)).error for one in (fails, faulty)]
    assert told == f"[{first}, {second}]"


async def test_the_order_of_authorizers() -> None:
    denies, _, _ = webhook({"denied": True, "reason": "because"})
    shrugs, _, _ = webhook({"reason": "who knows"})
    assert (await chain(shrugs, "AlwaysAllow").decide(JANE, LIST)).allowed
    assert (await chain("AlwaysAllow", denies).decide(JANE, LIST)).allowed
    assert (await chain(denies, "AlwaysAllow").decide(JANE, LIST)).denied
    with pytest.raises(Forbidden) as caught:
        await chain(shrugs, "RBAC", denies).require(JANE, LIST)
    assert caught.value.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "ns": because'
    )


async def test_when_nobody_can_tell() -> None:
    fails, _, _ = webhook(None)
    strict, _, _ = webhook(None, denies_on_failure=True)
    assert (await chain(fails, "AlwaysAllow").decide(JANE, LIST)).allowed
    assert not (await chain(strict, "AlwaysAllow").decide(JANE, LIST)).allowed
    with pytest.raises(InternalError, match="connection refused"):
        await chain(fails, "RBAC").require(JANE, LIST)


async def test_what_is_known_without_asking() -> None:
    asks, _, _ = webhook({"allowed": True})
    both = chain(asks, "AlwaysAllow")
    assert not both.authorize(JANE, LIST).allowed, "nothing behind a webhook that was not asked"
    await both.decide(JANE, LIST)
    assert both.authorize(JANE, LIST).allowed
    other, _, _ = webhook({"allowed": False}, conditions=(Condition("bob"),))
    assert chain(other, "AlwaysAllow").authorize(JANE, LIST).allowed, "it is not concerned"


def test_modes() -> None:
    with pytest.raises(ValueError, match='unknown authorization mode "ABAC"'):
        chain("ABAC")
    assert not chain("AlwaysDeny").authorize(JANE, LIST).allowed
    assert chain("AlwaysDeny").authorize(User("x", groups=("system:masters",)), LIST).allowed
    assert not chain("RBAC").authorize(JANE, RequestInfo(path="/livez", verb="get")).allowed, (
        "no role says so"
    )


def counted(counts: AuthorizerCounts) -> dict[tuple[str, ...], float]:
    """Return what is not zero, by name and labels; of times only how many there were."""
    samples = [sample for family in counts.collect() for sample in family.samples]
    return {
        (one.name.removeprefix("apiserver_authorization_"), *one.labels.values()): one.value
        for one in samples
        if one.value and not one.name.endswith(("_bucket", "_sum"))
    }


async def test_what_is_counted() -> None:
    counts = AuthorizerCounts()

    def named(name: str, status: dict[str, Any] | None, **settings: Any) -> WebhookAuthorizer:
        remote: Any = Service(status)
        remote.slow = name == "slow"
        return WebhookAuthorizer(remote, WebhookSettings(name=name, **settings), FakeClock(), counts)

    async def ask(*modes: Any) -> dict[tuple[str, ...], float]:
        before = counted(counts)
        authorizer = Authorizer(modes, Rbac(), NodeAuthorizer(NodeGraph()), counts)
        await authorizer.decide(JANE, LIST)
        return {
            key: value - before.get(key, 0)
            for key, value in counted(counts).items()
            if value != before.get(key)
        }

    assert await ask("AlwaysAllow") == {("decisions_total", "allowed", "alwaysallow", "AlwaysAllow"): 1}
    assert await ask("RBAC") == {}, "it had no opinion"
    assert await ask(named("shrugs", {}), named("allows", {"allowed": True})) == {
        ("webhook_evaluations_total", "shrugs", "success"): 1,
        ("webhook_duration_seconds_count", "shrugs", "success"): 1,
        ("webhook_evaluations_total", "allows", "success"): 1,
        ("webhook_duration_seconds_count", "allows", "success"): 1,
        ("decisions_total", "allowed", "allows", "Webhook"): 1,
    }
    assert await ask(named("denies", {"denied": True}), "AlwaysAllow") == {
        ("webhook_evaluations_total", "denies", "success"): 1,
        ("webhook_duration_seconds_count", "denies", "success"): 1,
        ("decisions_total", "denied", "denies", "Webhook"): 1,
    }
    assert await ask(named("slow", None), named("strict", None, denies_on_failure=True)) == {
        ("webhook_evaluations_total", "slow", "timeout"): 1,
        ("webhook_duration_seconds_count", "slow", "timeout"): 1,
        ("webhook_evaluations_fail_open_total", "slow", "timeout"): 1,
        ("webhook_evaluations_total", "strict", "error"): 1,
        ("webhook_duration_seconds_count", "strict", "error"): 1,
        ("decisions_total", "denied", "strict", "Webhook"): 1,
    }
    assert await ask(named("others", None, conditions=(Condition("bob"),))) == {
        ("match_condition_exclusions_total", "others", "Webhook"): 1,
        ("match_condition_evaluation_seconds_count", "others", "Webhook"): 1,
    }
    assert await ask(named("both", None, conditions=(Condition(""), Condition("bob")))) == {
        ("match_condition_exclusions_total", "both", "Webhook"): 1,
        ("match_condition_evaluation_errors_total", "both", "Webhook"): 1,
        ("match_condition_evaluation_seconds_count", "both", "Webhook"): 1,
    }
    faulty = named("faulty", None, conditions=(Condition(""),), denies_on_failure=True)
    assert await ask(faulty) == {
        ("match_condition_evaluation_errors_total", "faulty", "Webhook"): 1,
        ("match_condition_evaluation_seconds_count", "faulty", "Webhook"): 1,
        ("decisions_total", "denied", "faulty", "Webhook"): 1,
    }
