"""What is shown of autoscalers: how many, and what each wants."""

from tiphys.client.kinds import HORIZONTAL_POD_AUTOSCALERS
from tiphys.controllers import metrics
from tiphys.controllers.podautoscaler.controller import HorizontalPodAutoscalerController
from tiphys.controllers.podautoscaler.figures import families

PREFIX = "horizontal_pod_autoscaler_controller"


def scaler(name, **status):
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {}, "status": status}


def test_families():
    found = {
        (
            one.name.removeprefix(f"{PREFIX}_"),
            one.labels.get("hpa_name"),
            one.labels.get("namespace"),
        ): one.value
        for family in families(
            [scaler("a", desiredReplicas=3), scaler("b", desiredReplicas=0), scaler("new")]
        )
        for one in family.samples
    }
    assert found == {
        ("num_horizontal_pod_autoscalers", None, None): 3,
        ("desired_replicas", "a", "d"): 3, ("desired_replicas", "b", "d"): 0,
    }  # fmt: skip
    assert [one.value for family in families([]) for one in family.samples] == [0]


async def test_a_controller_shows_its_own(world):
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 2}
    world.api.put(HORIZONTAL_POD_AUTOSCALERS, {**scaler("only-here", desiredReplicas=7), "spec": spec})
    async with world.running(HorizontalPodAutoscalerController):
        labels = {"namespace": "d", "hpa_name": "only-here"}
        assert metrics.REGISTRY.sample_value(f"{PREFIX}_desired_replicas", labels) == 7
