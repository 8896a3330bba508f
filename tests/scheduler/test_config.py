"""KubeSchedulerConfiguration: what each document makes of the profiles, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_builders import columns, info, node

from tiphys.scheduler.config import API_VERSION, KIND, BadConfiguration, read_configuration
from tiphys.scheduler.framework import Profile, decide
from tiphys.scheduler.profile import default_profile, make_profile


def document(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, **fields}


def one_profile(plugins: dict[str, Any] | None = None, *config: dict[str, Any]) -> Profile:
    raw = {"plugins": plugins or {}, "pluginConfig": list(config)}
    return make_profile(read_configuration(document(profiles=[raw])).profiles[0])


def named(*names: str, **weights: int) -> list[dict[str, Any]]:
    return [{"name": name, **({"weight": weights[name]} if name in weights else {})} for name in names]


def filters(profile: Profile) -> set[str]:
    return {plugin.name for plugin in profile.filters}


def scores(profile: Profile) -> dict[str, float]:
    return {plugin.name: weight for plugin, weight in profile.scores}


def test_nothing_said_is_the_usual_profile() -> None:
    read = read_configuration(document(percentageOfNodesToScore=50))
    (settings,) = read.profiles
    assert settings.name == "default-scheduler"
    made = make_profile(settings)
    assert filters(made) == filters(default_profile())
    assert scores(made) == scores(default_profile())
    assert made.preempts
    assert (read.initial_backoff_s, read.max_backoff_s) == (1.0, 10.0)


def test_how_many_nodes_are_scored_is_said_for_all_or_for_one_profile() -> None:
    profiles = [{"schedulerName": "a"}, {"schedulerName": "b", "percentageOfNodesToScore": 0}]
    read = read_configuration(document(percentageOfNodesToScore=50, profiles=profiles))
    assert [make_profile(one).percentage for one in read.profiles] == [50, 0]
    assert default_profile().percentage is None


def test_a_filter_and_a_score_are_turned_off_apart() -> None:
    made = one_profile({"filter": {"disabled": named("TaintToleration")}})
    assert "TaintToleration" not in filters(made)
    assert scores(made)["TaintToleration"] == 3
    made = one_profile({"score": {"disabled": named("TaintToleration")}})
    assert "TaintToleration" in filters(made)
    assert "TaintToleration" not in scores(made)


def test_everything_off_but_what_is_named() -> None:
    made = one_profile(
        {"multiPoint": {"disabled": named("*"), "enabled": named("NodeResourcesFit", NodeResourcesFit=7)}}
    )
    assert filters(made) == {"NodeResourcesFit"}
    assert scores(made) == {"NodeResourcesFit": 7.0}
    assert not made.preempts


def test_the_closer_word_wins() -> None:
    made = one_profile(
        {
            "multiPoint": {
                "disabled": named("ImageLocality"),
                "enabled": named("NodeAffinity", NodeAffinity=5),
            },
            "score": {"enabled": named("ImageLocality", "NodeAffinity", ImageLocality=4, NodeAffinity=9)},
        }
    )
    assert scores(made)["ImageLocality"] == 4
    assert scores(made)["NodeAffinity"] == 9


def test_no_preemption() -> None:
    assert not one_profile({"postFilter": {"disabled": named("DefaultPreemption")}}).preempts


def test_the_profile_adds_its_own_affinity() -> None:
    terms = [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["blue"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    args = {"name": "NodeAffinity", "args": {"kind": "NodeAffinityArgs", "addedAffinity": required}}
    profile = one_profile({}, args)
    nodes = [node("a", labels={"pool": "green"}), node("b", labels={"pool": "blue"})]
    assert decide(info(), columns(*nodes), profile).node == "b"
    assert (
        decide(info(), columns(nodes[0]), profile).message()
        == "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity."
    )
    picky = info(nodeSelector={"disk": "ssd"})
    assert (
        decide(picky, columns(nodes[1]), profile).message()
        == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    )


def test_the_profile_adds_a_preference() -> None:
    wish = {
        "weight": 100,
        "preference": {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["blue"]}]},
    }
    added = {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}
    profile = one_profile({}, {"name": "NodeAffinity", "args": {"addedAffinity": added}})
    made = columns(node("a"), node("b", labels={"pool": "blue"}))
    assert {decide(info(), made, profile, turn=turn).node for turn in range(4)} == {"b"}


def test_several_profiles_and_settings() -> None:
    read = read_configuration(
        document(
            profiles=[{"schedulerName": "one"}, {"schedulerName": "two"}],
            podInitialBackoffSeconds=2,
            podMaxBackoffSeconds=30,
            leaderElection={"leaderElect": True, "leaseDuration": "20s"},
        )
    )
    assert [profile.name for profile in read.profiles] == ["one", "two"]
    assert (read.initial_backoff_s, read.max_backoff_s) == (2.0, 30.0)
    assert read.leader_election == {"leaderElect": True, "leaseDuration": "20s"}


def test_volumes_may_take_as_long_as_it_says() -> None:
    config = {"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 5}}
    (settings,) = read_configuration(document(profiles=[{"pluginConfig": [config]}])).profiles
    assert settings.arguments.bind_timeout_s == 5.0


FAULTS: dict[str, tuple[Any, list[str]]] = {
    "no object": ("text", [f"the configuration is no {KIND}"]),
    "another kind": ({"kind": "Pod", "apiVersion": "v1"}, [f"the configuration is no {KIND}"]),
    "an older version": (
        {"kind": KIND, "apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
        [f'no kind "{KIND}" is registered for version "kubescheduler.config.k8s.io/v1beta3" in scheme'],
    ),
    "strange fields, all at once": (
        document(boats=1, profiles=[{"sails": 2, "plugins": {"masts": {}}}]),
        [f'unknown field "{name}"' for name in ("boats", "profiles[0].sails", "profiles[0].plugins.masts")],
    ),
    "a plugin nobody has": (
        document(profiles=[{"plugins": {"filter": {"enabled": [{"name": "Boats"}]}}}]),
        ['profiles[0].plugins.filter.enabled: Invalid value: "Boats": plugin does not exist'],
    ),
    "two of one name": (
        document(profiles=[{"schedulerName": "a"}, {"schedulerName": "a"}]),
        ["profiles[1].schedulerName: Duplicate value: profiles[0].schedulerName"],
    ),
    "one without a name": (
        document(profiles=[{"schedulerName": "a"}, {}]),
        ["profiles[1].schedulerName: Required value"],
    ),
    "numbers out of range": (
        document(
            percentageOfNodesToScore=101,
            podInitialBackoffSeconds=5,
            podMaxBackoffSeconds=2,
            profiles=[{"percentageOfNodesToScore": -1}],
        ),
        [
            "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
            "podMaxBackoffSeconds: Invalid value: 2: "
            "must be greater than or equal to PodInitialBackoffSeconds",
            "profiles[0].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]",
        ],
    ),
    "nothing, where something must be": (
        document(podInitialBackoffSeconds=0, parallelism=0, clientConnection={"burst": -1}),
        [
            "clientConnection.burst: Invalid value: -1: must be non-negative",
            "parallelism: Invalid value: 0: should be an integer value greater than zero",
            "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
        ],
    ),
    "an election that cannot be won": (
        document(
            leaderElection={
                "leaseDuration": "10s",
                "renewDeadline": "20s",
                "retryPeriod": "0s",
                "resourceLock": "configmap",
            }
        ),
        [
            "leaderElection.retryPeriod: Invalid value: 0s: must be greater than zero",
            "leaderElection.leaseDuration: Invalid value: 20s: must be greater than `RenewDeadline`",
            'leaderElection.resourceLock: Invalid value: "configmap": resourceLock value must be "leases"',
        ],
    ),
    "times that are none": (
        document(leaderElection={"leaseDuration": "soon"}),
        ['leaderElection.leaseDuration: time: invalid duration "soon"'],
    ),
    "several orders of one queue": (
        document(
            profiles=[
                {"schedulerName": "a", "plugins": {"queueSort": {"enabled": named("PrioritySort")}}},
                {"schedulerName": "b"},
            ]
        ),
        [
            "profiles[1].plugins.queueSort: Invalid value: map[]: must be the same for all profiles",
        ],
    ),
    "two orders at once": (
        document(
            profiles=[{"plugins": {"queueSort": {"enabled": named("PrioritySort", "SchedulingGates")}}}]
        ),
        [
            "profiles[0].plugins.queueSort.Enabled: Invalid value: 2: "
            "only one queue sort plugin can be enabled",
        ],
    ),
    "what is not done here": (
        document(
            profiles=[
                {
                    "plugins": {"bind": {"disabled": [{"name": "DefaultBinder"}]}},
                    "pluginConfig": [
                        {"name": "PodTopologySpread", "args": {"defaultingType": "List"}},
                        {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 9}},
                        {"name": "InterPodAffinity", "args": {"boats": 9}},
                    ],
                }
            ],
        ),
        [
            "profiles[0].plugins.bind.disabled: not supported: turn the plugin off at multiPoint",
            'profiles[0].pluginConfig[2]: Duplicate value: "InterPodAffinity"',
            'unknown field "profiles[0].pluginConfig[2].args.boats"',
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_faults_are_named(case: tuple[Any, list[str]]) -> None:
    raw, texts = case
    with pytest.raises(BadConfiguration) as caught:
        read_configuration(raw)
    assert str(caught.value).splitlines() == texts
