"""What containers are given and how their ends are told; one pod for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from cluster import RunningCluster
from images import ENTRY, NAMED, STATIC
from manifests import Object, container, pod, service
from pod_table import Case, Facts, Table

from tiphys.apimachinery.quantity import parse

pytestmark = pytest.mark.e2e

DATA = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
PREFIXES = ["1-", "$_", "prefix with spaces ", "#!@.", "p_"]
Says = str | Callable[[Object, Facts], str]


def one(
    name: str,
    script: str,
    says: Says,
    *,
    phase: str = "Succeeded",
    main: Object | None = None,
    **spec: object,
) -> Case:
    """A pod with a single container; ``main`` are fields of it."""
    made = pod(name, container(script, **(main or {})), **{"restartPolicy": "Never", **spec})
    return Case(made, says, phase)


def env_cases() -> Iterator[Case]:
    for kind, source in (("configmap", "configMap"), ("secret", "secret")):
        key = {f"{source}KeyRef": {"name": "settings", "key": "data-1"}}
        yield one(
            f"env-{kind}-key", "echo $CHOSEN", "value-1\n",
            main={"env": [{"name": "CHOSEN", "valueFrom": key}]},
        )  # fmt: skip
        # Straight from the program: shells drop variables whose names they could not write.
        from_all: Object = {f"{source}Ref": {"name": "settings"}}
        for name, prefixes in (("all", [""]), ("prefixes", PREFIXES)):
            main = {"command": ["env"], "envFrom": [{"prefix": item, **from_all} for item in prefixes]}
            wanted = sorted(f"{prefix}{key}={value}" for prefix in prefixes for key, value in DATA.items())
            made = pod(f"env-{kind}-{name}", container(**main), restartPolicy="Never")
            yield Case(made, "\n".join(wanted), of_interest=of_data)

    wanted_file = {"volumeName": "files", "path": "in/env", "key": "FROM_FILE"}
    write = "mkdir /data/in; printf \"# made\\nOTHER='x'\\nFROM_FILE='two\\nlines'\\n\" > /data/in/env"
    yield one(
        "env-file", 'echo "$CHOSEN"', "two\nlines\n",
        main={"env": [{"name": "CHOSEN", "valueFrom": {"fileKeyRef": wanted_file}}]},
        initContainers=[
            {**container(write, volumeMounts=[{"name": "files", "mountPath": "/data"}]), "name": "writer"}
        ],
        volumes=[{"name": "files", "emptyDir": {}}],
    )  # fmt: skip


def of_data(said: str) -> str:
    return "\n".join(sorted(line for line in said.splitlines() if "data-" in line))


def facts_cases() -> Iterator[Case]:
    def field(path: str) -> Object:
        return {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}}

    def resource(name: str, what: str) -> Object:
        return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": what}}}

    def of_pod(get: Callable[[Object], str]) -> Says:
        return lambda made, node: f"{get(made)}\n"

    def allocatable(made: Object, node: Facts) -> str:
        amounts = [parse(node["status"]["allocatable"][name]).milli() for name in ("cpu", "memory")]
        return " ".join(str(-(-amount // 1000)) for amount in amounts) + "\n"

    wanted: dict[str, Callable[[Object], str]] = {
        "metadata.name": lambda it: str(it["metadata"]["name"]),
        "metadata.namespace": lambda it: str(it["metadata"]["namespace"]),
        "metadata.uid": lambda it: str(it["metadata"]["uid"]),
        "status.podIP": lambda it: str(it["status"]["podIP"]),
        "status.hostIP": lambda it: str(it["status"]["hostIP"]),
        "status.hostIPs": lambda it: ",".join(item["ip"] for item in it["status"]["hostIPs"]),
        "spec.nodeName": lambda it: str(it["spec"]["nodeName"]),
        "spec.serviceAccountName": lambda it: "default",
    }
    for path, get in wanted.items():
        name = f"fact-{path.partition('.')[2].lower()}"
        yield one(name, "echo $F", of_pod(get), main={"env": [field(path)]})
    amounts = [
        resource("A", "limits.cpu"), resource("B", "limits.memory"),
        resource("C", "requests.cpu"), resource("D", "requests.memory"),
    ]  # fmt: skip
    resources = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    yield one(
        "fact-resources", "echo $A $B $C $D", f"2 {64 * 2**20} 1 {32 * 2**20}\n",
        main={"env": amounts, "resources": resources},
    )  # fmt: skip
    yield one("fact-defaults-of-the-node", "echo $A $B", allocatable, main={"env": amounts[:2]})


def command_cases() -> Iterator[Case]:
    def entry(name: str, says: str, **fields: object) -> Case:
        return Case(pod(name, {"name": "main", "image": ENTRY, **fields}, restartPolicy="Never"), says)

    yield entry("command-of-the-image", "entry default\n")
    yield entry("command-other-arguments", "entry other words\n", args=["other", "words"])
    yield entry("command-other", "mine\n", command=["echo", "mine"])
    yield entry("command-other-both", "mine too\n", command=["echo", "mine"], args=["too"])
    static: Object = {"name": "main", "image": STATIC}
    made = pod(
        "command-without-a-system", static, restartPolicy="Never", securityContext={"runAsNonRoot": True}
    )
    yield Case(made, "uid=65532 gid=0 groups=0\n/not/there\n")
    named: Object = {"name": "main", "image": NAMED}
    yield Case(
        pod("command-of-a-named-user", named, restartPolicy="Never"),
        "uid=33(www) gid=44(www) groups=44(www),77(extra)\n",
    )
    env = [
        {"name": "FOO", "value": "foo"}, {"name": "BAR", "value": "bar"},
        {"name": "BOTH", "value": "$(FOO);;$(BAR);;$$(FOO);;$(NONE)"},
    ]  # fmt: skip
    yield one("expand-env", 'echo "$BOTH"', "foo;;bar;;$(FOO);;$(NONE)\n", main={"env": env})
    yield one("expand-command", "echo '$(FOO) $(NONE) $$(FOO)'", "foo $(NONE) $(FOO)\n", main={"env": env})
    yield entry("expand-arguments", "entry foo bar\n", args=["$(FOO)", "$(BAR)"], env=env)
    yield one(
        "service-variables",
        "env | grep ^WEB_ | sort | cut -d= -f1 | tr '\\n' ' '; echo; echo $WEB_SERVICE_PORT",
        "WEB_PORT WEB_PORT_8765_TCP WEB_PORT_8765_TCP_ADDR WEB_PORT_8765_TCP_PORT WEB_PORT_8765_TCP_PROTO"
        " WEB_SERVICE_HOST WEB_SERVICE_PORT \n8765\n",
    )


def security_cases() -> Iterator[Case]:
    def context(**fields: object) -> Object:
        return {"securityContext": fields}

    who = "id -u; id -g"
    status = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'"
    yield one("user", "id -u", "65534\n", main=context(runAsUser=65534))
    yield one("user-and-group", who, "1001\n2002\n", main=context(runAsUser=1001, runAsGroup=2002))
    yield one(
        "pod-user-and-group", who, "1001\n2002\n", securityContext={"runAsUser": 1001, "runAsGroup": 2002}
    )
    yield one(
        "groups", "id -G", "2002 3003 4004\n",
        securityContext={"runAsUser": 1, "runAsGroup": 2002, "fsGroup": 3003, "supplementalGroups": [4004]},
    )  # fmt: skip
    link = "ip link add dummy0 type dummy 2>/dev/null && echo yes || echo no"
    yield one("unprivileged", link, "no\n", main=context(privileged=False))
    yield one(
        "privileged", "grep CapEff /proc/self/status | cut -f2 | grep -q ffff && test -e /dev/kmsg; echo $?",
        "0\n", main=context(privileged=True),
    )  # fmt: skip
    write = "(echo x > /file) 2>/dev/null && echo written || echo refused"
    yield one("root-read-only", write, "refused\n", main=context(readOnlyRootFilesystem=True))
    yield one("root-writable", write, "written\n", main=context(readOnlyRootFilesystem=False))
    yield one(
        "no-escalation", f"id -u; {status} | head -1", "1000\nNoNewPrivs:1\n",
        main=context(runAsUser=1000, allowPrivilegeEscalation=False),
    )  # fmt: skip
    yield one("escalation", f"{status} | head -1", "NoNewPrivs:0\n", main=context(runAsUser=1000))
    yield one(
        "seccomp",
        f"{status} | tail -1",
        "Seccomp:2\n",
        main=context(seccompProfile={"type": "RuntimeDefault"}),
    )
    yield one("no-seccomp", f"{status} | tail -1", "Seccomp:0\n")
    yield one(
        "capabilities", "grep CapEff /proc/self/status | cut -f2", "0000000000000400\n",
        main=context(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    )  # fmt: skip
    safe = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    yield one("sysctl", "cat /proc/sys/kernel/shm_rmid_forced", "1\n", securityContext=safe)


def hosts_cases() -> Iterator[Case]:
    managed = "head -1 /etc/hosts"
    head = "# Kubernetes-managed hosts file"
    aliases = [{"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}]
    yield one(
        "hosts-aliases", "tail -2 /etc/hosts", "# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n",
        hostAliases=aliases,
    )  # fmt: skip
    yield one("hosts-managed", managed, f"{head}.\n")
    yield one("hosts-of-the-node", managed, f"{head} (host network).\n", hostNetwork=True)
    yield one(
        "hosts-mounted", f"{managed} | grep -c '{head}' || true", "0\n",
        main={"volumeMounts": [{"name": "h", "mountPath": "/etc/hosts"}]},
        volumes=[{"name": "h", "hostPath": {"path": "/etc/hosts", "type": "File"}}],
    )  # fmt: skip
    yield one(
        "names",
        "hostname; grep there /etc/hosts | cut -f2-",
        "me\nme.there.containers.svc.cluster.local\tme\n",
        hostname="me",
        subdomain="there",
    )


def order_cases() -> Iterator[Case]:
    log = {"volumeMounts": [{"name": "log", "mountPath": "/log"}]}
    spec: Object = {"volumes": [{"name": "log", "emptyDir": {}}]}
    inits = [{**container(f"echo {name} >> /log/f", **log), "name": name} for name in ("one", "two")]
    for policy in ("Never", "OnFailure"):
        yield one(
            f"init-{policy.lower()}", "cat /log/f", "one\ntwo\n", main=log,
            initContainers=inits, restartPolicy=policy, **spec,
        )  # fmt: skip
    failing = [{**container("exit 1"), "name": "fails"}]
    yield one("init-fails", "echo never", "", phase="Failed", initContainers=failing)


def message_cases() -> Iterator[Case]:
    """How each ended is in ``MESSAGES``."""
    path = "/dev/termination-custom-log"
    user: Object = {"terminationMessagePath": path, "securityContext": {"runAsUser": 1000}}
    fallback: Object = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    rows: list[tuple[str, str, str, Object]] = [
        ("message-user", f"printf DONE > {path}", "", user),
        ("message-log", "printf DONE; exit 1", "DONE", fallback),
        ("message-none", "printf DONE", "DONE", fallback),
        ("message-file", "printf DONE; printf OK > /dev/termination-log", "DONE", fallback),
        ("message-exit", "exit 7", "", {}),
    ]
    for name, script, says, fields in rows:
        phase = "Failed" if "exit" in script else "Succeeded"
        made = pod(name, container(script, **fields), restartPolicy="Never")
        yield Case(made, says, phase, unended=True)


MESSAGES = {
    "message-user": ("Completed", 0, "DONE"),
    "message-log": ("Error", 1, "DONE"),
    "message-none": ("Completed", 0, ""),
    "message-file": ("Completed", 0, "OK"),
    "message-exit": ("Error", 7, ""),
}
CASES = [
    *env_cases(), *facts_cases(), *command_cases(), *security_cases(), *hosts_cases(), *order_cases(),
    *message_cases(),
    one("output", "echo to both; sleep 0.3; echo of them >&2", "to both\nof them\n"),
]  # fmt: skip


def objects() -> list[Object]:
    web = service("web", ports=[{"port": 8765, "targetPort": 8080}])
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": DATA},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "settings"}, "stringData": DATA},
        web,
    ]


@pytest.fixture(scope="module")
def table(session_cluster: RunningCluster) -> Iterator[Table]:
    made = Table(session_cluster, "containers", objects(), CASES)
    yield made
    made.end()


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_pod(table: Table, name: str) -> None:
    table.check(name)


@pytest.mark.parametrize("name", list(MESSAGES))
def test_end(table: Table, name: str) -> None:
    (status,) = table.pods[name]["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"], ended.get("message", "")) == MESSAGES[name]
    assert status["restartCount"] == 0
    assert ended["startedAt"]
    assert ended["finishedAt"]
    assert ended["containerID"].startswith("containerd://")
    # Runtimes name an image by its first tag: another test may have given it one more.
    assert status["image"]
    assert status["imageID"].startswith("sha256:") or "@sha256:" in status["imageID"]


def test_failed_init_container_fails_the_pod(table: Table) -> None:
    status = table.pods["init-fails"]["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    initialized = next(item for item in status["conditions"] if item["type"] == "Initialized")
    assert initialized["status"] == "False"
    assert initialized["message"] == "containers with incomplete status: [fails]"
