import pytest

from tiphys.apimachinery.meta import GVK, GVR
from tiphys.apimachinery.resource import Resource
from tiphys.apis.table import TABLE, ResourceTable, version_rank

ROWS = [
    ("", "v1", "pods", "Pod", ("po",), "/registry/pods/", GVK("", "v1", "Pod")),
    ("", "v1", "nodes", "Node", ("no",), "/registry/minions/", GVK("", "v1", "Node")),
    ("", "v1", "services", "Service", ("svc",), "/registry/services/specs/", GVK("", "v1", "Service")),
    ("apps", "v1", "deployments", "Deployment", ("deploy",), "/registry/deployments/",
     GVK("apps", "v1", "Deployment")),
    ("events.k8s.io", "v1", "events", "Event", ("ev",), "/registry/events/", GVK("", "v1", "Event")),
    ("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("hpa",),
     "/registry/horizontalpodautoscalers/", GVK("autoscaling", "v2", "HorizontalPodAutoscaler")),
    ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", (), "",
     GVK("authentication.k8s.io", "v1", "TokenReview")),
]  # fmt: skip


@pytest.mark.parametrize(("group", "version", "plural", "kind", "short", "prefix", "storage"), ROWS)
def test_rows(  # type: ignore[no-untyped-def]
    group, version, plural, kind, short, prefix, storage
) -> None:
    row = TABLE.by_path(group, version, plural)
    assert row is not None
    assert TABLE.by_kind(GVK(group, version, kind)) is row
    assert (row.kind, row.short_names, row.storage_prefix, row.storage) == (kind, short, prefix, storage)


def test_every_storage_kind_is_served() -> None:
    for row in TABLE:
        stored = TABLE.by_kind(row.storage)
        assert stored is not None
        assert stored.storage == row.storage
        assert stored.storage_prefix == row.storage_prefix
        assert TABLE.stored(row) is stored


def test_prefixes_are_not_shared_between_kinds() -> None:
    kinds: dict[str, set[GVK]] = {}
    for row in TABLE:
        if row.storage_prefix:
            kinds.setdefault(row.storage_prefix, set()).add(row.storage)
    assert all(len(found) == 1 for found in kinds.values())


def test_order_of_groups_and_versions() -> None:
    groups = TABLE.groups()
    assert groups[:4] == ["", "apiregistration.k8s.io", "apps", "events.k8s.io"]
    assert groups.index("apps") < groups.index("batch") < groups.index("storage.k8s.io")
    assert TABLE.versions("autoscaling") == ["v2", "v1"]
    assert TABLE.versions("resource.k8s.io") == ["v1", "v1beta2", "v1beta1", "v1alpha3"]
    assert TABLE.versions("none") == []
    plurals = [row.plural for row in TABLE.resources("", "v1")]
    assert plurals == sorted(plurals)
    assert len(plurals) == 17


def test_subresources() -> None:
    pods = TABLE.by_path("", "v1", "pods")
    assert pods is not None
    assert [sub.name for sub in pods.subresources] == [
        "attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy",
        "resize", "status",
    ]  # fmt: skip
    eviction = pods.subresource("eviction")
    assert eviction is not None
    assert eviction.kind == GVK("policy", "v1", "Eviction")
    status = pods.subresource("status")
    assert status is not None
    assert status.kind == pods.gvk


def custom(version: str = "v1", group: str = "example.com") -> Resource:
    return Resource(
        group=group, version=version, kind="Widget", plural="widgets", singular="widget", namespaced=True,
        verbs=("get",), storage=GVK(group, "v1", "Widget"), storage_prefix=f"/registry/{group}/widgets/",
        custom=True,
    )  # fmt: skip


def test_add_and_remove() -> None:
    table = TABLE.copy()
    before = table.revision
    for version in ("v1alpha1", "v1", "v2", "v10", "foo"):
        table.add(custom(version))
    assert table.versions("example.com") == ["v10", "v2", "v1", "v1alpha1", "foo"]
    assert table.groups()[-1] == "example.com"
    assert table.revision > before
    table.add(custom("v1"))
    for version in table.versions("example.com"):
        table.remove(GVR("example.com", version, "widgets"))
    table.remove(GVR("example.com", "v1", "widgets"))
    assert "example.com" not in table.groups()
    assert table.by_kind(GVK("example.com", "v1", "Widget")) is None
    assert len(table) == len(TABLE)
    assert TABLE.by_path("example.com", "v1", "widgets") is None


def test_an_empty_table() -> None:
    assert ResourceTable().groups() == []


def test_version_rank() -> None:
    versions = ["v1", "v1beta1", "v2", "v1alpha1", "v1beta2", "v11", "x"]
    assert sorted(versions, key=version_rank) == ["v11", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "x"]


def test_of_groups_that_are_not_there_nothing_is_kept() -> None:
    table = TABLE.copy()
    assert table.versions("apps") == ["v1"]
    assert [table.versions(f"g{number}") for number in range(3)] == [[], [], []]
    assert list(table._orders) == ["apps"]


def test_equivalents_are_other_versions_and_groups_of_the_same_objects() -> None:
    table = TABLE.copy()
    events = table.by_path("", "v1", "events")
    assert events is not None
    found = table.equivalents(events)
    assert [row.gvr for row in found] == [("events.k8s.io", "v1", "events")]
    assert table.equivalents(events) is found
    table.remove(found[0].gvr)
    assert table.equivalents(events) == ()


def test_changes_are_told_of_and_copies_tell_nobody() -> None:
    table, told = ResourceTable(), []
    table.on_change = lambda: told.append(table.revision)
    row = next(iter(TABLE))
    table.add(row)
    table.copy().remove(row.gvr)
    assert told == [1]
    table.hide([row.gvr])
    table.remove(row.gvr)
    table.remove(row.gvr)
    assert told == [1, 2, 3]


@pytest.mark.parametrize(
    ("group", "version", "plural", "told"),
    [
        ("certificates.k8s.io", "v1alpha1", "clustertrustbundles", "v1.34+, unavailable in v1.37+"),
        ("certificates.k8s.io", "v1beta1", "clustertrustbundles", "v1.36+, unavailable in v1.39+"),
        ("certificates.k8s.io", "v1beta1", "podcertificaterequests", ""),
        ("coordination.k8s.io", "v1alpha2", "leasecandidates", "v1.35+"),
        ("coordination.k8s.io", "v1beta1", "leasecandidates", "v1.36+, unavailable in v1.39+"),
        ("networking.k8s.io", "v1beta1", "ipaddresses", "v1.34+, unavailable in v1.37+"),
        ("networking.k8s.io", "v1beta1", "servicecidrs", "v1.34+, unavailable in v1.37+"),
        ("storage.k8s.io", "v1beta1", "volumeattributesclasses", "v1.34+, unavailable in v1.37+"),
        ("resource.k8s.io", "v1beta1", "resourceclaims", "v1.35+, unavailable in v1.38+"),
        ("resource.k8s.io", "v1beta2", "resourceslices", "v1.36+, unavailable in v1.39+"),
        ("resource.k8s.io", "v1beta2", "devicetaintrules", ""),
        ("resource.k8s.io", "v1alpha3", "devicetaintrules", "v1.36+"),
        ("admissionregistration.k8s.io", "v1beta1", "mutatingadmissionpolicies", ""),
    ],
)
def test_versions_on_their_way_out(group: str, version: str, plural: str, told: str) -> None:
    row = TABLE.by_path(group, version, plural)
    assert row is not None
    assert row.deprecation == (f"{group}/{version} {row.kind} is deprecated in {told}" if told else "")
