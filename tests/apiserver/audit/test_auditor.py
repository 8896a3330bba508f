"""Requests through a whole server, and the events that are left of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.apiserver.audit.conftest import Events

from tiphys.apimachinery.clock import FakeClock
from tiphys.apiserver.audit.assembly import AuditOptions
from tiphys.apiserver.audit.sinks import LogOptions
from tiphys.apiserver.authn.user import User
from tiphys.apiserver.authz.attributes import Decision
from tiphys.apiserver.filters.requestinfo import parse
from tiphys.wire.message import Request, Response

HEAD = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}
MAPS = "/api/v1/namespaces/default/configmaps"


async def test_a_request_and_its_answer(audited: tuple[Any, Events]) -> None:
    api, events = audited
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}
    answer = await api("POST", MAPS + "?fieldManager=me", body)
    received, complete = events()
    assert (received["stage"], complete["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == complete["auditID"] == answer.headers["audit-id"]
    assert "responseStatus" not in received
    assert complete["kind"] == "Event"
    assert complete["apiVersion"] == "audit.k8s.io/v1"
    assert complete["level"] == "RequestResponse"
    assert complete["requestURI"] == MAPS + "?fieldManager=me"
    assert complete["verb"] == "create"
    assert complete["user"]["username"] == "admin"
    assert complete["userAgent"] == "test/1"
    assert complete["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "apiVersion": "v1", "name": "m"
    }  # fmt: skip
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["requestObject"] == body
    assert complete["responseObject"]["data"] == {"a": "b"}
    assert "managedFields" not in complete["responseObject"]["metadata"]
    assert complete["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_what_an_object_tells_of_itself(audited: tuple[Any, Events]) -> None:
    """Of a body that was read, whatever is kept of it; never of the answer."""
    api, events = audited
    secrets = "/api/v1/namespaces/default/secrets"
    made = await api.create(secrets, {"metadata": {"name": "s"}})
    reference = {"resource": "secrets", "namespace": "default", "apiVersion": "v1"}
    received, complete = events()
    assert (received["objectRef"], complete["objectRef"]) == (reference, {**reference, "name": "s"})
    await api("PUT", f"{secrets}/s", made)
    told = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    assert events()[-1]["objectRef"] == {**reference, "name": "s", **told}
    await api.create(secrets, {"metadata": {"generateName": "s-"}})
    assert events()[-1]["objectRef"] == reference


async def test_fields_are_in_the_order_of_gos_types(audited: tuple[Any, Events]) -> None:
    api, events = audited
    made = await api.create(MAPS, {"metadata": {"name": "m"}})
    await api.put(
        f"{MAPS}/m",
        {**made, "data": {"a": "b"}},
        impersonate_user="bob",
        impersonate_group="system:masters",
        x_real_ip="127.0.0.1",
    )
    await api("PUT", f"{MAPS}/m", {**made, "data": {"a": "c"}})
    told, refused = (one for one in events()[2:] if one["stage"] == "ResponseComplete")
    assert list(told) == [
        "kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user", "impersonatedUser",
        "sourceIPs", "userAgent", "objectRef", "responseStatus", "requestObject", "responseObject",
        "requestReceivedTimestamp", "stageTimestamp", "annotations",
    ]  # fmt: skip
    assert list(told["objectRef"]) == [
        "resource",
        "namespace",
        "name",
        "uid",
        "apiVersion",
        "resourceVersion",
    ]
    assert list(told["annotations"]) == sorted(told["annotations"])
    assert list(refused["responseStatus"]) == ["metadata", "status", "message", "reason", "details", "code"]


def _on_their_way_out(event: dict[str, Any]) -> dict[str, str]:
    return {key: text for key, text in event["annotations"].items() if key.startswith("k8s.io/")}


@pytest.mark.every_version
async def test_versions_on_their_way_out_are_annotated(audited: tuple[Any, Events]) -> None:
    api, events = audited
    for path, told in {
        "/apis/certificates.k8s.io/v1beta1/clustertrustbundles": {
            "k8s.io/deprecated": "true", "k8s.io/removed-release": "1.39"
        },
        "/api/v1/endpoints": {"k8s.io/deprecated": "true"},
        "/api/v1/services": {},
    }.items():  # fmt: skip
        assert (await api("GET", path)).status == 200
        received, complete = events()
        assert "annotations" not in received
        assert _on_their_way_out(complete) == told, path


async def test_a_status_is_told_of_successes_too(audited: tuple[Any, Events]) -> None:
    api, events = audited
    made = await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    for query in ("", "?pretty=1"):
        await api("DELETE", f"/api/v1/namespaces/default/secrets/s{query}")
        details = {"name": "s", "kind": "secrets", "uid": made["metadata"]["uid"]}
        found = events()[-1]
        assert found["responseStatus"] == {
            "metadata": {}, "status": "Success", "details": details, "code": 200
        }  # fmt: skip
        made = await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})


async def test_failures_say_why(audited: tuple[Any, Events]) -> None:
    api, events = audited
    await api("GET", f"{MAPS}/none")
    status = events()[-1]["responseStatus"]
    assert (status["code"], status["reason"]) == (404, "NotFound")
    await api("GET", f"{MAPS}/none", user="alice")
    found = events()[-1]
    assert found["responseStatus"]["reason"] == "Forbidden"
    assert found["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_a_stranger_is_noted(audited: tuple[Any, Events]) -> None:
    api, events = audited
    answer = await api("GET", MAPS, user="nobody")
    assert answer.status == 401
    (found,) = events()
    assert found["stage"] == "ResponseStarted"
    assert found["user"] == {}
    assert found["responseStatus"] == {
        "metadata": {}, "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401
    }  # fmt: skip
    assert found["responseObject"]["kind"] == "Status"
    assert found["auditID"] == answer.headers["audit-id"]


async def test_a_timeout_that_is_none_is_noted(audited: tuple[Any, Events]) -> None:
    api, events = audited
    answer = await api("GET", f"{MAPS}?timeout=foo")
    assert answer.status == 400
    (found,) = events()
    assert (found["stage"], found["user"], found["verb"]) == ("ResponseStarted", {}, "list")
    status = found["responseStatus"]
    assert (status["code"], status["reason"], status["message"]) == (400, "BadRequest", answer.message)


async def test_strangers_are_counted(tmp_path: Path, serving: Any) -> None:
    policy, path = tmp_path / "policy.yaml", tmp_path / "audit.log"
    rules = [{"level": "Request", "users": ["whoever"]}, {"level": "Metadata"}]
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    options = AuditOptions(policy, LogOptions(str(path)))
    async with serving(audit=options, anonymous_auth=False) as api:
        for header in ("Basic dTpw", "bearer x", "Negotiate x"):
            answer = await api("GET", MAPS, user="", authorization=header, user_agent="")
            assert answer.status == 401
            noted = orjson.loads(path.read_bytes().splitlines()[-1])
            assert noted["responseStatus"]["message"] == "Unauthorized"
            assert noted["level"] == "Metadata"
            assert "responseObject" not in noted
            assert "userAgent" not in noted
        levels = {
            sample.labels["level"]: sample.value
            for family in api.server.auditor.collect()
            for sample in family.samples
            if sample.name == "apiserver_audit_level_total"
        }
        assert levels == {"Metadata": 3}


async def test_impersonation(audited: tuple[Any, Events]) -> None:
    api, events = audited
    await api("GET", MAPS, impersonate_user="bob")
    found = events()[-1]
    assert found["user"]["username"] == "admin"
    assert found["impersonatedUser"]["username"] == "bob"


async def test_what_is_not_kept(audited: tuple[Any, Events]) -> None:
    api, events = audited
    await api("GET", "/livez")
    assert events() == []
    await api("GET", "/version", audit_id="mine")
    assert {one["auditID"] for one in events()} == {"mine"}


async def test_a_watch_begins_and_ends(audited: tuple[Any, Events]) -> None:
    api, events = audited
    response = await api.send("GET", f"{MAPS}?watch=1&resourceVersion=1")
    assert [one["stage"] for one in events()] == ["RequestReceived", "ResponseStarted"]
    assert response.stream is not None
    await response.stream.aclose()  # type: ignore[attr-defined]
    (found,) = events()
    assert found["stage"] == "ResponseComplete"
    await response.stream.aclose()  # type: ignore[attr-defined]
    assert events() == []


async def test_a_watch_is_still_pushed_to(audited: tuple[Any, Events]) -> None:
    """Events go past the audit as fast as without one: it waits for nothing but the end."""
    api, events = audited
    response = await api.send("GET", f"{MAPS}?watch=1")
    pushed: list[bytes] = []

    class Connected:
        anywhere = False
        framing = "none"

        def framed(self, chunk: bytes) -> bytes:
            return chunk

        def writer(self, _gone: Any) -> Any:
            return pushed.append

    assert response.stream is not None
    response.stream.attach(Connected())  # type: ignore[attr-defined]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(_read_all(response.stream))
        await asyncio.sleep(0)
        for number in range(3):
            await api.create(MAPS, {"metadata": {"name": f"m{number}"}})
            await api.settle()
        reading.cancel()
    frames = b"".join(pushed)
    assert [orjson.loads(line)["object"]["metadata"]["name"] for line in frames.splitlines()] == [
        "m0", "m1", "m2"
    ]  # fmt: skip
    await response.stream.aclose()  # type: ignore[attr-defined]
    stages = [(one["verb"], one["stage"]) for one in events()]
    assert stages.count(("watch", "ResponseComplete")) == 1


async def _read_all(stream: AsyncIterator[bytes]) -> None:
    async for _ in stream:
        pass


async def test_a_watch_that_was_read_ends(audited: tuple[Any, Events]) -> None:
    api, events = audited
    response = await api.send("GET", "/api/v1/namespaces?watch=1")
    assert response.stream is not None
    await anext(response.stream)
    events()
    await response.stream.aclose()  # type: ignore[attr-defined]
    (found,) = events()
    assert (found["stage"], found["verb"], found["responseStatus"]["code"]) == (
        "ResponseComplete", "watch", 200
    )  # fmt: skip


async def test_a_fault_of_ours(audited: tuple[Any, Events]) -> None:
    api, events = audited

    async def broken(*_: Any) -> None:
        raise RuntimeError("boom")

    api.server.backend.admission.admit = broken  # type: ignore[method-assign]
    answer = await api("POST", MAPS, {"metadata": {"name": "m"}})
    assert answer.status == 500
    found = events()[-1]
    assert found["stage"] == "Panic"
    assert found["responseStatus"]["message"] == "APIServer panic'd: boom"


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [("POST", "pods/p/exec", "create"), ("GET", "pods/p/exec", "get"), ("POST", "pods/p/attach", "create"),
     ("POST", "pods/p/portforward", "create")],
)  # fmt: skip
async def test_what_streams_to_pods_begins_and_ends(
    audited: tuple[Any, Events], method: str, path: str, verb: str
) -> None:
    api, events = audited
    auditor, request = api.server.auditor, Request(method, f"/api/v1/namespaces/default/{path}", "stdin=1")
    served = asyncio.Event()

    async def serve(_stream: Any) -> None:
        await served.wait()

    await auditor.begin(request, parse(method, request.path, "stdin=1"), User("admin"), "id")
    response = Response(101, upgrade=serve)
    await auditor.finish(request, response)
    assert response.upgrade is not None
    pipe: Any = None
    running = asyncio.ensure_future(response.upgrade(pipe))
    await asyncio.sleep(0)
    received, started = events()
    assert (received["stage"], started["stage"]) == ("RequestReceived", "ResponseStarted")
    assert started["responseStatus"] == {"metadata": {}, "code": 101}
    assert started["objectRef"]["subresource"] == path.rpartition("/")[2]
    served.set()
    await running
    (complete,) = events()
    assert (complete["stage"], complete["verb"], complete["responseStatus"]["code"]) == (
        "ResponseComplete", verb, 101,
    )  # fmt: skip
    assert "responseObject" not in complete


@pytest.mark.parametrize(
    ("error", "stage", "code"),
    [(RuntimeError("boom"), "Panic", 500), (ConnectionResetError("gone"), "ResponseComplete", 200)],
)
async def test_a_watch_that_fails(
    audited: tuple[Any, Events], error: Exception, stage: str, code: int
) -> None:
    """Whether it is the client's connection that broke, or the server."""
    api, events = audited

    async def failing() -> AsyncIterator[bytes]:
        yield b"{}"
        raise error

    auditor, request = api.server.auditor, Request("GET", MAPS, "watch=1")
    await auditor.begin(request, parse("GET", MAPS, "watch=1"), User("admin"), "id")
    response = Response(200, stream=failing())
    await auditor.finish(request, response)
    assert [one["stage"] for one in events()] == ["RequestReceived", "ResponseStarted"]
    assert response.stream is not None
    with pytest.raises(type(error)):
        async for _ in response.stream:
            pass
    (found,) = events()
    assert (found["stage"], found["responseStatus"]["code"]) == (stage, code)
    assert found["responseStatus"].get("message") == ("APIServer panic'd: boom" if code == 500 else None)


