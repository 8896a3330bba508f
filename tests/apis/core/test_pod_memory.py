"""What is remembered of pod specs equals what is found out anew, for any spec, asked in any order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.apimachinery import managedfields, memo
from tiphys.apimachinery.managedfields import compare
from tiphys.apimachinery.meta import GVK, copy_object
from tiphys.apimachinery.schema.mismatch import DecodeError
from tiphys.apimachinery.schema.walk import decode_check
from tiphys.apis.schemas import schema_for
from tiphys.apis.strategies import strategy_for, validate_create

POD = GVK("", "v1", "Pod")
SCHEMA = schema_for(POD)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _some(**fields: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of the fields, each with one of its values."""
    return st.fixed_dictionaries(
        {}, optional={key: st.sampled_from(values) for key, values in fields.items()}
    )


_CONTAINERS = _some(
    name=["a", "b", "", "NOT A NAME", 7],
    image=["i:1", "i", "", " i"],
    ports=[[{"containerPort": 80}], [{"containerPort": 0, "name": "x" * 20}], [], None],
    env=[[{"name": "A", "value": "1"}], [{"name": "A"}, {"name": "A"}], [{"name": "="}]],
    resources=[
        {"limits": {"cpu": "1000m"}},
        {"requests": {"cpu": 2, "memory": "1.5Gi"}},
        {"requests": "x"},
        {},
    ],
    readinessProbe=[{"httpGet": {"port": 80}}, {"httpGet": {"port": True}}, {"tcpSocket": {"port": "p"}}],
    volumeMounts=[[{"name": "v", "mountPath": "/v"}], [{"name": "none", "mountPath": "/v"}]],
    unknown=[1, None, {"a": 1}],
)
_SPECS = st.builds(
    lambda spec, containers: {**spec, "containers": containers},
    _some(
        volumes=[
            [{"name": "v", "emptyDir": {}}],
            [{"name": "v", "emptyDir": {}, "secret": {}}],
            [{"name": "v"}],
        ],
        restartPolicy=["Always", "Never", "Sometimes"],
        nodeSelector=[{"a": "b"}, {"a b": "c"}, {}],
        hostNetwork=[True, False, "yes"],
        activeDeadlineSeconds=[1, 0, -1, 1.5, float("nan"), None],
        tolerations=[[{"key": "k", "operator": "Exists"}], [{"operator": "Exists", "value": "v"}]],
        unknown=[1],
    ),
    st.lists(_CONTAINERS, max_size=2),
)


def _outcome(spec: dict[str, Any]) -> Any:
    """Take a pod all the way from its decoded body to its faults, warnings and managed fields."""
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", "labels": {"app": "x"}},
        "spec": copy_object(spec),
    }
    strategy = strategy_for(POD)
    try:
        unknown = decode_check(pod, SCHEMA, "Strict")
    except DecodeError as error:
        return str(error)
    strategy.default(pod)
    strategy.prepare_create(pod)
    managedfields.update(None, pod, SCHEMA, manager="me", api_version="v1", now=NOW)
    faults = validate_create(strategy, pod, namespaced=True)
    return repr(pod), unknown, [str(fault) for fault in faults], strategy.warnings(pod, None)


def _without_memory(ask: Callable[[], Any]) -> Any:
    with patch.object(memo, "content", lambda _: None), patch.object(compare, "content", lambda _: None):
        return ask()


@settings(max_examples=150)
@given(_SPECS)
def test_remembered_is_found(spec: dict[str, Any]) -> None:
    found = _without_memory(lambda: _outcome(spec))
    assert _outcome(spec) == found
    assert _outcome(spec) == found


def test_ignored_faults_are_not_forgotten() -> None:
    spec = {"containers": [{"name": "only-here", "image": "i", "unknown": 1}]}
    for mode, faults in (("Ignore", 0), ("Strict", 1), ("Ignore", 0), ("Strict", 1)):
        pod = {"metadata": {}, "spec": copy_object(spec)}
        assert len(decode_check(pod, SCHEMA, mode)) == faults
        assert "unknown" not in pod["spec"]["containers"][0]


def test_equal_specs_share_nothing() -> None:
    pods = [{"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}]}} for _ in range(3)]
    for pod in pods:
        strategy_for(POD).default(pod)
    pods[0]["spec"]["containers"][0]["image"] = pods[0]["spec"]["securityContext"]["runAsUser"] = 1
    assert pods[1] == pods[2] != pods[0]
