"""Sandbox and container configurations, admission, mounts."""

from dataclasses import replace

import pytest
from pods import container, pod

from tiphys.kubelet import runtime as words
from tiphys.kubelet.admission import NodeCapacity, admit
from tiphys.kubelet.kuberuntime.containers import ContainerInputs, container_config, container_hash
from tiphys.kubelet.kuberuntime.mounts import container_mounts, termination_file, write_hosts
from tiphys.kubelet.kuberuntime.sandbox import NodeSettings, log_directory, port_mappings, sandbox_config
from tiphys.kubelet.runtime import Image
from tiphys.kubelet.volumes.manager import Mounted, kind_of
from tiphys.kubelet.volumes.payload import VolumeProblem

NODE = NodeSettings(logs_dir="/logs", cluster_dns=("10.0.0.10",), node_memory_bytes=2**30)
IMAGE = Image("sha256:1", (), (), 1)


def test_sandbox():
    made = sandbox_config(
        pod(
            meta={"labels": {"app": "x"}}, securityContext={"sysctls": [{"name": "net/ipv4/x", "value": "1"}]}
        ),
        2,
        NODE,
        "/kubepods/poduid-1",
    )
    assert made["metadata"] == {"name": "p", "uid": "uid-1", "namespace": "ns", "attempt": 2}
    assert made["log_directory"] == "/logs/ns_p_uid-1" == log_directory(pod(), "/logs")
    assert made["labels"] == {
        "app": "x",
        words.POD_NAME: "p",
        words.POD_NAMESPACE: "ns",
        words.POD_UID: "uid-1",
    }
    assert made["linux"]["cgroup_parent"] == "/kubepods/poduid-1"
    assert made["linux"]["sysctls"] == {"net.ipv4.x": "1"}
    assert made["dns_config"]["servers"] == ["10.0.0.10"]
    assert made["hostname"] == "p"
    assert "cgroup_parent" not in sandbox_config(pod(), 0, NODE)["linux"]


def test_ports():
    ports = [
        {"containerPort": 80, "hostPort": 8080, "hostIP": "1.2.3.4"},
        {"containerPort": 53, "protocol": "UDP"},
    ]
    expected = {"protocol": 0, "container_port": 80, "host_port": 8080, "host_ip": "1.2.3.4"}
    assert port_mappings(pod(container(ports=ports))) == [expected]
    assert port_mappings(pod(container(ports=ports), hostNetwork=True)) == []


def test_container():
    spec = container(
        command=["sh", "$(A)"], args=["$(B)"], workingDir="/w", tty=True, stdin=True,
        resources={"limits": {"memory": "1Mi"}}, terminationMessagePath="/end",
    )  # fmt: skip
    made = container_config(pod(spec), spec, ContainerInputs(3, IMAGE, {"A": "1"}), NODE)
    assert made["metadata"] == {"name": "c", "attempt": 3}
    assert made["image"] == {"image": "sha256:1", "user_specified_image": "img"}
    assert (made["command"], made["args"], made["working_dir"]) == (["sh", "1"], ["$(B)"], "/w")
    assert made["envs"] == [{"key": "A", "value": b"1"}]
    assert made["log_path"] == "c/3.log"
    assert (made["tty"], made["stdin"], made["stdin_once"]) == (True, True, False)
    assert made["annotations"][words.RESTART_COUNT] == "3"
    assert made["annotations"][words.TERMINATION_PATH] == "/end"
    assert made["annotations"][words.CONTAINER_HASH] == container_hash(spec)
    assert made["linux"]["resources"]["memory_limit_in_bytes"] == 2**20
    assert made["linux"]["resources"]["oom_score_adj"] == 999


def test_hash_follows_the_image_only():
    assert container_hash(container()) == container_hash(container(env=[{"name": "A"}]))
    assert container_hash(container()) != container_hash(container(image="b"))


TAINTS = ({"key": "k", "value": "v", "effect": "NoExecute"}, {"key": "j", "effect": "NoSchedule"})
CAPACITY = NodeCapacity(
    {"cpu": 1000, "memory": 2**20, "pods": 2}, {"zone": "a"}, ("kernel.msg*",), name="n", apparmor=False
)


def asks(**requests):
    return container(resources={"requests": requests})


def sysctl(name, **spec):
    return pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec)


def affinity(operator, *values):
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pod(affinity={"nodeAffinity": required})


