"""What feature gates and ``--runtime-config`` do to a whole server."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.compatibility import Effective
from tiphys.apimachinery.featuregates import DEFAULTS, resolve
from tiphys.apis.field_gates import FieldGates
from tiphys.apis.introduced import SINCE, younger
from tiphys.apis.runtime_config import RuntimeConfigError, parse
from tiphys.apis.table import TABLE
from tiphys.apiserver.ruled import Ruled


def gates(**asked: bool) -> Any:
    return resolve(asked)


async def test_versions_that_are_not_served(serving: Any) -> None:
    config = parse("apps/v1/daemonsets=false,policy/v1=false")
    async with serving(runtime_config=config) as api:
        groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
        assert "policy" not in groups
        assert "internal.apiserver.k8s.io" not in groups
        versions = [one["version"] for one in groups["resource.k8s.io"]["versions"]]
        assert versions == ["v1"]
        names = [one["name"] for one in (await api.get("/apis/apps/v1"))["resources"]]
        assert "deployments" in names
        assert not [name for name in names if name.startswith("daemonsets")]
        for path in ("/apis/apps/v1/daemonsets", "/apis/policy/v1", "/apis/policy/v1/poddisruptionbudgets"):
            assert (await api("GET", path)).status == 404
        paths = (await api.get("/openapi/v3"))["paths"]
        assert "apis/policy/v1" not in paths
        assert "apis/resource.k8s.io/v1beta1" not in paths
        document = await api.get("/openapi/v3/apis/apps/v1")
        assert not [path for path in document["paths"] if "daemonsets" in path]
        services = await api.get("/apis/apiregistration.k8s.io/v1/apiservices")
        assert "v1.policy" not in [one["metadata"]["name"] for one in services["items"]]


CERTIFICATES = "/apis/certificates.k8s.io"
RULES = "/apis/resource.k8s.io"


async def test_versions_that_are_served_when_asked_for(serving: Any) -> None:
    async with serving() as api:
        found = [one["version"] for group in (await api.get("/apis"))["groups"] for one in group["versions"]]
        assert set(found) == {"v1", "v2", "v1beta1"}
        assert found.count("v1beta1") == 1  # of metrics, which are served beside
        assert (await api("GET", f"{RULES}/v1beta2/devicetaintrules")).status == 404
    async with serving(runtime_config=parse("resource.k8s.io/v1beta2=true")) as api:
        assert (await api("GET", f"{RULES}/v1beta2/devicetaintrules")).status == 200
        assert (await api("GET", f"{RULES}/v1alpha3/devicetaintrules")).status == 404


@pytest.mark.parametrize("on", [True, False])
async def test_kinds_of_features(serving: Any, *, on: bool) -> None:
    options = {"feature_gates": gates(ClusterTrustBundle=on), "runtime_config": parse("api/beta=true")}
    async with serving(**options) as api:
        answer = await api("GET", f"{CERTIFICATES}/v1beta1/clustertrustbundles")
        assert answer.status == (200 if on else 404)
        assert (await api("GET", f"{CERTIFICATES}/v1beta1/podcertificaterequests")).status == 404


async def test_the_server_itself_goes_on_using_what_it_hides(serving: Any, make_pod: Any) -> None:
    config = parse("api/all=false,/v1=true,policy/v1=false")
    async with serving(runtime_config=config) as api:
        await api.create("/api/v1/namespaces/default/pods", make_pod("p"))
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
        await api.create("/api/v1/namespaces/default/pods/p/eviction", eviction)


async def test_a_wrong_key_is_told_at_the_start(serving: Any) -> None:
    with pytest.raises(RuntimeConfigError, match="unknown api groups none"):
        async with serving(runtime_config=parse("none/v1=true")):
            pass


@pytest.mark.parametrize("on", [True, False])
async def test_compression(serving: Any, *, on: bool) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    async with serving(feature_gates=gates(APIResponseCompression=on)) as api:
        await api.create(maps, {"metadata": {"name": "large"}, "data": {"k": "v" * 200_000}})
        response = await api.send("GET", maps, accept_encoding="gzip")
        assert ("content-encoding" in response.headers) is on
        document = await api.send("GET", "/openapi/v2", accept_encoding="gzip")  # by a handler of its own
        assert document.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("on", [True, False])
async def test_marks_of_storage(serving: Any, *, on: bool) -> None:
    async with serving(feature_gates=gates(StorageVersionHash=on)) as api:
        found = await api.get("/api/v1")
        pods = next(one for one in found["resources"] if one["name"] == "pods")
        assert ("storageVersionHash" in pods) is on


async def test_watches_that_begin_with_what_exists(serving: Any) -> None:
    watch = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    async with serving(feature_gates=gates(WatchList=False, WatchListClient=False)) as api:
        answer = await api("GET", watch)
        assert answer.status == 422
        assert answer.message == (
            'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is '
            "forbidden for watch unless the WatchList feature gate is enabled"
        )
        answer = await api("GET", watch.replace("NotOlderThan", "Exact"))
        places = [cause["field"] for cause in answer.json["details"]["causes"]]
        assert places == ["resourceVersionMatch", "sendInitialEvents", "resourceVersionMatch"]


@pytest.mark.parametrize(("on", "status"), [(True, 200), (False, 404)])
async def test_pages(serving: Any, status: int, *, on: bool) -> None:
    async with serving(feature_gates=gates(ComponentStatusz=on), flags={"secure-port": "6443"}) as api:
        assert (await api("GET", "/statusz", accept="")).status == status
        assert b"\nsecure-port=6443\n" in (await api("GET", "/flagz", accept="")).raw
        assert ("/statusz" in (await api.get("/"))["paths"]) is on


async def test_gates_are_counted(serving: Any) -> None:
    async with serving(feature_gates=gates(HPAScaleToZero=True)) as api:
        raw = (await api("GET", "/metrics")).raw
        assert b'kubernetes_feature_enabled{name="HPAScaleToZero",stage="ALPHA"} 1' in raw
        assert b'kubernetes_feature_enabled{name="SidecarContainers",stage=""} 1' in raw
        assert b'kubernetes_feature_enabled{name="KMSv1",stage="DEPRECATED"} 0' in raw


async def test_health_by_itself(api: Any) -> None:
    await api("GET", "/livez/ping")
    raw = (await api("GET", "/metrics/slis")).raw
    assert b'kubernetes_healthcheck{name="ping",type="livez"} 1' in raw
    assert b"apiserver_request_total" not in raw


@pytest.mark.parametrize("on", [True, False])
async def test_a_plugin_whose_feature_is_off(serving: Any, make_pod: Any, *, on: bool) -> None:
    async with serving(feature_gates=gates(PodTopologyLabelsAdmission=on)) as api:
        zone = {"topology.kubernetes.io/zone": "z"}
        await api.create("/api/v1/nodes", {"metadata": {"name": "n", "labels": zone}})
        await api.create("/api/v1/namespaces/default/pods", make_pod("p"))
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
        await api.create("/api/v1/namespaces/default/pods/p/binding", binding)
        pod = await api.get("/api/v1/namespaces/default/pods/p")
        assert ("topology.kubernetes.io/zone" in pod["metadata"]["labels"]) is on


@pytest.mark.parametrize("verbs", [["get"], ["get", "create"]])
@pytest.mark.parametrize("on", [True, False])
async def test_websockets_into_pods_need_create(serving: Any, verbs: list[str], *, on: bool) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    streams = ("exec", "attach", "portforward")
    rules = [{"apiGroups": [""], "resources": [f"pods/{name}" for name in streams], "verbs": verbs}]
    binding = {
        "metadata": {"name": "streams"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "streams"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
    }
    async with serving(feature_gates=gates(AuthorizePodWebsocketUpgradeCreatePermission=on)) as api:
        await api.create(f"{rbac}/clusterroles", {"metadata": {"name": "streams"}, "rules": rules})
        await api.create(f"{rbac}/clusterrolebindings", binding)
        await api.settle()
        for name in streams:
            path = f"/api/v1/namespaces/default/pods/p/{name}"
            answer = await api("GET", path, user="alice", upgrade="websocket", connection="Upgrade")
            if on and "create" not in verbs:
                assert answer.status == 403
                start = f'pods "p" is forbidden: User "alice" cannot create resource "pods/{name}" in '
                assert answer.message.startswith(start)
            else:
                assert (answer.status, answer.message) == (404, 'pods "p" not found')


async def test_a_server_that_behaves_as_an_older_version(serving: Any) -> None:
    old = resolve({}, Effective((1, 34), (1, 33)))
    async with serving(feature_gates=old, runtime_config={"api/all": "true"}) as api:
        version = await api.get("/version")
        assert (version["minor"], version["emulationMinor"], version["minCompatibilityMinor"]) == (
            "36", "34", "33"
        )  # fmt: skip
        groups = {group["name"]: group for group in (await api.get("/apis"))["groups"]}
        assert "storagemigration.k8s.io" not in groups
        names = [one["name"] for one in (await api.get("/apis/admissionregistration.k8s.io/v1"))["resources"]]
        assert "validatingadmissionpolicies" in names
        assert "mutatingadmissionpolicies" not in names
        admission = "/apis/admissionregistration.k8s.io"
        assert (await api("GET", f"{admission}/v1/mutatingadmissionpolicies")).status == 404
        assert (await api("GET", f"{admission}/v1beta1/mutatingadmissionpolicies")).status == 200
        text = (await api("GET", "/metrics")).raw.decode()
        assert 'kubernetes_feature_enabled{name="MutatingAdmissionPolicy",stage="BETA"} 0' in text
        assert b"storage-readiness" not in (await api("GET", "/readyz?verbose")).raw
        assert (await api("GET", "/flagz")).status == 404


def test_every_row_that_is_named_as_younger_exists() -> None:
    rows = {(row.group, row.version, row.plural) for row in TABLE}
    versions = {row[:2] for row in rows}
    assert all(key in (versions if len(key) == 2 else rows) for key in SINCE)
    assert younger(TABLE, (1, 36)) == frozenset()


PODS = "/api/v1/namespaces/default/pods"
GROUP = {"podGroupName": "g"}


@pytest.mark.parametrize("on", [True, False])
async def test_fields_of_gates(serving: Any, make_pod: Any, *, on: bool) -> None:
    async with serving(feature_gates=gates(GenericWorkload=on, EnvFiles=on)) as api:
        answer = await api("POST", PODS, make_pod("p", schedulingGroup=GROUP))
        assert (answer.status, answer.headers.get("warning")) == (201, None)
        assert answer.json["spec"].get("schedulingGroup") == (GROUP if on else None)
        written = {"metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "b"}}}}
        written["spec"] |= {"template": {"metadata": {"labels": {"a": "b"}}, "spec": make_pod("p")["spec"]}}
        sets = "/apis/apps/v1/namespaces/default/replicasets"
        first = await api.create(sets, written)
        change = {"spec": {"template": {"spec": {"schedulingGroup": GROUP}}}}
        changed = (await api.patch(f"{sets}/r", change)).json
        assert changed["spec"]["template"]["spec"].get("schedulingGroup") == (GROUP if on else None)
        assert changed["metadata"]["generation"] == first["metadata"]["generation"] + on


async def test_what_was_stored_with_a_gate_on_stays(serving: Any, make_pod: Any) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    async with serving(feature_gates=gates(CoordinatedLeaderElection=True)) as api:
        spec = {"strategy": "OldestEmulationVersion", "preferredHolder": "x", "holderIdentity": "y"}
        stored = await api.create(leases, {"metadata": {"name": "l"}, "spec": spec})
        assert stored["spec"] == spec
        api.server.backend.field_gates = FieldGates(DEFAULTS)
        change = {"spec": {"preferredHolder": "z"}}
        assert (await api.patch(f"{leases}/l", change)).json["spec"] == {**spec, "preferredHolder": "z"}
        await api.patch(f"{leases}/l", {"spec": {"preferredHolder": None, "strategy": None}})
        assert (await api.patch(f"{leases}/l", {"spec": spec})).json["spec"] == {"holderIdentity": "y"}


SCALER = {
    "metadata": {"name": "h"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "minReplicas": 0,
        "maxReplicas": 2,
        "metrics": [
            {
                "type": "External",
                "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}},
            }
        ],
    },
}


@pytest.mark.parametrize("on", [True, False])
async def test_rules_of_gates(serving: Any, *, on: bool) -> None:
    scalers = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    async with serving(feature_gates=gates(HPAScaleToZero=on)) as api:
        assert (await api("POST", scalers, SCALER)).status == (201 if on else 422)


@pytest.mark.parametrize("on", [True, False])
async def test_tokens_are_of_the_account_that_is_meant(serving: Any, *, on: bool) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    asked = {"metadata": {"uid": "another"}, "spec": {"expirationSeconds": 3600}}
    async with serving(feature_gates=gates(TokenRequestServiceAccountUIDValidation=on)) as api:
        uid = (await api.get(path))["metadata"]["uid"]
        answer = await api("POST", f"{path}/token", asked)
        assert answer.status == (409 if on else 201)
        if on:
            assert answer.message == (
                'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "default": the UID in '
                f"the token request (another) does not match the UID of the service account ({uid})"
            )
        else:
            assert answer.json["metadata"]["uid"] == "another"
            assert (
                "the UID in the token request (another) does not match the UID of the service account "
                f"({uid}) but TokenRequestServiceAccountUIDValidation is not enabled. In the future, "
                "this will return a conflict error"
            ) in answer.headers["warning"]
        await api.create(f"{path}/token", {**asked, "metadata": {"uid": uid}})


UNSAFE = "ignoreStoreReadErrorWithClusterBreakingPotential"


@pytest.mark.parametrize("on", [True, False])
async def test_unsafe_deletions(serving: Any, *, on: bool) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    body = {UNSAFE: True, "dryRun": ["All"], "gracePeriodSeconds": 1}
    async with serving(feature_gates=gates(AllowUnsafeMalformedObjectDeletion=on)) as api:
        await api.create(maps, {"metadata": {"name": "a"}})
        answer = await api("DELETE", f"{maps}/a", body)
        assert answer.status == (422 if on else 200)
        if on:
            assert answer.message == (
                f'DeleteOptions.meta.k8s.io "" is invalid: [{UNSAFE}: Invalid value: true: cannot be set '
                f"together with .dryRun, {UNSAFE}: Invalid value: true: cannot be set together with "
                ".gracePeriodSeconds]"
            )


async def test_only_other_gates_stand_in_the_way(api: Any, serving: Any) -> None:
    assert not isinstance(api.server.handler, Ruled)
    async with serving(feature_gates=gates(HPAScaleToZero=True)) as other:
        assert isinstance(other.server.handler, Ruled)
        assert other.server.handler.at_once is not None


@pytest.mark.parametrize("on", [True, False])
async def test_bounded_ways_to_speak_as_another(serving: Any, *, on: bool) -> None:
    async with serving(feature_gates=gates(ConstrainedImpersonation=on)) as api:
        sent = {"impersonate-user": "bob"}
        answer = await api("GET", "/api/v1/configmaps", user="alice", **sent)
        assert answer.status == 403
        assert ("cannot impersonate-on:user-info:list" in answer.message) is on
        assert ('cannot impersonate resource "users"' in answer.message) is not on