async def test_admission_adds_annotations(audited: tuple[Any, Events]) -> None:
    api, events = audited

    async def annotate(attributes: Any) -> None:
        attributes.annotate("pod-security.kubernetes.io/enforce-policy", "privileged:latest")

    api.server.backend.admission.validate = annotate  # type: ignore[method-assign]
    await api("POST", MAPS, {"metadata": {"name": "m"}})
    found = events()[-1]["annotations"]
    assert found["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"


async def test_what_takes_long_tells_where_its_time_went(tmp_path: Path, serving: Any) -> None:
    policy, path, clock = tmp_path / "policy.yaml", tmp_path / "audit.log", FakeClock()
    policy.write_text(yaml.safe_dump({**HEAD, "rules": [{"level": "Metadata"}]}))
    async with serving(audit=AuditOptions(policy, LogOptions(str(path))), clock=clock) as api:
        backend = api.server.backend

        def slow(where: Any, name: str, seconds: float) -> None:
            quick = getattr(where, name)

            async def wrapped(*args: Any, **more: Any) -> Any:
                clock.advance(seconds)
                return await quick(*args, **more)

            setattr(where, name, wrapped)

        async def told(path_: str, **headers: str) -> tuple[dict[str, str], dict[str, Any]]:
            await api("GET", path_, **headers)
            event = orjson.loads(path.read_bytes().splitlines()[-1])
            prefix = "apiserver.latency.k8s.io/"
            notes = event["annotations"].items()
            return {key[len(prefix) :]: value for key, value in notes if key.startswith(prefix)}, event

        slow(backend.authorizer, "decide", 0.5)
        assert (await told(MAPS))[0] == {}, "no longer than half a second"
        slow(backend.authenticator, "authenticate", 0.25)
        found, event = await told("/api/v1/pods", x="another client")
        assert found == {"authentication": "250ms", "authorization": "500ms", "total": "750ms"}
        times = [event[key] for key in ("requestReceivedTimestamp", "stageTimestamp")]
        assert [text[17:] for text in times] == ["00.500000Z", "01.250000Z"], "from when it came in"
        assert (await told(MAPS, impersonate_user="bob"))[0] == {
            "authentication": "250ms", "authorization": "500ms", "impersonation": "1s", "total": "1.75s"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "stages"),
    [("", ["ResponseComplete"]), ("?watch=1", ["ResponseStarted", "ResponseComplete"])],
)
async def test_a_client_that_has_gone(audited: tuple[Any, Events], query: str, stages: list[str]) -> None:
    api, events = audited
    asked = asyncio.Event()

    async def waiting(*_: Any) -> Decision:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    api.server.backend.authorizer.decide = waiting
    task = asyncio.create_task(api("GET", f"{MAPS}{query}"))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    received, *later = events()
    assert (received["stage"], [one["stage"] for one in later]) == ("RequestReceived", stages)
    for event in later:
        assert event["responseStatus"] == {
            "metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200
        }  # fmt: skip