def on_node(operator, *names):
    term = {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(names)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return pod(affinity={"nodeAffinity": required})


def labelled(**labels):
    made = pod()
    made["metadata"]["labels"] = {"kubernetes.io/os": "linux", **labels}
    return made


def groups(policy):
    return pod(securityContext={"supplementalGroupsPolicy": policy})


def profile(kind, **spec):
    return pod(container(securityContext={"appArmorProfile": {"type": kind}}), **spec)


def on_port(status=None, **port):
    ports = [{"containerPort": 80, "hostPort": 8080, **port}]
    return pod(container(ports=ports), **({"status": status} if status else {}))


@pytest.mark.parametrize(
    ("the_pod", "others", "reason"),
    [
        (pod(asks(cpu="1")), [], None),
        (pod(asks(cpu="1")), [pod(asks(cpu="1m"))], "OutOfcpu"),
        (pod(asks(cpu="1")), [pod(asks(cpu="1"), status={"phase": "Succeeded"})], None),
        (pod(asks(memory="2Mi")), [], "OutOfmemory"),
        (pod(), [pod(), pod()], "OutOfpods"),
        (sysctl("kernel.shm_rmid_forced"), [], None),
        (sysctl("kernel.msgmax"), [], None),
        (sysctl("kernel.sem"), [], "SysctlForbidden"),
        (sysctl("net.ipv4.tcp_syncookies", hostNetwork=True), [], "SysctlForbidden"),
        (sysctl("kernel.shm_rmid_forced", hostIPC=True), [], "SysctlForbidden"),
        (pod(nodeSelector={"zone": "a"}), [], None),
        (pod(nodeSelector={"zone": "b"}), [], "NodeAffinity"),
        (affinity("In", "a", "b"), [], None),
        (affinity("NotIn", "a"), [], "NodeAffinity"),
        (affinity("Exists"), [], None),
        (affinity("Gt", "1"), [], "NodeAffinity"),
        (on_port(), [pod()], None),
        (on_port(), [on_port()], "NodePorts"),
        (on_port(), [on_port(protocol="UDP")], None),
        (on_port(hostIP="10.0.0.1"), [on_port(hostIP="10.0.0.2")], None),
        (on_port(hostIP="10.0.0.1"), [on_port()], "NodePorts"),
        (on_port(), [on_port(status={"phase": "Failed"})], None),
        (on_node("In", "n"), [], None),
        (on_node("In", "m"), [], "NodeAffinity"),
        (on_node("NotIn", "n"), [], "NodeAffinity"),
        (pod(asks(cpu="2"), nodeSelector={"zone": "b"}), [], "OutOfcpu"),
        (pod(os={"name": "linux"}), [], None),
        (pod(os={"name": "windows"}), [], "PodOSNotSupported"),
        (labelled(), [], None),
        (labelled(**{"kubernetes.io/os": "windows"}), [], "PodOSSelectorNodeLabelDoesNotMatch"),
        (groups("Merge"), [], None),
        (groups("Strict"), [], "SupplementalGroupsPolicyNotSupported"),
        (profile("Unconfined"), [], None),
        (profile("RuntimeDefault"), [], "AppArmor"),
        (profile("RuntimeDefault", status={"phase": "Running"}), [], None),
        (pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), [], "AppArmor"),
        (profile("Unconfined", securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}), [], None),
    ],
)
def test_admission(the_pod, others, reason):
    found = admit(the_pod, others, CAPACITY)
    assert (found.reason if found else None) == reason


def test_a_node_that_can_more_takes_more():
    able = replace(CAPACITY, strict_groups=True, apparmor=True)
    assert admit(groups("Strict"), [], able) is None
    assert admit(profile("RuntimeDefault"), [], able) is None


def test_pods_that_would_be_evicted_at_once_are_not_taken_in():
    tainted = replace(CAPACITY, taints=TAINTS)
    found = admit(pod(), [], tainted)
    text = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    assert (found.reason, found.message) == ("TaintToleration", text)
    for_a_while = {"key": "k", "operator": "Exists", "tolerationSeconds": 5}
    assert admit(pod(tolerations=[for_a_while]), [], tainted) is None
    static = pod()
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert admit(static, [], tainted) is None


def test_admission_message():
    found = admit(pod(asks(cpu="2")), [], CAPACITY)
    assert found.message == "Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000"


def test_mounts(tmp_path):
    write_hosts(tmp_path, "127.0.0.1 me\n")
    spec = container(
        volumeMounts=[
            {"name": "v", "mountPath": "/data", "mountPropagation": "HostToContainer"},
            {"name": "ro", "mountPath": "etc"},
        ]
    )
    volumes = {"v": Mounted(tmp_path / "v"), "ro": Mounted(tmp_path / "ro", read_only=True)}
    made = {item["container_path"]: item for item in container_mounts(spec, volumes, {}, tmp_path, 1)}
    assert made["/data"] == {
        "container_path": "/data", "host_path": str(tmp_path / "v"), "readonly": False, "propagation": 1
    }  # fmt: skip
    assert made["/etc"]["readonly"] is True
    assert made["/etc/hosts"]["host_path"] == str(tmp_path / "etc-hosts")
    file = termination_file(tmp_path, "c", 1)
    assert made["/dev/termination-log"]["host_path"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o666


def expression(text):
    return {"name": "v", "mountPath": "/x", "subPathExpr": text}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"name": "no", "mountPath": "/x"}, 'cannot find volume "no" to mount into container "c"'),
        (expression("$(NO)"), "missing value for NO"),
        (expression("$(NO)/$(EMPTY)/$(UP)"), "missing value for EMPTY, NO"),
        (expression("$(UP)"), 'invalid SubPath "..": must not be absolute or contain ".."'),
        (expression("$(ABSOLUTE)"), 'invalid SubPath "/tmp": must not be absolute or contain ".."'),
        (expression("out"), 'failed to prepare subPath for volumeMount "v" of container "c"'),
        (expression("file/in"), 'failed to prepare subPath for volumeMount "v" of container "c"'),
    ],
)
def test_impossible_mounts(tmp_path, item, text):
    (tmp_path / "out").symlink_to("/")
    (tmp_path / "file").touch()
    env = {"EMPTY": "", "UP": "..", "ABSOLUTE": "/tmp"}
    with pytest.raises(VolumeProblem) as caught:
        container_mounts(container(volumeMounts=[item]), {"v": Mounted(tmp_path)}, env, tmp_path, 0)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("volume", "kind"), [({"name": "a", "hostPath": {}}, "hostPath"), ({"name": "a"}, "emptyDir")]
)
def test_kinds(volume, kind):
    assert kind_of(volume) == kind
