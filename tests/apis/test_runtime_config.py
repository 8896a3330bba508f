"""``--runtime-config``: what its keys hide, which one beats which, and what is refused."""

from __future__ import annotations

import pytest

from tiphys.apimachinery.meta import GVR
from tiphys.apis.runtime_config import RuntimeConfigError, hidden, parse
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


EVERYTHING = shown("")
FINISHED = {one for one in EVERYTHING if "beta" not in one and "alpha" not in one}
SHOWN = [
    ("api/beta=false", {one for one in EVERYTHING if "beta" not in one}),
    ("api/alpha=false,api/beta=false", FINISHED),
    ("api/all=false,apps/v1=true", {"apps/v1"}),
    ("api/all=false,/v1=true", {"/v1"}),
    ("api/all=false,api/ga=true", FINISHED),
    ("api/beta=false,storage.k8s.io/v1beta1=true", {
        one for one in EVERYTHING if "beta" not in one or one == "storage.k8s.io/v1beta1"}),
    ("apps/v1=0", EVERYTHING - {"apps/v1"}),
    ("api/all=false,batch/v1/jobs=true", {"batch/v1"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SHOWN)
def test_versions(text: str, expected: set[str]) -> None:
    assert shown(text) == expected


def test_a_resource_beats_its_version() -> None:
    found = hidden(TABLE, parse("batch/v1=false,batch/v1/jobs=true,apps/v1/deployments=false"))
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