async def test_what_nobody_could_decide(audited: tuple[Any, Events]) -> None:
    api, events = audited

    async def failing(*_: Any) -> Decision:
        return Decision(reason="because", error="broken")

    api.server.backend.authorizer.decide = failing
    answer = await api("GET", f"{MAPS}?limit=1&x=<a>")
    assert (answer.status, answer.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert answer.raw.decode() == f'Internal Server Error: "{MAPS}?limit=1&amp;x=&lt;a&gt;": broken\n'
    assert events()[-1]["annotations"] == {"authorization.k8s.io/reason": "internal error"}


async def test_annotations_of_authentication_stay(audited: tuple[Any, Events]) -> None:
    api, events = audited
    authenticator = api.server.backend.authenticator
    known = authenticator.authenticate

    async def noting(request: Request) -> Any:
        request.scope["audit_annotations"] = {"authentication.k8s.io/legacy-token": "x"}
        return await known(request)

    authenticator.authenticate = noting
    await api("GET", MAPS)
    found = events()[-1]["annotations"]
    assert found["authentication.k8s.io/legacy-token"] == "x"
    assert found["authorization.k8s.io/decision"] == "allow"


async def test_counts(audited: tuple[Any, Events]) -> None:
    api, _ = audited
    await api("GET", MAPS)
    text = (await api("GET", "/metrics")).raw.decode()
    assert 'apiserver_audit_level_total{level="RequestResponse"} 1' in text
