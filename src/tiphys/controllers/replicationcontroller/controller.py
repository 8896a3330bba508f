"""ReplicationControllers: the ReplicaSet's loop with the older kind's selector."""

from __future__ import annotations

from tiphys.apimachinery.labels import Selector, from_label_selector
from tiphys.apimachinery.meta import Object
from tiphys.client.kinds import REPLICATION_CONTROLLERS
from tiphys.controllers.replicaset.controller import ReplicaSetController


class ReplicationControllerController(ReplicaSetController):
    """A key is a ReplicationController's."""

    gvr = REPLICATION_CONTROLLERS
    kind = "ReplicationController"
    name = "replication-controller"
    account = "replication-controller"

    def _selector(self, owner: Object) -> Selector:
        return from_label_selector({"matchLabels": owner["spec"].get("selector") or {}})
