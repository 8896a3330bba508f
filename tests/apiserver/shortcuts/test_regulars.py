"""What earlier requests of a user have found out: used for those like them, until something decides anew."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import orjson
import pytest

from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.filters.chain import Chain
from tiphys.apiserver.shortcuts import regulars
from tiphys.apiserver.shortcuts.regulars import Regular, Regulars
from tiphys.wire.message import Request, Response

MAPS = "/api/v1/namespaces/default/configmaps"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
GROUP = "rbac.authorization.k8s.io"


class Asked:
    """Counts the requests about which everything was found out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._count = 0
        ask_all = Chain._ask_all

        async def counted(chain: Chain, *arguments: Any) -> Response:
            self._count += 1
            return await ask_all(chain, *arguments)

        monkeypatch.setattr(Chain, "_ask_all", counted)

    def times(self) -> int:
        """How many there were since the last time."""
        found, self._count = self._count, 0
        return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


async def allow(api: Any, user: str = "alice", **more: Any) -> None:
    """Let a user write ConfigMaps."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"], **more}
    await api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "maps"}, "rules": [rule]})
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "maps"}
    subject = {"apiGroup": GROUP, "kind": "User", "name": user}
    body = {"metadata": {"name": "maps"}, "roleRef": ref, "subjects": [subject]}
    await api.create(f"{RBAC}/clusterrolebindings", body)
    await api.settle()


_names = count()


async def make(api: Any, user: str = "alice", query: str = "", **more: Any) -> Any:
    body = {"metadata": {"name": f"map-{next(_names)}"}, "data": {"a": "1"}, **more}
    return await api("POST", MAPS + query, body, user=user)


async def test_the_second_request_of_a_kind_asks_nobody(api: Any, asked: Asked) -> None:
    await allow(api)
    asked.times()
    assert [(await make(api)).status, asked.times()] == [201, 1]
    for _ in range(3):
        assert [(await make(api)).status, asked.times()] == [201, 0]
    assert [(await make(api, "admin")).status, asked.times()] == [201, 1]


async def test_both_ways_answer_alike(api: Any) -> None:
    await allow(api)
    first, second = await make(api), await make(api)
    assert first.headers.keys() == second.headers.keys()
    same = {key: value for key, value in first.headers.items() if key != "audit-id"}
    assert {key: value for key, value in second.headers.items() if key != "audit-id"} == same
    assert first.json["data"] == second.json["data"]


@pytest.mark.parametrize(
    ("method", "path", "like", "unlike"),
    [
        ("GET", f"{MAPS}/a", f"{MAPS}/b", "/api/v1/namespaces/kube-system/configmaps/a"),
        ("GET", MAPS, f"{MAPS}?limit=1", f"{MAPS}/a"),
        ("DELETE", f"{MAPS}/a", f"{MAPS}/b?dryRun=All", "/api/v1/namespaces/default/secrets/a"),
        ("GET", "/api/v1/nodes/n1", "/api/v1/nodes/n2", "/api/v1/nodes/n1/status"),
        ("GET", "/version", "", "/version"),
        ("GET", "/apis/apps/v1", "", "/apis/apps/v1"),
    ],
)
async def test_what_is_alike(api: Any, asked: Asked, method: str, path: str, like: str, unlike: str) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, {"metadata": {"name": name}})
        await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": name}})
        await api.create("/api/v1/namespaces/kube-system/configmaps", {"metadata": {"name": name}})
    for name in ("n1", "n2"):
        await api.create("/api/v1/nodes", {"metadata": {"name": name}})
    asked.times()
    assert (await api(method, path)).status == 200
    asked.times()
    if like:
        assert [(await api(method, like)).status, asked.times()] == [200, 0]
    assert [(await api(method, unlike)).status, asked.times()] == [200, 1]


# -- what ends it


async def unbind(api: Any) -> None:
    await api("DELETE", f"{RBAC}/clusterrolebindings/maps")


async def narrow(api: Any) -> None:
    await api.put(f"{RBAC}/clusterroles/maps", {"metadata": {"name": "maps"}, "rules": []})


async def no_role(api: Any) -> None:
    await api("DELETE", f"{RBAC}/clusterroles/maps")


async def new_modes(api: Any) -> None:
    api.server.backend.authorizer.replace(("AlwaysDeny",))


async def hide(api: Any) -> None:
    api.server.table.remove(api.server.table.by_path("", "v1", "configmaps").gvr)


async def schema(api: Any, level: str = "workload-high") -> None:
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "namespaces": ["*"]}
    subject = {"kind": "User", "user": {"name": "alice"}}
    spec = {
        "matchingPrecedence": 2,
        "priorityLevelConfiguration": {"name": level},
        "rules": [{"subjects": [subject], "resourceRules": [rule]}],
    }
    await api.create(f"{FLOWS}/flowschemas", {"metadata": {"name": "hers"}, "spec": spec})


@pytest.mark.parametrize(
    ("change", "status"),
    [(unbind, 403), (narrow, 403), (no_role, 403), (new_modes, 403), (hide, 404), (schema, 201)],
)
async def test_what_decides_is_asked_anew(
    api: Any, asked: Asked, change: Callable[[Any], Awaitable[None]], status: int
) -> None:
    await allow(api)
    for _ in range(2):
        assert (await make(api)).status == 201
    await change(api)
    await api.settle()
    asked.times()
    assert [(await make(api)).status, asked.times()] == [status, 1]
    assert [(await make(api)).status, asked.times()] == [status, 0 if status == 201 else 1]


async def test_a_new_flow_schema_is_gone_by_at_once(api: Any) -> None:
    await allow(api)
    names = [(await make(api)).headers["x-kubernetes-pf-flowschema-uid"] for _ in range(2)]
    await schema(api)
    await api.settle()
    uid = (await api.get(f"{FLOWS}/flowschemas/hers"))["metadata"]["uid"]
    assert uid not in names
    assert (await make(api)).headers["x-kubernetes-pf-flowschema-uid"] == uid
    await api("DELETE", f"{FLOWS}/flowschemas/hers")
    await api.settle()
    assert (await make(api)).headers["x-kubernetes-pf-flowschema-uid"] == names[0]


def narrow_level(shares: int) -> dict[str, Any]:
    limited = {
        "nominalConcurrencyShares": shares, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}
    }  # fmt: skip
    return {"metadata": {"name": "narrow"}, "spec": {"type": "Limited", "limited": limited}}


async def test_a_level_without_seats_turns_away_whoever_is_known(api: Any) -> None:
    await allow(api)
    levels = f"{FLOWS}/prioritylevelconfigurations"
    await api.create(levels, narrow_level(50))
    await schema(api, "narrow")
    await api.settle()
    for _ in range(2):
        assert (await make(api)).status == 201
    queues = api.server.traffic.flow.levels["narrow"].queues
    queues.in_use, taken = queues.limit, queues.in_use
    assert (await make(api)).status == 429
    queues.in_use = taken
    assert [(await make(api)).status, queues.in_use] == [201, 0]
    await api.put(f"{levels}/narrow", narrow_level(1))
    await api.settle()
    queues.in_use = queues.limit
    assert (await make(api)).status == 429


async def test_a_token_that_goes_lets_nobody_in(api: Any) -> None:
    account = "system:serviceaccount:default:default"
    await allow(api, account)
    made = await api.create("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
    token = made["status"]["token"]
    for _ in range(3):
        assert (await make(api, token)).status == 201
    await api("DELETE", "/api/v1/namespaces/default/serviceaccounts/default")
    await api.settle()
    assert (await make(api, token)).status == 401


async def test_rights_to_some_names_are_looked_at_each_time(api: Any) -> None:
    for name in ("mine", "yours"):
        await api.create(MAPS, {"metadata": {"name": name}})
    await allow(api, resourceNames=["mine"])
    for _ in range(2):
        assert (await api("GET", f"{MAPS}/mine", user="alice")).status == 200
        assert (await api("GET", f"{MAPS}/yours", user="alice")).status == 403


async def test_what_nodes_may_do_is_looked_at_each_time(serving: Any) -> None:
    async with serving(authorization_modes=("Node", "RBAC")) as api:
        secrets = "/api/v1/namespaces/default/secrets"
        await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
        for name in ("used", "other"):
            await api.create(secrets, {"metadata": {"name": name}})
        volume = {"name": "v", "secret": {"secretName": "used"}}
        containers = [{"name": "c", "image": "i"}]
        spec = {"nodeName": "n1", "containers": containers, "volumes": [volume]}
        pods = "/api/v1/namespaces/default/pods"
        await api.create(pods, {"metadata": {"name": "p"}, "spec": spec})
        await api.settle()
        for _ in range(2):
            assert (await api("GET", f"{secrets}/used", user="node")).status == 200
            assert (await api("GET", f"{secrets}/other", user="node")).status == 403
        await api("DELETE", f"{pods}/p?gracePeriodSeconds=0")
        await api.settle()
        assert (await api("GET", f"{secrets}/used", user="node")).status == 403


async def test_deprecated_kinds_are_warned_of_each_time(api: Any) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    for name in ("a", "b", "c"):
        answer = await api("POST", path, {"metadata": {"name": name}})
        assert "deprecated" in answer.headers["warning"]


# -- what is not found out, but done each time


async def test_admission_is_asked_each_time(api: Any) -> None:
    for _ in range(3):
        assert (await make(api, "admin")).status == 201
    policies = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    spec = {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.data.a != '1'", "message": "not this"}],
    }  # fmt: skip
    await api.create(f"{policies}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    await api.create(
        f"{policies}/validatingadmissionpolicybindings", {"metadata": {"name": "p"}, "spec": binding}
    )
    await api.settle()
    assert "not this" in (await make(api, "admin")).message


async def test_a_webhook_is_asked_from_when_it_is_registered(api: Any) -> None:
    for _ in range(3):
        assert (await make(api, "admin")).status == 201
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    hook = {
        "name": "away.example.com", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": [rule],
        "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
    }  # fmt: skip
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    await api.create(path, {"metadata": {"name": "hooks"}, "webhooks": [hook]})
    await api.settle()
    assert 'failed calling webhook "away.example.com"' in (await make(api, "admin")).message


async def test_a_quota_counts_from_when_it_is_there(api: Any) -> None:
    assert (await make(api, "admin")).status == 201
    quotas = "/api/v1/namespaces/default/resourcequotas"
    await api.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "0"}}})
    quota = await api.get(f"{quotas}/q")
    quota["status"] = {"hard": {"count/configmaps": "0"}, "used": {"count/configmaps": "0"}}
    await api.put(f"{quotas}/q/status", quota)
    assert "exceeded quota: q" in (await make(api, "admin")).message
    await api("DELETE", f"{quotas}/q")
    assert (await make(api, "admin")).status == 201


async def test_a_namespace_that_ends_takes_nothing_more(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    path = "/api/v1/namespaces/ending/configmaps"
    for name in ("a", "b"):
        assert (await api("POST", path, {"metadata": {"name": name}})).status == 201
    await api("DELETE", "/api/v1/namespaces/ending")
    refused = await api("POST", path, {"metadata": {"name": "c"}})
    assert (refused.status, refused.json["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    await api.put("/api/v1/namespaces/ending/finalize", {"metadata": {"name": "ending"}, "spec": {}})
    assert (await api("POST", path, {"metadata": {"name": "c"}})).status == 404


@pytest.mark.parametrize(
    ("query", "more", "status"),
    [
        ("?dryRun=All", {}, 201),
        ("?dryRun=Some", {}, 422),
        ("?fieldValidation=Strict", {"unknown": 1}, 400),
        ("?fieldValidation=Ignore", {"unknown": 1}, 201),
        ("?timeout=never", {}, 400),
        ("?pretty=true", {}, 201),
    ],
)
async def test_options_are_read_each_time(api: Any, query: str, more: dict[str, Any], status: int) -> None:
    for _ in range(2):
        await make(api, "admin")
    before = len((await api.get(MAPS))["items"])
    assert (await make(api, "admin", query, **more)).status == status
    stored = status == 201 and "dryRun" not in query
    assert len((await api.get(MAPS))["items"]) == before + stored


def counted(api: Any, **labels: str) -> int:
    found = 0
    for line in api.server.backend.metrics.render().decode().splitlines():
        if line.startswith("apiserver_request_total{"):
            given = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels.items() <= given.items():
                found += int(float(line.rsplit(" ", 1)[1]))
    return found


async def test_requests_are_counted_as_before(api: Any) -> None:
    for _ in range(4):
        await make(api, "admin")
    for _ in range(2):
        await make(api, "admin", "?dryRun=All")
    await api("POST", MAPS, {"metadata": {"name": "Not A Name"}})
    of = {"verb": "POST", "resource": "configmaps"}
    assert counted(api, **of, code="201", dry_run="") == 4
    assert counted(api, **of, code="201", dry_run="All") == 2
    assert counted(api, **of, code="422") == 1
    attempts = api.server.attempts
    before = attempts.succeeded
    await make(api, "admin")
    assert attempts.succeeded == before + 1


# -- who sends the very same headers again


class Client:
    """A connection whose header block never changes."""

    def __init__(self, api: Any, user: str, **headers: str) -> None:
        self._api, self.memo = api, {}  # type: ignore[var-annotated]
        self._headers = {"accept": "application/json", "content-type": "application/json"}
        self._headers |= {"user-agent": "test/1", "authorization": f"Bearer {user}"}
        self._headers |= {key.replace("_", "-"): value for key, value in headers.items()}

    async def make(self) -> Response:
        body = orjson.dumps({"metadata": {"name": f"map-{next(_names)}"}})
        request = Request("POST", MAPS, "", self._headers, body, memo=self.memo)
        response: Response = await self._api.server.handler(request)
        return response


@pytest.mark.parametrize(
    ("user", "headers", "known"),
    [
        ("admin", {}, True),
        ("alice", {}, True),
        ("admin", {"impersonate_user": "alice"}, False),
        ("token", {}, False),
    ],
)
async def test_who_is_asked_once_where_it_lasts(
    api: Any, user: str, headers: dict[str, str], known: bool
) -> None:
    await allow(api, "system:serviceaccount:default:default")
    await api.put(f"{RBAC}/clusterrolebindings/maps", {
        "metadata": {"name": "maps"}, "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "maps"},
        "subjects": [
            {"apiGroup": GROUP, "kind": "User", "name": "alice"},
            {"kind": "ServiceAccount", "name": "default", "namespace": "default"},
        ],
    })  # fmt: skip
    await api.settle()
    if user == "token":
        made = await api.create("/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})
        user = made["status"]["token"]
    client = Client(api, user, **headers)
    for _ in range(3):
        assert (await client.make()).status == 201
    assert isinstance(client.memo[Regulars][1], Regular) == known


async def test_who_may_not_is_refused_however_well_known(api: Any) -> None:
    await allow(api)
    client = Client(api, "alice")
    for _ in range(3):
        assert (await client.make()).status == 201
    await unbind(api)
    await api.settle()
    for _ in range(2):
        assert (await client.make()).status == 403


# -- audit, other gates, bounds


async def test_audit_is_told_of_every_request(serving: Any, tmp_path: Any) -> None:
    policy, log = tmp_path / "policy.yaml", tmp_path / "audit.log"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: RequestResponse}]\n")
    async with serving(audit=AuditOptions(policy, LogOptions(str(log)))) as api:
        await allow(api)
        client = Client(api, "alice")
        for _ in range(4):
            await client.make()
        assert client.memo[Regulars]
        await api.settle()
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    hers = [
        one for one in events if one["user"]["username"] == "alice" and one["stage"] == "ResponseComplete"
    ]
    reason = 'RBAC: allowed by ClusterRoleBinding "maps" of ClusterRole "maps" to User "alice"'
    assert [one["annotations"] for one in hers] == [
        {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": reason}
    ] * 4
    assert len({one["auditID"] for one in hers}) == 4


async def test_plain_limits_hold_for_whoever_is_known(serving: Any) -> None:
    async with serving(priority_and_fairness=False, max_mutating_requests_inflight=1) as api:
        await allow(api)
        for _ in range(2):
            assert (await make(api)).status == 201
        limit = api.server.handler._gate.mutating
        limit.used = 1
        assert (await make(api)).status == 429
        limit.used = 0
        assert (await make(api)).status == 201


async def test_only_so_much_is_kept(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regulars, "_PASSAGES", 2)
    monkeypatch.setattr(regulars, "_REGULARS", 2)
    for plural in ("configmaps", "secrets", "pods", "services"):
        await api.get(f"/api/v1/namespaces/default/{plural}")
    known: Regulars = api.server.handler._regulars
    assert all(len(one.passages) <= 2 for one in known._by_user.values())
    for user in ("admin", "alice", "node"):
        await api("GET", "/version", user=user)
    assert len(known._by_user) <= 2


async def test_a_kind_that_goes_while_it_is_served_is_answered_and_not_known(
    api: Any, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = api.server.objects.create

    async def last(*arguments: Any, **more: Any) -> Any:
        found = await create(*arguments, **more)
        await hide(api)
        return found

    monkeypatch.setattr(api.server.objects, "create", last)
    assert (await make(api, "admin")).status == 201
    assert (await make(api, "admin")).status == 404


async def test_nothing_is_learned_of_long_paths(api: Any, asked: Asked) -> None:
    maps = f"/api/v1/namespaces/{'x' * 2000}/configmaps"
    await api.get(maps)
    asked.times()
    await api.get(maps)
    assert asked.times() == 1
