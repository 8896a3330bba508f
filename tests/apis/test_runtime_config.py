"""``--runtime-config``: what its keys hide, which one beats which, and what is refused."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.featuregates import DEFAULTS, resolve
from tiphys.apimachinery.meta import GVR
from tiphys.apis.runtime_config import RuntimeConfigError, gated, hidden, parse
from tiphys.apis.table import TABLE

LINES = [
    ("", {}),
    ("api/beta=false", {"api/beta": "false"}),
    ("apps/v1, batch/v1=false", {"apps/v1": "", "batch/v1": "false"}),
]


@pytest.mark.parametrize(("text", "config"), LINES)
def test_lines(text: str, config: dict[str, str]) -> None:
    assert parse(text) == config


def shown(text: str) -> set[str]:
    """Return the group versions that are left with something to serve."""
    table = TABLE.copy()
    table.hide(hidden(table, parse(text)))
    return {f"{group}/{version}" for group in table.groups() for version in table.versions(group)}


EVERYTHING = shown("api/all=true")
FINISHED = {one for one in EVERYTHING if "beta" not in one and "alpha" not in one}
BETA = {one for one in EVERYTHING if "beta" in one}
SHOWN = [
    ("", FINISHED),
    ("api/beta=true", FINISHED | BETA),
    ("api/beta=false", FINISHED),
    ("api/all=true,api/alpha=false", FINISHED | BETA),
    ("api/all=true,api/beta=false", EVERYTHING - BETA),
    ("api/all=false,apps/v1=true", {"apps/v1"}),
    ("api/all=false,/v1=true", {"/v1"}),
    ("api/all=false,api/ga=true", FINISHED),
    ("storage.k8s.io/v1beta1", FINISHED | {"storage.k8s.io/v1beta1"}),
    ("resource.k8s.io/v1beta2/devicetaintrules=true", FINISHED | {"resource.k8s.io/v1beta2"}),
    ("apps/v1=0", FINISHED - {"apps/v1"}),
    ("api/all=false,batch/v1/jobs=true", {"batch/v1"}),
    ("api/ga=false,apps/v1/deployments=true", {"apps/v1"}),
    ("api/ga=false,apps/v1=false,apps/v1/deployments=true", {"apps/v1"}),
    ("api/ga=false,apps/v1=true,apps/v1/deployments=false", {"apps/v1"}),
    ("api/ga=true,apps/v1=false,apps/v1/deployments=true", FINISHED),
    ("/v1=false", FINISHED - {"/v1"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_versions(text: str, expected: set[str]) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "deployments", "daemonsets"),
    [
        ("", True, True),
        ("apps/v1/deployments=false", False, True),
        ("apps/v1=true,apps/v1/deployments=false", False, True),
        ("apps/v1=false,apps/v1/deployments=true", True, False),
        ("api/ga=true,apps/v1/deployments=false", False, True),
        ("api/ga=false,apps/v1/deployments=true", True, False),
        ("api/ga=false,apps/v1=true,apps/v1/deployments=false", False, True),
        ("api/ga=false,apps/v1=false,apps/v1/deployments=true", True, False),
        ("api/ga=true,apps/v1=true,apps/v1/deployments=false", False, True),
        ("api/ga=true,apps/v1=false,apps/v1/deployments=true", True, False),
    ],
)
def test_resources_beat_versions_and_these_stability(text: str, deployments: bool, daemonsets: bool) -> None:
    found = hidden(TABLE, parse(text))
    assert (GVR("apps", "v1", "deployments") not in found) is deployments
    assert (GVR("apps", "v1", "daemonsets") not in found) is daemonsets


def test_a_resource_beats_its_version() -> None:
    found = hidden(TABLE, parse("api/all=true,batch/v1=false,batch/v1/jobs=true,apps/v1/deployments=false"))
    assert found == {GVR("batch", "v1", "cronjobs"), GVR("apps", "v1", "deployments")}


REFUSED = [
    ("api/all=false", "invalid key with only api/all=false"),
    ("api/beta=maybe", "invalid value api/beta=maybe"),
    ("api/beta", "invalid value api/beta="),
    ("v1=false", "runtime-config invalid key v1"),
    ("a/b/c/d=false", "runtime-config invalid key a/b/c/d"),
    ("none.io/v1=true,other.io/v1=true", "unknown api groups none.io,other.io"),
    ("apps/v9=true", "group version apps/v9 that has not been registered"),
    ("/v9=true", "group version v9 that has not been registered"),
    (
        "apps/v1/Deployments=false",
        "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, "
        'not "Deployments"',
    ),
    (
        "apps/v1=maybe",
        'invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax',
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(RuntimeConfigError) as found:
        hidden(TABLE, parse(text))
    assert str(found.value) == message


def test_what_is_hidden_is_there_for_the_server_itself() -> None:
    table = TABLE.copy()
    before = table.revision
    table.hide({GVR("apps", "v1", "deployments")})
    assert table.revision > before
    assert table.served_at("apps", "v1", "deployments") is None
    assert table.by_path("apps", "v1", "deployments") is not None
    assert "deployments" not in [row.plural for row in table.resources("apps", "v1")]
    assert table.copy().served_at("apps", "v1", "deployments") is None
    assert TABLE.served_at("apps", "v1", "deployments") is not None


def test_kinds_belong_to_features() -> None:
    off = gated(TABLE, DEFAULTS)
    kinds = {gvr.resource for gvr in off}
    assert kinds >= {"clustertrustbundles", "podcertificaterequests", "podgroups"}
    assert not [gvr for gvr in off if gvr.version == "v1"]
    assert off - gated(TABLE, resolve({"GenericWorkload": True})) == {
        gvr for gvr in off if gvr.group == "scheduling.k8s.io"
    }
