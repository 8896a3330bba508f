"""How often mutating webhooks are asked, and what audit is told of it: upstream's cases."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tiphys.apiserver.admission.webhooks import dispatch
from tiphys.apiserver.outgoing.webhook_call import NoAnswer
from tiphys.wire.message import Request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def api(swept_api: Any) -> Any:
    """One server for all: what a test wrote is taken back when it ends."""
    return swept_api


CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
PODS = "/api/v1/namespaces/default/pods"


def put(path: str, value: str, op: str = "add") -> list[dict[str, Any]]:
    return [{"op": op, "path": path, "value": value}]


ADD_A, ADD_B = put("/metadata/labels/a", "true"), put("/metadata/labels/b", "true")
FIGHT = {word: put("/metadata/labels/fight", word, "replace") for word in ("true", "false", "unknown")}
PRIORITY = [
    *put("/spec/priorityClassName", "high-priority"), {"op": "remove", "path": "/spec/priority"}
]  # fmt: skip


def labels(asked: Any) -> dict[str, str]:
    return asked["object"]["metadata"].get("labels") or {}


def answer(name: str, asked: Any) -> list[Any]:
    """Return what a webhook of some name changes."""
    if name == "noop" or asked["object"]["kind"] != "Pod":
        return []
    if name == "addlabel":
        return [] if "a" in labels(asked) else ADD_A
    if name == "conditional":
        return ADD_B if "a" in labels(asked) and "b" not in labels(asked) else []
    if name in ("settrue", "setfalse", "setunknown"):
        word = name.removeprefix("set")
        return [] if labels(asked).get("fight") == word else FIGHT[word]
    if name == "setpriority":
        return [] if asked["object"]["spec"].get("priorityClassName") == "high-priority" else PRIORITY
    assert name == "setinvalid"
    return put("/spec/priorityClassName", "invalid")


@dataclass(frozen=True)
class Case:
    """Webhooks by name with their policies; calls of each; patches and changes by round and place."""

    webhooks: tuple[tuple[str, str], ...]
    calls: dict[str, int]
    mutated: dict[str, bool]
    patches: dict[str, list[Any]] = field(default_factory=dict)
    selector: dict[str, Any] | None = None
    refused: str = ""


AGAIN, ONCE = "IfNeeded", "Never"
CASES = {
    "nobody changes anything": Case((("noop", AGAIN),), {"noop": 1}, {"0_0": False}),
    "one that changes something is not asked again": Case(
        (("addlabel", AGAIN),), {"addlabel": 1}, {"0_0": True}, {"0_0": ADD_A}
    ),
    "a plugin changes something after it": Case(
        (("setpriority", AGAIN),), {"setpriority": 2}, {"0_0": True, "1_0": False}, {"0_0": PRIORITY}
    ),
    "the first is asked about what the second has made": Case(
        (("addlabel", AGAIN), ("conditional", AGAIN)), {"addlabel": 2, "conditional": 1},
        {"0_0": True, "0_1": True, "1_0": False}, {"0_0": ADD_A, "0_1": ADD_B},
    ),
    "both when the first changes something again": Case(
        (("settrue", AGAIN), ("setfalse", AGAIN)), {"settrue": 2, "setfalse": 2},
        {"0_0": True, "0_1": True, "1_0": True, "1_1": True},
        {"0_0": FIGHT["true"], "0_1": FIGHT["false"], "1_0": FIGHT["true"], "1_1": FIGHT["false"]},
    ),
    "what was changed has been changed back since": Case(
        (("noop", AGAIN), ("settrue", ONCE), ("setunknown", ONCE)),
        {"noop": 2, "settrue": 1, "setunknown": 1},
        {"0_0": False, "0_1": True, "0_2": True, "1_0": False},
        {"0_1": FIGHT["true"], "0_2": FIGHT["unknown"]},
    ),
    "nobody is asked for the first time in the second round": Case(
        (("conditional", AGAIN), ("addlabel", AGAIN)), {"addlabel": 1}, {"0_1": True}, {"0_1": ADD_A},
        selector={"matchLabels": {"a": "true"}},
    ),
    "a plugin refuses what a webhook has made": Case(
        (("setinvalid", AGAIN),), {"setinvalid": 1}, {"0_0": True},
        {"0_0": put("/spec/priorityClassName", "invalid")},
        refused="no PriorityClass with name invalid was found",
    ),
    "never": Case(
        (("conditional", ONCE), ("addlabel", ONCE)), {"conditional": 1, "addlabel": 1},
        {"0_0": False, "0_1": True}, {"0_1": ADD_A},
    ),
    "never by default": Case(
        (("conditional", ""), ("addlabel", "")), {"conditional": 1, "addlabel": 1},
        {"0_0": False, "0_1": True}, {"0_1": ADD_A},
    ),
}  # fmt: skip


class Webhooks:
    """Answers without a network; ``calls`` counts by name."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    async def post(self, _backend: Any, config: Any, body: bytes, **_rest: Any) -> bytes:
        name = config["service"]["name"]
        self.calls[name] = self.calls.get(name, 0) + 1
        if name == "broken":
            raise NoAnswer("nobody there")
        asked = orjson.loads(body)["request"]
        response: dict[str, Any] = {"uid": asked["uid"], "allowed": True}
        patch = answer(name, asked)
        if patch:
            text = base64.b64encode(orjson.dumps(patch)).decode()
            response |= {"patch": text, "patchType": "JSONPatch"}
        kind = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        return orjson.dumps({**kind, "response": response})


