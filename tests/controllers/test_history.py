"""What ControllerRevisions hold: the template's keys in order, for those who compare the bytes."""

from __future__ import annotations

import json

from tiphys.apimachinery.meta import Object
from tiphys.apis.protobuf import codec
from tiphys.controllers.history import plan_history

COMMAND = ["sh", "-c", "a && b < c > d"]


def daemon_set() -> Object:
    template = {
        "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i", "command": COMMAND}]},
        "metadata": {"labels": {"b": "2", "a": "1"}},
    }
    meta = {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "1"}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {"template": template}}


def test_the_keys_of_a_snapshot_are_in_order() -> None:
    made = plan_history(daemon_set(), []).update
    assert json.dumps(made["data"]) == json.dumps(made["data"], sort_keys=True)
    assert made["data"]["spec"]["template"]["$patch"] == "replace"


def test_a_snapshot_that_is_not_in_order_is_known_again() -> None:
    first = plan_history(daemon_set(), []).update
    stored = {
        **first,
        "data": {"spec": {"template": {**daemon_set()["spec"]["template"], "$patch": "replace"}}},
    }
    again = plan_history(daemon_set(), [stored])
    assert (again.create, again.renumber) == (False, False)


def test_a_snapshot_goes_out_in_the_bytes_that_go_writes() -> None:
    made = plan_history(daemon_set(), []).update
    sent = codec.encode(made)
    assert rb'"command":["sh","-c","a \u0026\u0026 b \u003c c \u003e d"]' in sent
    assert codec.decode(sent)["data"] == made["data"]
