from datetime import timedelta

import pytest
from pods import NOW, ago, container, pod

from tiphys.kubelet.cm.qos import is_critical
from tiphys.kubelet.eviction.plan import (
    DEFAULT_HARD,
    Observation,
    PodUse,
    Pressure,
    Threshold,
    choose,
    due,
    observe_pressure,
    over_own_limits,
    parse_thresholds,
    rank,
    refused_under,
)

MEMORY = Threshold("memory.available", "100Mi")
DISK = Threshold("nodefs.available", "10%")
SOFT = Threshold("memory.available", "1Gi", 30.0)
MI, GI = 2**20, 2**30
SHORT = {"memory.available": Observation(50 * MI, GI)}
PLENTY = {"memory.available": Observation(900 * MI, GI)}


def test_default_thresholds():
    found = {item.signal: item for item in parse_thresholds(DEFAULT_HARD)}
    assert len(found) == 5
    assert found["memory.available"].least(GI) == 100 * MI
    assert found["nodefs.available"].least(1000) == 100
    assert all(item.grace_s is None for item in found.values())


def test_soft_thresholds_have_their_grace():
    made = parse_thresholds(
        "", "memory.available<1Gi,pid.available<5%", "memory.available=90s,pid.available=2m"
    )
    assert [(item.signal, item.grace_s) for item in made] == [
        ("memory.available", 90),
        ("pid.available", 120),
    ]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("memory.available",), "invalid eviction threshold syntax memory.available"),
        (("cpu.available<1",), "unsupported eviction signal cpu.available"),
        (("memory.available<much",), "eviction threshold memory.available<much: "),
        (("memory.available<-1Mi",), "must be positive"),
        (("memory.available<101%",), "at most 100%"),
        (("", "memory.available<1Gi"), "grace period must be specified for the soft eviction threshold"),
        (("", "", "memory.available"), "invalid eviction grace period 'memory.available'"),
        (("", "", "memory.available=soon"), "invalid duration 'soon'"),
    ],
)
def test_thresholds_that_make_no_sense(flags, text):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_thresholds(*flags)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("available", "conditions"),
    [(99 * MI, {"MemoryPressure"}), (100 * MI, set()), (0, {"MemoryPressure"})],
)
def test_less_than_the_least_is_pressure(available, conditions):
    found = {"memory.available": Observation(available, GI)}
    assert observe_pressure([MEMORY], found, Pressure(), NOW, 300).conditions == conditions


def test_what_is_not_measured_is_not_short():
    assert not observe_pressure([MEMORY, DISK], PLENTY, Pressure(), NOW, 300).since


def test_conditions_outlast_their_cause():
    pressure = observe_pressure([MEMORY], SHORT, Pressure(), NOW, 300)
    for seconds, held in ((10, True), (299, True), (301, False)):
        later = observe_pressure([MEMORY], PLENTY, pressure, NOW + timedelta(seconds=seconds), 300)
        assert bool(later.conditions) is held
        assert not later.since


def test_each_kind_of_signal_has_its_condition():
    found = {
        "nodefs.inodesFree": Observation(1, 100),
        "pid.available": Observation(1, 100),
    }
    thresholds = parse_thresholds("nodefs.inodesFree<5%,pid.available<5%")
    held = observe_pressure(thresholds, found, Pressure(), NOW, 300).conditions
    assert held == {"DiskPressure", "PIDPressure"}


def test_hard_ones_are_due_at_once_and_soft_ones_after_their_grace():
    pressure = Pressure({SOFT: ago(29), DISK: ago(0), MEMORY: ago(0)})
    assert due(pressure, NOW) == [MEMORY, DISK]
    assert due(Pressure({SOFT: ago(30)}), NOW) == [SOFT]


def test_since_begins_anew_after_relief():
    first = observe_pressure([SOFT], SHORT, Pressure(), ago(40), 300)
    relieved = observe_pressure(
        [SOFT], {"memory.available": Observation(2 * GI, 4 * GI)}, first, ago(20), 300
    )
    again = observe_pressure([SOFT], SHORT, relieved, NOW, 300)
    assert due(again, NOW) == []


def use(name, used, request="0", priority=0, **spec):
    made = pod(
        container(resources={"requests": {"memory": request}}), meta={"name": name}, priority=priority, **spec
    )
    return PodUse(made, {"memory": used}, {"c": {"memory": used}})