def hook(name: str, policy: str, selector: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": f"{name}.example.com",
        "clientConfig": {"service": {"name": name, "namespace": "default"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    if policy:
        made["reinvocationPolicy"] = policy
    if selector is not None:
        made["objectSelector"] = selector
    return made


async def create(api: Any, pod: Any, *, with_bodies: bool = True) -> tuple[Any, dict[str, Any]]:
    """Return the answer's status and body, and what audit is told of webhooks."""
    kept: dict[str, str] = {}
    headers = {"authorization": "Bearer admin", "content-type": "application/json"}
    request = Request("POST", PODS, "", headers, orjson.dumps(pod))
    request.scope |= {"audit_annotations": kept, "audit_bodies": with_bodies}
    answered = await api.server.handler(request)
    return answered, {key: text for key, text in kept.items() if ".webhook." in key}


async def configure(api: Any, monkeypatch: pytest.MonkeyPatch, *hooks: Any) -> Webhooks:
    webhooks = Webhooks()
    monkeypatch.setattr(dispatch, "post", webhooks.post)
    await api.create(CONFIGURATIONS, {"metadata": {"name": "c"}, "webhooks": list(hooks)})
    await api.settle()
    return webhooks


@pytest.mark.parametrize("case", CASES)
async def test_rounds(api: Any, monkeypatch: pytest.MonkeyPatch, make_pod: Any, case: str) -> None:
    wanted = CASES[case]
    for name, value in (("low-priority", 1), ("high-priority", 10)):
        body = {"metadata": {"name": name}, "value": value}
        await api.create("/apis/scheduling.k8s.io/v1/priorityclasses", body)
    hooks = [
        hook(name, policy, wanted.selector if place == 0 else None)
        for place, (name, policy) in enumerate(wanted.webhooks)
    ]
    webhooks = await configure(api, monkeypatch, *hooks)
    pod = make_pod("p", priorityClassName="low-priority")
    pod["metadata"]["labels"] = {"x": "true", "fight": "unknown"}
    answered, kept = await create(api, pod)
    assert webhooks.calls == wanted.calls
    assert wanted.refused.encode() in answered.body
    assert answered.status == (403 if wanted.refused else 201)
    places = {f"0_{place}": name for place, (name, _) in enumerate(wanted.webhooks)}
    names = {**places, **{key.replace("0_", "1_", 1): name for key, name in places.items()}}
    expected = {
        f"mutation.webhook.admission.k8s.io/round_{key.replace('_', '_index_')}": {
            "configuration": "c", "webhook": f"{names[key]}.example.com", "mutated": mutated
        }
        for key, mutated in wanted.mutated.items()
    }  # fmt: skip
    expected |= {
        f"patch.webhook.admission.k8s.io/round_{key.replace('_', '_index_')}": {
            "configuration": "c", "webhook": f"{names[key]}.example.com", "patch": patch,
            "patchType": "JSONPatch",
        }
        for key, patch in wanted.patches.items()
    }  # fmt: skip
    assert {key: orjson.loads(text) for key, text in kept.items()} == expected


async def test_patches_are_told_only_where_bodies_are(
    api: Any, monkeypatch: pytest.MonkeyPatch, make_pod: Any
) -> None:
    await configure(api, monkeypatch, hook("addlabel", ONCE, None))
    _, kept = await create(api, make_pod("p"), with_bodies=False)
    assert list(kept) == ["mutation.webhook.admission.k8s.io/round_0_index_0"]


@pytest.mark.parametrize("kind", ["mutation", "validating"])
async def test_failing_open_is_told(
    api: Any, monkeypatch: pytest.MonkeyPatch, make_pod: Any, kind: str
) -> None:
    broken = {**hook("broken", "", None), "failurePolicy": "Ignore"}
    if kind == "mutation":
        await configure(api, monkeypatch, hook("noop", ONCE, None), broken)
        place = 1
    else:
        await configure(api, monkeypatch)
        path = CONFIGURATIONS.replace("mutating", "validating")
        elsewhere = {**hook("noop", "", None), "namespaceSelector": {"matchLabels": {"no": "where"}}}
        await api.create(path, {"metadata": {"name": "v"}, "webhooks": [elsewhere, broken]})
        await api.settle()
        place = 0  # among those that the write concerns
    _, kept = await create(api, make_pod("p"))
    key = f"failed-open.{kind}.webhook.admission.k8s.io/round_0_index_{place}"
    assert kept[key] == "broken.example.com"


async def test_a_patch_that_does_not_apply(api: Any, monkeypatch: pytest.MonkeyPatch, make_pod: Any) -> None:
    webhooks = await configure(
        api, monkeypatch, {**hook("setpriority", ONCE, None), "failurePolicy": "Ignore"}
    )
    pod = make_pod("p")
    pod["metadata"]["labels"] = {}
    monkeypatch.setitem(PRIORITY[1], "path", "/spec/nothing")
    answered = await api("POST", PODS, pod)
    assert answered.status == 500  # whatever the failure policy is
    assert answered.message.startswith("Internal error occurred: ")
    assert webhooks.calls == {"setpriority": 1}
