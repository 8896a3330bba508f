"""Pods that live: hooks at their start and end, probes, content that changes, debuggers, new sizes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cluster import RunningCluster, eventually
from images import BUSYBOX
from manifests import IDLE, Object, container, pod

pytestmark = pytest.mark.e2e

_SERVE = (
    "cd /tmp; for f in {files}; do echo ok > $f; done; trap 'exit 0' TERM; httpd -f -vv -p 80 -h /tmp & wait"
)


_WHEN = {"start": "postStart", "stop-": "preStop"}


def _restarts(cluster: RunningCluster) -> dict[str, int]:
    return {
        item["metadata"]["name"]: sum(
            one["restartCount"] for one in item["status"].get("containerStatuses") or ()
        )
        for item in cluster.json("get", "pods")["items"]
    }


def asking_sidecar(server: str) -> Object:
    """A sidecar that passes on to ``server`` what it is asked: ``/cgi-bin/ask?path``."""
    ask = f'#!/bin/sh\necho; wget -qO- "http://{server}/$QUERY_STRING"'
    script = (
        f"mkdir /tmp/cgi-bin; echo '{ask}' > /tmp/cgi-bin/ask; chmod +x /tmp/cgi-bin/ask;"
        " echo ok > /tmp/health; trap 'exit 0' TERM; httpd -f -p 8080 -h /tmp & wait"
    )
    probe = {"httpGet": {"path": "/health?msg=startup", "port": 8080}, "periodSeconds": 1}
    return {**container(script), "name": "beside", "restartPolicy": "Always", "startupProbe": probe}


def test_hooks(cluster: RunningCluster) -> None:
    """Each hook asks a server, whose log tells which came; those before the stop come before the stop.

    The last of each kind asks its own pod, where a sidecar is there before the container and after it.
    """
    hooks = [f"{when}-{how}" for when in ("start", "stop") for how in ("exec", "http", "own")]
    cluster.apply(pod("server", container(_SERVE.format(files=" ".join(hooks)))))
    cluster.ready("server")
    ip = cluster.path("pod/server", ".status.podIP")

    def hook(name: str) -> Object:
        if name.endswith("exec"):
            return {"exec": {"command": ["wget", "-qO-", f"http://{ip}/{name}"]}}
        if name.endswith("own"):
            return {"httpGet": {"port": 8080, "path": f"/cgi-bin/ask?{name}"}}
        return {"httpGet": {"host": ip, "port": 80, "path": f"/{name}"}}

    cluster.apply(
        *(
            pod(
                name,
                container(lifecycle={_WHEN[name[:5]]: hook(name)}),
                initContainers=[asking_sidecar(ip)] if name.endswith("own") else [],
            )
            for name in hooks
        ),
        pod("sleeper", container(lifecycle={"preStop": {"sleep": {"seconds": 2}}})),
        pod("refused", container(lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
    )
    cluster.ready(*hooks, "sleeper")
    said = eventually(lambda: (log := cluster.kubectl("logs", "server")).count("start-") >= 3 and log)
    assert "url:/start-exec" in said
    assert "url:/start-http" in said
    assert "url:/start-own" in said
    assert "url:/stop-" not in said
    cluster.kubectl("delete", "pod", *hooks, "sleeper")
    said = cluster.kubectl("logs", "server")
    assert "url:/stop-exec" in said
    assert "url:/stop-http" in said
    assert "url:/stop-own" in said
    assert "FailedPostStartHook" in cluster.kubectl("get", "events")
    assert cluster.path("pod/refused", ".status.containerStatuses[0].ready") == "false"


def test_probes_restart_and_hold_back(cluster: RunningCluster) -> None:
    often: Object = {"periodSeconds": 1, "failureThreshold": 1}
    serve = _SERVE.format(files="index.html health")
    forget = f"(sleep 3; rm -f /tmp/health) & {serve}"
    web = {"path": "/health", "port": 80}
    there = {"exec": {"command": ["cat", "/tmp/health"]}}
    alive = {
        "exec-well": (serve, there),
        "http-well": (serve, {"httpGet": web}),
        "tcp-well": (forget, {"tcpSocket": {"port": 80}}),
    }
    dying = {
        "exec-ill": (forget, there),
        "http-ill": (forget, {"httpGet": web}),
        "grpc-ill": (IDLE, {"grpc": {"port": 2333}}),
    }
    grace: Object = {"initialDelaySeconds": 1, **often}
    delayed = {**often, "initialDelaySeconds": 5, "exec": {"command": ["true"]}}
    cluster.apply(
        *(
            pod(name, container(script, livenessProbe={**grace, **probe}))
            for name, (script, probe) in {**alive, **dying}.items()
        ),
        pod("never-ready", container(IDLE, readinessProbe={**often, "exec": {"command": ["false"]}})),
        pod("late", container(IDLE, readinessProbe=delayed)),
    )
    cluster.ready("late")
    eventually(lambda: all(_restarts(cluster)[name] >= 1 for name in dying), 120)
    restarts = _restarts(cluster)
    assert {name: restarts[name] for name in (*alive, "late", "never-ready")} == dict.fromkeys(
        (*alive, "late", "never-ready"), 0
    )
    late = cluster.json("get", "pod", "late")["status"]
    ready = next(item for item in late["conditions"] if item["type"] == "Ready")
    started = late["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert _seconds(ready["lastTransitionTime"]) - _seconds(started) >= 5
    never = cluster.json("get", "pod", "never-ready")["status"]
    assert (never["phase"], never["containerStatuses"][0]["ready"]) == ("Running", False)
    assert cluster.path("pod/exec-ill", ".status.containerStatuses[0].lastState.terminated.exitCode")
    assert "Container main failed liveness probe, will be restarted" in cluster.kubectl("get", "events")


def _seconds(stamp: str) -> int:
    hours, minutes, seconds = stamp.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


SOURCES = {
    "config": ("configmap", lambda name: {"configMap": {"name": name, "optional": True}}),
    "secret": ("secret", lambda name: {"secret": {"secretName": name, "optional": True}}),
    "projected-config": (
        "configmap",
        lambda name: {"projected": {"sources": [{"configMap": {"name": name, "optional": True}}]}},
    ),
    "projected-secret": (
        "secret",
        lambda name: {"projected": {"sources": [{"secret": {"name": name, "optional": True}}]}},
    ),
}


def test_content_follows_its_source(cluster: RunningCluster) -> None:
    """For each kind of source: one is deleted, one changes, one comes; labels and annotations change too."""

    def made(kind: str, name: str, value: str) -> Object:
        data = {"data": {"k": value}} if kind == "configmap" else {"stringData": {"k": value}}
        return {
            "apiVersion": "v1", "kind": {"configmap": "ConfigMap", "secret": "Secret"}[kind],
            "metadata": {"name": name}, **data,
        }  # fmt: skip

    facts = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.{name}"}} for name in ("labels", "annotations")
    ]
    pods, objects = [], []
    for label, (kind, volume) in SOURCES.items():
        names = [f"{label}-{what}" for what in ("goes", "changes", "comes")]
        objects += [made(kind, names[0], "old"), made(kind, names[1], "old")]
        volumes = [{"name": name, **volume(name)} for name in names]
        mounts = [{"name": name, "mountPath": f"/{name.rpartition('-')[2]}"} for name in names]
        pods.append(pod(label, container(volumeMounts=mounts), volumes=volumes))
    for label, source in (
        ("downward", {"downwardAPI": {"items": facts}}),
        ("projected-downward", {"projected": {"sources": [{"downwardAPI": {"items": facts}}]}}),
    ):
        mounts = [{"name": "f", "mountPath": "/f"}]
        pods.append(pod(label, container(volumeMounts=mounts), volumes=[{"name": "f", **source}]))
    cluster.apply(*objects, *pods)
    cluster.ready(*SOURCES, "downward", "projected-downward")
    for label, (kind, _) in SOURCES.items():
        assert cluster.sh(label, "cat /goes/k /changes/k; ls /comes") == "oldold"
        cluster.kubectl("delete", kind, f"{label}-goes")
        cluster.apply(made(kind, f"{label}-changes", "new"), made(kind, f"{label}-comes", "fresh"))
    for label in ("downward", "projected-downward"):
        cluster.kubectl("label", "pod", label, "later=yes")
        cluster.kubectl("annotate", "pod", label, "note=said")
    for label in SOURCES:
        eventually(
            lambda label=label: cluster.sh(label, "ls /goes; cat /changes/k /comes/k") == "newfresh", 90
        )
    for label in ("downward", "projected-downward"):

        def told(label: str = label) -> bool:
            said = cluster.sh(label, "cat /f/labels /f/annotations")
            return 'later="yes"' in said and 'note="said"' in said

        eventually(told, 90)


def test_many_config_maps_in_many_pods(cluster: RunningCluster) -> None:
    names = [f"racey-{number}" for number in range(50)]
    maps: list[Object] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": name}}
        for name in names
    ]
    volumes = [{"name": name, "configMap": {"name": name}} for name in names]
    mounts = [{"name": name, "mountPath": f"/all/{name}"} for name in names]
    pods = [f"racer-{number}" for number in range(5)]
    cluster.apply(*maps, *(pod(name, container(volumeMounts=mounts), volumes=volumes) for name in pods))
    cluster.ready(*pods)
    for name in pods:
        assert cluster.sh(name, "cat /all/*/k | wc -c") == f"{sum(map(len, names))}\n"


def test_parts_chosen_by_variables(cluster: RunningCluster) -> None:
    """``subPathExpr``: a missing value holds the container until it is there; one in use stays."""
    env = [
        {"name": "POD_NAME", "value": "foo"},
        {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}}},
    ]

    def mounts(expression: str) -> Object:
        return {
            "env": env,
            "volumeMounts": [
                {"name": "w", "mountPath": "/sub", "subPathExpr": expression},
                {"name": "w", "mountPath": "/all"},
            ],
        }

    work = [{"name": "w", "emptyDir": {}}]
    noted = pod("noted", container(**mounts("$(NOTE)/$(POD_NAME)")), volumes=work)
    noted["metadata"]["annotations"] = {"mysubpath": "mypath"}
    up = [{"name": "UP", "value": ".."}, {"name": "ROOT", "value": "/tmp"}]
    sub: Object = {"name": "w", "mountPath": "/sub"}
    outside = [
        pod(name, container(env=up, volumeMounts=[{**sub, "subPathExpr": f"$({variable})"}]), volumes=work)
        for name, variable in (("upwards", "UP"), ("absolute", "ROOT"))
    ]
    cluster.apply(noted, pod("waiting", container(**mounts("$(NOTE)/$(POD_NAME)")), volumes=work), *outside)
    cluster.ready("noted")
    waiting = ".status.containerStatuses[0].state.waiting"
    for name in ("waiting", "upwards", "absolute"):
        eventually(
            lambda name=name: cluster.path(f"pod/{name}", f"{waiting}.reason") == "CreateContainerConfigError"
        )
    assert cluster.path("pod/waiting", f"{waiting}.message") == "missing value for NOTE"
    cluster.kubectl("annotate", "pod", "waiting", "mysubpath=mypath")
    cluster.ready("waiting")
    cluster.sh("noted", "touch /all/mypath/foo/f; test -f /sub/f")
    cluster.kubectl("annotate", "--overwrite", "pod", "noted", "mysubpath=other")
    assert cluster.sh("noted", "ls /all /sub") == "/all:\nmypath\n\n/sub:\nf\n"
    cluster.kubectl("delete", "pod", "noted", "waiting", "upwards", "absolute")


def test_debuggers(newest: RunningCluster) -> None:
    newest.apply(pod("subject"))
    newest.ready("subject")
    for number in (1, 2):
        added = [f"--image={BUSYBOX}", "-c", f"debugger-{number}", "--target=main", "--profile=general"]
        newest.kubectl("debug", "subject", *added, "--", "sh", "-c", "ps; sleep 1000")
        running = f".status.ephemeralContainerStatuses[{number - 1}].state.running.startedAt"
        eventually(lambda running=running: newest.path("pod/subject", running))
    assert len(newest.json("get", "pod", "subject")["spec"]["ephemeralContainers"]) == 2
    assert "trap 'exit 0' TERM" in newest.kubectl("logs", "subject", "-c", "debugger-1")
    assert newest.path("pod/subject", ".status.containerStatuses[0].restartCount") == "0"


def _kernel(cluster: RunningCluster, name: str) -> dict[str, tuple[str, str]]:
    """What the kernel holds each container of a pod to: cpu weight or shares, and memory limit."""
    found = {}
    for status in cluster.json("get", "pod", name)["status"]["containerStatuses"]:
        key = status["containerID"].rpartition("/")[2]
        # Not Path.glob: it stumbles over groups of other clusters that go meanwhile.
        own = [Path(folder) for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith(f"/{key}")]
        values = []
        for names in (("cpu.shares", "cpu.weight"), ("memory.limit_in_bytes", "memory.max")):
            files = [file for file_name in names for one in own if (file := one / file_name).exists()]
            values.append(files[0].read_text().strip())
        found[status["name"]] = (values[0], values[1])
    return found


def sized(cpu: str = "", memory: str = "", cpu_limit: str = "", memory_limit: str = "") -> Object:
    """Resources of what is given."""
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    limits = {key: value for key, value in (("cpu", cpu_limit), ("memory", memory_limit)) if value}
    return {key: value for key, value in (("requests", requests), ("limits", limits)) if value}


def fixed(cpu: str, memory: str) -> Object:
    return sized(cpu, memory, cpu, memory)


RESIZES: dict[str, list[tuple[Object, Object]]] = {
    "net-increase": [
        (fixed("20m", "20Mi"), fixed("25m", "25Mi")),
        (fixed("22m", "22Mi"), fixed("27m", "27Mi")),
        (fixed("24m", "24Mi"), fixed("19m", "19Mi")),
    ],
    "net-decrease": [
        (fixed("20m", "20Mi"), fixed("25m", "25Mi")),
        (fixed("22m", "22Mi"), fixed("17m", "17Mi")),
        (fixed("24m", "24Mi"), fixed("19m", "19Mi")),
    ],
    "mixed": [
        (fixed("20m", "20Mi"), fixed("25m", "20Mi")),
        (fixed("22m", "22Mi"), fixed("17m", "27Mi")),
        (fixed("24m", "24Mi"), fixed("29m", "29Mi")),
    ],
    "additions": [
        (sized(cpu="20m"), sized(cpu="25m", cpu_limit="35m")),
        (sized(memory="20Mi"), sized(memory="15Mi", memory_limit="35Mi")),
        (sized("20m", "20Mi"), sized("20m", "15Mi")),
        (sized(cpu="20m"), sized("15m", "20Mi")),
        (sized(memory="20Mi"), sized("20m", "25Mi")),
        (sized(), sized(cpu="20m")),
    ],
    "equivalents": [(sized(cpu="2m", cpu_limit="10m"), sized(cpu="1m", cpu_limit="5m"))],
}


def test_new_sizes_in_place(newest: RunningCluster) -> None:
    """There and, but for limits that were added, back again; the kernel holds them to it each time."""

    def containers(name: str, which: int) -> list[Object]:
        return [
            {**container(), "name": f"c{number}", "resources": pair[which]}
            for number, pair in enumerate(RESIZES[name])
        ]

    newest.apply(*(pod(name, *containers(name, 0)) for name in RESIZES))
    # With a hundredth of a processor the runtime's own first steps take long, a minute on a slow machine.
    newest.wait("pod/equivalents", "condition=Ready", 300)
    newest.ready(*RESIZES)
    for which, names in ((1, list(RESIZES)), (0, [name for name in RESIZES if name != "additions"])):
        before = {name: _kernel(newest, name) for name in names}
        for name in names:
            order = {"$setElementOrder/containers": [{"name": one["name"]} for one in containers(name, 0)]}
            wanted = [{"name": one["name"], "resources": one["resources"]} for one in containers(name, which)]
            patch = json.dumps({"spec": {**order, "containers": wanted}})
            newest.kubectl("patch", "pod", name, "--subresource=resize", "-p", patch)
        for name in names:
            pairs = [pair if which else pair[::-1] for pair in RESIZES[name]]
            wanted_all = {f"c{number}": pair[1] for number, pair in enumerate(pairs)}
            eventually(lambda name=name, wanted_all=wanted_all: _running_with(newest, name) == wanted_all)
            _held_to(_kernel(newest, name), before[name], pairs)
    assert set(_restarts(newest).values()) == {0}
    specs = newest.json("get", "pod", "mixed")["spec"]["containers"]
    assert not any("resizePolicy" in one for one in specs)


def _held_to(
    after: dict[str, tuple[str, str]], before: dict[str, tuple[str, str]], pairs: list[tuple[Object, Object]]
) -> None:
    for number, (old, new) in enumerate(pairs):
        name, limit = f"c{number}", (new.get("limits") or {}).get("memory")
        if limit:
            assert after[name][1] == str(int(limit.removesuffix("Mi")) * 2**20)
        asked = [(one.get("requests") or {}).get("cpu") for one in (old, new)]
        if asked[0] != asked[1] and asked[1] not in ("1m", "2m"):  # these two have the same weight
            assert after[name][0] != before[name][0]


def _running_with(cluster: RunningCluster, name: str) -> dict[str, Object]:
    whole = cluster.json("get", "pod", name)["status"]
    if any(item["type"].startswith("PodResize") for item in whole["conditions"]):
        return {}
    status = whole["containerStatuses"]
    for item in status:
        assert (item.get("allocatedResources") or {}) == (item["resources"].get("requests") or {})
    return {item["name"]: item["resources"] for item in status}


def test_a_new_size_by_replacing(newest: RunningCluster) -> None:
    newest.apply(pod("whole", container(resources=fixed("20m", "20Mi"))))
    newest.ready("whole")
    body = newest.json("get", "pod", "whole", "--subresource=resize")
    body["spec"]["containers"][0]["resources"] = fixed("25m", "25Mi")
    newest.kubectl("replace", "--subresource=resize", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: _running_with(newest, "whole") == {"main": fixed("25m", "25Mi")})
    parts = [newest.json("get", "pod", "whole", *more) for more in ([], ["--subresource=resize"])]
    assert parts[0] == parts[1]


def test_a_new_size_for_a_whole_pod(newest: RunningCluster) -> None:
    newest.apply(pod("shared", resources=fixed("20m", "20Mi")))
    newest.ready("shared")
    patch = json.dumps({"spec": {"resources": fixed("25m", "25Mi")}})
    newest.kubectl("patch", "pod", "shared", "--subresource=resize", "-p", patch)
    eventually(lambda: newest.json("get", "pod", "shared")["status"].get("resources") == fixed("25m", "25Mi"))
    status = newest.json("get", "pod", "shared")["status"]
    assert status["allocatedResources"] == fixed("25m", "25Mi")["requests"]


def test_a_deadline_set_later(cluster: RunningCluster) -> None:
    cluster.apply(pod("hurried"))
    cluster.ready("hurried")
    cluster.kubectl("patch", "pod", "hurried", "-p", '{"spec":{"activeDeadlineSeconds":2}}')
    cluster.wait("pod/hurried", "jsonpath={.status.reason}=DeadlineExceeded")
    cluster.wait("pod/hurried", "jsonpath={.status.phase}=Failed")
    message = "Pod was active on the node longer than the specified deadline"
    assert cluster.path("pod/hurried", ".status.message") == message