def names(uses):
    return [item.pod["metadata"]["name"] for item in uses]


@pytest.mark.parametrize(
    ("uses", "order"),
    [
        ([use("small", 1), use("big", 2)], ["big", "small"]),
        ([use("within", 500, "1Ki"), use("over", 10)], ["over", "within"]),
        ([use("important", 900, priority=10), use("humble", 1)], ["humble", "important"]),
        ([use("asked", 900, "800"), use("more over", 300, "100")], ["more over", "asked"]),
        ([use("system", 900, priority=2_000_000_000), use("own", 1)], ["own"]),
    ],
    ids=["by use", "requests first", "then priority", "then by how much", "critical ones stay"],
)
def test_rank(uses, order):
    assert names(rank(uses, "memory")) == order


def test_processes_are_not_asked_for():
    few, many = PodUse(pod(), {"pids": 3}), PodUse(pod(), {"pids": 300})
    assert rank([few, many], "pids") == [many, few]


def test_static_pods_stay():
    assert is_critical(pod(meta={"annotations": {"kubernetes.io/config.source": "file"}}))
    assert not is_critical(pod())


def test_victim_of_memory():
    victim = choose(MEMORY, SHORT["memory.available"], [use("p", 30 * MI, "10Mi")], 0)
    assert victim.message == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. "
        "Container c was using 30720Ki, request is 10Mi, has larger consumption of memory. "
    )
    assert victim.grace_s == 1


def test_victim_of_inodes():
    threshold = Threshold("nodefs.inodesFree", "5%")
    victim = choose(threshold, Observation(10, 1000), [use("p", 1)], 0)
    assert victim.message == "The node was low on resource: inodes. Threshold quantity: 50, available: 10. "


@pytest.mark.parametrize(("most", "own", "grace"), [(0, 30, 0), (60, 30, 30), (10, 30, 10)])
def test_soft_thresholds_give_time(most, own, grace):
    victim = choose(SOFT, SHORT["memory.available"], [use("p", 1, terminationGracePeriodSeconds=own)], most)
    assert victim.grace_s == grace


def test_nobody_to_give():
    assert choose(MEMORY, SHORT["memory.available"], [use("p", 1, priority=2_000_000_000)], 0) is None


def limited(text):
    return container(resources={"limits": {"ephemeral-storage": text}})


@pytest.mark.parametrize(
    ("made", "used", "folders", "message"),
    [
        (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), {}, {"v": MI}, None),
        (
            pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]), {}, {"v": MI + 1},
            'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
        ),
        (pod(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "0"}}]), {}, {"v": MI}, None),
        (pod(limited("1Mi")), {"ephemeral-storage": MI}, {}, None),
        (
            pod(limited("1Mi")), {"ephemeral-storage": MI + 1}, {},
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (
            pod(limited("1Mi"), container("other")), {"ephemeral-storage": 9 * MI}, {},
            'Container c exceeded its local ephemeral storage limit "1Mi". ',
        ),
    ],
    ids=["at the limit", "folder", "no limit", "container at the limit", "pod", "one container"],
)  # fmt: skip
def test_own_limits(made, used, folders, message):
    victim = over_own_limits(PodUse(made, used, {"c": used}), folders)
    assert (victim.message if victim else None) == message
    if victim is not None:
        kind = {"Usag": "emptydirfs", "Pod ": "ephemeralpodfs", "Cont": "ephemeralcontainerfs"}
        assert victim.signal == f"{kind[message[:4]]}.limit"


@pytest.mark.parametrize(
    ("made", "conditions", "qos", "tolerated", "refused"),
    [
        (pod(), [], "BestEffort", [], []),
        (pod(), ["MemoryPressure"], "BestEffort", [], ["MemoryPressure"]),
        (pod(), ["MemoryPressure"], "BestEffort", ["node.kubernetes.io/memory-pressure"], []),
        (pod(), ["MemoryPressure"], "Burstable", [], []),
        (pod(), ["DiskPressure"], "Guaranteed", [], ["DiskPressure"]),
        (pod(), ["MemoryPressure", "DiskPressure"], "Burstable", [], ["DiskPressure", "MemoryPressure"]),
        (pod(priority=2_000_000_000), ["DiskPressure"], "BestEffort", [], []),
    ],
)
def test_newcomers_under_pressure(made, conditions, qos, tolerated, refused):
    assert refused_under(made, conditions, qos, tolerated) == refused
