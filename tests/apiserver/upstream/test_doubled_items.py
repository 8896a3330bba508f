"""Items of one key twice in a list: who owns them while others create, apply and replace, to the letter."""

from __future__ import annotations

from typing import Any

import pytest

DAEMONS = "/apis/apps/v1/namespaces/default/daemonsets"
DAEMON = f"{DAEMONS}/d"
LABELS = {"app": "x"}
ENV = [
    {"name": "A", "value": "a"},
    {"name": "PATH", "value": "/bin"},
    {"name": "PATH", "value": "$PATH:/sbin"},
]
PORTS = [
    {"name": "p0", "containerPort": 1},
    {"name": "p1", "containerPort": 80},
    {"name": "p2", "containerPort": 80},
]
COUNTED = "f:deprecated.daemonset.template.generation"
VALUE: dict[str, Any] = {".": {}, "f:name": {}, "f:value": {}}
PATH, PORT_1, PORT_80, PORT_443 = (
    'k:{"name":"PATH"}',
    'k:{"containerPort":1,"protocol":"TCP"}',
    'k:{"containerPort":80,"protocol":"TCP"}',
    'k:{"containerPort":443,"protocol":"TCP"}',
)


def daemon(env: list[Any], ports: list[Any], *, whole: bool = True) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "env": env, "ports": ports}
    template: dict[str, Any] = {"spec": {"containers": [container]}}
    if whole:
        template["metadata"] = {"labels": LABELS}
    spec = {"selector": {"matchLabels": LABELS}, "template": template}
    head = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "labels": LABELS}}
    return {**head, "spec": spec}


def container_of(obj: dict[str, Any]) -> dict[str, Any]:
    return dict(obj["spec"]["template"]["spec"]["containers"][0])


def owned(obj: dict[str, Any]) -> dict[str, Any]:
    return {one["manager"]: one["fieldsV1"] for one in obj["metadata"]["managedFields"]}


def in_container(fields: dict[str, Any]) -> dict[str, Any]:
    return dict(fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}'])


def applied(env: dict[str, Any], ports: dict[str, Any]) -> dict[str, Any]:
    """Return what a manager owns that applied these alone."""
    container = {".": {}, "f:env": env, "f:image": {}, "f:name": {}, "f:ports": ports}
    template = {"f:spec": {"f:containers": {'k:{"name":"c"}': container}}}
    return {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:selector": {}, "f:template": template}}


@pytest.fixture
async def made(api: Any) -> dict[str, Any]:
    return dict(await api.create(f"{DAEMONS}?fieldManager=create", daemon(ENV, PORTS)))


async def test_whoever_creates_owns_the_pair_as_one(made: dict[str, Any]) -> None:
    container = in_container(owned(made)["create"])
    assert container["f:env"] == {".": {}, 'k:{"name":"A"}': VALUE, PATH: {}}
    port = {".": {}, "f:containerPort": {}, "f:name": {}, "f:protocol": {}}
    assert container["f:ports"] == {".": {}, PORT_1: port, PORT_80: {}}


async def test_the_count_of_a_daemons_templates_is_whoevers_that_wrote_it(
    api: Any, made: dict[str, Any]
) -> None:
    """Nobody says it: an object without it says that it is none."""
    assert owned(made)["create"]["f:metadata"]["f:annotations"] == {".": {}, COUNTED: {}}
    replaced = await api.put(f"{DAEMON}?fieldManager=update", daemon(ENV, PORTS))
    assert owned(replaced)["create"]["f:metadata"]["f:annotations"] == {}
    assert owned(replaced)["update"] == {"f:metadata": {"f:annotations": {COUNTED: {}}}}
    assert replaced["metadata"]["annotations"] == made["metadata"]["annotations"]
    read = await api.put(f"{DAEMON}?fieldManager=read", replaced)
    assert "read" not in owned(read)


async def test_who_writes_the_status_changes_no_count(api: Any, made: dict[str, Any]) -> None:
    bare = {**daemon(ENV, PORTS), "status": {**made["status"], "numberReady": 1}}
    written = await api.put(f"{DAEMON}/status", bare)
    key = COUNTED.removeprefix("f:")
    assert (written["metadata"]["annotations"], written["status"]["numberReady"]) == ({key: "1"}, 1)
    told = await api.patch(f"{DAEMON}/status", {"metadata": {"annotations": {key: "7", "a": "b"}}})
    assert told.json["metadata"]["annotations"] == {key: "1", "a": "b"}


async def test_applying_adds_replacing_takes_and_forcing_makes_one_of_two(
    api: Any, made: dict[str, Any]
) -> None:
    more = daemon([{"name": "HOME", "value": "/"}], [{"name": "p3", "containerPort": 443}], whole=False)
    first = (await api.patch(f"{DAEMON}?fieldManager=apply", more, "apply")).json
    assert [len(container_of(first)[key]) for key in ("env", "ports")] == [4, 4]
    bare = {".": {}, "f:containerPort": {}, "f:name": {}}
    own = applied({'k:{"name":"HOME"}': VALUE}, {PORT_443: bare})
    assert owned(first) == {"create": owned(made)["create"], "apply": own}

    ports = [
        PORTS[0],
        {"name": "p3", "containerPort": 443},
        *({**one, "name": f"n{one['name']}"} for one in PORTS[1:]),
    ]
    env = [*ENV[:2], {"name": "PATH", "value": "/other"}, {"name": "HOME", "value": "/"}]
    replaced = await api.put(f"{DAEMON}?fieldManager=update", daemon(env, ports))
    taken = in_container(owned(replaced)["update"])
    assert taken == {"f:env": {PATH: {}}, "f:ports": {PORT_80: {}}}
    left = in_container(owned(replaced)["create"])
    assert (set(left["f:env"]), set(left["f:ports"])) == ({".", 'k:{"name":"A"}'}, {".", PORT_1})
    assert owned(replaced)["apply"] == own

    one = daemon([{"name": "PATH", "value": "/bin"}], [{"name": "p80", "containerPort": 80}], whole=False)
    forced = (await api.patch(f"{DAEMON}?fieldManager=apply&force=true", one, "apply")).json
    assert container_of(forced)["env"] == [ENV[0], {"name": "PATH", "value": "/bin"}]
    assert [port["name"] for port in container_of(forced)["ports"]] == ["p0", "p80"]
    assert owned(forced)["apply"] == applied({PATH: VALUE}, {PORT_80: bare})
    assert owned(forced)["update"] == {"f:metadata": {"f:annotations": {COUNTED: {}}}}
