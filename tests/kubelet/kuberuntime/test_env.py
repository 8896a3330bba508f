"""Environment variables of containers."""

import pytest
from pods import container, pod

from tiphys.kubelet.kuberuntime.downward import NodeFacts, PodAddresses
from tiphys.kubelet.kuberuntime.env import (
    EnvFile,
    EnvProblem,
    EnvSources,
    expand,
    files_of,
    make_env,
    referenced,
    references,
    service_env,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NO)", "$(NO)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("a$", "a$"),
        ("$()", "$()"),
        ("$$", "$"),
    ],
)
def test_expand(text, expected):
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(
    ("text", "names"), [("$(A)/$(B)", ["A", "B"]), ("$$(A)$A", []), ("", []), ("x$(A)$$", ["A"])]
)
def test_references(text, names):
    assert references(text) == names


SERVICE = {
    "metadata": {"name": "my-db", "namespace": "ns"},
    "spec": {
        "clusterIP": "10.0.0.1",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
    },
}
KUBERNETES = {
    "metadata": {"name": "kubernetes", "namespace": "default"},
    "spec": {"clusterIP": "10.0.0.254", "ports": [{"name": "https", "port": 443}]},
}


def test_service_variables():
    assert service_env([SERVICE], "ns", links=True) == {
        "MY_DB_SERVICE_HOST": "10.0.0.1",
        "MY_DB_SERVICE_PORT": "5432",
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT": "tcp://10.0.0.1:5432",
        "MY_DB_PORT_5432_TCP": "tcp://10.0.0.1:5432",
        "MY_DB_PORT_5432_TCP_PROTO": "tcp",
        "MY_DB_PORT_5432_TCP_PORT": "5432",
        "MY_DB_PORT_5432_TCP_ADDR": "10.0.0.1",
        "MY_DB_PORT_53_UDP": "udp://10.0.0.1:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize(
    ("service", "links", "found"),
    [
        (SERVICE, False, False),
        (KUBERNETES, False, True),
        ({**SERVICE, "metadata": {"name": "x", "namespace": "other"}}, True, False),
        ({**SERVICE, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}, True, False),
    ],
    ids=["no links", "the API always", "another namespace", "headless"],
)
def test_which_services(service, links, found):
    assert bool(service_env([service], "ns", links=links)) is found


SOURCES = EnvSources(
    config_maps={"cm": {"data": {"k": "v", "k2": "v2"}}, "gone": None},
    secrets={"sec": {"p": b"word"}, "gone": None},
    addresses=PodAddresses(("10.0.0.5",), ("192.0.2.1",)),
    node=NodeFacts(4000, 2**30, 2**31),
    files={
        ("v", "f"): EnvFile("/host/v/f", "K='v'"),
        ("v", "wrong"): EnvFile("/host/v/wrong", "K=v"),
        ("v", "none"): EnvFile("/host/v/none", None),
    },
)


def in_file(path, key="K", **more):
    return var(fileKeyRef={"volumeName": "v", "path": path, "key": key, **more})


def env_of(*env, from_=(), **fields):
    spec = container(env=list(env), envFrom=list(from_), **fields)
    return make_env(pod(spec, meta={"labels": {"app": "x"}}, serviceAccountName="sa"), spec, SOURCES)


def var(**source):
    return {"name": "A", "valueFrom": source}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param({"name": "A", "value": "1"}, "1", id="value"),
        pytest.param(var(configMapKeyRef={"name": "cm", "key": "k"}), "v", id="config map"),
        pytest.param(var(secretKeyRef={"name": "sec", "key": "p"}), "word", id="secret"),
        pytest.param(in_file("f"), "v", id="file"),
        pytest.param(var(fieldRef={"fieldPath": "metadata.name"}), "p", id="name"),
        pytest.param(var(fieldRef={"fieldPath": "metadata.labels['app']"}), "x", id="label"),
        pytest.param(var(fieldRef={"fieldPath": "status.podIP"}), "10.0.0.5", id="pod ip"),
        pytest.param(var(fieldRef={"fieldPath": "status.hostIP"}), "192.0.2.1", id="host ip"),
        pytest.param(var(fieldRef={"fieldPath": "spec.serviceAccountName"}), "sa", id="account"),
        pytest.param(var(resourceFieldRef={"resource": "limits.cpu"}), "4", id="node's cpu by default"),
        pytest.param(
            var(resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}), "1024", id="node's memory"
        ),
    ],
)
def test_sources(item, expected):
    assert env_of(item)["A"] == expected


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (var(configMapKeyRef={"name": "gone", "key": "k"}), 'configmap "gone" not found'),
        (var(configMapKeyRef={"name": "cm", "key": "x"}), "couldn't find key x in ConfigMap ns/cm"),
        (var(secretKeyRef={"name": "gone", "key": "k"}), 'secret "gone" not found'),
        (var(secretKeyRef={"name": "sec", "key": "x"}), "couldn't find key x in Secret ns/sec"),
        (in_file("f", "x"), 'environment variable key "x" not found in file "/host/v/f"'),
    ],
)
def test_missing_sources(item, message):
    with pytest.raises(EnvProblem) as caught:
        env_of(item)
    assert str(caught.value) == message
    key = next(iter(item["valueFrom"]))
    item["valueFrom"][key]["optional"] = True
    assert env_of(item) == {}


@pytest.mark.parametrize("path", ["wrong", "none"])
@pytest.mark.parametrize("optional", [True, False])
def test_files_that_are_not_understood_or_not_there(path, optional):
    """What may lack is a variable in a file, never the file."""
    with pytest.raises(EnvProblem, match="couldn't parse env file"):
        env_of(in_file(path, optional=optional))


def test_a_file_in_no_volume():
    with pytest.raises(EnvProblem, match='cannot find the volume "v" referenced by FileKeyRef'):
        env_of(in_file("elsewhere"))


def test_which_files_are_read():
    spec = container(env=[in_file("f"), {"name": "B", "value": "b"}, in_file("f", "x"), in_file("g")])
    assert files_of(spec) == {("v", "f"), ("v", "g")}


def test_env_from():
    made = env_of(
        {"name": "k2", "value": "own"},
        from_=[
            {"prefix": "P_", "configMapRef": {"name": "cm"}},
            {"configMapRef": {"name": "cm"}},
            {"secretRef": {"name": "sec"}},
        ],
    )
    assert made == {"P_k": "v", "P_k2": "v2", "k": "v", "k2": "own", "p": "word"}
    with pytest.raises(EnvProblem):
        env_of(from_=[{"secretRef": {"name": "gone"}}])
    assert env_of(from_=[{"secretRef": {"name": "gone", "optional": True}}]) == {}


def test_earlier_variables_are_expanded():
    assert env_of({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}) == {"A": "1", "B": "1$(C)"}


def test_referenced():
    spec = container(
        env=[var(configMapKeyRef={"name": "a", "key": "k"}), var(secretKeyRef={"name": "b", "key": "k"})],
        envFrom=[{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "d"}}],
    )
    assert referenced(spec) == ({"a", "c"}, {"b", "d"})
