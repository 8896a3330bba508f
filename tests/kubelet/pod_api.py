"""The fake API with what a kubelet needs of the real one: graceful deletion and tokens."""

from tiphys.apimachinery.clock import RealClock
from tiphys.apimachinery.meta import copy_object
from tiphys.client.fake_api import FakeApi
from tiphys.client.kinds import PODS


class PodApi(FakeApi):
    def __init__(self, clock=None):
        super().__init__(clock or RealClock())

    def _settle(self, gvr, namespace, name, old, new):
        if gvr != PODS:
            return super()._settle(gvr, namespace, name, old, new)
        if conditions := (new.get("status") or {}).get("conditions"):
            new["status"]["conditions"] = [item for item in conditions if item.get("$patch") != "delete"]
        if new != old:
            self._store(gvr, (namespace, name), new, "MODIFIED")
        return copy_object(self.objects[gvr][namespace, name])

    def _create(self, gvr, namespace, name, subresource, body):
        if subresource == "token":
            return {"status": {"token": f"token-of-{name}", "expirationTimestamp": "2099-01-01T00:00:00Z"}}
        return super()._create(gvr, namespace, name, subresource, body)

    def delete_pod(self, name, namespace="default", grace_s=5):
        """What DELETE does to a pod that a node runs."""
        pod = copy_object(self.get(PODS, name, namespace))
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        pod["metadata"]["deletionGracePeriodSeconds"] = grace_s
        self.put(PODS, pod)
