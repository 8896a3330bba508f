"""Who goes for a critical pod: the table of upstream's kubelet, and a node on which it happens."""

import pytest
from fake_node import Node
from pods import container, pod

from tiphys.apimachinery.meta import Object
from tiphys.kubelet.admission import Shortage
from tiphys.kubelet.allocation.preemption import NoRoom, victims

pytestmark = pytest.mark.usefixtures("no_cgroups")

MIB = 2**20
CRITICAL = 2_000_000_000


def asking(name, cpu=0, memory=0, *, limits=False, **spec) -> Object:
    amounts = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"} if cpu else {}
    resources = {"requests": amounts, **({"limits": amounts} if limits else {})}
    return pod(container(resources=resources), meta={"name": name, "uid": name}, **spec)


SMALL, MIDDLE, WIDE = asking("small"), asking("middle", 100, 100), asking("wide", 300, 300)
SURE, SURER = asking("sure", 100, 100, limits=True), asking("surer", 300, 300, limits=True)
ALL = [SMALL, MIDDLE, WIDE, SURE, SURER]
OTHER_CRITICAL = asking("other", 900, 900, priority=CRITICAL)
PREEMPTOR = asking("critical", 100, 100, priority=CRITICAL + 1)


def short(**missing):
    return [Shortage(name, amount, 0, 0) for name, amount in missing.items()]


@pytest.mark.parametrize(
    ("others", "missing", "gone"),
    [
        pytest.param([], {}, [], id="nothing is missing"),
        pytest.param([MIDDLE, SMALL, SURE], {"pods": 1}, ["small"], id="a place"),
        pytest.param([MIDDLE, SURE], {"cpu": 100, "memory": 100 * MIB}, ["middle"], id="the less sure"),
        pytest.param([MIDDLE, WIDE], {"memory": 100 * MIB}, ["middle"], id="no more than is needed"),
        pytest.param([MIDDLE, WIDE], {"memory": 250 * MIB}, ["wide"], id="one rather than two"),
        pytest.param(ALL, {"memory": 550 * MIB}, ["wide", "surer"], id="of the surest only what must be"),
        pytest.param([SURE, SURER], {"cpu": 400}, ["surer", "sure"], id="both"),
        pytest.param([OTHER_CRITICAL], {"cpu": 1}, ["other"], id="a critical one that matters less"),
    ],
)
def test_who_goes(others, missing, gone):
    chosen = victims(PREEMPTOR, others, short(**missing))
    assert [one["metadata"]["name"] for one in chosen] == gone


@pytest.mark.parametrize(
    ("preemptor", "others"),
    [(PREEMPTOR, [SMALL, MIDDLE]), (asking("c", priority=CRITICAL), [OTHER_CRITICAL])],
    ids=["too little in all", "as critical itself"],
)
def test_no_room(preemptor, others):
    with pytest.raises(NoRoom) as caught:
        victims(preemptor, others, short(cpu=500))
    left = 400 if MIDDLE in others else 500
    told = f"no set of running pods found to reclaim resources: [(res: cpu, q: {left}), ]"
    assert str(caught.value) == f"preemption: error finding a set of pods to preempt: {told}"


@pytest.fixture
async def node(tmp_path):
    node = Node(tmp_path, capacity={"cpu": "2", "memory": "2Gi", "pods": "10"})
    yield node
    await node.client.close()


async def test_a_critical_pod_on_a_full_node(node):
    """Another goes, is told why, and has its condition; what is not critical is refused as ever."""
    large = [{"name": "c", "image": "img:1", "resources": {"requests": {"cpu": "1500m"}}}]
    async with node.running():
        await node.create("p", large)
        await node.until(node.ready)
        await node.create("plain", large)
        await node.until(lambda: node.phase("plain") == "Failed")
        assert (node.status("plain")["reason"], node.phase()) == ("OutOfcpu", "Running")
        await node.create("critical", large, priority=CRITICAL)
        await node.until(lambda: node.phase("critical") == "Running" and node.phase() == "Failed")
        told = "Preempted in order to admit critical pod"
        status = node.status()
        assert (status["reason"], status["message"]) == ("Preempting", told)
        assert node.events("Preempting") == [told]
        (condition,) = [one for one in status["conditions"] if one["type"] == "DisruptionTarget"]
        assert condition["message"] == "Pod was preempted by Kubelet to accommodate a critical pod."
        await node.create("another", large, priority=CRITICAL)
        await node.until(lambda: node.phase("another") == "Failed")
        assert node.status("another")["reason"] == "UnexpectedAdmissionError"
