"""What a migration tells of its course."""

from datetime import UTC, datetime

import pytest

from tiphys.apimachinery.meta import GVK
from tiphys.controllers.storageversionmigrator import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def migration(*told):
    return {
        "metadata": {"name": "m"},
        "status": {"resourceVersion": "7", "conditions": [{"type": t, "status": s} for t, s in told]},
    }


@pytest.mark.parametrize(
    ("told", "ended"),
    [
        ([], False),
        ([("Running", "True")], False),
        ([("Running", "False"), ("Succeeded", "True")], True),
        ([("Failed", "True")], True),
        ([("Succeeded", "False"), ("Failed", "Unknown")], False),
    ],
)
def test_when_nothing_is_left_to_do(told, ended):
    assert plan.has_ended(migration(*told)) is ended


def test_nothing_is_left_to_say_of_one_without_status():
    assert plan.has_ended({"metadata": {}}) is False


@pytest.mark.parametrize(
    ("told", "kind", "wanted"),
    [
        ([], "Running", [("Running", "True", "StorageVersionMigrationInProgress")]),
        (
            [("Running", "True")],
            "Succeeded",
            [("Running", "False", None), ("Succeeded", "True", "StorageVersionMigrationSucceeded")],
        ),
        ([], "Failed", [("Failed", "True", "StorageVersionMigrationFailed")]),
    ],
    ids=["begins", "ends well", "fails before it ran"],
)
def test_conditions(told, kind, wanted):
    new = plan.with_condition(migration(*told), kind, "why", NOW)
    found = [(one["type"], one["status"], one.get("reason")) for one in new["status"]["conditions"]]
    assert found == wanted
    assert new["status"]["conditions"][-1]["message"] == "why"
    assert new["status"]["resourceVersion"] == "7"


def test_what_is_applied_names_one_object_alone():
    obj = {"metadata": {"name": "a", "uid": "u", "resourceVersion": "3", "labels": {"a": "b"}}, "spec": {}}
    assert plan.as_it_is(obj, GVK("g", "v2", "Kind")) == {
        "apiVersion": "g/v2",
        "kind": "Kind",
        "metadata": {"uid": "u", "resourceVersion": "3"},
    }
