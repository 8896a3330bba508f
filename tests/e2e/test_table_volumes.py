"""What containers find in their volumes: content, modes, owners, parts; one pod for each row."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from cluster import RunningCluster
from manifests import Object, container, pod
from pod_table import Case, Facts, Table

from tiphys.apimachinery.quantity import parse

pytestmark = pytest.mark.e2e

USER, GROUP = 1000, 1001
NON_ROOT = {"runAsUser": USER}
DATA = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
BINARY = bytes([0xDE, 0xCA, 0xFE, 0xBA, 0xD0, 0xFE, 0xFF])
KINDS = ("configmap", "secret", "projected-configmap", "projected-secret")
MAPPED = [{"key": "data-2", "path": "path/to/data-2"}]


def one(name: str, volume: Object, script: str, says: object, **more: object) -> Case:
    """A pod with one volume ``v`` at ``/v``."""
    spec = dict(more)
    own = spec.pop("container", {})
    mounts = spec.pop("mounts", [{"name": "v", "mountPath": "/v"}])
    main = container(script, volumeMounts=mounts, **own)  # type: ignore[arg-type]
    volumes = [{"name": "v", **volume}, *spec.pop("volumes", [])]  # type: ignore[misc]
    made = pod(name, main, restartPolicy="Never", volumes=volumes, **spec)
    return Case(made, says)  # type: ignore[arg-type]


def source(kind: str, name: str = "settings", mode: int | None = None, **more: object) -> Object:
    """A volume of one of ``KINDS``."""
    default = {} if mode is None else {"defaultMode": mode}
    if kind == "configmap":
        return {"configMap": {"name": name, **default, **more}}
    if kind == "secret":
        return {"secret": {"secretName": name, **default, **more}}
    part = {kind.removeprefix("projected-").replace("configmap", "configMap"): {"name": name, **more}}
    return {"projected": {"sources": [part], **default}}


def content_cases() -> Iterator[Case]:
    for kind in KINDS:
        yield one(f"{kind}-plain", source(kind), "cat /v/data-1; echo", "value-1\n")
        yield one(
            f"{kind}-mode", source(kind, mode=0o400), "stat -Lc '%a %u' /v/data-1; cat /v/data-1; echo",
            "400 0\nvalue-1\n",
        )  # fmt: skip
        yield one(
            f"{kind}-as-user", source(kind), "id -u; cat /v/data-1; echo", f"{USER}\nvalue-1\n",
            securityContext=NON_ROOT,
        )  # fmt: skip
        yield one(
            f"{kind}-as-user-mode-and-group", source(kind, mode=0o440),
            "stat -Lc '%a %u %g' /v/data-1; cat /v/data-1; echo", f"440 0 {GROUP}\nvalue-1\n",
            securityContext={**NON_ROOT, "fsGroup": GROUP},
        )  # fmt: skip
        yield one(
            f"{kind}-mapped", source(kind, items=MAPPED), "cat /v/path/to/data-2; echo; ls /v",
            "value-2\npath\n",
        )  # fmt: skip
        yield one(
            f"{kind}-mapped-mode", source(kind, items=[{**MAPPED[0], "mode": 0o400}]),
            "stat -Lc %a /v/path/to/data-2; cat /v/path/to/data-2; echo", "400\nvalue-2\n",
        )  # fmt: skip
        yield one(
            f"{kind}-mapped-as-user", source(kind, items=MAPPED), "cat /v/path/to/data-2; echo",
            "value-2\n", securityContext=NON_ROOT,
        )  # fmt: skip
        yield one(
            f"{kind}-twice", source(kind), "cat /v/data-1 /w/data-1; echo", "value-1value-1\n",
            volumes=[{"name": "w", **source(kind)}],
            mounts=[{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}],
        )  # fmt: skip
        yield one(
            f"{kind}-optional-missing", source(kind, name="nowhere", optional=True), "ls /v | wc -l", "0\n"
        )
        yield one(
            f"{kind}-read-only", source(kind), "(echo x > /v/data-1) 2>/dev/null || echo refused", "refused\n"
        )
    yield one(
        "configmap-binary",
        source("configmap", name="binary"),
        "od -An -tx1 /v/dump.bin; cat /v/text; echo",
        " de ca fe ba d0 fe ff\nwords\n",
    )


def facts_cases() -> Iterator[Case]:
    """What the downward API gives in files, alone and projected."""
    resources = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}

    def volume(kind: str, item: Object, mode: int | None = None) -> Object:
        default = {} if mode is None else {"defaultMode": mode}
        if kind == "downward":
            return {"downwardAPI": {"items": [item], **default}}
        return {"projected": {"sources": [{"downwardAPI": {"items": [item]}}], **default}}

    def resource(name: str, divisor: str = "0") -> Object:
        chosen = {"containerName": "main", "resource": name, "divisor": divisor}
        return {"path": "f", "resourceFieldRef": chosen}

    def of_node(name: str) -> object:
        def says(_: Object, node: Facts) -> str:
            amount = parse(node["status"]["allocatable"][name])
            return f"{-(-amount.milli() // 1000)}\n"

        return says

    name = {"path": "f", "fieldRef": {"fieldPath": "metadata.name"}}
    show = "cat /v/f; echo"
    for kind in ("downward", "projected-downward"):
        yield one(f"{kind}-name", volume(kind, name), show, f"{kind}-name\n")
        yield one(f"{kind}-mode", volume(kind, name, 0o400), "stat -Lc %a /v/f", "400\n")
        yield one(
            f"{kind}-item-mode", volume(kind, {**name, "mode": 0o400}, 0o644), "stat -Lc %a /v/f", "400\n"
        )
        own = {"resources": resources}
        yield one(f"{kind}-cpu-limit", volume(kind, resource("limits.cpu")), show, "2\n", container=own)
        yield one(
            f"{kind}-memory-limit", volume(kind, resource("limits.memory")), show, f"{64 * 2**20}\n",
            container=own,
        )  # fmt: skip
        yield one(
            f"{kind}-cpu-request", volume(kind, resource("requests.cpu", "1m")), show, "250\n", container=own
        )
        yield one(
            f"{kind}-memory-request", volume(kind, resource("requests.memory", "1Mi")), show, "32\n",
            container=own,
        )  # fmt: skip
        for what in ("cpu", "memory"):
            yield one(
                f"{kind}-{what}-of-the-node", volume(kind, resource(f"limits.{what}")), show, of_node(what)
            )


def empty_cases() -> Iterator[Case]:
    for medium in ("default", "memory"):
        volume: Object = {"emptyDir": {"medium": "Memory"} if medium == "memory" else {}}
        memory = int(medium == "memory")
        yield one(
            f"empty-{medium}-itself", volume, "stat -c %a /v; grep -c ' /v tmpfs ' /proc/mounts || true",
            f"777\n{memory}\n",
        )  # fmt: skip
        for who, user in (("root", 0), ("user", USER)):
            for mode in ("644", "666", "777"):
                script = f"echo hi > /v/f; chmod {mode} /v/f; stat -c '%a %u' /v/f; cat /v/f"
                yield one(
                    f"empty-{medium}-{who}-{mode}",
                    volume,
                    f"{script}; grep -c ' /v tmpfs ' /proc/mounts || true",
                    f"{mode} {user}\nhi\n{memory}\n",
                    securityContext={"runAsUser": user},
                )
    yield one(
        "empty-memory-sized", {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        "dd if=/dev/zero of=/v/f bs=4k count=1000 2>/dev/null || echo full; stat -c %s /v/f",
        f"full\n{2**20}\n",
    )  # fmt: skip
    yield one(
        "empty-group", {"emptyDir": {}}, "stat -c '%a %g' /v; echo x > /v/f; stat -c %g /v/f",
        f"2777 {GROUP}\n{GROUP}\n", securityContext={**NON_ROOT, "fsGroup": GROUP},
    )  # fmt: skip
    yield one(
        "empty-shared",
        {"emptyDir": {}},
        "until [ -e /v/f ]; do sleep 0.1; done; cat /v/f",
        "from the other\n",
    )
    yield one(
        "wrappers", source("secret"), "cat /v/data-1 /w/data-1; echo", "value-1value-1\n",
        volumes=[{"name": "w", **source("configmap")}],
        mounts=[{"name": "v", "mountPath": "/v"}, {"name": "w", "mountPath": "/w"}],
    )  # fmt: skip


def part_cases() -> Iterator[Case]:
    """subPath and subPathExpr: of made content, of folders, and over files that the image has."""

    def at(path: str, **more: object) -> list[Object]:
        return [{"name": "v", "mountPath": path, **more}, {"name": "v", "mountPath": "/v"}]

    for kind in KINDS:
        yield one(
            f"part-{kind}", source(kind), "cat /file; echo", "value-1\n", mounts=at("/file", subPath="data-1")
        )
    item = {"path": "dir/name", "fieldRef": {"fieldPath": "metadata.name"}}
    volume: Object = {"downwardAPI": {"items": [item]}}
    yield one("part-downward", volume, "cat /d/name; echo", "part-downward\n", mounts=at("/d", subPath="dir"))
    yield one(
        "part-over-a-file", source("configmap"), "cat /etc/passwd; echo", "value-1\n",
        mounts=at("/etc/passwd", subPath="data-1"),
    )  # fmt: skip
    everything = {
        "sources": [
            {"configMap": {"name": "settings", "items": [{"key": "data-1", "path": "c"}]}},
            {"secret": {"name": "settings", "items": [{"key": "data-2", "path": "s"}]}},
            {"downwardAPI": {"items": [{"path": "d", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"serviceAccountToken": {"path": "t", "expirationSeconds": 600}},
        ]
    }
    yield one(
        "part-everything", {"projected": everything}, "cat /v/c /v/s /v/d; echo; tr -cd . < /v/t; echo",
        "value-1value-2part-everything\n..\n",
    )  # fmt: skip
    env = [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    yield one(
        "part-expanded", {"emptyDir": {}}, "echo x > /sub/f; ls /v/part-expanded/logs", "f\n",
        mounts=at("/sub", subPathExpr="$(POD_NAME)/logs"), container={"env": env},
    )  # fmt: skip


def host_cases() -> Iterator[Case]:
    for path, kind, test in (
        ("/etc/hostname", "File", "-s /v"),
        ("/etc", "Directory", "-e /v/passwd"),
        ("/dev/null", "CharDevice", "-c /v"),
    ):
        volume: Object = {"hostPath": {"path": path, "type": kind}}
        yield one(f"host-{kind.lower()}", volume, f"test {test} && echo there", "there\n")


def other_namespace() -> Case:
    """Its secret has a namesake in ``default`` with other content."""
    return one("secret-namesake", source("secret", name="namesake"), "cat /v/which; echo", "mine\n")


def claim_cases() -> Iterator[Case]:
    wish = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    yield one(
        "claim-of-its-own", {"ephemeral": {"volumeClaimTemplate": {"spec": wish}}},
        "touch /v/x; stat -c %a /v; ls /v", "777\nx\n", securityContext=NON_ROOT,
    )  # fmt: skip


CASES = [
    *content_cases(),
    *facts_cases(),
    *empty_cases(),
    *part_cases(),
    *host_cases(),
    *claim_cases(),
    other_namespace(),
]


def objects() -> list[Object]:
    def made(kind: str, name: str, **data: object) -> Object:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **data}

    binary = {"dump.bin": base64.b64encode(BINARY).decode()}
    return [
        made("ConfigMap", "settings", data=DATA),
        made("Secret", "settings", stringData=DATA),
        made("ConfigMap", "binary", data={"text": "words"}, binaryData=binary),
        made("Secret", "namesake", stringData={"which": "mine"}),
    ]


@pytest.fixture(scope="module")
def table(session_cluster: RunningCluster) -> Iterator[Table]:
    writer = container("echo from the other > /v/f", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    for case in CASES:
        if case.name == "empty-shared":
            case.pod["spec"]["containers"].append({**writer, "name": "other"})
    session_cluster.kubectl("create", "secret", "generic", "namesake", "--from-literal=which=theirs")
    made = Table(session_cluster, "volumes", objects(), CASES)
    yield made
    made.end()
    session_cluster.kubectl("delete", "secret", "namesake")


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_pod(table: Table, name: str) -> None:
    table.check(name)
